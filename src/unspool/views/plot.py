"""Plots for print and screen: probability along a text, its entropy, what a temperature and a cut do, settings and their effects.

Every function takes records or plain numbers and returns a figure of matplotlib, drawn without its global state. Colours
are those of Okabe and Ito, which the colour-blind tell apart; where lines meet, markers and dashes differ too.
"""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from unspool.arrays import Floats
from unspool.errors import MissingExtra, ParameterError, check
from unspool.record.trace import Trace
from unspool.text import unfinished, visible
from unspool.views.cells import Row
from unspool.views.characters import shown

try:
    from matplotlib import rc_context
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator, StrMethodFormatter
except ImportError:
    raise MissingExtra("plots need matplotlib: pip install 'unspool[plot]'") from None

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS, DASHES = "osD^vP", ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (3, 1)))
INK, PAPER, GRID, GRAY = "#1b1b1f", "#ffffff", "#e2e2e2", "#767676"
ON_DARK = {INK: "#e8e8ee", PAPER: "#17171b", GRID: "#3a3a44", GRAY: "#a0a0aa"}
"""What stands for them on a dark screen."""
INCHES = 6.4
PLOT_STYLE: Any = {
    "font.size": 9,
    "font.family": ["DejaVu Sans"],
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "figure.facecolor": PAPER,
    "axes.facecolor": PAPER,
    **dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), INK),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.4,
    "lines.markersize": 4.5,
    "legend.frameon": False,
    "figure.dpi": 150,
    "svg.fonttype": "none",
    "svg.hashsalt": "unspool",
    "text.parse_math": False,
}
TOKENS_SHOWN = 60
"""Up to so many tokens are named under an axis."""
SURE = 1.96
"""Standard errors on either side of a mean that make an interval of 95 %."""


