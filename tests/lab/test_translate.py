"""Settings of other engines: read, written, and read again the same; the order of each is kept; what cannot be said is refused."""

import random
from importlib.util import find_spec

import numpy as np
import pytest

import unspool as un
from unspool.arrays import host, log_softmax
from unspool.core.processor import Rows
from unspool.errors import ParameterError, UnknownName, UnspoolError, Unsupported
from unspool.lab.engines import ENGINES
from unspool.lab.engines.llama_cpp import LLAMA_CPP
from unspool.lab.engines.order import commute
from unspool.lab.methods import known_parts
from unspool.lab.translate import from_engine, to_engine
from unspool.processors.shape import Temperature

VALUES = {
    "bias": ["{3: 1.5, 7: -2.0}"],
    "banned": ["5, 9"],
    "allowed": ["1, 2, 3"],
    "suppress": ["4, 6"],
    "suppress_at_begin": ["2"],
    "repetition_penalty": ["1.3"],
    "encoder_repetition_penalty": ["1.2"],
    "presence_penalty": ["0.7"],
    "frequency_penalty": ["-0.4"],
    "no_repeat_ngram": ["3"],
    "encoder_no_repeat_ngram": ["2"],
    "min_new_tokens": ["4"],
    "min_length": ["9"],
    "forced_begin": ["8"],
    "forced_end": ["12, token=5"],
    "exponential_decay_length": ["3, factor=1.2"],
    "temperature": ["0.7", "1.4"],
    "dynamic_temperature": ["0.5, high=1.5, exponent=1.1"],
    "top_k": ["20"],
    "top_p": ["0.8"],
    "min_p": ["0.1"],
    "typical": ["0.6"],
    "epsilon": ["0.01"],
    "eta": ["0.02"],
    "top_n_sigma": ["1.2"],
    "top_h": ['0.4, variant="transformers"'],
    "xtc": ["0.2, probability=0.4"],
    "dry": ["0.9, base=2.0"],
    "adaptive_p": ["0.4"],
    "mirostat": ['4.0, surprise="truncated"', '3.0, surprise="truncated", version=1'],
    "watermark_kgw": ['bias=1.5, variant="transformers"'],
    "json_schema": ["""'{"type": "object"}', separators=None""", "{}, separators=None"],
    "regex": ["'a|bc+'"],
    "watermark_synthid": ['(1, 22, 333), variant="transformers"'],
    "log_softmax": [""],
    "remove_invalid": [""],
    "smoothing": ["0.3", "0.2, curve=2.0"],
    "tail_free": ["0.9"],
    "top_a": ["0.2"],
}
"""Arguments of each processor that some engine has."""
if find_spec("llguidance") is None:
    del VALUES["json_schema"], VALUES["regex"]
OWN = {
    ("text-generation-webui", "xtc"): ["0.2, probability=0.4, protect=('\\n',), protect_ends=True, variant='text-generation-webui'"],
    ("text-generation-webui", "mirostat"): ['4.0, surprise="truncated"'],
    ("tensorrt-llm", "banned"): ["5", "'very', 7"],
    ("vllm", "banned"): ["'very', ' bad'"],
    ("exllamav3", "banned"): ["'very'"],
}
"""Where an engine has its own form of a processor."""
LAST = {"llama.cpp": 64, "ollama": 64, "mlx-lm": 20}
"""Engines whose penalties look back so far."""
WHOLE = ("tensorrt-llm", "exllamav3", "text-generation-webui")
"""Engines whose penalties look back on the prompt too."""
SCOPES = {"repetition_penalty", "presence_penalty", "frequency_penalty"}


def text_of(engine, place, chance):
    """A processor of a place of an engine, in the text form."""
    text = chance.choice(OWN.get((engine.name, place.method), VALUES[place.method]))
    names = {s.name for s in place.settings}
    if place.method in SCOPES and "scope" not in text and engine.name in (*LAST, *WHOLE):
        text += "" if place.method == "repetition_penalty" else ', scope="all"'
        text += f", window={LAST[engine.name]}" if engine.name in LAST else ""
    if place.method == "dry":
        text += ", window=64" if engine.name in LAST else ""
    assert names
    return f"{place.method}({text})" if text else place.method


