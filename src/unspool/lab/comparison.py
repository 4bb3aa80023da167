"""The result of comparing decoders: what `rows.py` holds, readable in many forms."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unspool.errors import MissingExtra
from unspool.files import write
from unspool.lab.rows import Compared
from unspool.views import compare_files, compare_plot, compare_report
from unspool.views.compare import draw_comparison
from unspool.views.sheet import sheet_of
from unspool.views.side_by_side import draw_pairs
from unspool.views.terminal import PLAIN, Paint


@dataclass(frozen=True)
class Comparison(Compared):
    """A row for each decoder, the first of which the others are compared with; readable in many forms."""

    def to_text(self, width: int = 0, paint: Paint = PLAIN) -> str:
        """Tables as a terminal shows them, split to fit a width (0: as wide as they are)."""
        return draw_comparison(self, width, paint)

    def __str__(self) -> str:
        return self.to_text()

    def to_markdown(self) -> str:
        return compare_files.to_markdown(self)

    def to_html(self) -> str:
        """Tables in HTML, as a notebook shows them; every text is escaped."""
        return compare_files.to_html(self)

    _repr_html_ = to_html

    def to_csv(self) -> str:
        """A line for each decoder; of each metric the value, the ends of its interval and the difference."""
        return sheet_of(compare_files.records(self)).to_csv()

    def to_dict(self) -> dict[str, Any]:
        """Rows and settings as plain values; what is not known is None."""
        return compare_files.to_dict(self)

    def to_jsonl(self) -> str:
        """Every generation on a line, as in the file of `save`."""
        return "".join(g.to_measured_line(t) + "\n" for g, t in zip(self.generations, self.texts, strict=True))

    def to_pandas(self) -> Any:
        """A pandas DataFrame: a line for each decoder, columns as in the CSV."""
        try:
            import pandas
        except ImportError:
            raise MissingExtra("to_pandas() needs pandas: pip install 'unspool[pandas]'") from None
        return pandas.DataFrame(compare_files.records(self)).set_index("decoder")

    def side_by_side(self, prompts: int, width: int = 80, paint: Paint = PLAIN) -> str:
        """Texts of the first decoder beside those of each other one, of so many prompts, the most different first."""
        return draw_pairs(self, prompts, width, paint)

    def report(self, path: str | Path, x: str | None = None, y: str | None = None) -> None:
        """Write one HTML page of tables, pictures and texts, which needs nothing else; x and y: as for `plot`."""
        write(path, compare_report.to_page(self, x, y))

    def plot(self, path: str | Path | None = None, x: str | None = None, y: str | None = None) -> Any:
        """A picture of one metric against another, with intervals, as a matplotlib Figure; saved to an .svg, .png or .pdf.

        x and y: metrics of the comparison; diversity and perplexity if they are there, otherwise its first two.
        """
        return compare_plot.plot_comparison(self, path, x, y)
