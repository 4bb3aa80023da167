"""A comparison of decoders on a screen: tables, split to fit its width."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING

from unspool.views.characters import shown
from unspool.views.compare_words import Figure, heading, notes, tables
from unspool.views.terminal import PLAIN, Paint, display_width, fit_right, wrap

if TYPE_CHECKING:
    from unspool.lab.rows import Compared

WIDEST_NAME = 28


def draw_comparison(c: Compared, width: int = 0, paint: Paint = PLAIN) -> str:
    """The tables, each split into as many as fit the width (0: as wide as they are)."""
    room = min(WIDEST_NAME, max(8, width - 20)) if width else WIDEST_NAME
    out = [_dim(shown(heading(c)), width, paint)]
    for title, rows, columns, cells in tables(c):
        out.append(f"\n{paint(fit_right(shown(title), width) if width else shown(title), 'head')}\n" if title else "\n")
        out.append(_draw_table([_name_lines(row.name, room) for row in rows], columns, cells, width, paint))
    out.append("\n" + _dim(" ".join(notes(c)), width, paint))
    return "".join(out)


def _dim(text: str, width: int, paint: Paint) -> str:
    return "".join(paint(text[first:last], "dim") + "\n" for first, last in wrap(text, width))


def _name_lines(name: str, room: int) -> list[str]:
    """A decoder over several lines, broken at its bars."""
    lines = [""]
    for i, part in enumerate(shown(name).split(" | ")):
        piece = part if i == 0 else " | " + part
        if lines[-1] and len(lines[-1]) + len(piece) > room:
            lines.append("  |" + piece.removeprefix(" |"))
        else:
            lines[-1] += piece
    return [fit_right(line, room) for line in lines]


def _draw_table(names: list[list[str]], columns: list[str], cells: list[list[Figure]], width: int, paint: Paint) -> str:
    lead = max(display_width(line) for lines in names for line in lines)
    marks = max(len(c[2]) for line in cells for c in line)
    sizes = [max(len(name), *(max(len(line[i][0]) + marks, *map(len, line[i][1]), 0) for line in cells)) for i, name in enumerate(columns)]
    blocks = []
    for some in _groups(sizes, width - lead):
        head = " " * lead + "".join("  " + paint(columns[i].rjust(sizes[i]), "head") for i in some)
        lines = [head.rstrip()]
        for name, line in zip(names, cells, strict=True):
            upper = "".join("  " + _value(line[i], sizes[i], marks, paint) for i in some)
            below = max(len(line[i][1]) for i in some)
            lower = ["".join("  " + _below(line[i][1][at : at + 1], sizes[i], paint) for i in some) for at in range(below)]
            for left, figures in zip_longest(name, [upper, *lower], fillvalue=""):
                lines.append((paint(left, "chosen") + " " * (lead - display_width(left)) + figures).rstrip())
        blocks.append("\n".join(lines) + "\n")
    return "\n".join(blocks)


def _below(found: Sequence[str], size: int, paint: Paint) -> str:
    text = found[0] if found else ""
    return " " * (size - len(text)) + paint(text, "dim")


def _value(c: Figure, size: int, marks: int, paint: Paint) -> str:
    text = c[0] + c[2].ljust(marks)
    return " " * (size - len(text)) + paint(text, "head" if c[2] else "")


def _groups(sizes: Sequence[int], width: int) -> list[list[int]]:
    """Which columns stand beside one another: in as few tables as fit the width, of about the same width."""
    found = _side_by_side(sizes, width)
    while width > 0 and len(narrower := _side_by_side(sizes, width - 1)) == len(found):
        found, width = narrower, width - 1
    return found


def _side_by_side(sizes: Sequence[int], width: int) -> list[list[int]]:
    groups: list[list[int]] = []
    room = 0
    for i, size in enumerate(sizes):
        if not groups or (width > 0 and room < size + 2):
            groups.append([])
            room = width
        groups[-1].append(i)
        room -= size + 2
    return groups
