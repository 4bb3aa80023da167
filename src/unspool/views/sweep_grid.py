"""Two parameters of a sweep as a grid of characters: a heat map for a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from unspool.arrays import Floats
from unspool.views.characters import shown
from unspool.views.compare_words import decimal
from unspool.views.terminal import display_width, fit_right

if TYPE_CHECKING:
    from unspool.sweeps.goals import Goal
    from unspool.sweeps.rows import SweepRow, Swept

SHADES = "·░▒▓█"
"""From the worst to the best."""
WIDEST_VALUE = 14
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
        compared = {at: row for at, row in cells.items() if not row.dropped}
        losses = np.asarray([float(goal.loss(np.asarray(row.estimates[place].value))) for row in compared.values()])
        shades = dict(zip(compared, shades_of(losses), strict=True))
        written = [{at: decimal(row.estimates[place].value, d) for at, row in cells.items()} for d in range(goal.metric.decimals, -1, -1)]
        yield goal, _drawn(s, cells, shades, next((some for some in written if _fits(s, some, width)), {}), width)


def _lead(s: Swept) -> int:
    """Columns for the values of the rows."""
    return min(WIDEST_VALUE + 6, max(display_width(_corner(s)), *(display_width(shown(v)) for v in s.axes[0].values)))


def _corner(s: Swept) -> str:
    return f"{s.axes[0].name} \\ {s.axes[1].name}"


def _size(s: Swept, values: dict[tuple[str, str], str]) -> int:
    """Columns of a cell: a shade, a number and a sign, and what stands above them."""
    head = max(display_width(shown(v)) for v in s.axes[1].values)
    return max(head, max(len(v) for v in values.values()) + 3 if values else 2)


def _fits(s: Swept, values: dict[tuple[str, str], str], width: int) -> bool:
    return _lead(s) + len(s.axes[1].values) * (_size(s, values) + 1) <= width


def _drawn(
    s: Swept, cells: dict[tuple[str, str], SweepRow], shades: dict[tuple[str, str], int], values: dict[tuple[str, str], str], width: int
) -> str:
    """values: what is written in the cells, beside their shades."""
    lead, across = _lead(s), s.axes[1].values
    size = min(_size(s, values), max(2, width - lead - 1))
    most = max(1, (width - lead) // (size + 1))
    blocks = []
    for first in range(0, len(across), most):
        some = across[first : first + most]
        lines = [_left(_corner(s), lead) + "".join(" " + _left(v, size) for v in some)]
        for v in s.axes[0].values:
            rows = [(w, cells.get((v, w))) for w in some]
            shown_cells = ["" if row is None else _cell(s, row, shades.get((v, w)), values.get((v, w), "")) for w, row in rows]
            lines.append(_left(v, lead) + "".join(" " + cell.ljust(size) for cell in shown_cells))
        blocks.append("\n".join(line.rstrip() for line in lines) + "\n")
    return "\n".join(blocks)


def _cell(s: Swept, row: SweepRow, shade: int | None, value: str) -> str:
    """A shade, the number, and how the setting stands out; brackets around one that was dropped early, which has no shade."""
    if shade is None:
        return f"({value})"
    sign = ">" if row is s.recommended else "*" if row is s.best else ""
    return f"{SHADES[shade]}{value and ' ' + value}{sign}"


def _left(text: str, width: int) -> str:
    text = fit_right(shown(text), width)
    return text + " " * (width - display_width(text))