def decoders(engine, count):
    """Decoders in an engine's own order."""
    chance = random.Random(engine.name)
    for _ in range(count):
        apart = {"mirostat", "dynamic_temperature", "watermark_synthid", "regex"}  # settings that leave no room for others
        places = [p for p in engine.places if p.method in VALUES.keys() - apart and chance.random() < 0.35]
        if engine.name == "sglang":
            places = engine.ordered(tuple(places), {"min_p": 0.1} if any(p.method == "min_p" for p in places) else {})
        yield " | ".join([*(text_of(engine, p, chance) for p in places), "sample(1)"])


@pytest.mark.parametrize("engine", ENGINES.values(), ids=lambda e: e.name)
def test_what_is_written_is_read_again(engine):
    for text in decoders(engine, 40):
        written = to_engine(engine.name, text)
        assert from_engine(engine.name, written.settings).decoder == un.parse(text), text


@pytest.mark.parametrize("engine", ENGINES.values(), ids=lambda e: e.name)
def test_every_processor_of_an_engine_can_be_written_alone(engine):
    chance = random.Random(0)
    for place in engine.places:
        for _ in VALUES.get(place.method, []):
            text = f"{text_of(engine, place, chance)} | sample(1)"
            assert from_engine(engine.name, to_engine(engine.name, text).settings).decoder == un.parse(text)


@pytest.mark.parametrize("engine", ENGINES.values(), ids=lambda e: e.name)
def test_facts_of_an_engine_hold_together(engine):
    known = known_parts()
    for place in engine.everything:
        assert place.method in known
        assert place.read({}) is None or place.neutral or place in engine.strategies, "what is on by default has a neutral value"
        assert not place.neutral or place.read(place.neutral) is None
    assert engine.strategies[-1].method == "greedy", "some strategy is always meant"
    assert set(engine.flags.values()) <= engine.names | {"samplers"}


@pytest.mark.parametrize("engine", ENGINES.values(), ids=lambda e: e.name)
@pytest.mark.parametrize("options", [{"max_new_tokens": 7}, {"max_new_tokens": 7, "seed": 3}])
def test_arguments_of_generate_go_along(engine, options):
    if "seed" in options and engine.name == "transformers":
        with pytest.raises(ParameterError, match="no setting for seed"):
            to_engine(engine.name, "sample(1)", **options)
        return
    assert from_engine(engine.name, to_engine(engine.name, "sample(1)", **options).settings).options == options


@pytest.mark.parametrize(
    ("engine", "text"),
    [
        ("vllm", "top_p(0.9) | temperature(0.7) | sample(1)"),
        ("transformers", "top_p(0.9) | top_k(5) | sample(1)"),
        ("mlx-lm", "temperature(0.7) | top_p(0.9) | sample(1)"),
        ("openai", "presence_penalty(0.5) | frequency_penalty(0.2) | top_p(0.9) | temperature(0.5) | sample(1)"),
    ],
)
def test_another_order_is_refused(engine, text):
    with pytest.raises(ParameterError, match="the other way round"):
        to_engine(engine, text)


def test_llama_cpp_is_told_another_order():
    text = "top_p(0.9) | temperature(1.4) | top_k(20) | sample(1)"
    written = to_engine("llama.cpp", text).settings
    assert written["samplers"] == ["top_p", "temperature", "top_k"]
    assert from_engine("llama.cpp", written).decoder == un.parse(text)


def test_processors_that_trade_places_make_no_difference():
    chance = np.random.RandomState(0)
    tokens = chance.randint(0, 12, (4, 9))
    scores = chance.randn(4, 12)
    rows = Rows.of(tokens, 4)
    rows.end_tokens = (2,)
    some = [
        *("temperature(0.6)", "repetition_penalty(1.4)", "bias({3: 2.0})", 'presence_penalty(0.4, scope="all")'),
        *("frequency_penalty(0.3)", "dry(0.8, allowed_length=1, breakers=())", "banned(5)", "suppress(1)", "suppress_at_begin(3)"),
        *("min_new_tokens(9)", "min_length(20)", "no_repeat_ngram(2)", "encoder_no_repeat_ngram(2)"),
        *("top_k(4)", "top_p(0.6)", "min_p(0.2)", "typical(0.5)"),
    ]
    made = [un.parse(text).processors[0] for text in some]
    tried = 0
    for a in made:
        for b in made:
            if a is not b and commute(a.name, b.name):
                one, other = b.process(rows, a.process(rows, scores)), a.process(rows, b.process(rows, scores))
                np.testing.assert_allclose(np.exp(host(log_softmax(one))), np.exp(host(log_softmax(other))), atol=1e-9, err_msg=f"{a} {b}")
                tried += 1
    assert tried > 100
    assert not commute("temperature", "top_p")
    assert not commute("repetition_penalty", "bias")


