"""A sweep as a picture: a heat map over two parameters, lines over one, the front of a trade-off."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from unspool.errors import check
from unspool.files import write
from unspool.views.characters import shown
from unspool.views.compare_plot import check_path
from unspool.views.sweep_grid import cells_of

if TYPE_CHECKING:
    from unspool.sweeps.goals import Goal
    from unspool.sweeps.rows import SweepRow, Swept

CELL_HEIGHT, HEIGHT = 0.32, 3.4
"""Inches of a line of the heat map, and of another picture."""
NUMBERS_UP_TO = 12
"""Up to so many values of an axis the numbers stand in the cells."""
LIGHT_INK_ABOVE = 0.6
"""Of a colour map from 0 to 1: above it the ink is light."""


def plot_sweep(s: Swept, path: str | Path | None) -> Any:
    """See `Sweep.plot`."""
    target = check_path("picture.svg" if path is None else path)
    from matplotlib import rc_context

    from unspool.views.plot import INCHES, PLOT_STYLE, Picture

    check(bool(s.rows), "nothing is finished yet, so there is nothing to draw")
    cells = cells_of(s) if len(s.goals) == 1 else {}
    with rc_context(PLOT_STYLE):
        height = 1.2 + CELL_HEIGHT * len(s.axes[0].values) if cells else HEIGHT
        figure = Picture(figsize=(INCHES, max(2.2, height)), layout="constrained")
        axis = figure.subplots()
        if cells:
            _heat(figure, axis, s, cells)
        elif len(s.goals) == 2:
            _front(axis, s)
        else:
            _lines(axis, s)
        goals = " against ".join(goal.name for goal in s.goals)
        axis.set_title(shown(f"{s.settings['model']['name']}, {s.prompts} {s.items}: {goals}"))
        if path is not None and target.suffix.lower() == ".svg":
            write(target, figure.to_svg())
        elif path is not None:
            out = io.BytesIO()
            figure.savefig(out, format=target.suffix.lower()[1:], dpi=200)
            write(target, out.getvalue())
    return figure


def _heat(figure: Any, axis: Any, s: Swept, cells: dict[tuple[str, str], SweepRow]) -> None:
    """The first axis downwards, the second across; dark is better."""
    goal, (down, across) = s.goals[0], s.axes
    rows = [[cells.get((v, w)) for w in across.values] for v in down.values]
    values = np.asarray([[_value(row) for row in line] for line in rows])
    compared = np.asarray([[row is not None and not row.dropped for row in line] for line in rows])
    losses = np.where(np.isfinite(values) & compared, goal.loss(values), np.nan)
    known = np.unique(losses[np.isfinite(losses)])
    ranks = np.searchsorted(known, losses) / max(len(known) - 1, 1)      # as in the grid of characters
    good = np.where(np.isfinite(losses), 1 - ranks, np.nan)
    axis.grid(False)
    edges = np.arange(len(across.values) + 1), np.arange(len(down.values) + 1)
    axis.pcolormesh(*edges, np.ma.masked_invalid(good), cmap="cividis_r", vmin=0, vmax=1)
    axis.invert_yaxis()
    for names, where, turn in ((across.values, axis.xaxis, 90), (down.values, axis.yaxis, 0)):
        where.set_ticks(np.arange(len(names)) + 0.5, [shown(n) for n in names])
        where.set_tick_params(length=0, labelrotation=turn if max(map(len, names)) * len(names) > 60 else 0)
    axis.set_xlabel(across.name)
    axis.set_ylabel(down.name)
    for i in range(len(down.values)):
        for j in range(len(across.values)):
            row = rows[i][j]
            sign = " >" if row is s.recommended and row else " *" if row is s.best and row else ""
            text = f"{values[i, j]:.{goal.metric.decimals}f}" if len(across.values) <= NUMBERS_UP_TO and math.isfinite(values[i, j]) else ""
            text = f"({text})" if text and not compared[i, j] else text
            if text + sign.strip():
                color = "#ffffff" if good[i, j] > LIGHT_INK_ABOVE else "#1b1b1f"
                axis.text(j + 0.5, i + 0.5, text + sign, ha="center", va="center", fontsize=7, color=color)
    dropped = ", in brackets: dropped early" * any(row.dropped for row in s.rows)
    figure.supxlabel(f"{_label(goal)}; dark is better (by rank), * the best, > recommended{dropped}", fontsize=8, x=0.01, ha="left")


def _value(row: SweepRow | None) -> float:
    return math.nan if row is None else row.estimates[0].value


def _lines(axis: Any, s: Swept) -> None:
    """The metric over the values of the one axis, or over the settings in their order."""
    from unspool.views.plot import COLORS

    rows = [row for row in s.rows if math.isfinite(row.estimates[0].value)]
    names = [" ".join(row.values) for row in rows]
    at = _numbers(names)
    places = list(range(len(rows))) if at is None else at
    errors = np.asarray([_bar(row) for row in rows]).T if rows else None
    style = {"color": COLORS[0], "marker": "o", "linestyle": "-" if at and len(s.axes) == 1 else "", "capsize": 2.5}
    axis.errorbar(places, [row.estimates[0].value for row in rows], yerr=errors, **style)
    _signs(axis, s, [(row, x, row.estimates[0].value) for row, x in zip(rows, places, strict=True)])
    if at is None:
        axis.set_xticks(places, [shown(n) for n in names], rotation=90)
    axis.set_xlabel(", ".join(one.name for one in s.axes))
    axis.set_ylabel(_label(s.goals[0]))


def _numbers(names: list[str]) -> list[float] | None:
    """The names as numbers, if they are."""
    try:
        return [float(name) for name in names]
    except ValueError:
        return None


def _bar(row: SweepRow) -> tuple[float, float]:
    one = row.estimates[0]
    return (one.value - one.low, one.high - one.value) if math.isfinite(one.low) else (0.0, 0.0)


def _front(axis: Any, s: Swept) -> None:
    """One metric against the other; the front as a line."""
    from unspool.views.plot import COLORS, GRAY

    def at(row: SweepRow) -> tuple[float, float]:
        return row.estimates[0].value, row.estimates[1].value

    rows = [row for row in s.rows if all(map(math.isfinite, at(row)))]
    axis.grid(axis="x")
    axis.plot(*zip(*map(at, rows), strict=True), linestyle="", marker="o", color=GRAY, markersize=3.5) if rows else None
    front = [row for row in s.front if row in rows]
    if front:
        axis.plot(*zip(*map(at, front), strict=True), color=COLORS[0], marker="o")
    _signs(axis, s, [(row, *at(row)) for row in rows])
    axis.set_xlabel(_label(s.goals[0]))
    axis.set_ylabel(_label(s.goals[1]))


def _signs(axis: Any, s: Swept, points: list[tuple[SweepRow, float, float]]) -> None:
    """A ring around the best and around the recommended setting."""
    from unspool.views.plot import COLORS

    for row, x, y in points:
        words = [word for word, one in (("best", s.best), ("recommended", s.recommended)) if one is row]
        if words:
            color, label = COLORS[1 if "best" in words else 2], shown(f"{', '.join(words)}: {' '.join(row.values)}")
            axis.plot([x], [y], label=label, marker="o", markersize=10, markerfacecolor="none", linestyle="", color=color)
    if axis.get_legend_handles_labels()[0]:
        axis.legend()
    axis.margins(0.08)


def _label(goal: Goal) -> str:
    aim = goal.aim.partition(", ")[2]
    return f"{goal.name} ({goal.metric.unit}; {aim})"
