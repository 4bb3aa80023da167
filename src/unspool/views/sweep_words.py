"""What is said of a sweep: what was swept, which setting to take and why, what it cost, and the numbers of a setting."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from unspool.views.compare_words import NOTHING, decimal

if TYPE_CHECKING:
    from unspool.lab.bootstrap import Estimate
    from unspool.sweeps.goals import Goal
    from unspool.sweeps.rows import SweepRow, Swept

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
    forwards = f"{s.spent.forwards:,} forward{'s' * (s.spent.forwards != 1)}"
    parts = [f"{s.seconds:.1f} s", forwards, f"{s.spent.tokens:,} tokens through the model"]
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
