"""A comparison as pictures within a page: inline SVG in the page's own colours, light or dark, that fits a small screen."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from unspool.views.characters import shown
from unspool.views.terminal import fit_right

if TYPE_CHECKING:
    from unspool.lab.bootstrap import Estimate
    from unspool.lab.rows import Compared, DecoderRow
    from unspool.lab.text_metric import Metric

FIGURE_WIDTH, MARGIN, LINE = 340, 12, 36
"""Units of a picture: its width, what stays free at its sides, and a decoder's line."""
FIGURE_HEIGHT, LEFT_MARGIN, BOTTOM = 250, 46, 34
"""Of a picture with two axes: its height, and the room of their numbers."""
NAME_LENGTH = 46
"""Characters of a decoder's name."""
FIGURE_STYLE = """
.unspool svg.figure { display: block; width: 100%; max-width: 32rem; height: auto; margin: .3rem 0 1rem; font: 11px system-ui, sans-serif; }
.unspool .figure text { fill: var(--ink); stroke: var(--paper); stroke-width: 3px; paint-order: stroke; }
.unspool .figure .faint { fill: var(--faint); }
.unspool .figure .axis { stroke: var(--line); } .unspool .figure .reach { stroke: var(--best); stroke-width: 2; }
.unspool .figure .human { stroke: var(--faint); stroke-dasharray: 3 3; } .unspool .figure .dot { fill: var(--best); }
.unspool .figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 19rem), 1fr)); gap: 0 2rem; }
.unspool figure { margin: 0; } .unspool figcaption { color: var(--faint); font-size: .9em; }
"""
PlaceOf = Callable[[float], float]


def intervals(c: Compared, metric: Metric) -> str:
    """A metric of every decoder with its interval, and of human text as a line; "" where none has a value."""
    rows = [row for row in c.all_rows if math.isfinite(row.values[metric.name].value)]
    if not rows:
        return ""
    at = _scale(metric, [row.values[metric.name] for row in rows], MARGIN, FIGURE_WIDTH - MARGIN)
    height = LINE * len(rows) + 4
    parts = []
    if c.reference in rows and c.reference is not None:
        x = at(c.reference.values[metric.name].value)
        parts.append(f'<line class="human" x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{height}"/>')
    for i, row in enumerate(rows):
        one, y = row.values[metric.name], i * LINE + 26
        parts.append(_words(MARGIN, i * LINE + 14, _name(row)))
        parts.append(_words(FIGURE_WIDTH - MARGIN, i * LINE + 14, f"{one.value:.{metric.decimals}f}", "end"))
        parts.append(f'<line class="axis" x1="{MARGIN}" x2="{FIGURE_WIDTH - MARGIN}" y1="{y}" y2="{y}"/>')
        if math.isfinite(one.low):
            parts.append(f'<line class="reach" x1="{at(one.low):.1f}" x2="{at(one.high):.1f}" y1="{y}" y2="{y}"/>')
        parts.append(f'<circle class="dot" cx="{at(one.value):.1f}" cy="{y}" r="4"/>')
    said = f"{metric.name} ({metric.unit}{', log scale' if metric.log else ''})"
    return _figure(said, height, parts, f"{said} of each decoder with its 95 % interval")


