"""A prompt to which nothing could be generated: the others are shown all the same, it has a line of its own, and the exit code says so."""

import csv
import io
import json
from types import SimpleNamespace

import pytest
from helpers.program import Terminal, called, one_line, out, refusal

import unspool as un
from unspool.cli.commands import live

THE = un.load().tokenizer.encode(" the")[0]
DYING = f"allowed({THE}) | encoder_no_repeat_ngram(1)"
"""Nothing comes after a prompt that holds " the"."""
LATER = f"allowed({THE}, 5, 6, 7) | no_repeat_ngram(1)"
"""Four tokens come, and no fifth."""
FEW = ("--max-new-tokens", "2")
PROMPTS = ["Once upon a time", "then the", "The king"]
WHY = "no hypothesis is left for the prompt 'then the'"


@pytest.fixture
def prompts(tmp_path):
    path = tmp_path / "prompts.txt"
    path.write_text("\n".join(PROMPTS) + "\n", encoding="utf-8")
    return str(path)


def failed(*arguments):
    """What is written, and the one line on standard error."""
    code, found, said = called(*arguments)
    assert code == 2
    return found, one_line(said)


def test_every_form_shows_the_others_and_says_why(prompts, tmp_path):
    forms = {}
    for form in ("text", "json", "jsonl", "csv", "md", "html"):
        forms[form], said = failed("-f", prompts, "-d", DYING, *FEW, "-o", form)
        assert WHY in said
        assert "1 of 3 came to no text" in said
        file = tmp_path / form
        assert failed("-f", prompts, "-d", DYING, *FEW, "-o", form, "--output-file", str(file)) == ("", said)
        assert file.read_text(encoding="utf-8") == forms[form]
    assert forms["text"].split("\n\n")[0] == "Once upon a time the the"
    assert forms["text"].split("\n\n")[1].startswith(f"then the\nno text: {WHY}")
    values = json.loads(forms["json"])
    assert [len(v["sequences"]) for v in values] == [1, 0, 1]
    assert [WHY in v.get("failure", "") for v in values] == [False, True, False]
    assert [json.loads(line) for line in forms["jsonl"].splitlines()] == values
    lines = list(csv.DictReader(io.StringIO(forms["csv"])))
    assert [line["prompt"] for line in lines] == PROMPTS
    assert [line["rank"] for line in lines] == ["1", "", "1"]
    assert lines[1]["reason"].startswith(f"no text: {WHY}")
    assert f"no text: {WHY}" in forms["md"]
    assert "no text: no hypothesis is left" in forms["html"]


@pytest.mark.parametrize("form", ["text", "json", "md", "html"])
def test_compare_says_so_as_the_others_do(form, prompts):
    arguments = ("compare", "-f", prompts, "-d", "greedy", "--seeds", "1", *FEW, "-o", form)
    out(*arguments)
    found, said = failed(*arguments, "-d", DYING)
    assert "came to no text 1 time, after 'then the'" in said
    assert "greedy" in found


@pytest.mark.parametrize("stream", ["--stream", "--no-stream"])
def test_of_several_decoders_the_others_are_shown(stream):
    found, said = failed("then the", "-d", "greedy", "-d", DYING, "-d", f"{LATER} | greedy", "-d", "top_k(1)", *FEW[:1], "9", stream)
    assert found.count("no text: no hypothesis") == 2
    assert found.endswith(out("then the", "-d", "top_k(1)", "--max-new-tokens", "9"))
    assert "2 of 4 came to no text" in said


def test_one_prompt_alone_is_an_error_and_its_trace_shows_where_it_died(tmp_path):
    saved = str(tmp_path / "trace.jsonl")
    assert WHY in refusal("then the", "-d", DYING, *FEW)
    for command in (["then the", "-d", f"{LATER} | beam(2)"], ["steps", "The king", "-d", LATER], ["heat", "The king", "-d", LATER]):
        assert "no hypothesis is left" in refusal(*command, "--trace", saved)
        shown = out("tree", "--from", saved)
        assert "no text came of it" in shown
        assert "kept" in shown
    found, said = failed("tree", "The king", "-d", f"{LATER} | beam(2)", "--trace", saved)
    assert found == out("tree", "--from", saved)
    assert "no hypothesis is left" in said
    out("tree", "--from", saved, "-o", "svg")
    assert out("steps", "--from", saved, "--all").count("\n") > 3
    for command in ("steps", "heat"):
        assert "this run came to none" in refusal(command, "--from", saved)
    assert "no hypothesis is left" in refusal("why", "The king", "-d", LATER, "-n", "9", "--trace", saved)
    assert "this run came to none" in refusal("why", "--from", saved)
    assert "no hypothesis is left" in refusal("plot", "entropy", "The king", "-d", LATER, "--max-new-tokens", "9")


@pytest.mark.parametrize("command", ["tree", "heat"])
def test_a_run_that_dies_while_it_is_drawn_is_one_line(command):
    screen = Terminal(command, "The king", "-d", f"{LATER} | beam(2)", "--max-new-tokens", "9")
    shown = screen.read()
    assert screen.code() == 2
    assert "Traceback" not in shown
    assert "no hypothesis is left" in " ".join(shown.split())


def test_a_view_is_not_drawn_of_a_run_whose_texts_have_all_died(monkeypatch, capsys):
    monkeypatch.setattr(live, "PATIENCE", 0)
    monkeypatch.setenv("TERM", "xterm")
    drawn = []

    def draw(record, height):
        drawn.append(record.best("a view"))
        return "text"

    run = un.load().stream(["The king"], f"{LATER} | beam(2)", max_new_tokens=9, level="choices")
    with live.Live(SimpleNamespace(terminal=True, form="text"), draw) as screen:
        for _ in run:
            screen._next = 0
            screen.show(run)
        screen._next = 0
        screen.show(run)
    assert drawn
    assert run.so_far().hypotheses == [[]]


def test_a_file_keeps_what_it_holds_if_there_is_nothing_to_write(tmp_path):
    file = tmp_path / "kept.txt"
    file.write_text("as it was")
    refusal("then the", "-d", DYING, *FEW, "--output-file", str(file))
    assert file.read_text() == "as it was"


def test_that_fewer_texts_came_than_were_asked_for_is_a_line_of_its_own(prompts):
    code, _, said = called("Once upon a time", "-d", "top_k(1) | beam(2, n=2)", *FEW)
    assert (code, one_line(said)) == (0, "unspool: top_k(1) | beam(2, n=2) asks for 2 texts and 1 came\n")
    code, _, said = called("-f", prompts, "-d", "top_k(1) | alternatives(3)", *FEW, "-o", "json")
    assert (code, one_line(said)) == (0, "unspool: top_k(1) | alternatives asks for 3 texts and 1 came (3 of 3 prompts came to fewer)\n")


def test_that_a_text_was_cut_before_it_was_whole_is_a_line_of_its_own():
    code, shown, said = called("Once upon a time", "-d", "choice('yes, of course', 'nobody knows it')", *FEW)
    assert code == 0
    assert shown
    assert said == "unspool: the text ended early: unfinished, for max_new_tokens cut it before it was whole\n"
    assert called("Once upon a time", "-d", "choice('a', 'b')", *FEW)[::2] == (0, "")
