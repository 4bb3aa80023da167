"""A translation says all: every setting of every engine is read, refused by its name, noted, or does nothing."""

import itertools
import json
import random
import re
from importlib.util import find_spec

import pytest
from helpers.program import called

import unspool as un
from unspool.core.decoder import REGISTRY
from unspool.errors import UnspoolError
from unspool.lab.engines import ENGINES
from unspool.lab.engines.engine import DIFFERENT, LOST, REMARK
from unspool.lab.translate import from_engine, to_engine
from unspool.models.loading import BUNDLED

SCHEMA = {"type": "object"}
TYPICAL = {
    **dict.fromkeys(("temperature", "temp"), 0.7),
    **dict.fromkeys(("top_k",), 20),
    **dict.fromkeys(("top_p", "typical_p"), 0.8),
    **dict.fromkeys(("min_p", "epsilon_cutoff", "eta_cutoff"), 0.1),
    **dict.fromkeys(("repetition_penalty", "repeat_penalty", "encoder_repetition_penalty", "length_penalty"), 1.2),
    **dict.fromkeys(("frequency_penalty", "presence_penalty"), 0.5),
    **dict.fromkeys(("no_repeat_ngram_size", "encoder_no_repeat_ngram_size"), 3),
    **dict.fromkeys(("min_tokens", "min_new_tokens", "min_length"), 4),
    **dict.fromkeys(("max_tokens", "max_new_tokens", "max_completion_tokens", "max_length", "n_predict", "num_predict"), 30),
    **dict.fromkeys(("seed", "sampling_seed"), 5),
    **dict.fromkeys(("n", "num_return_sequences"), 2),
    **dict.fromkeys(("min_keep", "min_tokens_to_keep"), 3),
    **{key: ["\n"] for key in ("stop", "stop_strings")},
    **{key: [3, 4] for key in ("stop_token_ids", "allowed_token_ids", "suppress_tokens", "begin_suppress_tokens", "xtc_special_tokens")},
    **dict.fromkeys(("eos_token_id", "forced_eos_token_id", "forced_bos_token_id"), 5),
    **dict.fromkeys(("xtc_threshold", "xtc_probability"), 0.3),
    **dict.fromkeys(("repeat_last_n", "repetition_context_size", "presence_context_size", "frequency_context_size"), 32),
    **dict.fromkeys(("json_schema", "format"), SCHEMA),
    **dict.fromkeys(("regex", "stop_regex"), "a+b"),
    **dict.fromkeys(("beam_width", "num_beams", "penalty_alpha", "beam_size"), 3),
    **dict.fromkeys(("add_special_tokens", "skip_special_tokens"), False),
    **dict.fromkeys(("sampling_temperature", "smoothing_factor", "top_a", "patience", "rep_p", "adaptive_target"), 0.6),
    **dict.fromkeys(("sampling_topp", "tfs", "freq_p", "pres_p"), 0.7),
    **dict.fromkeys(("sampling_topk", "num_hypotheses", "best_of", "rep_decay_range", "rep_sustain_range"), 7),
    **dict.fromkeys(("set_random_seed", "rng_seed", "end_id", "end_token"), 6),
    **dict.fromkeys(("dynatemp_high", "smoothing_curve"), 1.6),
    **dict.fromkeys(("bad", "banned_strings"), "very"),
    **dict.fromkeys(("include_prompt_in_result", "apply_chat_template", "exclude_input_from_output", "add_bos_token"), False),
    **{key: {"json": SCHEMA, "json_schema": SCHEMA} for key in ("structured_output_config", "guided_decoding")},
    **dict.fromkeys(("prompt_lookup_num_tokens", "max_matching_ngram_size", "spec_ngram_simple_size_n", "spec_ngram_simple_size_m"), 6),
    "spec_type": "ngram-simple",
    "speculative_config": {"method": "ngram", "num_speculative_tokens": 5, "prompt_lookup_max": 4},
    **dict.fromkeys(("thinking_token_budget", "thinking_budget_tokens", "reasoning_budget", "reasoning_budget_tokens"), 8),
    "reasoning_budget_message": "enough",
    "top_p_decay": 0.9,
    "top_p_min": 0.2,
    "top_p_reset_ids": 4,
    "return_alternatives": True,
    "min_alternative_expansion_prob": 0.1,
    "force_words_ids": [[3, 4], [[5], [6, 7]]],
    "num_beam_groups": 3,
    "diversity_penalty": 0.4,
    "bad_token_ids": [5],
    "custom_token_bans": "5,6",
    "stop_conditions": ["\n", 5],
    "stop_criteria": "NEVER",
    "repetition_penalty_range": 64,
    "sampler_priority": "top_p\ntemperature",
    "mirostat_mode": 2,
    "dynatemp_low": 0.6,
    "logit_bias": {"7": 1.5},
    "sequence_bias": [[[3], 2.5], [[8, 6], -3.0]],
    "bad_words": ["very"],
    "bad_words_ids": [[7], [5, 9]],
    "structured_outputs": {"json": SCHEMA},
    "response_format": {"type": "json_object"},
    "repetition_detection": {"max_pattern_size": 4, "min_count": 3},
    "exponential_decay_length_penalty": [3, 1.2],
    "watermarking_config": {"bias": 1.5, "greenlist_ratio": 0.4},
    "top_h": 0.4,
    "top_n_sigma": 1.2,
    "penalty_alpha": 0.6,
    "early_stopping": True,
    "do_sample": True,
    "max_time": 2.0,
    "samplers": ["top_k", "temperature"],
    "mirostat": 2,
    "mirostat_tau": 4.0,
    "mirostat_eta": 0.2,
    "adaptive_target": 0.4,
    "adaptive_decay": 0.8,
    "dry_multiplier": 0.8,
    "dry_base": 2.0,
    "dry_allowed_length": 3,
    "dry_penalty_last_n": 40,
    "dry_sequence_breakers": ["."],
    "dynatemp_range": 0.3,
    "dynatemp_exponent": 1.1,
    **dict.fromkeys(("ignore_eos", "remove_invalid_values", "renormalize_logits", "use_beam_search", "return_end_token"), True),
    **dict.fromkeys(("temp_last", "dynamic_temperature", "temperature_last"), True),
}
"""A value of each setting that does something."""
OF_ITS_OWN = {
    ("tensorrt-llm", "early_stopping"): 0,
    ("openvino", "enable_thinking"): False,
    ("text-generation-webui", "enable_thinking"): False,
    ("text-generation-webui", "do_sample"): False,
}
"""Where an engine needs another value."""
USED = (
    "temperature", "temp", "top_k", "top_p", "min_p", "do_sample", "num_beams", "num_return_sequences", "n", "max_tokens", "max_new_tokens",
    "max_length", "n_predict", "num_predict", "repetition_penalty", "repeat_penalty", "presence_penalty", "frequency_penalty", "stop",
    "stop_strings", "seed", "min_tokens", "logit_bias", "beam_width", "mirostat", "samplers", "ignore_eos", "no_repeat_ngram_size",
)  # fmt: skip
"""The settings that people use most."""
BASES = {"transformers": ({}, {"do_sample": True}, {"num_beams": 3, "max_new_tokens": 9}, {"prompt_lookup_num_tokens": 4}),
         "vllm": ({}, {"beam_width": 3}), "llama.cpp": ({}, {"spec_type": "ngram-simple"}),
         "mlx-lm": ({}, {"temp": 0.7}), "sglang": ({}, {"beam_width": 3}),
         "openvino": ({}, {"do_sample": True}, {"num_beams": 3}), "exllamav3": ({}, {"temperature": 0}),
         "tensorrt-llm": ({}, {"top_p": 0.9}, {"use_beam_search": True, "n": 3}), "text-generation-webui": ({}, {"do_sample": False}),
         "ctranslate2": ({}, {"sampling_topk": 0}, {"beam_size": 3})}  # fmt: skip
