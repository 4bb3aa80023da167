import pickle
import re
import struct

import pytest
from helpers.program import called, program_refusal, refusal, tiny_folder, unspool

import unspool as un
from unspool.core.decoder import REGISTRY
from unspool.errors import near, unknown

PROMPT = "Once upon a time"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["-d", "temperature(-1)"], "temperature"),
        (["-d", "top_p(1.5)"], "1.5"),
        (["-d", "top_p(-0.1)"], "-0.1"),
        (["-d", "beam(0)"], "beam(width) needs a whole number >= 1"),
        (["-d", "sample(0)"], "sample(n) needs a whole number >= 1"),
        (["-d", "beam(2)", "--compare", "greedy"], "--compare measures against exact search"),
        (["-d", "exact", "-d", "greedy", "--compare", "greedy"], "--compare measures against exact search"),
        (["-d", "exact", "--compare", "greedy", "-o", "csv"], "the form csv has no place for it"),
        (["-d", "exact(nodes=-1)"], "exact(nodes=...) needs a whole number >= 0; got -1"),
        (["-d", "top_q(0.9)"], "did you mean top_p"),
        (["-d", "beam(width=3, lenght_penalty=1)"], "did you mean length_penalty"),
        (["-d", "beam"], "beam"),
        (["-d", "__import__('os').system('touch hacked')"], "no decoder"),
        (["-d", "open('x', 'w')"], "unknown"),
        (["-d", "greedy |"], "cannot read the decoder"),
        (["-d", "automaton(3)"], "automaton"),
        (["-d", "from_hf(3)"], "from_hf"),
        (["-d", ""], "it is empty; an example"),
        (["-d", "temperature(abc)"], "temperature(abc): abc is no value; a text stands in quotes, as 'abc'; numbers stand without"),
        (["-d", "beam(4, renormalise=true)"], "did you mean True?"),
        (["-d", "follow(' a', then=greedi)"], "greedi is no value; did you mean greedy?"),
        (["-d", "bias({king: 2.0})"], "king is no value; a text stands in quotes, as 'king'"),
        (["-d", "stop(example.com)"], "as 'example.com'"),
        (["-d", "stop(the end)"], "texts in quotes"),
        (["-d", "top_p([1, {2: print(3)}])"], "print is no value"),
        (["-m", ""], "the name of a model is empty"),
        (["--backend", ""], "--backend"),
        (["--output-file", ""], "--output-file': the name is empty; give a file"),
        (["--trace", ""], "--trace': the name is empty"),
        (["-d", "greedy | beam(2)"], "one strategy"),
        (["--max-new-tokens", "5", "--max-length", "9"], "not both"),
        (["--max-new-tokens", "0"], ">= 1"),
        (["--max-new-tokens", "x"], "x"),
        (["--max-length", "1"], "leaves no room"),
        (["-m", "bundeld"], "did you mean bundled"),
        (["-m", "no/such"], "there is no model"),
        (["-o", "xml"], "xml"),
        (["--all"], "--all"),
        (["--color", "sometimes"], "sometimes"),
        (["--output-file", "/no/such/folder/x"], "cannot write"),
        (["--output-file", "/"], "it is a folder"),
        (["--trace", "/no/such/folder/x"], "cannot write"),
        (["--trace", "x", "-d", "greedy", "-d", "sample"], "one decoder"),
        (["--stream", "-o", "json"], "--stream"),
        (["--stream", "-d", "beam(2)"], "nothing to stream"),
        (["--stream", "-d", "mbr(3)"], "knows only at the end which one it returns"),
        (["--stream", "--output-file", "x"], "--stream"),
        (["-f", "/no/such/file"], "not both"),
        (["--backend", "numpy", "--dtype", "float16"], "numpy"),
        (["two", "words"], "quotes"),
        (["--sed", "1"], "--seed"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_generate_refuses(arguments, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert says in refusal("generate", PROMPT, *arguments)
    assert not list(tmp_path.iterdir())


def test_the_program_itself_says_one_line_and_ends_with_2():
    assert "did you mean top_p" in program_refusal(PROMPT, "-d", "top_q(0.9)")
    assert "--seed" in program_refusal(PROMPT, "--sed", "1")
    assert "no model" in program_refusal("steps", PROMPT, "-m", "no/such")


@pytest.mark.parametrize(
    ("one", "other", "command"),
    [
        ("--output-file", "--trace", ["generate", PROMPT]),
        ("--output-file", "--trace", ["steps", PROMPT]),
        ("--output-file", "--trace", ["heat", PROMPT, " there"]),
        ("--output-file", "--trace", ["tree", PROMPT]),
        ("--output-file", "--trace", ["why", PROMPT]),
        ("--output-file", "--save", ["compare", PROMPT]),
        ("--output-file", "--plot", ["compare", PROMPT]),
        ("--save", "--plot", ["compare", PROMPT]),
    ],
    ids=lambda value: value if isinstance(value, str) else value[0],
)
def test_two_results_never_share_a_file(one, other, command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "kept.svg").write_text("as it was")
    (tmp_path / "link.svg").symlink_to("kept.svg")
    (tmp_path / "hard.svg").hardlink_to(tmp_path / "kept.svg")
    for first, second in (("kept.svg", "./folder/../kept.svg"), ("link.svg", "kept.svg"), ("kept.svg", "hard.svg"), ("new", "new")):
        assert "would write the same file" in refusal(*command, one, first, other, second, "-m", "no/such/model")
    assert (tmp_path / "kept.svg").read_text() == "as it was"
    assert not (tmp_path / "new").exists()


def test_a_device_takes_two_results_and_standard_output_is_no_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert called(PROMPT, "--max-new-tokens", "2", "--output-file", "/dev/null", "--trace", "/dev/null") == (0, "", "")
    assert called(PROMPT, "--max-new-tokens", "2", "--output-file", "-", "--trace", "x")[::2] == (0, "")


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: un.load(""), "the name of a model is empty"),
        (lambda: un.load(" "), "the name of a model is empty"),
        (lambda: un.load(tokenizer=""), "the name of a tokenizer is empty"),
        (lambda: un.load(backend=""), "the name of the backend is empty; known: compiled, llama.cpp, numpy"),
        (lambda: un.load(dtype=""), "the name of the dtype is empty"),
        (lambda: un.parse(" "), "it is empty"),
        (lambda: un.from_engine("", {}), "the name of the engine is empty; known: ctranslate2"),
        (lambda: un.from_engine("vllm", {"": 1}), "the name of the setting of vLLM is empty; unspool translate -o json lists them"),
        (lambda: un.Trace.load(""), "the name of a trace is empty"),
        (lambda: un.load().generate(PROMPT, max_new_tokens=1).trace.save(""), "the name of a file to write is empty"),
        (lambda: un.compare(un.load(), PROMPT, ["greedy"], metrics=[""]), "the name of the metric is empty"),
        (lambda: un.compare(un.load(), PROMPT, ["greedy"], save=""), "the name of a file to write is empty"),
    ],
)
def test_an_empty_name_is_said_to_be_empty(call, says):
    with pytest.raises(un.UnspoolError, match=re.escape(says)):
        call()


