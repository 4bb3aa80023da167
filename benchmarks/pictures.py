"""The tables as a picture: for each row, every engine's speed as a multiple of the fastest other's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.results import Duel, best_peer, is_ours
from benchmarks.workloads import Workload

TICKS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)

NARROWEST = 6.5
"""Inches that the words above and below take."""


def draw(duels: Sequence[Duel], rows: Sequence[Workload], path: Path) -> bool:
    """A panel for each duel of one model, saved to a path; False, and nothing, if no row was run by unspool and another."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullLocator

    from unspool.views.plot import COLORS, INK, MARKERS, PLOT_STYLE

    shown = [row.name for row in rows if any(best_peer(duel.rates(row.name)) for duel in duels)]
    names = list(dict.fromkeys(name for duel in duels for name in duel.names))
    if not shown:
        return False
    names.sort(key=is_ours)                                              # ours is drawn last, above the others
    colors = dict(zip(sorted(names, key=is_ours, reverse=True), COLORS * len(names), strict=False))
    marks = dict(zip(sorted(names, key=is_ours, reverse=True), MARKERS * len(names), strict=False))
    with rc_context({**PLOT_STYLE, "axes.grid.axis": "both"}):
        figure = Figure(figsize=(max(2.2 + 2.4 * len(duels), NARROWEST), 1.2 + 0.26 * len(shown)), layout="constrained")
        panels = figure.subplots(1, len(duels), sharey=True, squeeze=False)[0]
        for panel, duel in zip(panels, duels, strict=True):
            panel.axvline(1, color=INK, linewidth=0.8)
            for name in names:
                points = []
                for place, row in enumerate(shown):
                    rates = duel.rates(row)
                    if name in rates and (best := best_peer(rates)):
                        points.append((rates[name].median / rates[best].median, place))
                if points:
                    style = {"color": colors[name], "marker": marks[name], "linestyle": "none", "label": name}
                    panel.plot(*zip(*points, strict=True), **style, markersize=6 if is_ours(name) else 4.5)
            panel.set_xscale("log")
            low, high = panel.get_xlim()
            ticks = [tick for tick in TICKS if low <= tick <= high]
            panel.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
            panel.xaxis.set_minor_locator(NullLocator())
            panel.set_title(duel.format)
        panels[0].set_yticks(range(len(shown)), shown)
        panels[0].invert_yaxis()
        figure.supxlabel("tokens per second, as a multiple of the fastest engine that is not unspool", fontsize=9)
        handles = {label: handle for panel in panels for handle, label in zip(*panel.get_legend_handles_labels(), strict=True)}
        figure.legend(handles.values(), handles.keys(), loc="outside upper center", ncols=min(len(handles), 4))
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, metadata={"Date": None})
    return True