"""Settings beside which every other is tried."""
if find_spec("llguidance") is None:
    for name in ("json_schema", "format", "regex", "structured_outputs", "response_format", "structured_output_config", "guided_decoding"):
        del TYPICAL[name]

CASES = [(e.name, base) for e in ENGINES.values() for base in BASES.get(e.name, ({},))]
each = pytest.mark.parametrize(("engine", "base"), CASES, ids=str)


def read(engine, settings, names):
    """What settings mean; None where they are refused, which must name one of them."""
    try:
        return from_engine(engine, settings)
    except UnspoolError as error:
        refusal = str(error)
    assert any(re.search(rf"\b{name}\b", refusal) for name in names), f"{settings}: {refusal}"
    return None


def value_of(engine, name):
    there = ENGINES[engine]
    other = "x" if name in there.ignored else True if name in there.unsaid else None
    return OF_ITS_OWN.get((engine, name), TYPICAL.get(name, other))


def accounted(found, name, without):
    """Whether a setting changed what is read, or is spoken of; without: what is read without it, None if that is refused."""
    noted = any(note.setting == name for note in found.notes)
    return noted or without is None or ((found.decoder, found.options) != (without.decoder, without.options))


@pytest.mark.parametrize("engine", ENGINES)
def test_every_setting_has_a_value_here(engine):
    there = ENGINES[engine]
    assert not [n for n in there.names - there.ignored if value_of(engine, n) is None and find_spec("llguidance")]
    assert not there.ignored & set(there.unsaid)
    assert not there.ignored & {s.name for s in there.settings}


