"""A comparison of decoders as tables: on a screen, in Markdown, HTML and CSV."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from unspool.lab.defaults import FEWEST
from unspool.views.characters import shown
from unspool.views.page import fragment
from unspool.views.sheet import Sheet, markdown
from unspool.views.terminal import PLAIN, Paint, display_width, fit_right, wrap

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

# --- the three tables -------------------------------------------------------------------------------------------------


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


# --- on a screen ------------------------------------------------------------------------------------------------------

WIDEST_NAME = 28


def draw_comparison(c: Compared, width: int = 0, paint: Paint = PLAIN) -> str:
    """The tables, each split into as many as fit the width (0: as wide as they are)."""
    room = min(WIDEST_NAME, max(8, width - 20)) if width else WIDEST_NAME
    out = [_dim(shown(heading(c)), width, paint)]
    for title, rows, columns, cells in tables(c):
        out.append(f"\n{paint(fit_right(shown(title), width) if width else shown(title), 'head')}\n" if title else "\n")
        out.append(_draw_table([_name_lines(row.name, room) for row in rows], columns, cells, width, paint))
    out.append("\n" + _dim(" ".join(notes(c)), width, paint))
    return "".join(out)


def _dim(text: str, width: int, paint: Paint) -> str:
    return "".join(paint(text[first:last], "dim") + "\n" for first, last in wrap(text, width))


def _name_lines(name: str, room: int) -> list[str]:
    """A decoder over several lines, broken at its bars."""
    lines = [""]
    for i, part in enumerate(shown(name).split(" | ")):
        piece = part if i == 0 else " | " + part
        if lines[-1] and len(lines[-1]) + len(piece) > room:
            lines.append("  |" + piece.removeprefix(" |"))
        else:
            lines[-1] += piece
    return [fit_right(line, room) for line in lines]


def _draw_table(names: list[list[str]], columns: list[str], cells: list[list[Figure]], width: int, paint: Paint) -> str:
    lead = max(display_width(line) for lines in names for line in lines)
    marks = max(len(c[2]) for line in cells for c in line)
    sizes = [max(len(name), *(max(len(line[i][0]) + marks, *map(len, line[i][1]), 0) for line in cells)) for i, name in enumerate(columns)]
    blocks = []
    for some in _groups(sizes, width - lead):
        head = " " * lead + "".join("  " + paint(columns[i].rjust(sizes[i]), "head") for i in some)
        lines = [head.rstrip()]
        for name, line in zip(names, cells, strict=True):
            upper = "".join("  " + _value(line[i], sizes[i], marks, paint) for i in some)
            below = max(len(line[i][1]) for i in some)
            lower = ["".join("  " + _below(line[i][1][at : at + 1], sizes[i], paint) for i in some) for at in range(below)]
            for left, figures in zip_longest(name, [upper, *lower], fillvalue=""):
                lines.append((paint(left, "chosen") + " " * (lead - display_width(left)) + figures).rstrip())
        blocks.append("\n".join(lines) + "\n")
    return "\n".join(blocks)


def _below(found: Sequence[str], size: int, paint: Paint) -> str:
    text = found[0] if found else ""
    return " " * (size - len(text)) + paint(text, "dim")


def _value(c: Figure, size: int, marks: int, paint: Paint) -> str:
    text = c[0] + c[2].ljust(marks)
    return " " * (size - len(text)) + paint(text, "head" if c[2] else "")


def _groups(sizes: Sequence[int], width: int) -> list[list[int]]:
    """Which columns stand beside one another: in as few tables as fit the width, of about the same width."""
    found = _side_by_side(sizes, width)
    while width > 0 and len(narrower := _side_by_side(sizes, width - 1)) == len(found):
        found, width = narrower, width - 1
    return found


def _side_by_side(sizes: Sequence[int], width: int) -> list[list[int]]:
    groups: list[list[int]] = []
    room = 0
    for i, size in enumerate(sizes):
        if not groups or (width > 0 and room < size + 2):
            groups.append([])
            room = width
        groups[-1].append(i)
        room -= size + 2
    return groups


# --- files ------------------------------------------------------------------------------------------------------------


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
