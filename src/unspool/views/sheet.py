"""Sheets: columns and lines of text, and their file forms."""

from __future__ import annotations

import csv
import html
import io
import json
import math
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from unspool.views.page import page as page


@dataclass(frozen=True)
class Sheet:
    """Columns and lines of cells."""

    columns: Sequence[str]
    lines: Sequence[Sequence[str]]
    strong: Collection[tuple[int, int]] = ()
    """(line, column) of cells that stand out in Markdown and HTML."""

    def to_csv(self) -> str:
        """Comma-separated values, every cell as it is."""
        out = io.StringIO()
        csv.writer(out, lineterminator="\n").writerows([self.columns, *self.lines])
        return out.getvalue()

    def to_markdown(self) -> str:
        """A Markdown table; what Markdown would read as markup is escaped."""
        lines = [list(self.columns), *([self._bold(i, j, c) for j, c in enumerate(line)] for i, line in enumerate(self.lines))]
        lines.insert(1, ["---"] * len(self.columns))
        return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"

    def _bold(self, line: int, column: int, cell: str) -> str:
        text = markdown(cell)
        return f"**{text}**" if (line, column) in self.strong else text

    def _cell(self, line: int, column: int, cell: str) -> str:
        kind = ' class="chosen"' if (line, column) in self.strong else ""
        return f"<td{kind}>{html.escape(cell)}</td>"

    def to_html(self, kind: str = "sheet") -> str:
        """An HTML table of this class; every text is escaped."""
        head = "".join(f"<th>{html.escape(c)}</th>" for c in self.columns)
        cells = [[self._cell(i, j, c) for j, c in enumerate(line)] for i, line in enumerate(self.lines)]
        body = "\n".join("<tr>" + "".join(line) + "</tr>" for line in cells)
        return f'<table class="{kind}">\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>\n'


def sheet_of(records: Sequence[dict[str, Any]]) -> Sheet:
    """Records as text: a column for each of their keys, and what is not known is empty."""
    return Sheet(list(records[0]) if records else [], [list(map(_text, line.values())) for line in records])


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return " ".join(map(_text, value))
    return ("" if math.isnan(value) else f"{value:.6g}") if isinstance(value, float) else str(value)


def markdown(cell: str) -> str:
    """A text for Markdown, what it would read as markup escaped."""
    return re.sub(r"([\\|`*_<&\[\]~])", r"\\\1", cell).replace("\r", "").replace("\n", "<br>")


def to_json(value: Any, indent: int | None = 1) -> str:
    """A value as JSON; a number that JSON lacks (an impossible token's -inf) is null."""
    return json.dumps(_finite(value), ensure_ascii=False, indent=indent, allow_nan=False)


def to_jsonl(values: Iterable[Any]) -> str:
    """Each value as JSON on a line of its own."""
    return "".join(to_json(v, None) + "\n" for v in values)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