def test_only_near_names_are_proposed_and_long_lists_are_not_said():
    assert near("nosuch", REGISTRY) == near("f", REGISTRY) == near("abc", REGISTRY) == []
    assert near("lenght_penalty", ["length_penalty", "width"]) == ["length_penalty"]
    assert near("TEMP", REGISTRY) == ["temperature"]
    assert len(near("no_repeat", [f"no_repeat_{i}" for i in range(9)])) == 3
    assert str(unknown("thing", "x", "cab")) == "unknown thing 'x': known: a, b, c"
    many = [f"{i:09}" for i in range(99)]
    assert str(unknown("thing", "x", many)).endswith("000000007 and 91 more")
    assert str(unknown("thing", "x", many, "see there")) == "unknown thing 'x': see there"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["explain", ""], "the name of the method is empty"),
        (["compare", PROMPT, "--save", ""], "--save': the name is empty"),
        (["compare", PROMPT, "--plot", ""], "--plot': the name is empty"),
        (["compare", PROMPT, "--judge", ""], "--judge': the name is empty; give a model"),
        (["translate", "--from", "", "{}"], "--from': the name is empty; give an engine"),
        (["steps", "--from", ""], "--from': the name is empty"),
        (["-f", ""], "the name is empty"),
        (["models", ""], "the name of a model is empty"),
        (["verify", ""], "the name of a model is empty"),
        (["steps", PROMPT, "-n", "0"], "-n"),
        (["steps", PROMPT, "--choices", "0"], "--choices"),
        (["steps", PROMPT, "-d", "greedy", "-d", "sample"], "one decoder"),
        (["steps"], "give a prompt"),
        (["generate"], "give a prompt"),
        (["-f", "/no/such/file"], "No such file"),
        (["-f", "/"], "cannot read /"),
        (["score", PROMPT], "continuation"),
        (["score", PROMPT, ""], "empty"),
        (["score", "-", "-"], "only one"),
        (["score", PROMPT, " a", "--stride", "0"], "stride"),
        (["score", PROMPT, " a", "-f", "x"], "not both"),
        (["models", "/no/such"], "no model"),
        (["scroe", "a", "b"], "unspool score"),
        (["word " * 600], "context"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else "",
)
def test_commands_refuse(arguments, says):
    assert says in refusal(*arguments)