def test_defaults_are_those_of_the_engine():
    assert str(from_engine("llama.cpp", {}).decoder) == "top_k(40) | top_p(0.95) | min_p(0.05) | temperature(0.8) | sample"
    assert str(from_engine("vllm", {}).decoder) == "sample"
    assert str(from_engine("transformers", {}).decoder) == "greedy"
    assert from_engine("transformers", {}).options == {"max_length": 20}
    assert any("top_k=50" in note.what for note in from_engine("transformers", {"do_sample": True}).notes)


def test_flags_say_what_json_says():
    flags = '--temp 0.6 --top-k 9 --samplers "top_k;temperature" --ignore-eos -n 8 -l 15+1.5 -l 3-inf --seed 4 -m x.gguf'
    flags += " --dry-multiplier=0.5"
    read = from_engine("llama.cpp", flags)
    settings = {"temperature": 0.6, "top_k": 9, "samplers": ["top_k", "temperature"], "ignore_eos": True, "n_predict": 8, "seed": 4}
    settings |= {"logit_bias": [[15, 1.5], [3, False]], "dry_multiplier": 0.5}
    assert read.decoder == from_engine("llama.cpp", settings).decoder
    assert read.options == {"max_new_tokens": 8, "seed": 4, "end_tokens": ()}
    assert any("-m x.gguf" in note.what for note in read.notes)
    by_letters = from_engine("llama.cpp", ["--sampler-seq", "kt", "--temp", "0.6", "--top-k", "9"])
    assert str(by_letters.decoder) == "top_k(9) | temperature(0.6) | sample"


def test_mirostat_takes_the_place_of_llama_cpps_chain():
    read = from_engine("llama.cpp", {"mirostat": 2, "top_k": 9, "temperature": 0.6})
    assert str(read.decoder) == "temperature(0.6) | mirostat(surprise='truncated') | sample"
    left = {p.method for p in LLAMA_CPP.ordered(LLAMA_CPP.places, {"mirostat": 1})}
    assert left == {"json_schema", "bias", "banned", "thinking_budget", "temperature", "mirostat"}


def test_llama_cpp_applies_adaptive_p_where_it_is_asked_to():
    assert "adaptive_p" not in str(from_engine("llama.cpp", {"adaptive_target": 0.4}).decoder)
    written = to_engine("llama.cpp", "min_p(0.1) | adaptive_p(0.4) | sample(1)").settings
    assert written["samplers"] == ["min_p", "adaptive_p"]
    first = from_engine("llama.cpp", written | {"samplers": ["adaptive_p", "min_p"]})
    assert str(first.decoder) == "min_p(0.1) | adaptive_p(0.4) | sample"


def test_forms_of_settings(tmp_path):
    wanted = from_engine("vllm", {"temperature": 0.8, "stop": ["\n"]}).decoder
    (tmp_path / "settings.json").write_text('{"temperature": 0.8, "stop": ["\\n"]}')
    for form in ('{"temperature": 0.8, "stop": ["\\n"]}', r'SamplingParams(temperature=0.8, stop="\n")', str(tmp_path / "settings.json")):
        assert from_engine("vllm", form).decoder == wanted
    config = type("Config", (), {"to_dict": lambda self: {"do_sample": True, "top_k": None, "top_p": 0.9}})()
    assert str(from_engine("transformers", config).decoder) == "top_k(50) | top_p(0.9) | sample"


def test_what_has_no_equal_is_said():
    settings = {"guidance_scale": 1.5, "use_cache": True, "num_beam_groups": 1, "token_healing": True, "do_sample": False, "top_p": 0.9}
    read = from_engine("transformers", settings)
    assert [note.setting for note in read.lost] == ["guidance_scale", "token_healing"]
    assert [note.setting for note in read.notes if "no effect" in note.what] == ["top_p"]
    assert not {"use_cache", "num_beam_groups"} & {note.setting for note in read.notes}