class Picture(Figure):
    """A figure that notebooks show as SVG; `savefig` writes PNG, PDF and the other forms of matplotlib."""

    def to_svg(self) -> str:
        """The picture as SVG, the same for the same numbers, light or dark as the reader's screen."""
        out = io.StringIO()
        with rc_context(PLOT_STYLE), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph .* missing")         # the reader's fonts draw the text, not these
            if self.get_layout_engine() is not None:                      # laid out once: every drawing would move it a little
                self.draw_without_rendering()
                self.set_layout_engine("none")
            self.savefig(out, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
        text = out.getvalue().replace("'DejaVu Sans'", "'DejaVu Sans', Verdana, sans-serif")
        head, rest = text[text.index("<svg") :].split(">", 1)
        pairs = [(kind, light, dark) for light, dark in ON_DARK.items() for kind in ("fill", "stroke")]
        rules = "\n".join(f'[style*="{kind}: {light}"] {{ {kind}: {dark} !important }}' for kind, light, dark in pairs)
        style = f"<style>@media (prefers-color-scheme: dark) {{\n{rules}\n}}</style>"
        return "\n".join(line.rstrip() for line in f"{head}>\n{style}{rest}".splitlines()) + "\n"

    def to_png(self, dots: int = 200) -> bytes:
        """The picture as PNG, so many dots an inch."""
        out = io.BytesIO()
        with rc_context(PLOT_STYLE), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph .* missing")
            self.savefig(out, format="png", dpi=dots)
        return out.getvalue()

    _repr_svg_ = to_svg


def probability(texts: Mapping[str, Sequence[float]]) -> Picture:
    """The probability of every token along texts, a panel for each, with its geometric mean (cf. Holtzman et al. 2020, arXiv 1904.09751).

    texts: the log-probabilities of each text's tokens, in nats, by name.
    """
    _some(texts, "a text")
    with rc_context(PLOT_STYLE):
        figure, axes = _panels(len(texts), 0.95, sharex=True, sharey=True)
        for axis, color, (name, logprobs) in zip(axes, _cycle(COLORS), texts.items()):
            values = np.asarray(logprobs, np.float64)
            check(len(values) > 0, f"{name!r} has no tokens to plot")
            mean = math.exp(values.mean())
            steps = np.arange(1, len(values) + 1)
            axis.fill_between(steps, np.exp(values), step="mid", color=color, alpha=0.3, linewidth=0)
            axis.step(steps, np.exp(values), where="mid", color=color, linewidth=0.9)
            axis.axhline(mean, color=GRAY, linewidth=1, linestyle="--")
            axis.set_title(f"{name}: {len(values)} tokens, geometric mean {mean:.3f}")
            axis.set_ylim(0, 1.04)
            axis.set_yticks([0, 0.5, 1])
        axes[-1].set_xlabel("step (token)")
        axes[-1].set_xlim(0.5, max(map(len, texts.values())) + 0.5)
        figure.supylabel("probability of the token", fontsize=9)
    return figure


def entropy(trace: Trace) -> Picture:
    """Along the best text of a trace of level "stages": the entropy of the model before each token, and the token's surprise.

    Both in bits: H = -sum p log2 p over the vocabulary, and -log2 p(token), whose expectation it is.
    """
    trace.require("stages", "an entropy plot")
    best = trace.best("an entropy plot")
    bits, surprise = _entropies(trace) / math.log(2), -np.asarray(best.logprobs) / math.log(2)
    steps = np.arange(1, len(best.tokens) + 1)
    with rc_context(PLOT_STYLE):
        figure, (axis,) = _panels(1, 2.9)
        axis.bar(steps, surprise, color=COLORS[0], alpha=0.45, width=0.8, label=f"surprise of the token, mean {surprise.mean():.2f} bits")
        axis.plot(steps, bits, color=COLORS[1], marker="o", markersize=2.5, label=f"entropy before it, mean {bits.mean():.2f} bits")
        axis.set_ylabel("bits")
        axis.set_xlim(0.2, len(steps) + 0.8)
        _name_steps(axis, trace)
        _legend(axis)
    return figure


def kept(traces: Mapping[str, Trace]) -> Picture:
    """How many tokens the processors leave possible at each step of the best text, on a logarithmic axis.

    traces: of level "stages", by name; of one text under several processors (see `follow`), steps can be compared.
    """
    _some(traces, "a trace")
    with rc_context(PLOT_STYLE):
        figure, (axis,) = _panels(1, 2.9)
        for color, dash, (name, trace) in zip(_cycle(COLORS), _cycle(DASHES), traces.items()):
            trace.require("stages", "a plot of what is kept")
            counts = np.asarray([s.kept[-1] for s in _stages(trace)])
            label = f"{name}: median {np.median(counts):g}"
            axis.step(np.arange(1, len(counts) + 1), counts, where="mid", color=color, linestyle=dash, label=label)
        axis.set_yscale("log")
        axis.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axis.set_ylabel("tokens kept (log scale)")
        if len({tuple(trace.hypotheses[0][0].tokens) for trace in traces.values()}) == 1:
            _name_steps(axis, trace)
        else:
            axis.set_xlabel("step (token)")
        axis.set_xlim(0.5, max(len(trace.hypotheses[0][0].tokens) for trace in traces.values()) + 0.5)
        _legend(axis)
    return figure


def temperature(row: Row, temperatures: Sequence[float] = (0.5, 1.0, 2.0), likeliest: int = 10) -> Picture:
    """What temperatures make of one distribution, p ** (1 / T) / sum: its likeliest tokens, and how fast all of them add up.

    row: of a step table; with choices=vocabulary it holds the whole distribution, with fewer only what is shown is renormalised.
    """
    check(len(row.choices) >= 2, f"a distribution has at least two tokens; the row holds {len(row.choices)}: ask for more choices")
    check(all(t > 0 for t in temperatures) and len(temperatures) > 0, f"temperatures must be above 0; got {tuple(temperatures)}")
    p = np.asarray([c.probability for c in row.choices])
    names = [shown(c.text) or "∅" for c in row.choices[:likeliest]]
    with rc_context(PLOT_STYLE):
        figure = Picture(figsize=(INCHES, 2.9), layout="constrained")
        bars, sums = figure.subplots(1, 2)
        for i, t in enumerate(temperatures):
            with np.errstate(divide="ignore"):
                q = np.exp((np.log(p) - np.log(p.max())) / t)
            q /= q.sum()
            color, marker = COLORS[i % len(COLORS)], MARKERS[i % len(MARKERS)]
            bars.plot(q[:likeliest], np.arange(len(names)), color=color, marker=marker, linestyle="", label=f"T = {t:g}")
            sums.plot(np.arange(1, len(q) + 1), np.cumsum(q), color=color, linestyle=DASHES[i % len(DASHES)], label=f"T = {t:g}")
        bars.set_yticks(np.arange(len(names)), names)
        bars.invert_yaxis()
        bars.set_xlim(0)
        bars.set_xlabel("probability")
        bars.set_title(f"the {len(names)} likeliest tokens")
        sums.set_xscale("log")
        sums.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        sums.set_ylim(0, 1.02)
        sums.set_xlabel("likeliest tokens (log scale)")
        sums.set_title(f"their summed probability, of {len(p)} tokens")
        bars.grid(axis="x")
        bars.legend()
    return figure


def sweep(
    setting: str,
    values: Sequence[Any],
    measures: Mapping[str, Sequence[Sequence[float]]],
    reference: Mapping[str, float] | None = None,
) -> Picture:
    """Measures against a setting, a panel for each: means over texts with their 95 % intervals.

    measures: by name with its unit, for each value of the setting the numbers of all texts. reference: of some measures, what
    human text has.
    """
    _some(measures, "a measure")
    check(len(values) > 0, "a sweep needs at least one value of the setting")
    for name, samples in measures.items():
        check(len(samples) == len(values), f"{name!r} needs numbers for each of the {len(values)} values; got {len(samples)}")
        check(all(len(s) > 0 for s in samples), f"{name!r} has a value without texts")
    with rc_context(PLOT_STYLE):
        figure, axes = _panels(len(measures), 1.6, sharex=True)
        numbers = all(isinstance(v, int | float) for v in values)
        at = list(values) if numbers else list(range(len(values)))
        for axis, color, marker, (name, samples) in zip(axes, _cycle(COLORS), _cycle(MARKERS), measures.items()):
            means = [float(np.mean(s)) for s in samples]
            errors = [_error(s) for s in samples]
            axis.errorbar(at, means, errors, color=color, marker=marker, capsize=2.5, elinewidth=0.9)
            if reference and name in reference:
                axis.axhline(reference[name], color=GRAY, linewidth=1, linestyle="--")
                place = ("axes fraction", "data"), "offset points"
                axis.annotate("human text", (1, reference[name]), (0, 2), *place, color=GRAY, ha="right")
            axis.set_title(name)
        if not numbers:
            axes[-1].set_xticks(at, [str(v) for v in values])
        elif all(v == int(v) for v in values):
            axes[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
        axes[-1].set_xlabel(f"{setting} ({_sizes([s for samples in measures.values() for s in samples])})")
    return figure


# --- what they share --------------------------------------------------------------------------------------------------


def _panels(count: int, height: float, **share: Any) -> tuple[Picture, Any]:
    """A figure with panels below each other, each so many inches high."""
    figure = Picture(figsize=(INCHES, height * count + 0.5), layout="constrained")
    return figure, figure.subplots(count, 1, squeeze=False, **share)[:, 0]


def _cycle(values: Sequence[Any]) -> Any:
    while True:
        yield from values


def _some(given: Mapping[str, Any], what: str) -> None:
    check(isinstance(given, Mapping) and len(given) > 0, f"give at least {what}, by name; got {given!r}")


def _error(sample: Sequence[float]) -> float:
    """Half the width of the mean's 95 % interval; 0 for one number, which has none."""
    return SURE * float(np.std(sample, ddof=1)) / math.sqrt(len(sample)) if len(sample) > 1 else 0.0


def _sizes(samples: Sequence[Sequence[float]]) -> str:
    sizes = sorted({len(s) for s in samples})
    count = f"n = {sizes[0]}" if len(sizes) == 1 else f"n = {sizes[0]} to {sizes[-1]}"
    return f"{count} texts each; bars: 95 % interval" if sizes[-1] > 1 else f"{count} text each"


def _stages(trace: Trace) -> list[Any]:
    """The stages before each token of the best text, each (S,)."""
    wanted = trace.best("a plot").nodes[:-1]
    found: dict[int, Any] = {}
    for step in trace.steps:
        considered = step.considered
        if considered is not None and considered.stages is not None:
            found |= {int(node): considered.stages.take(i) for i, node in enumerate(considered.nodes)}
    lacking = [node for node in wanted if node not in found]
    if lacking:
        raise ParameterError("the trace lacks the stages of some steps of its best text")
    return [found[node] for node in wanted]


def _entropies(trace: Trace) -> Floats:
    return np.asarray([stages.entropy[0] for stages in _stages(trace)])


def _name_steps(axis: Any, trace: Trace) -> None:
    """The tokens of the best text under the steps, if there is room."""
    tokens = trace.hypotheses[0][0].tokens
    if len(tokens) > TOKENS_SHOWN:
        axis.set_xlabel("step (token)")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        return
    names, before = [], trace.bytes_of(trace.prompts[0])
    for token in tokens:
        data = trace.tokens.get(token, b"")
        names.append((shown(visible(data, unfinished(before))) if data else trace.names.get(token, "")) or "∅")
        before += data
    size = 8 if len(tokens) <= 40 else 6
    axis.set_xticks(range(1, len(tokens) + 1), names, rotation=90, fontsize=size)
    axis.set_xlabel("token")


def _legend(axis: Any) -> None:
    """Above the axis, where no line is."""
    axis.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderaxespad=0.2)
