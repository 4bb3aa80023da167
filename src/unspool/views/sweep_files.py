"""A sweep in files: records of its settings, Markdown, HTML and a page."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

from unspool.sweeps.axes import value_of
from unspool.views.page import fragment, page
from unspool.views.sheet import Sheet, markdown
from unspool.views.sweep_words import columns, cost, figures, heading, mark, notes, ordered, verdict

if TYPE_CHECKING:
    from unspool.sweeps.rows import Swept


def records(s: Swept, texts: bool = False) -> list[dict[str, Any]]:
    """A line for each setting, numbers as they are; texts: the values of the axes as they were written."""
    lines = []
    for row in s.rows:
        values = row.values if texts else map(value_of, row.values)
        line: dict[str, Any] = {"decoder": row.decoder} | {axis.name: value for axis, value in zip(s.axes, values, strict=True)}
        line |= {s.items: row.prompts, "failed": row.failed, "dropped": row.dropped}
        for goal, one, worse in zip(s.goals, row.estimates, row.worse, strict=True):
            line |= {goal.name: one.value, f"{goal.name}_low": one.low, f"{goal.name}_high": one.high}
            line |= {f"{goal.name}_worse": worse.value, f"{goal.name}_worse_low": worse.low, f"{goal.name}_worse_high": worse.high}
        lines.append(
            line | {"front": row.front, "within_noise": row.within, "best": row is s.best, "recommended": row is s.recommended}
            | {"finished": s.settings["finished"], "processors": row.acting, **{name: getattr(row.spent, name) for name in vars(row.spent)}}
        )  # fmt: skip
    return lines


def to_dict(s: Swept) -> dict[str, Any]:
    """Settings, metrics, rows and the recommendation; JSON makes null of what is not known, and of infinity."""
    metrics = [
        {"name": g.name, "better": str(g).partition(":")[2], "target": g.target, "target_low": g.between[0], "target_high": g.between[1]}
        | {"definition": g.metric.definition, "unit": g.metric.unit}
        for g in s.goals
    ]
    return {
        "settings": s.settings,
        "metrics": metrics,
        "axes": [{"name": axis.name, "given": axis.given, "values": list(map(value_of, axis.values))} for axis in s.axes],
        "rows": records(s),
        "best": s.best and s.best.decoder,
        "recommended": s.recommended and s.recommended.decoder,
        "front": [row.decoder for row in s.front],
        "why": s.why,
        "prompts_needed": s.needed,
        "prompts_needed_for": s.needed_for,
        "cost": vars(s.spent) | {"seconds": s.seconds, "units_kept": s.kept},
    }


def _tabled(s: Swept) -> Sheet:
    rows = ordered(s)
    return Sheet(["", *columns(s)], [[mark(row, s).strip(), *row.values, *figures(s, row)] for row in rows],
                 {(i, j) for i, row in enumerate(rows) if row is s.recommended for j in range(1, len(s.axes) + 1)})  # fmt: skip


def to_markdown(s: Swept) -> str:
    """What to take, the table, what it cost."""
    said = "\n\n".join(markdown(line) for line in [*heading(s).split("\n"), *verdict(s)])
    return f"{said}\n\n{_tabled(s).to_markdown()}\n{markdown(cost(s))}\n\n{markdown(' '.join(notes(s)))}\n"


def to_html(s: Swept) -> str:
    """The same for a notebook."""
    return fragment(*_html(s))


def to_page(s: Swept) -> str:
    """The same as a page."""
    return page("A sweep by unspool", *_html(s))


def _html(s: Swept) -> list[str]:
    first, *others = verdict(s)
    lines = [f"<p>{html.escape(line)}</p>\n" for line in heading(s).split("\n")]
    lines += [f"<p><strong>{html.escape(first)}</strong></p>\n", *(f"<p>{html.escape(line)}</p>\n" for line in others)]
    lines.append(f'<div class="wide">{_tabled(s).to_html()}</div>\n')
    return [*lines, f"<p>{html.escape(cost(s))}</p>\n", f"<p>{html.escape(' '.join(notes(s)))}</p>\n"]