@pytest.mark.parametrize(
    ("engine", "settings", "error"),
    [
        ("vllm", {"tempreature": 1.0}, UnknownName),
        ("nobody", {}, UnknownName),
        ("llama.cpp", {"samplers": ["top_q"]}, UnknownName),
        ("vllm", "temperature 0.8", ParameterError),
        ("vllm", "[1]", ParameterError),
        ("vllm", "--temperature 0.8", ParameterError),
        ("llama.cpp", "--temp warm", ParameterError),
        ("vllm", {"top_p": 1.5, "temperature": -3}, ParameterError),
        ("vllm", {"top_k": "many"}, ParameterError),
        ("transformers", {"watermarking_config": 3}, ParameterError),
    ],
)
def test_settings_that_are_refused(engine, settings, error):
    with pytest.raises(error):
        from_engine(engine, settings)


@pytest.mark.parametrize("engine", ENGINES.values(), ids=lambda e: e.name)
def test_any_value_is_read_or_refused_in_a_line(engine):
    refused = 0
    for name in sorted(engine.names):
        for value in ("x", -1, 0, 2, 3.5, True, [], [1], [["a", 1]], {}, {"a": 1}, {"keys": "b"}, [[]], "1e3"):
            try:
                from_engine(engine.name, {name: value, "do_sample": True} if engine.name == "transformers" else {name: value})
            except UnspoolError:
                refused += 1
    assert refused > 20


BAD_FLAGS = ["--temp", "--logit-bias x", "-l 3*4", "--seed 'a", "--samplers top_q", ["--dry-sequence-breaker", "\\x"]]


@pytest.mark.parametrize("flags", BAD_FLAGS, ids=str)
def test_flags_that_are_refused(flags):
    with pytest.raises(UnspoolError):
        from_engine("llama.cpp", flags)


@pytest.mark.parametrize(
    ("engine", "text", "error", "words"),
    [
        ("openai", "top_k(5) | sample(1)", Unsupported, "nothing like top_k"),
        ("llama.cpp", "sample(3)", ParameterError, "one text a call"),
        ("vllm", "top_p(0.9) | greedy", ParameterError, "only where it samples"),
        ("vllm", "temperature(0) | sample(1)", ParameterError, "write greedy"),
        ("vllm", 'presence_penalty(0.5, scope="all") | sample(1)', ParameterError, "scope"),
        ("llama.cpp", "repetition_penalty(1.2, window=32) | presence_penalty(0.5, window=64, scope='all') | sample", ParameterError,
         "one repeat_last_n"),
        ("transformers", "repetition_penalty(1.2) | beam(4)", ParameterError, "log_softmax"),
        ("transformers", "beam(4, length='gnmt')", ParameterError, "length"),
        ("vllm", "bias({'a king': 1.0}) | sample(1)", ParameterError, "tokenizer"),
        ("vllm", "top_k(5) | top_k(3) | sample(1)", ParameterError, "once"),
        ("vllm", "skew(0.5) | sample(1)", Unsupported, "skew"),
        ("llama.cpp", "dry | sample(1)", ParameterError, "give a window"),
        ("llama.cpp", "top_k(5) | mirostat(surprise='truncated') | sample(1)", ParameterError, "leaves top_k out"),
        ("vllm", "beam(4)", ParameterError, "never"),
        ("vllm", "beam(4, early_stopping='never', n=4) | stop('x')", ParameterError, "does not hear"),
        ("sglang", "beam(4, length_penalty=2.0, early_stopping='never')", ParameterError, "never"),
        ("vllm", "repetition_penalty(1.2) | beam(4, early_stopping='never', n=4)", ParameterError, "no processors"),
    ],
)  # fmt: skip
def test_decoders_that_are_refused(engine, text, error, words):
    with pytest.raises(error, match=words):
        to_engine(engine, text)


def test_beams_of_transformers_see_log_probabilities():
    settings = {"num_beams": 4, "repetition_penalty": 1.2, "num_return_sequences": 2}
    read = from_engine("transformers", settings)
    assert str(read.decoder) == "log_softmax | repetition_penalty(1.2) | beam(4, n=2, renormalise=False)"
    assert from_engine("transformers", to_engine("transformers", read.decoder).settings).decoder == read.decoder


