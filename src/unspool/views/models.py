"""Models as a person reads of them in a terminal: one in detail, and how it compares with recorded facts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unspool.views.characters import shown
from unspool.views.sheet import Sheet
from unspool.views.terminal import Paint, display_width, draw_columns, fit_right

if TYPE_CHECKING:
    from unspool.lab.quantization import Price
    from unspool.lab.soundness import Check
    from unspool.models.known import KnownModel
    from unspool.models.listing import ModelInfo

TABLE_WIDTH = 80
"""Of a table; where names would make it wider, they stand on lines of their own."""
LEAST_FOUND = 16
"""Columns of what was found; where a fact leaves it fewer, it stands on the next line."""
LABELS = {"engines": "run by", "end_tokens": "end tokens", "tokenizer_sha256": "tokenizer's sha256", "file_bytes": "files"}
LABELS |= {"packed": "packed as", "packed_bytes": "packed weights"}
LABELS |= {"opened_seconds": "opened in", "peak_bytes": "peak memory"}
LABELS |= {"resident_bytes": "resident memory", "allocated_bytes": "allocated memory", "reserved_bytes": "reserved memory"}


def draw_models(models: Sequence[ModelInfo], paint: Paint) -> str:
    """A line for each model."""
    lines = [["Name", "Architecture", "Parameters", "Context", "Vocabulary", "Size"]]
    for m in models:
        numbers = [_count(m.parameters), str(m.context), str(m.vocabulary), f"{_count(m.bytes)}B"]
        kind = f"{m.architecture} {m.format}".rstrip()
        lines.append([m.name, m.problem] if m.problem else [m.name, kind, *numbers])
    whole = [line for line in lines if len(line) == 6]
    width = sum(max(map(len, column)) + 2 for column in zip(*whole, strict=True)) - 2
    text = draw_columns(whole, paint, right={2, 3, 4, 5}, style={0: "chosen"}) if width <= TABLE_WIDTH else _below_names(whole, paint)
    return text + "".join(f"{paint(name, 'chosen')}  {paint(problem, 'bad')}\n" for name, problem in (x for x in lines if len(x) == 2))


def draw_known(models: Sequence[KnownModel], paint: Paint) -> str:
    """A line for each model that goes by one word, and how to get one."""
    lines = [["Name", "Here", "Parameters", "Download", "Licence", "Good for"]]
    for m in models:
        lines.append([m.name, "yes" if m.here else "no", _count(m.parameters), f"{_count(m.bytes)}B", m.licence, m.good_for])
    table = draw_columns(lines, paint, right={2, 3}, style={0: "chosen"})
    return table + paint("unspool models get NAME downloads one; what is here runs offline, -m NAME\n", "dim")


def draw_got(name: str, place: Path, chat: bool, lacking: bool, paint: Paint) -> str:
    """Where a model lies, and how to ask it; lacking: whether what renders a chat is not installed."""
    asked = f'unspool "Why is the sky blue?" -m {name} --chat' if chat else f'unspool "Once upon a time" -m {name}'
    needs = "--chat needs the extra chat: pip install 'unspool[chat]'"
    lines = [asked, *([needs] if chat and lacking else [])]
    return f"{paint(name, 'chosen')}  {place}\n" + "".join(f"{paint(line, 'dim')}\n" for line in lines)


def _below_names(lines: Sequence[Sequence[str]], paint: Paint) -> str:
    """The same with each name above what is said of it."""
    rows = draw_columns([line[1:] for line in lines], paint, right={1, 2, 3, 4}).splitlines()
    names = ["", *(f"{paint(line[0], 'chosen')}\n" for line in lines[1:])]
    return "".join(f"{name}  {row}\n" for name, row in zip(names, rows, strict=True))


def _count(number: int) -> str:
    for size, unit in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if number >= size:
            return f"{number / size:.1f} {unit}"
    return f"{number} "


def draw_details(details: Mapping[str, Any], paint: Paint) -> str:
    """A line for each thing that is known of a model."""
    lines = [[LABELS.get(name, name), _value(name, value)] for name, value in details.items() if value not in ("", 0, [])]
    return draw_columns(lines, paint, style={0: "dim"}, header=False)


def _value(name: str, value: Any) -> str:
    if name.endswith("_bytes"):
        return f"{value / 1e6:,.1f} MB"
    if name.endswith("_seconds"):
        return f"{value:,.2f} s"
    if isinstance(value, list):
        return ("; " if name == "notes" else ", ").join(map(str, value))
    return f"{value:,}" if isinstance(value, int) and name == "parameters" else str(value)


def sheet_of_details(details: Mapping[str, Any]) -> Sheet:
    """A line for each thing that is known of a model, numbers in full."""
    values = {name: v if isinstance(v, list) else [v] for name, v in details.items()}
    return Sheet(["name", "value"], [[name, ("; " if name == "notes" else " ").join(map(str, v))] for name, v in values.items()])


def draw_check(check: Check, width: int, paint: Paint) -> str:
    """ok with what is recorded, or differs with both below it."""
    mark = paint("ok     ", "new") if check.ok else paint("differs", "bad")
    room = (lambda text, used: fit_right(text, max(16, width - used))) if width else (lambda text, used: text)
    fact = room(check.fact, 10)
    if check.ok:
        used = display_width(check.fact) + 11
        between = "\n           " if width and used + LEAST_FOUND > width else " "
        found = paint(room(shown(check.found), 11 if between != " " else used), "dim")
        return f"{mark}  {fact}:{between}{found}\n"
    both = (("recorded", check.recorded), ("found", check.found))
    return f"{mark}  {fact}\n" + "".join(f"           {name:8}  {room(shown(text), 21)}\n" for name, text in both)


def sheet_of_checks(checks: Sequence[Check]) -> Sheet:
    """A line for each fact."""
    return Sheet(["fact", "ok", "recorded", "found"], [[c.fact, "ok" if c.ok else "differs", c.recorded, c.found] for c in checks])


def draw_prices(prices: Sequence[Price], paint: Paint) -> str:
    """A line for each number format: what it costs, and what it saves."""
    heads = ["Weights", "KL mean", "KL 99 %", "Same top", "Perplexity", "Size"]
    first = prices[0]
    lines = [heads, ["float32", "0", "0", "100 %", f"{first.plain_perplexity:,.2f}", f"{first.plain_bytes / 1e6:,.1f} MB"]]
    for p in prices:
        kl = [f"{value:.2g}" if value < 0.01 else f"{value:.3f}" for value in (p.mean_kl, p.kl_99)]
        lines.append([p.dtype, *kl, f"{100 * p.same_top:.1f} %", f"{p.perplexity:,.2f}", f"{p.bytes / 1e6:,.1f} MB"])
    table = draw_columns(lines, paint, right={1, 2, 3, 4, 5}, style={0: "chosen"})
    said = f"KL in nats from float32's next-token distribution, over {first.tokens:,} tokens;", "99 %: what one token in a hundred exceeds."
    return table + "".join(f"{paint(line, 'dim')}\n" for line in said)


def sheet_of_prices(prices: Sequence[Price]) -> Sheet:
    """A line for each number format, numbers in full."""
    values = [asdict(p) for p in prices]
    return Sheet(list(values[0]), [[str(v) for v in one.values()] for one in values])
