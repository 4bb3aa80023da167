"""`unspool plot`: every kind as a picture, on standard output or in a file, and one line for what is wrong."""

from xml.etree import ElementTree

import pytest
from helpers.program import out, refusal, unspool

PROMPT = "Once upon a time"
SHORT = ["--max-new-tokens", "4"]


@pytest.fixture
def wanted(tmp_path):
    return tmp_path / "plot.svg"


@pytest.mark.parametrize(
    ("kind", "options", "shown"),
    [
        ("probability", ["--text", ", there was", "-d", "greedy", "-d", "sample"], ["human text: 3 tokens", "sample: 4 tokens"]),
        ("entropy", ["--text", ", there was"], ["bits", "there", "surprise"]),
        ("entropy", ["-d", "temperature(0.5) | sample"], ["bits", "surprise"]),
        ("kept", ["-d", "top_k(3) | greedy", "-d", "top_p(0.5) | greedy"], ["top_k(3) | greedy: median 3", "log scale"]),
        ("temperature", ["--values", "0.3,3"], ["T = 0.3", "T = 3"]),
        ("sweep", ["-d", "top_p({}) | sample(3)", "--values", "0.5,1", "--text", ", there"], ["n = 3 texts", "nats", "human text"]),
    ],
)
def test_every_kind_is_drawn(kind, options, shown, wanted):
    assert out("plot", kind, PROMPT, *options, *SHORT, "--output-file", str(wanted)) == ""
    text = "".join(ElementTree.fromstring(wanted.read_text(encoding="utf-8")).itertext())
    for words in shown:
        assert words in text


def test_help_says_what_is_drawn_where_no_decoder_is_named(wanted):
    """Each kind by its own default; what is said is drawn."""
    shown = " ".join(out("plot", "--help").split())
    for words in ("probability: greedy, beam(4), sample;", "entropy: greedy;", "kept: top_k(50) | sample,", "sweep: temperature({})"):
        assert words in shown
    out("plot", "kept", PROMPT, *SHORT, "--output-file", str(wanted))
    text = "".join(ElementTree.fromstring(wanted.read_text(encoding="utf-8")).itertext())
    assert all(f"{rule} | sample: median" in text for rule in ("top_k(50)", "top_p(0.9)", "min_p(0.1)"))


def test_svg_and_png_go_where_they_are_sent(tmp_path):
    found = unspool("plot", "entropy", PROMPT, *SHORT)
    assert (found.returncode, found.stderr) == (0, b"")
    assert found.stdout.startswith(b"<svg")
    out("plot", "entropy", PROMPT, *SHORT, "--output-file", str(tmp_path / "plot.png"))
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["plot"], "say what to plot"),
        (["plot", "entropi", PROMPT], "did you mean entropy"),
        (["plot", "entropy"], "give a prompt"),
        (["plot", "entropy", PROMPT, "-d", "greedy", "-d", "sample"], "one decoder"),
        (["plot", "sweep", PROMPT, "-d", "sample(2)", "--values", "1"], "{}"),
        (["plot", "sweep", PROMPT, "-d", "top_p({}) | sample(2)"], "--values"),
        (["plot", "temperature", PROMPT, "--values", "warm"], "numbers"),
        (["plot", "temperature", PROMPT, "-d", "sample"], "leave out -d"),
        (["plot", "entropy", PROMPT, "--output-file", "plot.csv"], "svg or png"),
    ],
)
def test_refusals(arguments, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert words in refusal(*arguments)
    assert not list(tmp_path.iterdir())
