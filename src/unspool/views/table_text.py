"""The step table as text: a line for each step, or two where a line has no room."""

from __future__ import annotations

from collections.abc import Sequence

from unspool.views.cells import Cell, Row
from unspool.views.characters import shown
from unspool.views.terminal import Paint, display_width, fit_left, fit_right, wrap

Pieces = list[tuple[str, str]]
"""Pieces of text with their styles, side by side."""
WHICH = "the model's probability → the one after the processors"
OPEN = "Open: effective choices, exp(entropy): as many equally likely tokens would be as uncertain"
LEAST_INPUT = 16
"""Columns that the Input has at least; otherwise the choices give way."""


def draw_steps(table: Sequence[Row], all: bool, processed: bool, effective: bool, width: int, paint: Paint) -> str:
    """The step table (see `StepTable`): a line for each step where that fits, otherwise two with the percentages below the tokens.

    Where even that does not fit, the last choices are left out and a line below the table says so.
    """
    if not len(table):
        return "no steps\n"
    most = max(len(r.choices) for r in table)
    forms = [(most, 0, False), (most, 16, True), *((count, 9, True) for count in range(min(most, width // 8), 1, -1)), (1, 9, True)]
    count, lines, place = most, [], 2 * all + effective
    for count, widest, below in forms:
        lines = _lines_of(table, all, processed, effective, count, widest, below)
        if not width or _room(lines, width, place) >= min(LEAST_INPUT, _widest_input(table)):
            break
    text = _join_lines(lines, width, place, paint)
    if count < most:
        hint = f"{count} of {most} choices shown: widen the terminal, or use -o csv"
        text += "".join(paint(hint[first:last], "dim") + "\n" for first, last in wrap(hint, width))
    for note in [WHICH] * processed + [OPEN] * effective:
        text += "".join(paint(note[first:last], "dim") + "\n" for first, last in wrap(note, width))
    return text


def _lines_of(
    table: Sequence[Row], all: bool, processed: bool, effective: bool, count: int, widest: int, below: bool
) -> list[list[Pieces]]:
    """Lines of cells, the header first."""
    front = [*(["Step", "Row"] if all else []), *(["  Open"] if effective else []), "Input"]
    lines: list[list[Pieces]] = [[[(name, "head")] for name in [*front, *(f"Choice {i + 1}" for i in range(count))]]]
    for r in table:
        numbers = [str(r.step + 1), str(r.row + 1)] if all else []
        numbers += [("" if r.effective is None else _few(r.effective)).rjust(6)] if effective else []
        cells = [_cell(c, c.token in r.chosen, processed, widest, below) for c in r.choices[:count]]
        height = max(map(len, cells), default=1)
        for i in range(height):
            left: list[Pieces] = [[(n if i == 0 else "", "dim")] for n in numbers] + [[(shown(r.input) if i == 0 else "", "")]]
            lines.append([*left, *(c[i] for c in cells)])
    return lines


def _cell(choice: Cell, chosen: bool, processed: bool, widest: int, below: bool) -> list[Pieces]:
    """A choice in one line, as most (9.76%); or the token, its percentage below it, and below that the one after the processors."""
    token = shown(choice.text)
    name = (fit_right(token, widest) if widest else token, "chosen" if chosen else "")
    if not below:
        second = f" → {choice.processed:.2%}" if processed else ""
        return [[name, (f" ({choice.probability:.2%}{second})", "dim")]]
    lines: list[Pieces] = [[name], [(f"{choice.probability:.2%}", "dim")]]
    return [*lines, [(f"→ {choice.processed:.2%}", "dim")]] if processed else lines


def _sizes(lines: list[list[Pieces]]) -> list[int]:
    columns = max(map(len, lines))
    return [max(sum(display_width(t) for t, _ in line[i]) for line in lines if i < len(line)) for i in range(columns)]


def _widest_input(table: Sequence[Row]) -> int:
    return max(display_width(shown(r.input)) for r in table)


def _few(count: float) -> str:
    """A number of choices in six characters."""
    return f"{count:.1f}" if count < 9999.95 else f"{count:.0f}" if count < 999_999.5 else f"{count:.0e}"


def _room(lines: list[list[Pieces]], width: int, place: int) -> int:
    """The columns left for the input, which is the column at `place`."""
    sizes = _sizes(lines)
    return width - sum(sizes) + sizes[place] - 2 * (len(sizes) - 1)


def _join_lines(lines: list[list[Pieces]], width: int, place: int, paint: Paint) -> str:
    sizes = _sizes(lines)
    if width:
        sizes[place] = max(1, min(sizes[place], _room(lines, width, place)))
    out = []
    for line in lines:
        parts = []
        for i, (cell, size) in enumerate(zip(line, sizes)):
            texts = [(fit_left(t, size), s) for t, s in cell] if i == place else cell
            blank = " " * (size - sum(display_width(t) for t, _ in texts)) if i + 1 < len(line) else ""
            parts.append("".join(paint(t, s) for t, s in texts) + blank)
        out.append("  ".join(parts).rstrip())
    return "\n".join(out) + "\n"
