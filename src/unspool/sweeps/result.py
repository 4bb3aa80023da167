"""The result of a sweep: what `rows.py` holds, readable in many forms."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unspool.sweeps.rows import Swept
from unspool.views import sweep_files, sweep_plot
from unspool.views.sheet import sheet_of
from unspool.views.sweep import draw_sweep
from unspool.views.terminal import PLAIN, Paint


@dataclass(frozen=True)
class Sweep(Swept):
    """A row for each setting, and the one to take; readable in many forms."""

    def to_text(self, width: int = 0, paint: Paint = PLAIN) -> str:
        """What to take and why, the settings as a table and, where two parameters vary, as a grid; width: of the screen, 0 for 80."""
        return draw_sweep(self, width, paint)

    def __str__(self) -> str:
        return self.to_text()

    def to_markdown(self) -> str:
        """The same for a Markdown page."""
        return sweep_files.to_markdown(self)

    def to_html(self) -> str:
        """The same in HTML, as a notebook shows it; every text is escaped."""
        return sweep_files.to_html(self)

    _repr_html_ = to_html

    def to_csv(self) -> str:
        """A line for each setting: its values, and of each metric the value and the interval."""
        return sheet_of(sweep_files.records(self, texts=True)).to_csv()

    def to_dict(self) -> dict[str, Any]:
        """Rows, recommendation, costs and settings as plain values; what is not known is None."""
        return sweep_files.to_dict(self)

    def plot(self, path: str | Path | None = None) -> Any:
        """A picture: a heat map over two parameters, a line over one, the front of a trade-off; saved to an .svg, .png or .pdf."""
        return sweep_plot.plot_sweep(self, path)
