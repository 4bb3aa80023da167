"""A sweep on a screen: what to take and why, the settings as a table, two parameters as a grid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from unspool.views.characters import shown
from unspool.views.sweep_grid import grid_of
from unspool.views.sweep_words import cost, figures, heading, mark, notes, ordered, verdict
from unspool.views.terminal import PLAIN, Paint, display_width, fit_right, wrap

if TYPE_CHECKING:
    from unspool.sweeps.rows import SweepRow, Swept

SCREEN_WIDTH = 80
MOST_ROWS = 20
"""Settings in the table on a screen; files hold all."""
FEWEST_COLUMNS = 6
"""For the value of an axis that has no room."""
MARK_COLUMNS = 2
"""Columns for how a setting stands out."""


def draw_sweep(s: Swept, width: int = 0, paint: Paint = PLAIN) -> str:
    """Everything, in so many columns."""
    width = width or SCREEN_WIDTH
    out = [_lines(heading(s), width, paint, "dim"), "\n"]
    for i, line in enumerate(verdict(s)):
        out.append(_lines(line, width, paint, "head" if i == 0 else ""))
    rows = ordered(s)
    out += ["\n", _table(s, rows[:MOST_ROWS], width, paint)]
    if len(rows) > MOST_ROWS:
        out.append(f"and {len(rows) - MOST_ROWS} more; -o csv writes all\n")
    for goal, grid in grid_of(s, width):
        title = f"{goal.name}: darker is better" + "; in brackets: dropped early" * any(row.dropped for row in rows)
        out += ["\n", paint(fit_right(title, width), "head") + "\n", grid]
    out += ["\n", _lines(cost(s), width, paint, "dim"), _lines(" ".join(notes(s)), width, paint, "dim")]
    return "".join(out)


def _lines(text: str, width: int, paint: Paint, style: str) -> str:
    text = "\n".join(map(shown, text.split("\n")))
    return "".join(paint(text[first:last], style) + "\n" for first, last in wrap(text, width))


def _table(s: Swept, rows: Sequence[SweepRow], width: int, paint: Paint) -> str:
    """A line for each setting and metric, the values of its axes before it; where those have no room, its decoder above it."""
    several, short = len(s.goals) == 2, len({row.prompts for row in s.rows}) > 1
    head = [*[s.items] * short, *["" for _ in s.goals if several][:1], "value" if several else s.goals[0].name, "worse than the best"]
    blocks = []
    for row in rows:
        numbers = figures(s, row)
        blocks.append([[str(row.prompts) * (i == 0)] * short + [goal.name] * several + numbers[2 * i : 2 * i + 2]
                       for i, goal in enumerate(s.goals)])  # fmt: skip
    names = [axis.name for axis in s.axes]
    sizes = _widths([head, *(line for block in blocks for line in block)])
    wanted = _widths([names, *(list(map(shown, row.values)) for row in rows)])
    room = width - sum(sizes) - 2 * len(sizes) - MARK_COLUMNS
    lead = _fitting(wanted, room)
    if sum(lead) + len(lead) > room:
        return _stacked(s, rows, width, paint)
    out = [" " * MARK_COLUMNS + _row(names, lead, paint, "head") + _numbers(head, sizes, paint, "head")]
    for row, block in zip(rows, blocks, strict=True):
        style = "chosen" if row is s.recommended else ""
        begun = mark(row, s) + _row(list(map(shown, row.values)), lead, paint, "")
        for i, line in enumerate(block):
            out.append((paint(begun, style) if i == 0 else " " * display_width(begun)) + _numbers(line, sizes, paint, ""))
    return "\n".join(line.rstrip() for line in out) + "\n"


def _widths(lines: Sequence[Sequence[str]]) -> list[int]:
    return [max(map(display_width, column)) for column in zip(*lines, strict=True)]


def _row(cells: Sequence[str], sizes: Sequence[int], paint: Paint, style: str) -> str:
    return "".join(" " + paint(_cell(cell, size), style) for cell, size in zip(cells, sizes, strict=True))


def _numbers(cells: Sequence[str], sizes: Sequence[int], paint: Paint, style: str) -> str:
    return "".join("  " + " " * (size - display_width(cell)) + paint(cell, style) for cell, size in zip(cells, sizes, strict=True))


def _stacked(s: Swept, rows: Sequence[SweepRow], width: int, paint: Paint) -> str:
    """The decoder of each setting, and its numbers below it."""
    short = len({row.prompts for row in s.rows}) > 1
    out = []
    for row in rows:
        numbers = figures(s, row)
        text = shown(row.decoder) + f" ({row.prompts} {s.items})" * short
        lines = [(text, "chosen" if row is s.recommended else "head")]
        for i, goal in enumerate(s.goals):
            value, worse = f"{goal.name} {numbers[2 * i]}".rstrip(), f"worse by {numbers[2 * i + 1]}" if numbers[2 * i + 1] else ""
            beside = f"{value}; {worse}" if worse else value
            fits = display_width(beside) <= width - MARK_COLUMNS - 1
            lines += [(part, "") for part in ([beside] if fits else [value, worse])]
        for place, (line, style) in enumerate(lines):
            for first, last in wrap(line, width - MARK_COLUMNS - 1):
                out.append((mark(row, s) if place == first == 0 else " " * MARK_COLUMNS) + " " + paint(line[first:last], style))
    return "\n".join(line.rstrip() for line in out) + "\n"


def _cell(text: str, width: int) -> str:
    text = fit_right(text, width)
    return text + " " * (width - display_width(text))


def _fitting(sizes: list[int], room: int) -> list[int]:
    """Widths of the axes' columns, the widest narrowed until they fit."""
    sizes = list(sizes)
    while sum(sizes) + len(sizes) > room and max(sizes) > FEWEST_COLUMNS:
        sizes[sizes.index(max(sizes))] -= 1
    return sizes
