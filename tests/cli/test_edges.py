"""Edges of the program: each is one clear line and the exit code 2, or does what it says."""

import json
import re
import sys

import pytest
from helpers.program import called, one_line, out, program_refusal, refusal

import unspool as un
from unspool.core import room

PROMPT = "Once upon a time"
FEW = ("--max-new-tokens", "3")


@pytest.mark.parametrize(
    ("decoder", "says"),
    [
        ("top_p(0.9, p=0.8)", "top_p(0.9, p=0.8) gives p twice: by its place and by its name"),
        ("beam(4, width=5)", "gives width twice"),
        ("top_p(p=0.9, p=0.8)", "top_p(p=0.9, p=0.8) gives p twice"),
        ("beam(4) | top_k(5)", "processors stand before the strategy, in the order in which they act: top_k(5) | beam(4)"),
        ("greedy | stop('a') | top_k(3) | temperature(2)", "top_k(3) | greedy | stop('a')"),
        ("follow('\\ud800')", "a text never has the surrogates in '\\ud800'"),
        ("regex('\\ud800')", "surrogates"),
        ("bias({'\\ud800': 2.0})", "surrogates"),
        ("banned('a', ('\\udfff',))", "surrogates"),
        ("caf\udce9", "cannot read the decoder"),
        ("allowed('abc')", "texts of one token; 'abc' has 2"),
        ("allowed([1, 2])", "got [1, 2]"),
        ("end('x')", "token ids >= 0; got 'x'"),
        ("stop(['a', 'b'])", "got ['a', 'b']"),
        ("prefix_constrained('abc')", "got 'abc'"),
    ],
)
def test_decoders(decoder, says):
    assert says in refusal(PROMPT, *FEW, "-d", decoder)


INSIDE = ["lookahead(width=99999999)", "steps_of(width=99999, each=99999)", "mbr(sample(2), references=sample(1000000000))"]
INSIDE += ["cot(999999999)", "alternatives(999999999)", "vote(sample(1000000000))", "backtrack(beam(99999999), phrases=('a',))"]


@pytest.mark.parametrize("decoder", ["beam(99999999)", "sample(1000000000)", "stochastic_beam(99999999)", "power(n=1000000000)", *INSIDE])
def test_more_rows_than_memory_holds_are_refused_before_any_is_made(decoder):
    said = refusal(PROMPT, *FEW, "-d", decoder)
    assert f"{decoder} needs at least " in said
    assert "half of this machine's, is the most" in said


def test_the_most_rows_are_said_and_let_through(monkeypatch):
    """4096 tokens of 8 bytes each are 32,768 bytes a row; half of 10 MB are 152 of them."""
    monkeypatch.setattr(room, "memory", lambda: 10_000_000)
    monkeypatch.setattr("unspool.models.compiled.cache.check_weights", lambda *_: None)  # the weights alone are more
    most = int(re.search(r"at most (\d+) rows", refusal(PROMPT, *FEW, "-d", "sample(153)"))[1])
    assert most == 152
    assert "needs at least 5.01 MB of memory (153 rows of 4096 tokens, 8 bytes each); 5 MB" in refusal(PROMPT, "-d", "sample(153)")
    out(PROMPT, "--max-new-tokens", "1", "-d", f"sample({most})")
    assert len(un.load().generate([PROMPT, "a"], "sample(77)", max_new_tokens=1)) == 2  # one after the other
    with pytest.raises(un.ParameterError, match=r"2 prompts of 77 rows"):
        un.load().generate([PROMPT, "a"], "sample(77)", together=2)
    monkeypatch.setattr(room, "memory", lambda: 0)
    room.check_rows("sample", 10**12, 1, 4096)


def test_memory_is_what_this_machine_or_its_container_has():
    assert 10**8 < room.memory() < 10**14


def test_texts_that_are_no_texts():
    lm = un.load()
    for call in (lambda: lm.generate("a\ud800"), lambda: lm.score("a", "\udce9"), lambda: lm.generate("a", un.Follow("\ud800"))):
        with pytest.raises(un.PromptError, match="half of one"):
            call()
    for arguments in (["score", "a", "caf\udce9"], ["plot", "entropy", "a", "--text", "caf\udce9"], ["explain", "top_p", "\udce9"]):
        assert "no UTF-8 text" in refusal(*arguments)


def test_blank_lines_are_no_prompts(tmp_path):
    file = tmp_path / "prompts"
    file.write_text("a\n\n \n\t\r\nThe king \n\n")
    values = json.loads(out("-f", str(file), *FEW, "-o", "json"))
    assert [v["prompt"] for v in values] == ["a", "The king "]
    assert "there is no prompt in standard input" in program_refusal("-f", "-", stdin=b" \n\t\n")


@pytest.mark.parametrize("command", [["generate", PROMPT], ["tree", PROMPT], ["plot", "entropy", PROMPT], ["compare", PROMPT]])
def test_a_file_where_a_form_belongs_is_told_the_option(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "--output-file t.html" in refusal(*command, "-o", "t.html")
    assert "is not one of" in refusal(*command, "-o", "xml")
    assert not list(tmp_path.iterdir())


def test_a_random_seed_is_said_and_recorded():
    seeds = []
    for _ in range(2):
        code, found, said = called(PROMPT, *FEW, "-d", "sample", "--seed", "random", "-o", "json")
        assert code == 0
        seeds.append(re.fullmatch(r"--seed (\d+)", one_line(said).removeprefix("unspool: ").strip())[1])
        assert json.loads(found)[0]["recipe"]["seed"] == int(seeds[-1])
        assert found == out(PROMPT, *FEW, "-d", "sample", "--seed", seeds[-1], "-o", "json")
    assert seeds[0] != seeds[1]
    assert "integer" in refusal(PROMPT, "--seed", "randm")


def test_a_method_is_explained_without_the_library_that_runs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "llguidance", None)
    code, found, said = called("explain", "regex")
    assert code == 0
    assert found.startswith("regex")
    assert "without a run" in one_line(said)
    assert "pip install" in refusal("explain", "regex", "-d", "regex('a+') | greedy")


def test_a_model_s_name_is_short():
    assert len(repr(un.load().model)) < 100


def test_help_names_defaults_that_there_are():
    for command in ("generate", "tree", "plot", "explain", "compare"):
        shown = " ".join(out(command, "--help").split())
        forms, default = re.search(r"--output \[([a-z|]+)\] .*? \[default: \(?(\w+)\)?\]", shown).groups()
        assert default in forms.split("|")


def test_a_text_without_a_prompt_says_what_it_is_read_after():
    code, found, said = called("score", "", "The king")
    assert code == 0
    assert "start token" in one_line(said)
    assert "per token" in found


def test_a_streamed_text_that_ends_early_says_why(tmp_path):
    code, found, said = called(PROMPT, "--max-new-tokens", "30", "-d", "greedy | stop(' who')")
    assert (code, said) == (0, "unspool: the text ended early: stop\n")
    assert found.startswith(PROMPT)
    file = tmp_path / "prompts"
    file.write_text(f"{PROMPT}\nThe cat\n")
    said = called("-f", str(file), "--max-new-tokens", "5", "-d", "greedy | stop(' a man')")[2]
    assert said == "unspool: 1 of 2 texts ended early: stop\n"
    assert called(PROMPT, *FEW)[2] == called(PROMPT, "--max-new-tokens", "30", "-d", "greedy | stop(' who')", "-o", "json")[2] == ""
