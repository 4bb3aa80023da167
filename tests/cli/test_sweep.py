"""`unspool sweep`: what fits the screen, the same numbers in every form, a file that resumes, and one line for what is wrong."""

import csv
import io
import json
import re
from pathlib import Path

import pytest
from helpers.program import called, out, refusal

from unspool.sweeps.goals import read_goals
from unspool.sweeps.read_metrics import READ_METRICS

FEW = ["-d", "temperature({0.6,1}) | top_p({0.8,0.9,1}) | sample", "--max-new-tokens", "12"]
DRAWN = ["-d", "temperature({0.6,1}) | {sample, greedy}", "--max-new-tokens", "4", "--metrics", "diversity"]
DRAWN[1] = "temperature({0.6,1}) | {sample(2), sample(3)}"


@pytest.fixture
def prompts(tmp_path):
    path = tmp_path / "prompts.txt"
    path.write_text("".join(f"Once there were {n} kings\n" for n in range(12)), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("metrics", ["js", "coverage,kept"])
@pytest.mark.parametrize("width", [80, 100])
def test_it_fits_the_screen(metrics, width, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    shown = out("sweep", *FEW, "--metrics", metrics)
    assert max(map(len, shown.splitlines())) <= width
    said = ("a grid of 6 settings, 40 texts", "Recommended: temperature(", "temperature \\ top_p", "each text once for all 6 settings", "█")
    assert all(one in " ".join(shown.split()) for one in said)
    assert ("Pareto front" in shown) == ("," in metrics)
    assert "\x1b" not in shown
    assert "\x1b" in out("sweep", *FEW, "--metrics", metrics, "--color", "always")


def test_long_values_and_many_of_them_still_fit(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    some = ", ".join(f"banned('a phrase that is much too long for a column {i}')" for i in range(12))
    shown = out("sweep", "-d", f"{{{some}}} | top_p({{0.3..0.9 in 30}})", "--max-new-tokens", "2")
    assert max(map(len, shown.splitlines())) <= 80
    assert "and 340 more" in shown


def test_in_characters_that_any_screen_has(monkeypatch):
    monkeypatch.setenv("LC_ALL", "C")
    shown = out("sweep", *FEW)
    assert shown.isascii()
    assert "#" in shown


def test_forms_say_the_same():
    def form(name):
        return out("sweep", *FEW, "--metrics", "coverage,kept", "-o", name)

    whole = json.loads(form("json"))
    assert [axis["values"] for axis in whole["axes"]] == [[0.6, 1], [0.8, 0.9, 1]]
    assert len(whole["rows"]) == 6
    assert whole["recommended"] in [row["decoder"] for row in whole["rows"]]
    assert [row["recommended"] for row in whole["rows"]].count(True) == 1
    assert whole["cost"]["forwards"] == 1
    lines = list(csv.DictReader(io.StringIO(form("csv"))))
    for row, line in zip(whole["rows"], lines, strict=True):
        assert float(line["kept"]) == pytest.approx(row["kept"], rel=1e-5)
        assert line["temperature"] == str(row["temperature"])
        assert line["front"] == ("yes" if row["front"] else "no")
    assert [json.loads(line) for line in form("jsonl").splitlines()] == whole["rows"]
    assert whole["rows"][1]["temperature"] == 0.6
    assert whole["rows"][1]["top_p"] == 0.9
    assert "| coverage |" in form("md")
    page = form("html")
    assert page.startswith("<!doctype html>")
    assert "Recommended: temperature(" in page


def test_a_file_is_not_made_twice(prompts, tmp_path):
    path = tmp_path / "sweep.jsonl"
    first = json.loads(out("sweep", "-f", prompts, *DRAWN, "--save", str(path), "-o", "json"))
    before = path.read_bytes()
    again = json.loads(out("sweep", "-f", prompts, *DRAWN, "--save", str(path), "-o", "json"))
    assert path.read_bytes() == before
    assert again["cost"].pop("units_kept") == 4
    assert first["cost"].pop("units_kept") == 0
    assert first["cost"].pop("seconds") > again["cost"].pop("seconds")
    assert first == again
    said = refusal("sweep", "-f", prompts, *DRAWN, "--seeds", "2", "--save", str(path))
    assert "was begun with another setting: seeds is [0] there and [0, 1] now" in said


@pytest.mark.parametrize("command", ["sweep", "compare"])
def test_broken_off_it_replaces_no_file(command, prompts, tmp_path, monkeypatch):
    """On a screen one sees how far it came; a file of an earlier run is left as it was."""
    calls = []

    def reached(bar, done, made):
        calls.append(done)
        if done:
            raise KeyboardInterrupt

    monkeypatch.setattr("unspool.cli.long_bar.LongBar.reached", reached)
    asked = [command, "-f", prompts, *(DRAWN if command == "sweep" else ["-d", "greedy", "-d", "sample", "--max-new-tokens", "4"])]
    code, shown, said = called(*asked)
    assert code == 130
    assert said == "unspool: interrupted\n"
    assert ("So far, on 12 of 12 prompts and with 1 of 4 settings" if command == "sweep" else "Unfinished") in " ".join(shown.split())
    code, shown, said = called(*asked, "-o", "csv")
    assert {line["finished"] for line in csv.DictReader(io.StringIO(shown))} == {"no"}
    for option in ("--output-file", "--plot"):
        path = tmp_path / ("old.csv" if option == "--output-file" else "old.svg")
        path.write_text("of an earlier run")
        more = [option, str(path), *(["-o", "csv"] if option == "--output-file" else []), "--save", str(tmp_path / f"{option}.jsonl")]
        code, shown, said = called(*asked, *more)
        assert code == 130
        assert said == f"unspool: interrupted; {path} is not written; the same command goes on from here\n"
        assert path.read_text() == "of an earlier run"
        assert (shown == "") == (option == "--output-file")


@pytest.mark.parametrize(
    ("decoder", "metrics", "seen"),
    [
        ("temperature({0.6,1}) | top_p({0.8,1})", "js", "dark is better"),
        ("temperature({0.6,0.8,1})", "js", "temperature"),
        ("{temperature(0.6), top_p(0.6)}", "js", "temperature(0.6)"),
        ("temperature({0.6,1}) | top_p({0.8,0.9})", "coverage,kept", "kept (tokens of the vocabulary"),
    ],
)
def test_pictures(decoder, metrics, seen, tmp_path):
    pytest.importorskip("matplotlib")
    path = tmp_path / "picture.svg"
    out("sweep", "-d", decoder, "--metrics", metrics, "--max-new-tokens", "6", "--plot", str(path))
    assert seen in path.read_text(encoding="utf-8")
    out("sweep", "-d", decoder, "--metrics", metrics, "--max-new-tokens", "6", "--plot", str(tmp_path / "picture.png"))
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")


def test_human_texts_are_read_or_come_near_to(prompts, tmp_path):
    human = tmp_path / "human.txt"
    human.write_text("".join(f"There were {n} kings\tand each of them had a daughter, number {n}.\n" for n in range(12)))
    read = json.loads(out("sweep", *FEW, "--reference", str(human), "-o", "json"))
    assert read["settings"]["texts"] == 12
    near = json.loads(out("sweep", "-f", prompts, *DRAWN[:4], "--metrics", "perplexity", "--reference", str(human), "-o", "json"))
    assert near["metrics"][0]["better"] == "human"
    human.write_text("".join(human.read_text().splitlines(True)[:9]))
    said = refusal("sweep", "-f", prompts, *DRAWN[:4], "--metrics", "perplexity", "--reference", str(human))
    assert "10 human texts at least tell what to be near to; got 9" in said


@pytest.mark.parametrize(
    ("metrics", "said"),
    [
        ("coverage,kept", r"coverage: (0\.\d{3}, 0\.\d{3} below the highest here, \d\.\d{3}|\d\.\d{3}, the highest here) kept: "),
        ("js", r"js: 0\.\d{3}, (0\.\d{3} above )?the lowest here"),
        ("spread:near=1.5", r"spread: \d\.\d{3}, \d\.\d{3} (above|below) what it is to be near, 1\.500"),
    ],
)
def test_it_says_how_far_the_recommended_one_is_from_the_aim(metrics, said):
    assert re.search(said, " ".join(out("sweep", *FEW, "--metrics", metrics).split()))


def test_without_prompts_to_go_on_from_nothing_is_recommended(prompts):
    """Every setting forbids all there is: no text, no recommendation, and the code says so."""
    code, found, said = called("sweep", "-f", prompts, "-d", "allowed(1) | banned(1) | {sample, sample(2)}", "--metrics", "length:max")
    assert (code, said) == (2, "")
    assert "Nothing is recommended" in found


def test_the_page_shows_what_its_commands_were_asked():
    page = (Path(__file__).parents[2] / "docs" / "sweep.md").read_text(encoding="utf-8")
    shown = re.findall(r'```console\n\$ unspool sweep (?:-d )?"(.*?)".*?\n(.*?)\n```', page, re.DOTALL)
    assert len(shown) == 2
    for template, text in shown:
        assert f": {template}" in " ".join(text.split("\n\n")[0].split())
        assert "Recommended: " in text


def test_help_names_every_metric_that_reads():
    shown = " ".join(out("sweep", "--help").split())
    for name in READ_METRICS:
        assert name in shown


ONE_OF_EACH = [
    (("-d", "greedy"), "nothing to sweep"),
    (("-d", "top_p({})"), "the set of top_p is empty"),
    (("-d", "top_p({0.9..0.5 by 0.1})"), "the first number is the smaller one"),
    (("-d", "top_p({0.5, 1.5})"), "the setting top_p(1.5) cannot be: top_p(p) needs a number in [0, 1]; got 1.5"),
    (("-d", "top_q({0.5, 1})"), "did you mean top_p"),
    (("-d", "temperature({0..100 by 1}) | top_k({1..100 by 1})"), "the grid has 10100 settings, more than 2000"),
    (("-d", "top_p({0.5})"), "has one setting alone"),
    (("-d", "{banned('a phrase that is much too long to be said again as a whole')} | sample"), "… has one setting alone"),
    (("--search", "random"), "say how many"),
    (("--search", "random", "--budget", "41"), "pays for 1 setting on 40 texts"),
    (("--keep", "2"), "--keep goes with --search halving"),
    (("--search", "halving", "--keep", "1"), "whole number >= 2; got 1"),
    (("--settings", "4"), "a grid is tried whole"),
    (("--metrics", "covrage"), "did you mean coverage"),
    (("--metrics", "js,js:min"), "both metrics are js"),
    (("--metrics", "js,kept,coverage"), "one metric, or a trade-off of two; got 3"),
    (("--metrics", "js,diversity"), "sweep for each by itself"),
    (("--metrics", ""), "give a metric"),
    (("--metrics", "js:best"), "unknown way of a metric 'best'"),
    (("--metrics", "js:min=3"), "did you mean js:near=3?"),
    (("--metrics", "spread"), "neither end of spread is better by itself"),
    (("--metrics", "spread:near=x"), "near what? Give a number"),
    (("--metrics", "js:human"), "only a metric of drawn texts"),
    (("--metrics", "perplexity"), "neither end of perplexity is better by itself; say perplexity:min, :max or :near=NUMBER, or human"),
    (("--metrics", "zipf:min"), "is of a whole collection"),
    (("--metrics", "judge_perplexity:min"), "needs a second model; give it by --judge"),
    (("--metrics", "diversity"), "give a file of prompts (-f), 10 of them at least"),
    (("--reference", "/nowhere"), "cannot read /nowhere"),
    (("--save", "/nowhere/a"), "cannot write /nowhere/a"),
    (("--plot", "a.bmp"), ".svg"),
    (("--max-new-tokens", "0"), "unspool: --max-new-tokens needs a whole number >= 1; got 0"),
    (("--search", "random", "--settings", "1"), "--settings is a whole number >= 2, for at least 2 settings are compared; got 1"),
    (("--settings", "4"), "--settings or --budget goes with --search random or halving"),
    (("-d", "temperature({0.7, 1) | sample"), "the brace of '{0.7, 1) | sample' is not closed"),
    (("-d", "{sample, beam(4)}"), "sample and beam(4) have the same; take a metric of drawn texts, as --metrics diversity"),
    (("--workers", "2"), "the engine inline has no workers"),
    (("--seeds", "x"), "0,7,42"),
    (("Once upon a time",), "a decoder with values in braces stands here"),
    (("top_p({0.8, 0.9})", "-d", "top_p({0.8, 0.9})"), "given twice"),
    (("top_p({0.8,", "0.9})"), "quotes"),
]


@pytest.mark.parametrize(("arguments", "said"), ONE_OF_EACH)
def test_one_line_says_what_is_wrong(arguments, said):
    assert said in refusal("sweep", *arguments)


def test_the_decoder_may_stand_without_its_option():
    more = ["--max-new-tokens", "4", "-o", "json"]
    found = json.loads(out("sweep", "temperature({0.3..1.5}) | top_p({0.8,0.9,0.95}) | sample", *more))
    assert [axis["values"][:2] for axis in found["axes"]] == [[0.3, 0.5], [0.8, 0.9]]
    by_name = json.loads(out("sweep", "-d", "temperature({0.3..1.5 in 7}) | top_p({0.8,0.9,0.95}) | sample", *more))
    assert found["rows"] == by_name["rows"]
    assert len(found["rows"]) == 21


def test_few_prompts_or_texts_are_refused(tmp_path):
    path = tmp_path / "few.txt"
    path.write_text("one\ntwo\nthree\n")
    assert "at least 10 prompts to tell settings from noise; got 3" in refusal("sweep", "-f", str(path), *DRAWN)
    assert "at least 10 texts to tell settings from noise; got 3" in refusal("sweep", *FEW, "--reference", str(path))
    said = refusal("sweep", "-f", str(path))
    assert "js is read off given texts (--reference), and no prompts are run; take a metric of drawn texts, as --metrics diversity" in said
    path.write_text("one\none\n" * 10)
    assert f"{path}, line 2 is {path}, line 1 again" in refusal("sweep", "-f", str(path), *DRAWN)


def test_goals_are_refused_before_the_model_is_opened():
    assert "unknown metric" in refusal("sweep", "-m", "/nowhere", "--metrics", "nonsense")
    assert read_goals("js", False, False)[0].name == "js"
