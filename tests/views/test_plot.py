"""Plots draw the numbers that they are given, say their units, and touch nothing of matplotlib's global state."""

import importlib
import math
import sys
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
from helpers.tables import Letters, table
from matplotlib.figure import Figure

import unspool as un
from unspool.views import plot


class Odd(Letters):
    """Tokens that are markup, mathematics and control characters."""

    def name_of(self, token):
        return ["<b>&", "$x^2$", "\n", "\x1b[31m", "가", "'\""][token]


def model(tokenizer=Letters):
    return un.LanguageModel(table(seed=5), tokenizer(), "letters")


def trace(decoder="greedy", tokenizer=Letters, level="stages", n=6):
    return model(tokenizer).generate([[1, 2]], decoder, max_new_tokens=n, end_tokens=(), level=level)[0].trace


def row(choices=6):
    return model().steps("bc", n=1, choices=choices)[0]


PICTURES = {
    "probability": lambda: plot.probability({"human text": [-1.0, -2.0, -0.1], "greedy": [-0.5] * 70}),
    "entropy": lambda: plot.entropy(trace()),
    "kept": lambda: plot.kept({"top_k(2)": trace("top_k(2) | greedy"), "top_p(0.5)": trace("top_p(0.5) | sample")}),
    "temperature": lambda: plot.temperature(row()),
    "sweep": lambda: plot.sweep("width", [1, 2], {"log-probability (nats)": [[-1, -2], [-1, -1]]}, {"log-probability (nats)": -1.2}),
}


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_svg_that_does_not_change_and_leaves_matplotlib_as_it_was(name, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)             # nothing may import it
    before = {k: matplotlib.rcParams[k] for k in plot.PLOT_STYLE}
    picture = PICTURES[name]()
    svg = picture.to_svg()
    assert isinstance(picture, Figure)
    assert ElementTree.fromstring(svg).tag.endswith("svg")
    assert svg == PICTURES[name]().to_svg() == picture._repr_svg_()
    assert {k: matplotlib.rcParams[k] for k in plot.PLOT_STYLE} == before
    assert "http" not in svg.replace("http://www.w3.org", ""), "nothing is asked of a server"
    assert "color-scheme: dark" in svg
    assert all(axis.get_xlabel() or axis is not picture.axes[-1] for axis in picture.axes)


def test_it_is_also_png_and_pdf(tmp_path):
    for ending, first in (("png", b"\x89PNG"), ("pdf", b"%PDF")):
        PICTURES["sweep"]().savefig(tmp_path / f"plot.{ending}")
        assert (tmp_path / f"plot.{ending}").read_bytes().startswith(first)


def test_probabilities_and_their_geometric_mean():
    first, second = PICTURES["probability"]().axes
    np.testing.assert_allclose(first.lines[0].get_ydata(), np.exp([-1.0, -2.0, -0.1]))
    assert first.get_title(loc="left") == f"human text: 3 tokens, geometric mean {math.exp(-3.1 / 3):.3f}"
    assert "70 tokens" in second.get_title(loc="left")


def test_entropy_and_surprise_are_their_definitions():
    record = trace("temperature(0.5) | sample")
    axis = plot.entropy(record).axes[0]
    tokens = record.hypotheses[0][0].tokens
    steps = [np.asarray(model().model.probabilities((1, 2, *tokens[:i]))) for i in range(len(tokens))]
    steps = [p / p.sum() for p in steps]
    np.testing.assert_allclose(axis.lines[0].get_ydata(), [-(p * np.log2(p)).sum() for p in steps], atol=1e-5)
    surprises = [-np.log2(p[t]) for p, t in zip(steps, tokens, strict=True)]
    np.testing.assert_allclose([b.get_height() for b in axis.patches], surprises, atol=1e-5)
    assert [t.get_text() for t in axis.get_xticklabels()] == [chr(97 + t) for t in tokens]


def test_kept_counts_what_the_processors_leave():
    axis = PICTURES["kept"]().axes[0]
    assert list(axis.lines[0].get_ydata()) == [2] * 6
    record = trace("top_p(0.5) | sample")
    for i, count in enumerate(axis.lines[1].get_ydata()):
        p = np.asarray(model().model.probabilities((1, 2, *record.hypotheses[0][0].tokens[:i])))
        assert count == np.searchsorted(np.cumsum(np.sort(p / p.sum())[::-1]), 0.5) + 1
    assert axis.get_yscale() == "log"


def test_the_path_of_the_best_of_several_rows_is_found():
    record = trace("top_k(3) | beam(3)")
    assert list(plot.kept({"beam": record}).axes[0].lines[0].get_ydata()) == [3] * 6


def test_temperatures_sharpen_and_flatten():
    p = np.asarray([c.probability for c in row().choices])
    bars, sums = plot.temperature(row(), (0.5, 1.0, 4.0), likeliest=4).axes
    for line, t in zip(bars.lines, (0.5, 1.0, 4.0), strict=True):
        np.testing.assert_allclose(line.get_xdata(), (p ** (1 / t) / (p ** (1 / t)).sum())[:4], rtol=1e-6)
    for line in sums.lines:
        assert line.get_ydata()[-1] == pytest.approx(1)
    assert len({line.get_marker() for line in bars.lines}) == len({line.get_linestyle() for line in sums.lines}) == 3


def test_means_with_their_intervals():
    samples = [[1.0, 3.0, 2.0, 2.0], [0.0]]
    axis = plot.sweep("temperature", [0.5, 1.0], {"measure (unit)": samples}, {"measure (unit)": 1.5}).axes[0]
    bars = axis.containers[0]
    assert list(bars.lines[0].get_ydata()) == [2.0, 0.0]
    (low, high), (one, other) = [segment[:, 1] for segment in bars.lines[2][0].get_segments()]
    assert high - low == pytest.approx(2 * 1.96 * np.std(samples[0], ddof=1) / 2)
    assert one == other == 0.0
    assert axis.get_xlabel() == "temperature (n = 1 to 4 texts each; bars: 95 % interval)"
    assert axis.get_title(loc="left") == "measure (unit)"


def test_settings_that_are_no_numbers():
    axis = plot.sweep("decoder", ["greedy", "sample"], {"share": [[1, 2], [3, 4]]}).axes[0]
    assert [t.get_text() for t in axis.get_xticklabels()] == ["greedy", "sample"]


def test_texts_are_data():
    svg = plot.entropy(trace("sample", Odd)).to_svg()
    assert "<b>" not in svg
    assert "\x1b" not in svg
    ElementTree.fromstring(plot.probability({"<i>$x_1$ & y": [-1.0]}).to_svg())


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: plot.probability({}),
        lambda: plot.probability({"nothing": []}),
        lambda: plot.entropy(trace(level="choices")),
        lambda: plot.kept({"tokens": trace(level="tokens")}),
        lambda: plot.temperature(row(), (0.0,)),
        lambda: plot.temperature(row(1)),
        lambda: plot.sweep("width", [1, 2], {"nats": [[1]]}),
        lambda: plot.sweep("width", [], {"nats": []}),
        lambda: plot.sweep("width", [1], {"nats": [[]]}),
    ],
)
def test_refusals(wrong):
    with pytest.raises(un.UnspoolError):
        wrong()


def test_without_matplotlib_it_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delitem(sys.modules, "unspool.views.plot")
    with pytest.raises(un.MissingExtra, match=r"pip install 'unspool\[plot\]'"):
        importlib.import_module("unspool.views.plot")