@each
def test_every_setting_alone_is_read_or_refused_by_name(engine, base):
    for name in sorted(ENGINES[engine].names):
        for value in (value_of(engine, name), None, *(s.default for s in ENGINES[engine].settings if s.name == name)):
            found = read(engine, base | {name: value}, [name, *base])
            if found is not None and name in ENGINES[engine].ignored:
                assert not found.lost


@each
def test_no_setting_is_dropped_without_a_note(engine, base):
    there = ENGINES[engine]
    for name in sorted(there.names - there.ignored - base.keys()):
        found = read(engine, base | {name: value_of(engine, name)}, [name])
        if found is not None and value_of(engine, name) is not None:
            assert accounted(found, name, from_engine(engine, base)), f"{name}={value_of(engine, name)!r}: {found.decoder}"


@each
def test_pairs_of_the_most_used_are_not_dropped_either(engine, base):
    there = ENGINES[engine]
    for one, other in itertools.combinations(sorted(there.names & set(USED) - base.keys()), 2):
        pair = {one: value_of(engine, one), other: value_of(engine, other)}
        if (found := read(engine, base | pair, [one, other])) is not None:
            for name in pair:
                rest = {n: v for n, v in pair.items() if n != name}
                assert accounted(found, name, read(engine, base | rest, rest)), f"{name} in {pair}: {found.decoder}"


@each
def test_what_is_read_is_written_and_read_again(engine, base):
    there = ENGINES[engine]
    for name in sorted(there.names - there.ignored - set(there.unsaid)):
        found = read(engine, base | {name: value_of(engine, name)}, [name])
        if found is None:
            continue
        written = to_engine(engine, found.decoder, **found.options)
        back = from_engine(engine, written.settings)
        assert back.decoder == found.decoder, name
        assert {**back.options, **found.options} == back.options, name
        assert not back.lost, name


@pytest.mark.parametrize("engine", ENGINES)
def test_null_is_the_default_or_no_limit(engine):
    there = ENGINES[engine]
    plain = from_engine(engine, {})
    endless = {c.setting.name for c in there.calls if c.endless}
    for name in sorted(there.names):
        found = from_engine(engine, {name: None})
        assert found.decoder == plain.decoder
        if name in endless:
            assert not found.options.keys() & {"max_new_tokens", "max_length"}
            assert [note.setting for note in found.notes if note.severity == DIFFERENT] == [name]
        else:
            assert (found.options, found.notes) == (plain.options, plain.notes)


