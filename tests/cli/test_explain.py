"""`unspool explain` and `unspool translate` as a person meets them."""

import json
import re

import pytest
from helpers.program import called, out, refusal

import unspool as un
from unspool.lab.methods import methods
from unspool.models.loading import BUNDLED


@pytest.fixture(autouse=True)
def eighty(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")


@pytest.mark.parametrize("name", ["temperature", "top_p", "beam", "stop", "regex", "watermark_kgw"])
def test_a_page_fits_the_screen(name):
    text = out("explain", name, "--no-run")
    assert text.startswith(name)
    assert max(map(len, text.splitlines())) <= 80
    assert all(line == line.rstrip() for line in text.splitlines())


def test_a_page_shows_a_run():
    text = out("explain", "top_k", "-d", "top_k(2)", "The king had a")
    assert "2 of" in text
    assert "cut" in text
    assert max(map(len, text.splitlines())) <= 80


def test_an_alias_says_its_canonical_name():
    assert out("explain", "nucleus", "--no-run") == out("explain", "top_p", "--no-run")


def test_all_methods_are_listed():
    text = out("explain")
    assert all(re.search(rf"^  {m.name}\b", text, re.M) for m in methods())
    assert max(map(len, text.splitlines())) <= 80
    assert len(json.loads(out("explain", "-o", "json"))) == len(methods())
    assert out("explain", "-o", "md").count("\n- `") == len(methods())
    assert out("explain", "-o", "html").count("<tr>") == len(methods()) + 1


def test_forms_of_a_page():
    found = json.loads(out("explain", "top_p", "-o", "json"))
    assert found["name"] == "top_p"
    assert found["run"]["changes"]
    assert out("explain", "top_p", "-o", "md", "--no-run").startswith("# top_p\n")
    page = out("explain", "stop", '<b>"', "-d", 'greedy | stop("<i>")', "-o", "html")
    assert "<b>" not in page
    assert "&lt;b&gt;" in page


def test_what_explain_refuses():
    assert "did you mean top_p" in refusal("explain", "topp")
    assert "no top_p" in refusal("explain", "top_p", "-d", "top_k(3)")
    assert "-n of at least 1" in refusal("explain", "top_p", "-n", "0")


def test_settings_become_a_decoder_and_notes_stand_apart():
    code, text, said = called("translate", "--from", "transformers", '{"do_sample": true, "top_p": 0.9}')
    assert (code, text) == (0, "top_k(50) | top_p(0.9) | sample\n")
    assert "unspool: generate with max_length=20" in said
    code, text, said = called("translate", "--from", "llama.cpp", "--temp", "0.7", "--top-k", "20", "-n", "50", "--seed", "3")
    assert (code, text) == (0, "top_k(20) | top_p(0.95) | min_p(0.05) | temperature(0.7) | sample\n")
    assert "max_new_tokens=50, seed=3" in said


def test_a_decoder_becomes_settings():
    code, text, _ = called("translate", "--to", "vllm", "-d", "temperature(0.8) | sample(2)", "--seed", "3", "--max-new-tokens", "9")
    assert (code, json.loads(text)) == (0, {"n": 2, "temperature": 0.8, "seed": 3, "max_tokens": 9})
    assert "max_tokens=16" in called("translate", "--to", "vllm", "-d", "sample(2)")[2]
    code, text, said = called("translate", "--from", "ollama", '{"num_predict": 30}', "--to", "llama.cpp")
    assert "n_predict" not in said
    assert json.loads(text)["samplers"] == ["penalties", "top_k", "temperature", "top_p"]
    code, text, _ = called("translate", "--to", "openai", "-d", 'bias({" king": 2.0}) | sample', "-m", "bundled")
    assert len(json.loads(text)["logit_bias"]) == 1


def test_forms_of_a_translation():
    found = json.loads(out("translate", "--from", "vllm", "-o", "json"))
    assert found["decoder"] == "sample"
    assert found["options"] == {"max_new_tokens": 16}
    assert set(json.loads(out("translate", "-o", "json"))) >= {"transformers", "vllm", "llama.cpp", "openai", "mlx-lm", "ollama"}
    assert max(map(len, out("translate").splitlines())) <= 80


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--from", "vlm", "{}"], "did you mean vllm"),
        (["--from", "vllm", '{"top_pp": 1}'], "did you mean top_p"),
        (["--to", "vllm"], "give settings"),
        (["{}"], "from which engine"),
        (["--to", "vllm", "-d", "skew(0.5) | sample"], "nothing like skew"),
        (["--from", "vllm", "{}", "-d", "greedy"], "one of them"),
        (["--from", "vllm", "nowhere.json"], "cannot read nowhere.json"),
    ],
)
def test_what_translate_refuses(arguments, words):
    assert words in refusal("translate", *arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        ["-m model.gguf --temp 0.7"],
        ["-m", "model.gguf", "--temp", "0.7"],
        ["--model=model.gguf --temp=0.7"],
        ["-md", "draft.gguf", "--temp 0.7"],
        ["--temp", "0.7", "-ngl", "99"],
    ],
    ids=" ".join,
)
def test_flags_of_llama_cpp_are_not_taken_for_our_own(arguments):
    code, text, said = called("translate", "--from", "llama.cpp", *arguments)
    assert (code, text) == (0, "top_k(40) | top_p(0.95) | min_p(0.05) | temperature(0.7) | sample\n")
    assert "passed over" in said