def test_bytes_that_are_no_text(tmp_path):
    assert "no UTF-8" in program_refusal("-", stdin=b"a\xff")
    (tmp_path / "bad").write_bytes(b"fine\n\xc3(\n")
    assert "no UTF-8" in refusal("-f", str(tmp_path / "bad"))
    assert "no UTF-8" in program_refusal(b"caf\xe9")
    (tmp_path / "pairs").write_text("no tab here\n")
    assert "no tab" in refusal("score", "-f", str(tmp_path / "pairs"))
    assert "there is no prompt in standard input" in program_refusal("-f", "-", stdin=b"\n\n")


def truncated(folder):
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])


def mismatched(folder):
    config = folder / "config.json"
    config.write_text(config.read_text().replace('"n_embd": 8', '"n_embd": 16'))


def pickled(folder):
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({"a": 1}))


@pytest.mark.parametrize(
    ("breaks", "says"),
    [
        (truncated, "truncated"),
        (mismatched, "shape"),
        (pickled, "pickled"),
        (lambda f: (f / "model.safetensors").unlink(), "no model.safetensors"),
        (lambda f: (f / "model.safetensors").write_bytes(b"x"), "safetensors"),
        (lambda f: (f / "model.safetensors").write_bytes(b""), "safetensors"),
        (lambda f: (f / "model.safetensors").write_bytes(struct.pack("<Q", 4) + b"[[]]"), "safetensors"),
        (lambda f: (f / "config.json").write_text("{"), "cannot read"),
        (lambda f: (f / "config.json").write_text("[]"), "no JSON object"),
        (lambda f: (f / "config.json").write_text('{"model_type": "gpt2"}'), "broken"),
        (lambda f: (f / "config.json").write_text('{"model_type": "bert"}'), "bert"),
        (lambda f: (f / "config.json").unlink(), "no config.json"),
        (lambda f: (f / "tokenizer.json").write_text("{"), "tokenizer"),
        (lambda f: (f / "tokenizer.json").unlink(), "tokenizer"),
    ],
)
def test_broken_checkpoints(tmp_path, breaks, says):
    folder = tiny_folder(tmp_path / "tiny")
    breaks(folder)
    assert says in refusal(PROMPT, "-m", str(folder))


def test_a_model_of_other_size_without_start_token_or_numbers(tmp_path):
    assert "outside the model's vocabulary of 100" in refusal(PROMPT, "-m", str(tiny_folder(tmp_path / "small", vocabulary=100)))
    tiny = tiny_folder(tmp_path / "tiny")
    assert "start token" in refusal("", "-m", str(tiny))
    assert "start token" in refusal("score", "", "a", "-m", str(tiny))
    assert "context" in refusal("one two three four five six seven eight nine ten eleven twelve thirteen fourteen", "-m", str(tiny))
    assert "NaN" in refusal(PROMPT, "-m", str(tiny_folder(tmp_path / "nan", broken=True)))


def test_a_prompt_whose_hypotheses_all_died():
    assert "no hypothesis" in refusal(PROMPT, "-d", "allowed(1) | banned(1)")
    assert "no hypothesis" in refusal("steps", PROMPT, "-d", "allowed(1) | banned(1) | beam(2)")


def test_what_is_written_is_whole_or_not_there(tmp_path):
    file = tmp_path / "kept.txt"
    file.write_text("as it was")
    refusal(PROMPT, "-m", "bundeld", "--output-file", str(file))
    assert file.read_text() == "as it was"
    assert unspool(PROMPT, "--max-new-tokens", "2", "--output-file", "/dev/full").returncode == 2