def test_null_lifts_the_limit_of_vllm_and_sglang_alone():
    endless = {e.name for e in ENGINES.values() if any(c.endless for c in e.calls)}
    assert {"vllm", "sglang"} <= endless
    assert from_engine("vllm", {}).options == {"max_new_tokens": 16}
    assert from_engine("vllm", {"max_tokens": None}).options == {}
    assert from_engine("openai", {"max_tokens": None, "temperature": None}).options == {}


@pytest.mark.parametrize("engine", ENGINES)
def test_notes_are_data(engine):
    there = ENGINES[engine]
    for name, unsaid in there.unsaid.items():
        (note,) = [n for n in from_engine(engine, {name: "some value"}).notes if n.setting == name]
        assert (note.what, note.severity) == (unsaid.why, unsaid.severity)
        assert note.severity in (LOST, DIFFERENT, REMARK)
        assert (note in from_engine(engine, {name: "some value"}).lost) == (note.severity == LOST)
        for off in unsaid.off:
            assert name not in {n.setting for n in from_engine(engine, {name: off}).notes}


def test_notes_are_plain_in_json():
    found = from_engine("transformers", {"token_healing": True}).to_dict()
    what = "put heal(n) first, which takes n tokens back and spells their bytes anew"
    assert {"setting": "token_healing", "what": what, "severity": "lost"} in found["notes"]


def test_several_texts_at_temperature_zero_are_kept_or_refused():
    for engine in ("openai", "sglang"):
        assert str(from_engine(engine, {"temperature": 0, "n": 3}).decoder) == "temperature(0) | sample(3)"
        assert to_engine(engine, "temperature(0) | sample(3)").settings == {"n": 3, "temperature": 0}
    for engine, settings in (("vllm", {"temperature": 0, "n": 3}), ("transformers", {"num_return_sequences": 3})):
        with pytest.raises(un.Unsupported, match=" one text"):
            from_engine(engine, settings)
    with pytest.raises(un.ParameterError, match="num_return_sequences"):
        from_engine("transformers", {"num_beams": 2, "num_return_sequences": 3})


@pytest.mark.field("F09")
def test_a_least_length_holds_back_stops():
    given = {"min_tokens": 4, "stop": ["\n"], "stop_token_ids": [5], "repetition_detection": {"max_pattern_size": 3, "min_count": 2}}
    found = from_engine("vllm", given)
    assert str(found.decoder) == "min_new_tokens(4) | sample | stop('\\n', after=4) | end(5) | loop(2, period=3, after=3)"
    assert not [note for note in found.notes if note.severity == DIFFERENT]
    assert to_engine("vllm", found.decoder).settings["min_tokens"] == 4
    for decoder in ("min_new_tokens(4) | sample | stop('x')", "sample | stop('x', after=4)", "sample | stop('x') | loop(after=3)"):
        with pytest.raises(un.ParameterError, match="cannot say"):
            to_engine("vllm", decoder)
    with pytest.raises(un.ParameterError, match="no setting for the after"):
        to_engine("sglang", "sample | stop('x', after=4)")
    assert not [note for note in from_engine("sglang", {"min_new_tokens": 4, "stop": ["\n"]}).notes if note.severity == DIFFERENT]