def test_options_stand_among_flags_of_llama_cpp():
    found = json.loads(out("translate", "--from", "llama.cpp", "--temp", "0", "-o", "json", "--seed", "4", "-r", "User: "))
    assert (found["decoder"], found["options"]) == ("greedy | stop('User: ')", {"seed": 4})
    settings = '{"logit_bias": [["a king", 1.5]], "temperature": 0}'
    found = json.loads(out("translate", "--from=llama.cpp", settings, "-m", "bundled", "-o", "json"))
    assert len(found["settings"]["logit_bias"]) == 1
    assert found["decoder"].count("1.5") > 1


def test_a_model_says_what_it_asks_of_transformers(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "gpt2", "temperature": 0.5, "do_sample": true, "use_cache": true, "n_embd": 8}')
    assert called("translate", "--from", "transformers", "-m", str(tmp_path))[1] == "temperature(0.5) | top_k(50) | sample\n"
    asked = {"do_sample": True, "top_k": None, "top_p": 0.9, "guidance_scale": 1.5, "chat_format": "raw", "eos_token_id": [2, 3]}
    (tmp_path / "generation_config.json").write_text(json.dumps(asked))
    code, text, said = called("translate", "--from", "transformers", "-m", str(tmp_path), '{"top_k": 0}')
    assert (code, text) == (0, "top_p(0.9) | sample\n")
    for words in ("lost: guidance_scale", "chat_format is no setting", "end_tokens=(2, 3)"):
        assert words in said
    assert called("translate", "--from", "transformers", "-m", "bundled")[1] == "greedy\n"


def test_texts_are_tokens_as_in_generation(tmp_path):
    lm = un.load()
    for path in BUNDLED.iterdir():
        (tmp_path / path.name).symlink_to(path)
    (tmp_path / "config.json").unlink()
    size = max(lm.tokenizer.encode(" king"))
    small = un.LanguageModel(Small(size), lm.tokenizer)
    for decoder in ('bias({" king": 2.0})', 'banned(" king")'):
        (tmp_path / "config.json").write_text(json.dumps({"vocab_size": size}))
        with pytest.raises(un.ParameterError) as error:
            small.resolve(decoder)
        assert str(error.value) in refusal("translate", "--to", "llama.cpp", "-d", decoder, "-m", str(tmp_path))
        (tmp_path / "config.json").write_text(json.dumps({"vocab_size": size + 1}))
        code, text, _ = called("translate", "--to", "llama.cpp", "-d", 'bias({" king": 2.0})', "-m", str(tmp_path))
        assert (code, json.loads(text)["logit_bias"]) == (0, [[size, 2.0]])
    (tmp_path / "config.json").write_text(json.dumps({"vocab_size": size}))
    settings = '{"logit_bias": [[" king", 2.0]]}'
    assert f"ids are 0 to {size - 1}" in refusal("translate", "--from", "llama.cpp", settings, "-m", str(tmp_path))


class Small:
    """A model of fewer tokens than its tokenizer, which is never run."""

    context = None

    def __init__(self, vocabulary):
        self.vocabulary = vocabulary


@pytest.mark.parametrize(
    ("engine", "settings", "words"),
    [
        ("vllm", '{"temperature": "0.7"}', "temperature is a number; got '0.7'"),
        ("vllm", '{"temperature": NaN}', "temperature is a number"),
        ("vllm", '{"top_k": true}', "top_k is a number; got True"),
        ("vllm", '{"max_tokens": 1.5}', "max_tokens needs a whole number"),
        ("vllm", '{"max_tokens": -1}', "max_tokens needs a whole number >= 1"),
        ("vllm", '{"stop": {"a": 1}, "n": [2]}', "n is a number"),
        ("vllm", '{"structured_outputs": {"jsn": {}}}', "structured_outputs has no jsn"),
        ("vllm", '{"structured_outputs": {"regex": "a", "whitespace_pattern": " "}}', "whitespace_pattern of structured_outputs"),
        ("openai", '{"n": Infinity}', "n is a number; got inf"),
        ("openai", '{"response_format": {"type": "xml"}}', 'response_format has the type "xml"'),
        ("openai", '{"zzz": 1}', "-o json lists them"),
        ("openai", '{"max_token": 1}', "did you mean max_tokens"),
        ("transformers", '{"do_sample": "false"}', "do_sample is true or false; got 'false'"),
        ("transformers", '{"bad_words_ids": ["very"]}', "bad_words_ids"),
        ("llama.cpp", '{"seed": 1e400}', "seed is a number; got inf"),
        ("llama.cpp", '{"temperature": {"a": 1}, "n_discard": 3}', "temperature is a number"),
        ("sglang", '{"sampling_seed": 0.5}', "sampling_seed"),
        ("tensorrt-llm", '{"bad_token_ids": [[1, 2]]}', "bad_token_ids"),
    ],
)
def test_values_of_a_wrong_kind_are_refused_in_one_line(engine, settings, words):
    assert words in refusal("translate", "--from", engine, settings)
