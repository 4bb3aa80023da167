"""`unspool compare`: tables that fit the screen, the same numbers in every form, a file that resumes, and one line for what is wrong."""

import csv
import io
import json
import time

import pytest
from helpers.program import Terminal, called, out, refusal

from unspool.cli.commands import compare as command
from unspool.lab.registry import DEFAULT, METRICS

PROMPTS = ["Once upon a time", "The king", "A wolf"]
SHORT = ["--max-new-tokens", "5", "--seeds", "2"]
DECODERS = ["-d", "greedy", "-d", "temperature(0.8) | top_p(0.9) | sample(2)"]


@pytest.fixture
def prompts(tmp_path):
    path = tmp_path / "prompts.txt"
    path.write_text("\n".join(PROMPTS) + "\n", encoding="utf-8")
    return str(path)


def test_a_table_for_each_question(prompts, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    shown = out("compare", "-f", prompts, *DECODERS, *SHORT, "--metrics", ",".join([*DEFAULT, "rep_3", "zipf", "uid_local"]))
    assert max(map(len, shown.splitlines())) <= 80
    for expected in ("greedy", "temperature(0.8)", "top_p(0.9)", "rep_3", "Difference from greedy", "Samples and cost", "forwards", "["):
        assert expected in shown
    assert "\x1b" not in shown
    assert "\x1b" in out("compare", "-f", prompts, *DECODERS, *SHORT, "--color", "always")


def test_forms_say_the_same(prompts):
    def form(name):
        return out("compare", "-f", prompts, *DECODERS, *SHORT, "-o", name)

    rows = json.loads(form("json"))["rows"]
    assert [row["decoder"] for row in rows] == ["greedy", "temperature(0.8) | top_p(0.9) | sample(2)"]
    assert [row["texts"] for row in rows] == [3, 12]
    lines = list(csv.DictReader(io.StringIO(form("csv"))))
    for row, line in zip(rows, lines, strict=True):
        assert float(line["perplexity"]) == pytest.approx(row["perplexity"], rel=1e-5)
        assert line["forwards"] == str(row["forwards"])
    texts = [json.loads(line) for line in form("jsonl").splitlines()]
    assert len(texts) == 15
    assert {text["prompt"] for text in texts} == set(PROMPTS)
    assert "| greedy |" in form("md")
    page = form("html")
    assert page.startswith("<!doctype html>")
    assert "<summary>A wolf</summary>" in page


def test_a_file_is_not_made_twice(prompts, tmp_path):
    path = tmp_path / "texts.jsonl"
    first = out("compare", "-f", prompts, *DECODERS, *SHORT, "--save", str(path))
    before = path.read_bytes()
    assert out("compare", "-f", prompts, *DECODERS, *SHORT, "--save", str(path)) == first
    assert path.read_bytes() == before
    out("compare", "-f", prompts, *DECODERS, *SHORT, "-d", "beam(2)", "--save", str(path))
    assert path.read_bytes().startswith(before)
    assert len(path.read_bytes()) > len(before)


def test_reference_judge_and_picture(prompts, tmp_path):
    pytest.importorskip("matplotlib")
    human, picture = tmp_path / "human.txt", tmp_path / "picture.svg"
    human.write_text("There was once a king.\nThe wolf\t came to the door.\n", encoding="utf-8")
    wanted = ["--metrics", "judge_bits_per_byte,bits_per_byte,length", "--judge", "bundled", "--reference", str(human)]
    wanted += ["--plot", str(picture), "--axes", "length,bits_per_byte"]
    rows = json.loads(out("compare", "-f", prompts, *DECODERS, *SHORT, *wanted, "-o", "json"))["rows"]
    assert rows[-1]["decoder"] == "reference"
    assert rows[-1]["texts"] == 2
    assert rows[-1]["judge_bits_per_byte"] == pytest.approx(rows[-1]["bits_per_byte"])
    assert "human text" in picture.read_text(encoding="utf-8")
    assert "length" in picture.read_text(encoding="utf-8")


def test_without_decoders_the_usual_ones_are_compared():
    rows = json.loads(out("compare", "The king", "--max-new-tokens", "2", "--seeds", "1", "-o", "json"))["rows"]
    assert len(rows) == len(command._DECODERS)


def test_help_names_every_metric():
    shown = " ".join(out("compare", "--help").split())
    for name in METRICS:
        assert (f"{name.removesuffix('_n')}_N" if name.endswith("_n") else name) in shown
    assert ",".join(DEFAULT) in shown.replace(" ", "")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "give a prompt"),
        (("x", "-d", "greedi"), "did you mean greedy"),
        (("x", "-d", "greedy", "-d", "top_p(0.9)", "-d", "greedy"), "decoder 3, greedy, is greedy again"),
        (("x", "--seeds", "1,b"), "0,7,42"),
        (("x", "--seeds", ""), "0,7,42"),
        (("x", "--seeds", "0"), "at least 1"),
        (("x", "--seeds", "3,3"), "a seed is there twice"),
        (("x", "--metrics", "perplexty"), "did you mean perplexity"),
        (("x", "--metrics", "rep"), "rep_2"),
        (("x", "--metrics", ","), "at least one"),
        (("x", "--metrics", "judge_perplexity"), "--judge"),
        (("x", "--plot", "a.bmp"), ".svg"),
        (("x", "--plot", "/nowhere/a.svg"), "no folder"),
        (("x", "--plot", "a.svg", "--axes", "length"), "two metrics"),
        (("x", "--plot", "a.svg", "--axes", "length,loop"), "did you mean loops"),
        (("x", "--axes", "length,loops"), "--plot"),
        (("x", "--reference", "/nowhere"), "cannot read /nowhere"),
        (("x", "--save", "/nowhere/a"), "cannot write /nowhere/a"),
        (("x", "--max-new-tokens", "0"), "--max-new-tokens needs a whole number >= 1; got 0"),
        (("x", "--together", "0"), "together"),
        (("x", "y"), "quotes"),
    ],
)
def test_one_line_says_what_is_wrong(arguments, said):
    assert said in refusal("compare", *arguments)


def test_a_file_of_something_else_and_prompts_that_repeat(tmp_path):
    path = tmp_path / "prompts.txt"
    path.write_text("a\nb\na\n")
    assert f"{path}, line 3 is {path}, line 1 again" in refusal("compare", "-f", str(path))
    assert "is no generation" in refusal("compare", "x", "--save", str(path))
    assert path.read_text() == "a\nb\na\n"


def test_interrupted_it_shows_what_is_there_and_goes_on_later(prompts, tmp_path):
    path = tmp_path / "texts.jsonl"
    arguments = ["compare", "-f", prompts, "-d", "greedy", "-d", "sample(2)", "--together", "1", "--save", str(path)]
    screen = Terminal(*arguments, "--max-new-tokens", "20", "--seeds", "40")
    end = time.monotonic() + 30
    while time.monotonic() < end and not (path.exists() and path.read_bytes().count(b"\n") > 1):
        time.sleep(0.02)
    screen.interrupt()
    shown = screen.read()
    assert screen.code() == 130
    assert "interrupted" in shown
    assert "Samples and cost" in shown
    assert "Traceback" not in shown
    lines = path.read_bytes().count(b"\n")
    assert lines < 3 + 40 * 3 * 2
    code, found, _ = called(*arguments, "--max-new-tokens", "20", "--seeds", "1", "-o", "jsonl")
    assert code == 0
    assert found.count("\n") == 9
