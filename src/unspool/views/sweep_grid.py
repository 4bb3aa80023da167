"""Two parameters of a sweep as a grid of characters: a heat map for a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from unspool.arrays import Floats
from unspool.views.characters import shown
from unspool.views.compare import decimal
from unspool.views.terminal import display_width, fit_right

if TYPE_CHECKING:
    from unspool.sweeps.goals import Goal
    from unspool.sweeps.rows import SweepRow, Swept

SHADES = "·░▒▓█"
"""From the worst to the best."""
WIDEST = 14
"""Columns for the value of a row, at most."""


def cells_of(s: Swept) -> dict[tuple[str, str], SweepRow]:
    """The row of each pair of values; empty where there are not two axes of sets."""
    if len(s.axes) != 2 or any(not axis.values for axis in s.axes):
        return {}
    return {(row.values[0], row.values[1]): row for row in s.rows}


def shades_of(losses: Floats) -> list[int]:
    """For each loss a shade from 0, the worst, to 4, by its rank among those that are known."""
    known = np.sort(np.unique(losses[np.isfinite(losses)]))
    last = len(SHADES) - 1
    places = np.searchsorted(known, losses)
    span = max(len(known) - 1, 1)
    return [0 if not np.isfinite(loss) else last - round(last * place / span) for loss, place in zip(losses, places, strict=True)]


def grid_of(s: Swept, width: int) -> Iterator[tuple[Goal, str]]:
    """Of each metric a grid: the first axis downwards, the second across; in cells too narrow for numbers shades alone."""
    cells = cells_of(s)
    if not cells:
        return
    for place, goal in enumerate(s.goals):
        losses = np.asarray([float(goal.loss(np.asarray(row.estimates[place].value))) for row in cells.values()])
        shades = dict(zip(cells, shades_of(losses), strict=True))
        values = {at: decimal(row.estimates[place].value, goal.metric.decimals) for at, row in cells.items()}
        yield goal, _drawn(s, cells, shades, values, width)


def _drawn(
    s: Swept, cells: dict[tuple[str, str], SweepRow], shades: dict[tuple[str, str], int], values: dict[tuple[str, str], str], width: int
) -> str:
    down, across = (list(map(str, axis.values)) for axis in s.axes)
    corner = f"{s.axes[0].name} \\ {s.axes[1].name}"
    lead = min(WIDEST + 6, max(display_width(corner), *(display_width(shown(v)) for v in down)))
    size = max(*(len(v) for v in values.values()), *(display_width(shown(v)) for v in across)) + 3
    numbers = lead + len(across) * (size + 1) <= width
    size = size if numbers else 2
    most = max(1, (width - lead) // (size + 1))
    blocks = []
    for first in range(0, len(across), most):
        some = across[first : first + most]
        head = _left(corner, lead) + "".join(" " + _left(v, size) for v in some)
        lines = [head.rstrip()]
        for v in down:
            line = _left(v, lead)
            for w in some:
                row = cells.get((v, w))
                line += " " + ("" if row is None else _cell(s, row, SHADES[shades[v, w]], values[v, w] if numbers else "")).ljust(size)
            lines.append(line.rstrip())
        blocks.append("\n".join(lines) + "\n")
    return "\n".join(blocks)


def _cell(s: Swept, row: SweepRow, shade: str, value: str) -> str:
    """A shade, the number, and how the setting stands out."""
    sign = ">" if row is s.recommended else "*" if row is s.best else ""
    return f"{shade}{value and ' ' + value}{sign}"


def _left(text: str, width: int) -> str:
    text = fit_right(shown(text), width)
    return text + " " * (width - display_width(text))