def test_beams_of_vllm_and_sglang_have_what_these_have():
    found = from_engine("vllm", {"use_beam_search": True, "n": 4, "allowed_token_ids": [1, 2], "top_p": 0.5, "stop": "x"})
    assert str(found.decoder) == "allowed(1, 2) | beam(4, early_stopping='never', n=4)"
    assert {note.setting for note in found.notes if "no effect" in note.what} == {"top_p", "stop"}
    assert from_engine("vllm", {"beam_width": 4}).decoder.strategy.length == "generated"
    with pytest.raises(un.Unsupported, match="not both"):
        from_engine("vllm", {"beam_width": 4, "allowed_token_ids": [1], "structured_outputs": {"json": SCHEMA}})
    found = from_engine("sglang", {"beam_width": 4, "n": 2, "stop_token_ids": [5], "temperature": 0.5})
    assert str(found.decoder) == "beam(4, early_stopping='never', n=2) | end(5)"
    assert {note.setting for note in found.notes if "no effect" in note.what} == {"temperature"}
    for name in ("stop", "stop_regex", "min_new_tokens", "regex"):
        with pytest.raises(un.Unsupported, match=name):
            from_engine("sglang", {"beam_width": 4, name: TYPICAL[name]})


def test_what_a_cut_keeps_at_least_is_read_and_written():
    given = {"min_keep": 3, "typical_p": 0.9, "xtc_probability": 0.4, "temperature": 1.0}
    found = from_engine("llama.cpp", given)
    assert str(found.decoder) == (
        "top_k(40) | typical(0.9, min_keep=3) | top_p(0.95, min_keep=3) | min_p(0.05, min_keep=3) | "
        "xtc(probability=0.4, min_keep=3) | sample"
    )
    written = to_engine("llama.cpp", found.decoder).settings
    assert written["min_keep"] == 3
    assert from_engine("llama.cpp", written).decoder == found.decoder
    assert "min_keep" not in to_engine("llama.cpp", "top_p(0.9) | sample").settings
    with pytest.raises(un.ParameterError, match="cannot say"):
        to_engine("llama.cpp", "top_p(0.9) | min_p(0.1, min_keep=3) | sample")
    assert str(from_engine("mlx-lm", {"temp": 1.0, "min_p": 0.1, "min_tokens_to_keep": 2}).decoder) == "min_p(0.1, min_keep=2) | sample"
    with pytest.raises(un.ParameterError, match="no setting for the min_keep"):
        to_engine("vllm", "min_p(0.1, min_keep=3) | sample")


def test_ignoring_ends_switches_off_the_stop_tokens_of_sglang():
    given = {"ignore_eos": True, "stop_token_ids": [5]}
    assert from_engine("sglang", given).decoder.stops == ()
    assert from_engine("vllm", given).decoder.stops == (un.End(5),)


def test_a_forced_token_that_is_ruled_out_is_spoken_of():
    found = from_engine("transformers", {"forced_eos_token_id": 5, "max_new_tokens": 6, "min_new_tokens": 6})
    assert [note.setting for note in found.notes if note.severity == DIFFERENT] == ["forced_eos_token_id"]
    assert not [n for n in from_engine("transformers", {"forced_eos_token_id": 5, "max_new_tokens": 6}).notes if n.severity == DIFFERENT]


@pytest.mark.field("F101")
def test_values_are_cut_where_the_engine_cuts_them():
    assert from_engine("vllm", {"logit_bias": {"5": -200, "6": 300}}).decoder.processors == (un.Bias(((5, -100.0), (6, 100.0))),)
    assert from_engine("vllm", {"temperature": 0.001}).decoder.processors == (un.Temperature(0.01),)
    assert from_engine("sglang", {"logit_bias": {"5": -200}}).decoder.processors == (un.Bias(((5, -200.0),)),)
    with pytest.raises(un.ParameterError, match="logit_bias"):
        from_engine("openai", {"logit_bias": {" king": 1}})


