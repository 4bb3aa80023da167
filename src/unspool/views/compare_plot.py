"""A comparison of decoders as a picture: one metric against another, with intervals, sample sizes and human text."""

from __future__ import annotations

import io
import math
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unspool.errors import ParameterError, check, unknown
from unspool.files import write
from unspool.views.characters import shown

if TYPE_CHECKING:
    from unspool.lab.rows import Compared, DecoderRow

SUFFIXES = (".svg", ".png", ".pdf")
PREFERRED = ("diversity", "perplexity")
AXES_HEIGHT, LINE_HEIGHT = 3.4, 0.2
"""Inches of the axes with their labels, and of a line of the legend."""
LEGEND_MARGIN = 0.65
"""Inches of a legend's column that its markers and margins take."""
POINTS = 72
"""Of an inch."""


def check_path(path: str | Path) -> Path:
    """A path that a picture can be saved to; matplotlib must be there."""
    import unspool.views.plot  # noqa: F401

    found = Path(path)
    check(found.suffix.lower() in SUFFIXES, f"a picture is saved as {', '.join(SUFFIXES)}; got {str(path)!r}")
    return found


def axes_of(names: list[str], x: str | None, y: str | None) -> tuple[str, str]:
    """The metrics of the two axes: those that are named, otherwise diversity and perplexity, otherwise the first that are left."""
    for name in (x, y):
        if name is not None and name not in names:
            raise unknown("metric of this comparison", name, names)
    left = [n for n in dict.fromkeys((*PREFERRED, *names)) if n in names and n not in (x, y)]
    if (x is None) + (y is None) > len(left) or (x is not None and x == y):
        raise ParameterError(f"a picture shows one metric against another; there is only {', '.join(names)}")
    x = left.pop(0) if x is None else x
    return x, left.pop(0) if y is None else y


def plot_comparison(c: Compared, path: str | Path | None, x: str | None, y: str | None) -> Any:
    """See `Comparison.plot`."""
    target = check_path("picture.svg" if path is None else path)
    from matplotlib import rc_context

    from unspool.views.plot import COLORS, INCHES, INK, MARKERS, PLOT_STYLE, Picture

    x, y = axes_of([m.name for m in c.metrics], x, y)
    with rc_context(PLOT_STYLE):
        half, whole = (INCHES / n - LEGEND_MARGIN for n in (2, 1))
        labels = [_label(r) for r in c.all_rows if r.texts]
        columns = 2 if all(_inches(label) <= half for label in labels) else 1
        labels = [_fitted(label, whole) for label in labels]
        lines = -(-len(labels) // 2) if columns == 2 else sum(label.count("\n") + 1 for label in labels)
        figure = Picture(figsize=(INCHES, AXES_HEIGHT + LINE_HEIGHT * lines), layout="constrained")
        axis = figure.subplots()
        for i, row in enumerate(c.rows):
            marker = MARKERS[(i + i // len(COLORS)) % len(MARKERS)]       # the same colours come with other markers
            _point(axis, row, x, y, color=COLORS[i % len(COLORS)], marker=marker)
        if c.reference:
            _point(axis, c.reference, x, y, color=INK, marker="*", markersize=9)
            for name, line in ((x, axis.axvline), (y, axis.axhline)):
                line(c.reference.values[name].value, color=INK, linewidth=0.8, linestyle=":", zorder=1)
        for name, side in ((x, "x"), (y, "y")):
            metric = next(m for m in c.metrics if m.name == name)
            getattr(axis, f"set_{side}label")(f"{name} ({metric.unit}{', log scale' if metric.log else ''})")
            if metric.log:
                _log_scale(axis, side)
        axis.grid(axis="x")
        axis.margins(0.12)
        axis.set_title(_fitted(_title(c), whole))
        figure.legend(axis.get_legend_handles_labels()[0], labels, loc="outside lower left", ncols=columns)
        if path is not None and target.suffix.lower() == ".svg":
            write(target, figure.to_svg())
        elif path is not None:
            out = io.BytesIO()
            figure.savefig(out, format=target.suffix.lower()[1:], dpi=200)
            write(target, out.getvalue())
    return figure


def _point(axis: Any, row: DecoderRow, x: str, y: str, **style: Any) -> None:
    at, errors = [], []
    if not row.texts:
        return                                                            # no text, no point; its table says so
    for one in (row.values[x], row.values[y]):
        at.append(one.value)
        errors.append([[max(0.0, one.value - one.low)], [max(0.0, one.high - one.value)]] if math.isfinite(one.low) else None)
    style = {"linestyle": "", "capsize": 2.5, "elinewidth": 0.9, "markersize": 5} | style
    axis.errorbar(*at, xerr=errors[0], yerr=errors[1], label="point", **style)


def _label(row: DecoderRow) -> str:
    texts, prompts = (f"{n} {what}{'s' * (n != 1)}" for n, what in ((row.texts, "text"), (row.prompts, "prompt")))
    return shown(f"{row.name} ({texts} of {prompts})" if row.cost else f"human text ({texts})")


def _inches(line: str) -> float:
    """How wide a line of the legend is drawn."""
    from matplotlib import rcParams
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    width, _, _ = text_to_path.get_text_width_height_descent(line, FontProperties(size=rcParams["font.size"]), ismath=False)
    return float(width) / POINTS


def _fitted(label: str, inches: float) -> str:
    """The label, broken at spaces into lines of at most this width; what stands in brackets at its end stays together if it can."""
    columns, lines = len(label), [label]
    name, bracket, counts = label.rpartition(" (")
    if bracket and label.endswith(")") and _inches(label) > inches >= _inches(bracket[1:] + counts):
        return f"{_fitted(name, inches)}\n{bracket[1:]}{counts}"
    while columns > 1 and (widest := max(map(_inches, lines))) > inches:
        columns = max(1, min(columns - 1, int(max(map(len, lines)) * inches / widest)))
        lines = textwrap.wrap(label, columns, break_on_hyphens=False)
    return "\n".join(lines)


def _log_scale(axis: Any, side: str) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    getattr(axis, f"set_{side}scale")("log")
    one = getattr(axis, f"{side}axis")
    one.set_major_locator(LogLocator(subs=(1, 2, 5)))
    one.set_major_formatter(StrMethodFormatter("{x:g}"))
    one.set_minor_formatter(NullFormatter())


def _title(c: Compared) -> str:
    bars = "bars: 95 % intervals over prompts" if any(row.prompts > 1 for row in c.rows) else "one prompt: no intervals"
    return f"{c.settings['model']['name']}, at most {c.settings['max_new_tokens']} new tokens; {bars}"