def test_structured_output_goes_along():
    pytest.importorskip("llguidance")
    choice = from_engine("vllm", {"structured_outputs": {"choice": ["yes", "no (maybe)"]}}).decoder.processors
    assert choice == (un.Regex(r"yes|no\ \(maybe\)"),)
    assert from_engine("openai", {"response_format": {"type": "json_object"}}).decoder.processors == (un.JsonSchema({}, separators=None),)
    assert from_engine("openai", {"response_format": {"type": "text"}}).decoder.processors == ()
    assert from_engine("ollama", {"format": "json", "temperature": 0}).decoder.processors[0] == un.JsonSchema({}, separators=None)
    with pytest.raises(Unsupported, match="Lark"):
        from_engine("vllm", {"structured_outputs": {"grammar": "root ::= x"}})


def test_stops_go_along():
    text = r"temperature(0.5) | sample(2) | stop('\n', 'end') | end(5) | loop(3, period=8, shortest=2)"
    assert from_engine("vllm", to_engine("vllm", text).settings).decoder == un.parse(text)
    text = "sample(1) | stop_regex('a+')"
    assert from_engine("sglang", to_engine("sglang", text).settings).decoder == un.parse(text)


def test_what_changes_nothing_is_left_out():
    written = to_engine("vllm", Temperature(1.0) | un.TopP(1.0) | un.Sample())
    assert set(written.settings) <= {"temperature", "top_p"}
    assert len(written.notes) == 2
    assert str(written.decoder) == "sample"


def test_a_bias_of_false_bans_the_token_of_that_number():
    for given in ({"15": False}, [[15, False]]):
        assert from_engine("llama.cpp", {"logit_bias": given, "temperature": 0}).decoder.processors == (un.Banned(15),)


@pytest.mark.parametrize(
    ("engine", "settings", "decoder"),
    [
        ("vllm", {"thinking_token_budget": 64}, "thinking_budget(64) | sample"),
        ("llama.cpp", {"thinking_budget_tokens": 64, "reasoning_budget_message": "Enough."}, "thinking_budget(64, message='Enough.')"),
        ("llama.cpp", {"reasoning_budget": 0}, "thinking_budget(0)"),
        ("openvino", {"reasoning_budget_tokens": 9}, "thinking_budget(9)"),
        ("tensorrt-llm", {"top_p": 0.8, "top_p_decay": 0.7, "top_p_reset_ids": 1}, "factual_nucleus(0.8, decay=0.7, least=1e-06, reset=("),
        ("tensorrt-llm", {"top_p": 0.9, "top_p_decay": 1.0}, "top_p(0.9)"),
    ],
)  # fmt: skip
def test_budgets_of_thinking_and_a_top_p_that_decays_are_read(engine, settings, decoder):
    read = from_engine(engine, settings)
    assert decoder in str(read.decoder)
    assert from_engine(engine, to_engine(engine, read.decoder, **read.options).settings).decoder == read.decoder


def test_beam_sampling_of_transformers_goes_both_ways():
    settings = {"num_beams": 4, "do_sample": True, "temperature": 0.7, "top_k": 0, "length_penalty": 0.5}
    read = from_engine("transformers", settings)
    assert str(read.decoder) == "log_softmax | temperature(0.7) | beam_sample(4, length_penalty=0.5, renormalise=False)"
    written = to_engine("transformers", read.decoder)
    assert written.settings["do_sample"] is True
    assert from_engine("transformers", written.settings).decoder == read.decoder
    assert str(to_engine("transformers", "beam_sample(3)").decoder) == "beam_sample(3)"


@pytest.mark.parametrize("settings", ["--temp " + "[" * 50_000, "--temp " + "9" * 5000, "--logit-bias " + "9" * 5000 + "+1"])
def test_flags_of_any_length_and_depth_are_refused_in_one_line(settings):
    with pytest.raises(UnspoolError, match=r"^.+$"):
        from_engine("llama.cpp", settings)


@pytest.mark.parametrize("settings", ["[" * 50_000, '{"temperature": ' + "9" * 5000 + "}"])
def test_settings_of_any_length_and_depth_are_refused_in_one_line(settings):
    with pytest.raises(UnspoolError, match=r"^cannot read the settings .{,200}$"):
        from_engine("vllm", settings)