@pytest.mark.field("F97")
def test_a_text_in_a_bias_of_llama_cpp_is_every_token_of_it():
    lm = un.load()
    text = "Once upon a time"
    ids = lm.tokenizer.encode(text)
    assert len(ids) > 1
    found = from_engine("llama.cpp", {"temperature": 0, "logit_bias": [[text, -0.5], ["12", 1.0], [12, 2.0]]}, tokenizer=lm.tokenizer)
    assert found.decoder.processors == (un.Bias((*((t, -0.5) for t in ids), *((t, 1.0) for t in lm.tokenizer.encode("12")), (12, 2.0))),)
    by_key = from_engine("llama.cpp", {"temperature": 0, "logit_bias": {"12": 1.0, "a king": False}}, tokenizer=lm.tokenizer)
    assert by_key.decoder.processors == (un.Bias(((12, 1.0),)), un.Banned(*lm.tokenizer.encode("a king")))
    with pytest.raises(un.Unsupported, match="logit_bias has the text"):
        from_engine("llama.cpp", {"logit_bias": [[text, -0.5]]})


def test_flags_that_change_the_text_are_not_passed_over():
    found = from_engine("llama.cpp", "-m model.gguf --temp 0.7 --grammar-file a.gbnf --keep 4 -r User:")
    assert [note.setting for note in found.lost] == ["grammar_file", "n_keep"]
    assert str(found.decoder).endswith("temperature(0.7) | sample | stop('User:')")
    assert [note.what for note in found.notes if note.setting == "-m"] == ["-m model.gguf is not about decoding, so it is passed over"]


def test_a_probability_of_xtc_alone_is_read():
    assert str(from_engine("mlx-lm", {"temp": 0.7, "xtc_probability": 0.5}).decoder).startswith("xtc | ")


def test_a_loaded_model_says_what_its_folder_asks_for(tmp_path):
    """In its notes, which are warnings of the library and lines of the program, each said once."""
    for path in BUNDLED.iterdir():
        (tmp_path / path.name).symlink_to(path)
    asks = tmp_path / "generation_config.json"
    plain = json.loads(asks.read_text())
    asks.unlink()
    asks.write_text(json.dumps(plain | {"repetition_penalty": 1.0, "temperature": 1.0}))
    lm = un.load(tmp_path)
    assert lm.notes == (), "what changes nothing is not spoken of"
    asks.write_text(json.dumps(plain | {"repetition_penalty": 1.8, "suppress_tokens": [5], "guidance_scale": 1.5}))
    with pytest.warns(UserWarning, match="generation_config") as warned:
        again = un.load(tmp_path)
    (said,) = again.notes
    assert [str(one.message) for one in warned] == [said]
    assert "repetition_penalty(1.8) | suppress(5) | greedy, and guidance_scale" in said
    assert "unspool translate --from transformers -m" in said
    assert again.generate("Once", max_new_tokens=4).text == lm.generate("Once", max_new_tokens=4).text
    code, text, line = called("models", str(tmp_path))
    assert code == 0
    assert text.count("guidance_scale") == 1
    assert line == f"unspool: {said}\n"


