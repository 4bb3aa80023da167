"""What is said of a comparison of decoders: its three tables, cell by cell, what was compared, and how to read them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from unspool.lab.defaults import FEWEST
from unspool.views.characters import shown

if TYPE_CHECKING:
    from unspool.lab.bootstrap import Estimate
    from unspool.lab.rows import Compared, Cost, DecoderRow
    from unspool.lab.significance import Difference
    from unspool.lab.text_metric import Metric

NOTHING = "–"
Figure = tuple[str, tuple[str, ...], str]
"""A number, the lines below it, and its mark."""
SURE_ALONE, SURE_AMONG_ALL = "*", "**"
"""The marks of a difference whose interval leaves out 0, and of one that also holds among all that are shown."""


def decimal(value: float, decimals: int, sign: bool = False) -> str:
    """A number with a true minus, or a dash for what is not known."""
    return f"{value:{'+' if sign else ''}.{decimals}f}".replace("-", "−") if math.isfinite(value) else NOTHING


def cell(one: Estimate, metric: Metric) -> Figure:
    """An estimate with its interval below."""
    return decimal(one.value, metric.decimals), _interval(one, metric), ""


def difference_cell(one: Difference, metric: Metric, prompts: int) -> Figure:
    """A difference, with its interval and its corrected p below; over enough prompts it has a mark if its interval leaves out 0."""
    p = "" if math.isnan(one.holm) else "p<0.001" if one.holm < 0.001 else f"p={one.holm:.3f}"
    mark = (SURE_AMONG_ALL if one.holds else SURE_ALONE) if prompts >= FEWEST and one.certain else ""
    return decimal(one.value, metric.decimals, True), (*_interval(one, metric, True), *[p] * bool(p)), mark


def _interval(one: Estimate, metric: Metric, sign: bool = False) -> tuple[str, ...]:
    ends = (decimal(end, metric.decimals, sign) for end in (one.low, one.high))
    return (f"[{', '.join(ends)}]",) if math.isfinite(one.low) else ()


def values(c: Compared) -> tuple[list[str], list[list[Figure]]]:
    """What each decoder's texts are like."""
    return [m.name for m in c.metrics], [[cell(row.values[m.name], m) for m in c.metrics] for row in c.all_rows]


def differences(c: Compared) -> tuple[list[str], list[list[Figure]]]:
    """How the other decoders differ from the first."""
    cells = [[difference_cell(row.differences[m.name], m, row.prompts) for m in c.metrics] for row in c.rows[1:]]
    return [m.name for m in c.metrics], cells


COSTS: dict[str, Callable[[Cost], str]] = {
    "forwards": lambda cost: str(cost.forwards),
    "model tokens": lambda cost: str(cost.tokens),
    "per new token": lambda cost: f"{cost.tokens_per_new:.2f}" if cost.new_tokens else NOTHING,
    "new tokens/s": lambda cost: decimal(cost.new_per_second, 0),
}
OTHERS: dict[str, Callable[[Cost], str]] = {
    "other forwards": lambda cost: str(cost.other_forwards),
    "other tokens": lambda cost: str(cost.other_tokens),
}


def costs(c: Compared) -> tuple[list[str], list[list[Figure]]]:
    """Sample sizes, and what the texts cost."""
    failed = any(row.failed for row in c.rows)
    columns = COSTS | (OTHERS if any(row.cost and row.cost.other_forwards for row in c.rows) else {})
    lines = list[list[Figure]]()
    for row in c.all_rows:
        counts = [str(row.prompts), str(row.texts), *([str(row.failed)] * failed), str(len(row.seeds)) if row.cost else NOTHING]
        lines.append([(text, (), "") for text in (*counts, *(f(row.cost) if row.cost else NOTHING for f in columns.values()))])
    return ["prompts", "texts", *["without text"] * failed, "seeds", *columns], lines


def tables(c: Compared) -> list[tuple[str, list[DecoderRow], list[str], list[list[Figure]]]]:
    """(title, rows, columns, cells) of each."""
    found = [("", c.all_rows, *values(c))]
    if len(c.rows) > 1:
        found.append((f"Difference from {c.rows[0].name}, prompt by prompt", c.rows[1:], *differences(c)))
    return [*found, ("Samples and cost", c.all_rows, *costs(c))]


def heading(c: Compared) -> str:
    """What was compared."""
    s = c.settings
    seeds = _range(s["seeds"])
    fingerprint = f" {s['model']['fingerprint'][:8]}" if s["model"]["fingerprint"] else ""
    judge = f", judged by {s['judge']}" if s["judge"] else ""
    return f"{s['model']['name']}{fingerprint}, at most {s['max_new_tokens']} new tokens, n-grams of {s['unit']}, seeds {seeds}{judge}"


def _range(numbers: list[int]) -> str:
    if len(numbers) > 3 and numbers == list(range(numbers[0], numbers[-1] + 1)):
        return f"{numbers[0]} to {numbers[-1]}"
    return ", ".join(map(str, numbers))


def notes(c: Compared) -> list[str]:
    """What one has to know to read the tables."""
    most = max((row.prompts for row in c.rows), default=0)
    if most < 2:
        found = ["One prompt has no interval: give several to see how sure the numbers are."]
    else:
        found = ["Brackets: 95 % intervals, by bootstrap over prompts."]
        if most < FEWEST:
            found.append(f"With fewer than {FEWEST} prompts they are too narrow, and no difference is marked.")
        elif len(c.rows) > 1:
            found.append(f"{SURE_ALONE}: an interval without 0, each for itself; {SURE_AMONG_ALL}: p below 0.05, too.")
    if c.reference and c.reference.prompts < FEWEST:
        found.append(f"The reference has fewer than {FEWEST} texts: its intervals are too narrow.")
    if count := sum(not math.isnan(one.holm) for row in c.rows for one in row.differences.values()):
        found.append(f"p: by paired randomisation of prompts, corrected by Holm's method for all {count} differences together.")
    if any(m.parts is None for m in c.metrics):
        whole = ", ".join(m.name for m in c.metrics if m.parts is None)
        found.append(f"No interval for {whole}: drawing a prompt twice would repeat its text.")
    found += [failure_of(row, c) for row in c.rows if row.failed]
    if not c.settings["finished"]:
        found.append(f"Unfinished: not all {c.settings['prompts']} prompts are done with every decoder and seed.")
    return found


def failure_of(row: DecoderRow, c: Compared) -> str:
    """Which prompts of a decoder came to no text, and how often."""
    prompts = list(dict.fromkeys(g.prompt for g in c.generations if g.failure and g.decoder == row.name))
    named = ", ".join(repr(shown(p)[:40]) for p in prompts[:3]) + (f" and {len(prompts) - 3} more prompts" if len(prompts) > 3 else "")
    return f"{row.name} came to no text {row.failed} time{'s' * (row.failed > 1)}, after {named}: its metrics are those of the others."
