import csv
import io
import json
import re

import pytest
from helpers.program import Terminal, called, out, refusal

ONCE, MORE = "Once upon a time", " there was a king who had — 한국어 😀 — three sons"


def plain(text):
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


def test_a_given_text_is_scored_as_score_does_it():
    heat, score = (json.loads(out(name, ONCE, MORE, "-o", "json"))[0] for name in ("heat", "score"))
    assert [t["logprob"] for t in heat["tokens"]] == pytest.approx(score["logprobs"], abs=1e-4)
    assert heat["prompt"] == ONCE
    assert all(len(t["alternatives"]) == 5 for t in heat["tokens"])


def test_a_text_alone_by_any_way(tmp_path):
    file = tmp_path / "text.txt"
    file.write_bytes(f"\ufeff{ONCE}\r\n{MORE}\n".encode())
    assert out("heat", "-f", str(file)) == out("heat", "--text", f"{ONCE}\n{MORE}")
    assert out("heat", "--text", ONCE).startswith(ONCE)


@pytest.mark.parametrize("by", ["probability", "surprisal", "entropy", "effective", "rank"])
def test_what_is_generated_is_coloured_live_and_from_a_file(tmp_path, by):
    saved = str(tmp_path / "trace.jsonl")
    arguments = ("heat", "--by", by, "--color", "always")
    found = out(*arguments, ONCE, "-d", "temperature(0.9) | sample(2)", "--max-new-tokens", "6", "--trace", saved)
    assert found == out(*arguments, "--from", saved)
    assert "leave out --decoder, --trace" in refusal(*arguments, "--from", saved, "-d", "greedy", "--trace", f"{saved}.jsonl")
    assert found.count("Once upon a time") == 2
    assert "\x1b[38;5;" in found
    lines = list(csv.reader(io.StringIO(out("heat", "--from", saved, "-o", "csv", "--choices", "2"))))
    assert (lines[0][0], lines[0][-1], len(lines)) == ("number", "choice 2", 13)


def test_by_words_from_the_command_line(tmp_path):
    words = json.loads(out("heat", ONCE, MORE, "--words", "-o", "json"))[0]["tokens"]
    assert [w["text"] for w in words if "한" in w["text"]] == [" 한국어"]
    assert sum(w["surprisal"] for w in words) == pytest.approx(
        sum(t["surprisal"] for t in json.loads(out("heat", ONCE, MORE, "-o", "json"))[0]["tokens"])
    )
    assert "surprisal by words" in plain(out("heat", ONCE, "--max-new-tokens", "6", "--words", "--by", "surprisal", "--color", "always"))
    assert "of single tokens" in refusal("heat", ONCE, "--words", "--by", "rank")


def test_pages_hold_no_script(tmp_path):
    file = tmp_path / "heat.html"
    out("heat", "--text", "<script>alert(1)</script> & \"so\" on", "--output-file", str(file))
    page = file.read_text(encoding="utf-8")
    assert "<script" not in page
    assert "http" not in page.replace("http-equiv", "")


def test_mistakes_are_said_in_one_line(tmp_path):
    assert "give one text" in refusal("heat", ONCE, MORE, "--text", "x")
    assert "without a prompt" in refusal("heat", ONCE, "--text", "x")
    assert "not decoded" in refusal("heat", ONCE, MORE, "-d", "greedy")
    assert "the text is empty" in refusal("heat", ONCE, "")
    assert "cannot read" in refusal("heat", "-f", str(tmp_path / "none"))
    assert ".svg means svg, and text or json" in refusal("heat", ONCE, MORE, "--output-file", str(tmp_path / "x.svg"))
    (tmp_path / "latin").write_bytes(b"caf\xe9")
    assert "no UTF-8" in refusal("heat", "-f", str(tmp_path / "latin"))
    assert called("heat")[0] == 2


def test_a_tree_as_png(tmp_path, monkeypatch):
    pytest.importorskip("resvg_py")
    file = tmp_path / "tree.png"
    out("tree", ONCE, "--max-new-tokens", "3", "--output-file", str(file))
    assert file.read_bytes().startswith(b"\x89PNG")
    monkeypatch.setitem(__import__("sys").modules, "resvg_py", None)
    assert "pip install 'unspool[png]'" in refusal("tree", ONCE, "--max-new-tokens", "3", "--output-file", str(tmp_path / "no.png"))
    assert not (tmp_path / "no.png").exists()


LONG = ("--max-new-tokens", "300", "-d", "min_new_tokens(300) | beam(8)")


@pytest.mark.parametrize("command", ["tree", "heat"])
def test_it_is_drawn_while_it_grows_and_wiped(command):
    terminal = Terminal(command, ONCE, *LONG)
    shown = terminal.read(seconds=60)
    assert terminal.code() == 0
    assert shown.count("\x1b[2K") > 4                                     # lines drawn over
    assert "\x1b[?25l" in shown
    assert shown.rindex("\x1b[?25h") < len(shown) - 200                   # the cursor is back before the result is written


def test_nothing_moves_on_a_dumb_terminal():
    text = Terminal("tree", ONCE, "--max-new-tokens", "40", TERM="dumb").read(seconds=60)
    assert "\x1b" not in text


@pytest.mark.parametrize(
    ("locale", "boxes"), [({"LC_ALL": "C"}, False), ({"LANG": "POSIX"}, False), ({"LANG": "de_DE.ISO-8859-1"}, False),
                          ({"LC_ALL": "C.UTF-8"}, True), ({"LANG": "ko_KR.utf8"}, True), ({}, True)],
)  # fmt: skip
def test_without_unicode_trees_are_drawn_in_ascii(locale, boxes, monkeypatch):
    for name in ("LC_ALL", "LC_CTYPE", "LANG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in locale.items():
        monkeypatch.setenv(name, value)
    text = out("tree", ONCE, "--max-new-tokens", "2")
    assert ("└─" in text) == boxes
    assert text.isascii() != boxes
    assert "한" in out("heat", ONCE, " 한국", "-n", "0")                     # data stays what it is
    assert "├" in json.loads(out("score", ONCE, " ├", "-o", "json"))[0]["text"]