@pytest.mark.parametrize(
    ("engine", "settings", "decoder"),
    [
        ("ctranslate2", {}, "greedy"),
        ("ctranslate2", {"sampling_topk": 0, "sampling_temperature": 0.7, "sampling_topp": 0.9}, "temperature(0.7) | top_p(0.9) | sample"),
        ("ctranslate2", {"sampling_topk": 5, "repetition_penalty": 1.2, "include_prompt_in_result": False},
         "repetition_penalty(1.2, scope='generated') | top_k(5) | sample"),
        ("ctranslate2", {"beam_size": 4, "patience": 2, "include_prompt_in_result": False},
         "beam(4, early_stopping=True, patience=2.0)"),
        ("ctranslate2", {"beam_size": 4, "num_hypotheses": 2}, "beam(4, early_stopping=True, n=2, length='with_prompt')"),
        ("openvino", {"do_sample": True, "top_p": 0.9, "top_k": 5, "temperature": 0.7, "min_p": 0.1, "repetition_penalty": 1.2},
         "repetition_penalty(1.2) | top_k(5) | temperature(0.7) | min_p(0.1) | top_p(0.9) | sample"),
        ("openvino", {"num_beams": 4, "stop_criteria": "StopCriteria.NEVER", "no_repeat_ngram_size": 3, "top_k": 2**64 - 1},
         "no_repeat_ngram(3) | beam(4, early_stopping='never')"),
        ("tensorrt-llm", {}, "greedy"),
        ("tensorrt-llm", {"top_p": 0.9, "temperature": 0.7, "frequency_penalty": 0.5},
         "temperature(0.7) | frequency_penalty(0.5, scope='all') | top_p(0.9) | sample"),
        ("tensorrt-llm", {"use_beam_search": True, "n": 2, "best_of": 4}, "beam(4, length_penalty=0.0, early_stopping=True, n=2)"),
        ("exllamav3", {"temperature": 0.7, "min_p": 0.1, "temp_last": True}, "min_p(0.1) | temperature(0.7) | sample"),
        ("exllamav3", {"rep_p": 1.2, "rep_sustain_range": 64, "rep_decay_range": 32},
         "repetition_penalty(1.2, window=64, decay=32) | sample"),
        ("exllamav3", {"top_k": 1}, "greedy"),
        ("text-generation-webui", {"min_p": 0.1, "temperature": 0.7, "epsilon_cutoff": 3, "tfs": 0.9},
         "temperature(0.7) | epsilon(0.0003) | tail_free(0.9) | min_p(0.1) | sample"),
        ("text-generation-webui", {"min_p": 0.1, "temperature": 0.7, "temperature_last": True}, "min_p(0.1) | temperature(0.7) | sample"),
        ("text-generation-webui", {"repetition_penalty": 1.2, "repetition_penalty_range": 0}, "repetition_penalty(1.2) | sample"),
    ],
)  # fmt: skip
def test_what_settings_mean(engine, settings, decoder):
    assert str(from_engine(engine, settings).decoder) == decoder
    assert un.parse(decoder) == from_engine(engine, to_engine(engine, decoder).settings).decoder


def test_another_order_is_written_where_one_can_be_had():
    assert to_engine("exllamav3", "min_p(0.1) | temperature(0.7) | sample").settings["temp_last"] is True
    assert to_engine("text-generation-webui", "top_p(0.9) | temperature(0.7) | sample").settings["temperature_last"] is True
    written = to_engine("text-generation-webui", "min_p(0.1) | top_k(3) | temperature(0.7) | sample").settings
    assert written["sampler_priority"] == ["min_p", "top_k", "temperature"]
    with pytest.raises(un.ParameterError, match="other way round"):
        to_engine("openvino", "top_p(0.9) | temperature(0.7) | sample")


def test_lengths_of_ctranslate2_hold_the_prompt_where_it_is_in_the_result():
    assert from_engine("ctranslate2", {"max_length": 9}).options == {"max_length": 9}
    assert from_engine("ctranslate2", {"max_length": 9, "include_prompt_in_result": False}).options == {"max_new_tokens": 9}
    assert to_engine("ctranslate2", "greedy", max_new_tokens=9).settings["include_prompt_in_result"] is False
    assert "include_prompt_in_result" in to_engine("ctranslate2", "greedy", max_length=9).settings


@pytest.mark.parametrize("engine", [e.name for e in ENGINES.values() if any(c.argument == "end_tokens" for c in e.calls)])
def test_end_tokens_are_written_or_refused(engine):
    for ends in ((), (5,), (5, 6)):
        try:
            written = to_engine(engine, "sample(1)", end_tokens=ends)
        except UnspoolError:
            continue
        assert from_engine(engine, written.settings).options["end_tokens"] == ends


@pytest.mark.parametrize("engine", ENGINES)
def test_what_notes_tell_to_write_can_be_written(engine):
    there = ENGINES[engine]
    told = [u.why for u in there.unsaid.values()] + [p.remark for p in there.everything] + [there.note]
    for name in {name for text in told for name in re.findall(r"\b([a-z_]+)\(", text)}:
        assert name in REGISTRY, f"{there.title} tells of {name}(...), which is no part"


