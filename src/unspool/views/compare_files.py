"""A comparison of decoders in files: records of its rows, Markdown and HTML."""

from __future__ import annotations

import html
import math
from typing import TYPE_CHECKING, Any

from unspool.views.compare_words import Figure, heading, notes, tables
from unspool.views.page import fragment
from unspool.views.sheet import Sheet, markdown

if TYPE_CHECKING:
    from unspool.lab.bootstrap import Estimate
    from unspool.lab.rows import Compared
    from unspool.lab.significance import Difference


def _sheets(c: Compared, line_break: str) -> list[tuple[str, Sheet]]:
    found = []
    for title, rows, columns, cells in tables(c):
        lines = [[row.name, *(_joined(x, line_break) for x in line)] for row, line in zip(rows, cells, strict=True)]
        found.append((title, Sheet(["decoder", *columns], lines)))
    return found


def _joined(c: Figure, line_break: str) -> str:
    return line_break.join([c[0] + c[2], *c[1]])


def to_markdown(c: Compared) -> str:
    """The tables with their titles and notes."""
    parts = [markdown(heading(c)) + "\n"]
    for title, sheet in _sheets(c, " "):
        parts += [f"**{markdown(title)}**\n"] * bool(title) + [sheet.to_markdown()]
    return "\n".join([*parts, markdown(" ".join(notes(c))) + "\n"])


def to_html(c: Compared) -> str:
    """The same for a notebook, with the definitions of the metrics."""
    return fragment(*html_tables(c))


def html_tables(c: Compared) -> list[str]:
    """The tables as parts of a page, with their notes and the definitions of their metrics."""
    parts = [f"<p>{html.escape(heading(c))}</p>\n"]
    for title, sheet in _sheets(c, "\n"):
        parts += [f"<h2>{html.escape(title)}</h2>\n"] * bool(title) + [f'<div class="wide">{sheet.to_html()}</div>\n']
    parts.append(f"<p>{html.escape(' '.join(notes(c)))}</p>\n")
    definitions = [[m.name, f"{m.definition} Unit: {m.unit}. Pooling: {m.pooling}."] for m in c.metrics]
    parts.append(f'<div class="wide">{Sheet(["metric", "definition"], definitions).to_html()}</div>\n')
    return parts


def records(c: Compared) -> list[dict[str, Any]]:
    """A line for each row, numbers as they are."""
    lines = []
    for row in c.all_rows:
        counts: dict[str, Any] = {"prompts": row.prompts, "texts": row.texts, "failed": row.failed, "finished": c.settings["finished"]}
        line = {"decoder": row.name, **counts, "seeds": list(row.seeds)}
        for m in c.metrics:
            line |= _numbers(m.name, row.values[m.name]) | _differences(f"{m.name}_difference", row.differences.get(m.name))
        cost = vars(row.cost) | {"new_per_second": row.cost.new_per_second} if row.cost else {}
        lines.append(line | {k: cost.get(k, math.nan) for k in COST_COLUMNS})
    return lines


COST_COLUMNS = ("new_tokens", "forwards", "tokens", "other_forwards", "other_tokens", "seconds", "new_per_second")


def _numbers(name: str, one: Estimate | None) -> dict[str, float]:
    ends = ("", "_low", "_high")
    found = (one.value, one.low, one.high) if one else (math.nan,) * 3
    return {name + end: value for end, value in zip(ends, found, strict=True)}


def _differences(name: str, one: Difference | None) -> dict[str, float]:
    return _numbers(name, one) | {f"{name}_p": one.p if one else math.nan, f"{name}_p_holm": one.holm if one else math.nan}


def to_dict(c: Compared) -> dict[str, Any]:
    """Settings, definitions and rows; JSON makes null of what is not known."""
    definitions = {m.name: {"definition": m.definition, "unit": m.unit, "pooling": m.pooling} for m in c.metrics}
    return {"settings": c.settings, "metrics": definitions, "rows": records(c)}
