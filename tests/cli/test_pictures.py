"""`tree` and `why`: live, from a saved trace, in every form."""

import json
import xml.etree.ElementTree as xml

import pytest
from helpers.program import out, refusal

PROMPT = "Once upon a time"
TREE = ("tree", PROMPT, "--max-new-tokens", "3", "-d", "beam(2)")
WHY = ("why", PROMPT, "-n", "2", "-d", "temperature(0.8) | top_p(0.05) | greedy")


def test_a_tree_is_the_same_live_and_from_its_trace(tmp_path):
    saved = str(tmp_path / "trace.jsonl")
    text = out(*TREE, "--trace", saved)
    assert text.startswith(PROMPT)
    assert "pruned" in text
    assert out("tree", "--from", saved) == text
    assert "pruned" not in out("tree", "--from", saved, "--no-pruned")
    assert "more nodes" in out("tree", "--from", saved, "--lines", "2")


def test_a_tree_in_every_form(tmp_path):
    xml.fromstring(out(*TREE, "-o", "svg"))
    assert out(*TREE, "-o", "dot").startswith("digraph")
    assert out(*TREE, "-o", "mermaid").startswith("flowchart")
    assert all("score" in out(*TREE, "-o", form) for form in ("text", "svg", "html", "json", "dot", "mermaid")), "its numbers have a name"
    assert json.loads(out(*TREE, "-o", "json"))["prompt"] == PROMPT
    assert "<svg" in out(*TREE, "-o", "html")
    picture = tmp_path / "tree.svg"
    assert out(*TREE, "--output-file", str(picture)) == ""
    xml.fromstring(picture.read_text(encoding="utf-8"))


def test_why_names_stages_and_margins(tmp_path):
    saved = str(tmp_path / "trace.jsonl")
    text = out(*WHY, "--trace", saved)
    assert "temperature(0.8)" in text
    assert "would survive top_p" in text
    assert out("why", "--from", saved, "-n", "2") == text
    values = json.loads(out("why", "--from", saved, "-n", "2", "-o", "json"))
    assert values[0]["names"] == ["model", "temperature(0.8)", "top_p(0.05)"]
    assert "<table" in out(*WHY, "-o", "html")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("tree", PROMPT, "--from", "x.jsonl"), "not both"),
        (("tree", "--from", "nowhere.jsonl"), "cannot read the trace"),
        (("tree",), "give a prompt"),
        (("tree", PROMPT, "--lines", "-1"), "--lines"),
        (("tree", PROMPT, "-o", "csv"), "csv"),
        (("tree", PROMPT, "--output-file", "tree.csv"), ".csv means csv"),
        (("why", PROMPT, "-n", "0"), "-n"),
        (("why", PROMPT, "-d", "greedy", "-d", "beam(2)"), "one decoder"),
    ],
)
def test_refusals(arguments, words):
    assert words in refusal(*arguments)


def test_torn_newer_and_poorer_traces_are_refused(tmp_path):
    saved = tmp_path / "trace.jsonl"
    out(*TREE, "--trace", str(saved))
    lines = saved.read_text(encoding="utf-8").splitlines()
    for broken, words in (
        (lines[:-1], "torn"),
        ([lines[0].replace('"unspool_trace": 2', '"unspool_trace": 99'), *lines[1:]], "format 99"),
        (["{"], "no trace"),
        ([], "no trace"),
        (['{"a": 1}'], "no trace"),
    ):
        saved.write_text("\n".join(broken), encoding="utf-8")
        assert words in refusal("tree", "--from", str(saved))
    out(*TREE, "--trace", str(saved))
    assert "level='stages'" in refusal("why", "--from", str(saved))