WEIRD = (
    None, True, False, 0, 1, -1, 3, 0.5, 1.5, -0.5, float("nan"), float("inf"), -float("inf"), 10**30, -(10**30), "1", "0.7", "", "abc",
    [], [1], ["a"], [[1, 2]], [None], [True], [0.5], [{}], [-1], [[1, 2.0]], [["x", 1]], {}, {"a": 1}, {"a": {"b": [1]}}, {"1": 2},
    {"1": "x"}, {"type": "json_schema"}, {"regex": 5}, {"json": "x"}, {"max_pattern_size": 2}, "\ud800", b"x", {1}, object,
)  # fmt: skip
"""Values that belong to no setting, or to few."""


def some_settings(engine, count):
    """Settings of an engine, every second time with values of a wrong kind."""
    there, chance = ENGINES[engine], random.Random(engine)
    names = sorted(there.names - there.ignored)
    for i in range(count):
        chosen = chance.sample(names, chance.choice([1, 1, 2, 3, 5]))
        given = {n: chance.choice([value_of(engine, n), *(s.default for s in there.settings if s.name == n)]) for n in chosen}
        yield given if i % 2 else {n: chance.choice([value, *chance.choices(WEIRD, k=3)]) for n, value in given.items()}


@pytest.mark.parametrize("engine", ENGINES)
def test_whatever_is_given_is_read_and_written_or_refused_by_name(engine):
    refused = same = 0
    for given in some_settings(engine, 200):
        found = read(engine, given, given)
        if found is None:
            refused += 1
            continue
        try:
            written = to_engine(engine, found.decoder, **found.options)
        except un.ParameterError as error:
            if "give a window" not in str(error):                        # a whole text cannot be said by those of llama.cpp
                raise
            continue
        same += written.decoder == found.decoder
        apart = [p for p in found.decoder.processors if p.name not in ("temperature", "top_k")]
        assert [p for p in written.decoder.processors if p.name not in ("temperature", "top_k")] == apart, given
        assert {*written.decoder.parts} == {*found.decoder.parts}, given
    assert refused > 20
    assert same > 80


def test_of_two_spellings_the_engines_own_counts():
    for engine, first, second in (("openai", "max_completion_tokens", "max_tokens"), ("llama.cpp", "n_predict", "max_tokens"),
                                  ("text-generation-webui", "max_tokens", "max_completion_tokens")):  # fmt: skip
        found = from_engine(engine, {second: 7, first: 5})
        assert found.options["max_new_tokens"] == 5
        assert [note.setting for note in found.notes if "no effect" in note.what] == [second]
        assert from_engine(engine, {second: 7, first: None}).options["max_new_tokens"] == 7
    assert from_engine("llama.cpp", {"n_predict": -1, "max_tokens": 7}).options == {}
    for name in (1, None, ("max", "tokens")):
        with pytest.raises(un.UnknownName, match="unknown setting"):
            from_engine("vllm", {name: 3})


def test_texts_are_written_as_the_engine_takes_them():
    lm = un.load()
    ids = lm.tokenizer.encode(" king")
    wanted = 'banned(" king") | bias({" king": 2.0}) | sample'
    written = to_engine("vllm", wanted, tokenizer=lm.tokenizer)
    assert written.settings == {"bad_words": [" king"], "logit_bias": {ids[0]: 2.0}}
    written = to_engine("transformers", wanted.replace("banned(\" king\") | ", "") + " | stop('x')", tokenizer=lm.tokenizer).settings
    assert written["sequence_bias"] == [[ids, 2.0]]
    assert written["stop_strings"] == ["x"]
    for decoder, engine in (('bias({" king": 2.0})', "vllm"), ("banned(5)", "vllm"), ('banned(" king")', "transformers")):
        with pytest.raises(un.ParameterError, match=r"it takes|a bias"):
            to_engine(engine, f"{decoder} | sample")
