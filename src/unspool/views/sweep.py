"""A sweep on a screen and in files: what to take and why, the settings as a table, two parameters as a grid."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from unspool.views.characters import shown
from unspool.views.compare import NOTHING, decimal
from unspool.views.page import fragment, page
from unspool.views.sheet import Sheet, markdown
from unspool.views.sweep_grid import grid_of
from unspool.views.terminal import PLAIN, Paint, display_width, fit_right, wrap

if TYPE_CHECKING:
    from unspool.lab.bootstrap import Estimate
    from unspool.sweeps.goals import Goal
    from unspool.sweeps.rows import SweepRow, Swept

SCREEN_WIDTH = 80
MOST_ROWS = 20
"""Settings in the table on a screen; files hold all."""
FEWEST_COLUMNS = 6
"""For the value of an axis that has no room."""

# --- what is said -----------------------------------------------------------------------------------------------------


def heading(s: Swept) -> str:
    """What was swept."""
    fingerprint = f" {s.settings['model']['fingerprint'][:8]}" if s.settings["model"]["fingerprint"] else ""
    search = {"grid": "a grid", "random": "random search", "halving": "successive halving"}[s.settings["search"]]
    aims = "; ".join(goal.aim for goal in s.goals)
    what = f"{search} of {s.settings['settings']} settings, {s.prompts} {s.items}"
    return f"{s.settings['model']['name']}{fingerprint}: {s.template}\n{what}; {aims}"


def verdict(s: Swept) -> list[str]:
    """The recommendation, why, and how sure it is."""
    if s.recommended is None:
        return [f"{so_far(s, 'Nothing is recommended', 'nothing is recommended')}. {s.why}"]
    found = [f"{so_far(s, 'Recommended', 'this is recommended')}: {s.recommended.decoder}", *standing(s, s.recommended), s.why]
    if s.best is not None and s.best is not s.recommended:
        found.append(f"{'Best' if len(s.goals) == 1 else 'Best balance'}: {s.best.decoder}")
    return [*found, *filter(None, [s.needed_for])]


def so_far(s: Swept, whole: str, part: str) -> str:
    """What is said at the end of a sweep, or behind how much of it is there."""
    if s.settings["finished"]:
        return whole
    some = f" and with {len(s.rows)} of {s.settings['settings']} settings" if len(s.rows) < s.settings["settings"] else ""
    return f"So far, on {s.reached} of {s.prompts} {s.items}{some}, {part}"


def standing(s: Swept, row: SweepRow) -> list[str]:
    """Of each metric a line: what a setting has, and how far that is from what it is to be."""
    return [_standing(s, goal, place, row.estimates[place].value) for place, goal in enumerate(s.goals)]


def _standing(s: Swept, goal: Goal, place: int, value: float) -> str:
    there = [x for other in s.rows if not other.dropped and math.isfinite(x := other.estimates[place].value)]
    wanted = goal.target if goal.way == "near" else min(there, default=math.nan) if goal.way == "min" else max(there, default=math.nan)
    what = "that of human text" if goal.human else "what it is to be near" if goal.way == "near" else f"the {goal.end} here"
    decimals = goal.metric.decimals
    gap = round(value, decimals) - round(wanted, decimals)                # as the two are shown
    where = f"{decimal(abs(gap), decimals)} {'above' if gap > 0 else 'below'} {what}, {decimal(wanted, decimals)}" if gap else what
    return f"{goal.name}: {decimal(value, decimals)}, {where}{_ends(*goal.between, decimals)}"


def _ends(low: float, high: float, decimals: int, sign: bool = False) -> str:
    """An interval, if there is one."""
    return f" [{decimal(low, decimals, sign)}, {decimal(high, decimals, sign)}]" if math.isfinite(low) else ""


def cost(s: Swept) -> str:
    """What it took."""
    parts = [f"{s.seconds:.1f} s", f"{s.spent.forwards:,} forwards", f"{s.spent.tokens:,} tokens through the model"]
    parts += [f"{s.spent.other_tokens:,} through other models"] * bool(s.spent.other_tokens)
    parts += [f"{s.spent.new_tokens:,} new ones"] * bool(s.spent.new_tokens)
    once = f", each text once for all {len(s.rows)} settings" if s.read else f", {s.settings['runs']:,} runs of a prompt"
    kept = f"; {s.kept} units were in the file, and took no time now" if s.kept else ""
    return f"Cost: {', '.join(parts)}{once}{kept}."


def notes(s: Swept) -> list[str]:
    """What one has to know to read the table."""
    found = [f"Brackets: 95 % intervals, by bootstrap over {s.items}. *: the best. >: recommended. ~: within noise of the best."]
    if len(s.goals) == 2:
        found.append("|: on the Pareto front: no setting is better in one metric and as good in the other.")
    if dropped := sum(row.dropped for row in s.rows):
        found.append(f"{dropped} setting{'s were' if dropped > 1 else ' was'} dropped early, after fewer {s.items} than the others.")
    if failed := [row for row in s.rows if row.failed]:
        found.append(f"{len(failed)} settings came to no text after some prompts and are not recommended while others came to all.")
    if not s.settings["finished"]:
        found.append(f"The sweep is not finished: settings are compared on the {s.reached} {s.items} that all of them have.")
    return found


def ordered(s: Swept) -> list[SweepRow]:
    """The rows, the best first: with two metrics the front along the first one, then the others."""

    def place(row: SweepRow) -> tuple[Any, ...]:
        losses = [float(goal.loss(one.value)) for goal, one in zip(s.goals, row.estimates, strict=True)]  # type: ignore[arg-type]
        known = [math.inf if math.isnan(x) else x for x in losses]
        return row.dropped, -row.prompts, len(s.goals) == 2 and not row.front, known, row.number

    return sorted(s.rows, key=place)


def mark(row: SweepRow, s: Swept) -> str:
    """How a row stands out."""
    best = "*" if row is s.best else "~" if row.within else " "
    return best + (">" if row is s.recommended else "|" if row.front and len(s.goals) == 2 else " ")


# --- on a screen ------------------------------------------------------------------------------------------------------


def draw_sweep(s: Swept, width: int = 0, paint: Paint = PLAIN) -> str:
    """Everything, in so many columns."""
    width = width or SCREEN_WIDTH
    out = [_lines(heading(s), width, paint, "dim"), "\n"]
    for i, line in enumerate(verdict(s)):
        out.append(_lines(line, width, paint, "head" if i == 0 else ""))
    rows = ordered(s)
    out += ["\n", _table(s, rows[:MOST_ROWS], width, paint)]
    if len(rows) > MOST_ROWS:
        out.append(f"and {len(rows) - MOST_ROWS} more; -o csv writes all\n")
    for goal, grid in grid_of(s, width):
        out += ["\n", paint(fit_right(f"{goal.name}: darker is better", width), "head") + "\n", grid]
    out += ["\n", _lines(cost(s), width, paint, "dim"), _lines(" ".join(notes(s)), width, paint, "dim")]
    return "".join(out)


def _lines(text: str, width: int, paint: Paint, style: str) -> str:
    text = "\n".join(map(shown, text.split("\n")))
    return "".join(paint(text[first:last], style) + "\n" for first, last in wrap(text, width))


def figures(s: Swept, row: SweepRow) -> list[str]:
    """Of each metric the value with its interval, then how much worse than the best."""
    found = []
    for goal, one, worse in zip(s.goals, row.estimates, row.worse, strict=True):
        found.append(_with_interval(one, goal.metric.decimals, False))
        found.append("" if row is s.best else _with_interval(worse, goal.metric.decimals, True))
    return found


def _with_interval(one: Estimate, decimals: int, sign: bool) -> str:
    value = "∞" if one.value == math.inf else decimal(one.value, decimals, sign)
    return "" if value == NOTHING else value + _ends(one.low, one.high, decimals, sign)


def columns(s: Swept) -> list[str]:
    """Of the tables in files."""
    return [*(axis.name for axis in s.axes), *(name for goal in s.goals for name in (goal.name, f"{goal.name}: worse by"))]


def _table(s: Swept, rows: Sequence[SweepRow], width: int, paint: Paint) -> str:
    """A line for each setting; with two metrics the second below the first."""
    names = [axis.name for axis in s.axes]
    cells = [[mark(row, s), *map(shown, row.values)] for row in rows]
    halves = [[figures(s, row)[2 * i : 2 * i + 2] for i in range(len(s.goals))] for row in rows]
    short = len({row.prompts for row in s.rows}) > 1
    counts = [[str(row.prompts)] * short for row in rows]
    right = [*[s.items] * short, *([s.goals[0].name, "worse than the best"] if len(s.goals) == 1 else ["", "value", "worse than the best"])]
    labels = [[goal.name] if len(s.goals) == 2 else [] for goal in s.goals]
    blocks = [
        [[*(count if i == 0 else [""] * short), *label, *half] for i, (label, half) in enumerate(zip(labels, some, strict=True))]
        for count, some in zip(counts, halves, strict=True)
    ]
    sizes = [max(display_width(right[i]), *(display_width(line[i]) for block in blocks for line in block)) for i in range(len(right))]
    wanted = [max(display_width(n), *(display_width(c[i + 1]) for c in cells)) for i, n in enumerate(names)]
    lead = _fitting(wanted, width - sum(sizes) - 2 * len(sizes) - 2)
    out = ["  " + "".join(" " + paint(_cell(n, w), "head") for n, w in zip(names, lead, strict=True))
           + "".join("  " + paint(n.rjust(w), "head") for n, w in zip(right, sizes, strict=True))]  # fmt: skip
    for row, line, block in zip(rows, cells, blocks, strict=True):
        for place, half in enumerate(block):
            left = [line[0], *line[1:]] if place == 0 else [" " * 2, *[""] * len(names)]
            text = left[0] + "".join(" " + _cell(c, w) for c, w in zip(left[1:], lead, strict=True))
            style = "chosen" if row is s.recommended else ""
            numbers = "".join("  " + " " * (w - display_width(c)) + c for c, w in zip(half, sizes, strict=True))
            out.append((paint(text, style) + numbers).rstrip())
    return "\n".join(out) + "\n"


def _cell(text: str, width: int) -> str:
    text = fit_right(text, width)
    return text + " " * (width - display_width(text))


def _fitting(sizes: list[int], room: int) -> list[int]:
    """Widths of the axes' columns, the widest narrowed until they fit."""
    sizes = list(sizes)
    while sum(sizes) + len(sizes) > room and max(sizes) > FEWEST_COLUMNS:
        sizes[sizes.index(max(sizes))] -= 1
    return sizes


# --- files ------------------------------------------------------------------------------------------------------------


def records(s: Swept) -> list[dict[str, Any]]:
    """A line for each setting, numbers as they are."""
    lines = []
    for row in s.rows:
        line: dict[str, Any] = {"decoder": row.decoder} | {axis.name: value for axis, value in zip(s.axes, row.values, strict=True)}
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
        "axes": [{"name": axis.name, "given": axis.given, "values": list(axis.values)} for axis in s.axes],
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
