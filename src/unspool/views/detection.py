"""What detectors of watermarks found, in lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

from unspool.views.characters import shown
from unspool.views.sheet import Sheet
from unspool.views.terminal import Paint, draw_columns

if TYPE_CHECKING:
    from unspool.processors.watermark import Detection

Scan: TypeAlias = "tuple[str, str, Detection]"
"""A text, the watermark looked for, and what was found of it."""


def draw_detections(found: Sequence[Scan], width: int, paint: Paint) -> str:
    """A line for each text, below the watermark that was looked for."""
    out = []
    for mark in dict.fromkeys(mark for _, mark, _ in found):
        lines = [["Text", "Tokens", "Mean", "Expected", "z", "p-value"]]
        mine = [(text, d) for text, other, d in found if other == mark]
        form = ".2%" if all(d.expected < 1 for _, d in mine) else ".2f"    # watermark_gumbel's mean of -log(1 - u) is no share
        for text, d in mine:
            lines.append([shown(text), str(d.scored), f"{d.mean:{form}}", f"{d.expected:{form}}", f"{d.z:.2f}", p_text(d.p_value)])
        style, widest = {0: "new", 3: "dim", 5: "chosen"}, max(8, (width or 80) - 46)
        table = draw_columns(lines, paint, right={1, 2, 3, 4, 5}, style=style, widest=widest)
        out.append(paint(mark, "dim") + "\n" + table)
    return "\n".join(out)


def p_text(p: float) -> str:
    """A p-value in two digits; what is too small for a number as a bound."""
    return f"{p:.2g}" if p > 0 else "< 1e-300"


def sheet_of_detections(found: Sequence[Scan]) -> Sheet:
    """A line for each text and watermark."""
    lines = [[text, mark, str(d.scored), *(f"{x:.6g}" for x in (d.mean, d.expected, d.z, d.p_value))] for text, mark, d in found]
    return Sheet(["text", "watermark", "scored", "mean", "expected", "z", "p_value"], lines)