def scatter(c: Compared, x: str, y: str) -> str:
    """One metric against another: a point with its intervals for each decoder, numbered; "" where none has both."""
    across, up = (next(m for m in c.metrics if m.name == name) for name in (x, y))
    rows = [row for row in c.all_rows if all(math.isfinite(row.values[name].value) for name in (x, y))]
    if not rows:
        return ""
    right = _scale(across, [row.values[x] for row in rows], LEFT_MARGIN, FIGURE_WIDTH - MARGIN)
    above = _scale(up, [row.values[y] for row in rows], FIGURE_HEIGHT - BOTTOM, MARGIN)
    parts = [
        f'<line class="axis" x1="{LEFT_MARGIN}" x2="{FIGURE_WIDTH - MARGIN}" y1="{FIGURE_HEIGHT - BOTTOM}" y2="{FIGURE_HEIGHT - BOTTOM}"/>',
        f'<line class="axis" x1="{LEFT_MARGIN}" x2="{LEFT_MARGIN}" y1="{MARGIN}" y2="{FIGURE_HEIGHT - BOTTOM}"/>',
    ]
    for value in _ticks(across, [row.values[x] for row in rows]):
        parts.append(_words(right(value), FIGURE_HEIGHT - BOTTOM + 14, f"{value:.{across.decimals}f}", "middle", "faint"))
    for value in _ticks(up, [row.values[y] for row in rows]):
        parts.append(_words(LEFT_MARGIN - 4, above(value) + 4, f"{value:.{up.decimals}f}", "end", "faint"))
    parts.append(_words(FIGURE_WIDTH - MARGIN, FIGURE_HEIGHT - 4, x, "end"))
    parts.append(_words(2, 9, y))
    for number, row in enumerate(rows, 1):
        a, b = row.values[x], row.values[y]
        px, py = right(a.value), above(b.value)
        if math.isfinite(a.low):
            parts.append(f'<line class="reach" x1="{right(a.low):.1f}" x2="{right(a.high):.1f}" y1="{py:.1f}" y2="{py:.1f}"/>')
        if math.isfinite(b.low):
            parts.append(f'<line class="reach" x1="{px:.1f}" x2="{px:.1f}" y1="{above(b.low):.1f}" y2="{above(b.high):.1f}"/>')
        parts.append(f'<circle class="dot" cx="{px:.1f}" cy="{py:.1f}" r="4"/>' + _words(px + 7, py - 5, str(number)))
    named = "<br>".join(f"{number}: {html.escape(_name(row))}" for number, row in enumerate(rows, 1))
    return _figure(f"{y} against {x}", FIGURE_HEIGHT, parts, f"{y} against {x}, a point for each decoder", named)


def _figure(title: str, height: int, parts: Sequence[str], said: str, below: str = "") -> str:
    drawn = f'<svg class="figure" role="img" aria-label="{html.escape(said)}" viewBox="0 0 {FIGURE_WIDTH} {height}">{"".join(parts)}</svg>'
    return f"<figure><h3>{html.escape(title)}</h3>\n{drawn}\n" + (f"<figcaption>{below}</figcaption>" if below else "") + "</figure>\n"


def _words(x: float, y: float, text: str, anchor: str = "start", kind: str = "") -> str:
    named = f' class="{kind}"' if kind else ""
    return f'<text{named} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{html.escape(text)}</text>'


def _name(row: DecoderRow) -> str:
    return fit_right(shown(row.name) if row.cost else "human text", NAME_LENGTH)


def _ends(metric: Metric, values: Sequence[Estimate]) -> tuple[float, float]:
    """The least and the most that is drawn, on a logarithmic scale their logarithms."""
    known = [x for one in values for x in (one.value, one.low, one.high) if math.isfinite(x)]
    known = [math.log(x) for x in known if x > 0] if _log(metric, values) else known
    return min(known), max(known)


def _log(metric: Metric, values: Sequence[Estimate]) -> bool:
    return metric.log and all(x > 0 for one in values for x in (one.value, one.low, one.high) if math.isfinite(x))


def _scale(metric: Metric, values: Sequence[Estimate], first: float, last: float) -> PlaceOf:
    """From values to places, with a little room at both ends."""
    low, high = _ends(metric, values)
    room = (high - low) * 0.06 or 0.5
    step = (last - first) / (high - low + 2 * room)
    log = _log(metric, values)
    return lambda value: first + ((math.log(value) if log else value) - low + room) * step


def _ticks(metric: Metric, values: Sequence[Estimate]) -> list[float]:
    """The ends and the middle."""
    low, high = _ends(metric, values)
    places = [low, (low + high) / 2, high] if high > low else [low]
    return [math.exp(x) for x in places] if _log(metric, values) else places
