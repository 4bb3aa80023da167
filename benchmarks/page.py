"""The page of a run: what was measured, how, and every number with what it means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.models import MODELS
from benchmarks.results import REFERENCE, Duel, best_peer, is_ours, ratio
from benchmarks.workloads import CONTRASTIVE_ALPHA, CONTRASTIVE_K, DRAFTED, ROWS, TEMPERATURE, TOP_K, TOP_P, Workload

INTRODUCTION = """# Speed

How fast unspool is beside other engines on one machine. This page was written by `python -m benchmarks`; the numbers are of the run
below.

- Tokens per second: the median over rounds, more is better. In each round every contestant runs a row once, in turn, so that a drift of
  the machine hits all alike.
- "x best" and "x transformers": the median of the rounds' ratios of unspool to the fastest of the others, and to transformers. Above 1
  unspool is faster.
- "of bandwidth": what reading all weights once for each new token would take of the speed at which this machine reads memory, which is
  measured in the same run by a test of our own. Learned positions are left out; a weight counts 4, 2, 1 or half a byte,
  though unspool reads an eighth less of float32 and a quarter less of bfloat16 where exponents are coded.
- A `*`: in some of its rounds other processes used more than a tenth of a core. Those rounds are left out of the median; `**`: in all.
- A dash: there is no number, as the engine has not got it; below each table it is said why.
- End tokens do not end a text, so all make as many tokens. Contestants of one table have weights of one format; what they compute in is
  their own choice.
"""


@dataclass(frozen=True)
class Setting:
    """How a run was made."""

    date: str
    machine: str
    system: str
    threads: int
    pinned: bool
    rounds: int
    command: str
    left_out: tuple[str, ...]
    rows: tuple[Workload, ...] = ROWS


def written(setting: Setting, duels: Sequence[Duel], folders: dict[str, Path], pictures: dict[str, str]) -> str:
    """The page. folders: of the models; pictures: for each model a path that the page can show."""
    parts = [INTRODUCTION, how(setting, duels), rows_of(setting)]
    for model in dict.fromkeys(duel.model for duel in duels):
        says = MODELS[model].says
        parts.append(f"## {model}\n\n{says[0].upper()}{says[1:]}.\n")
        if model in pictures:
            parts.append(f"![Tokens per second of each engine as a multiple of the fastest other's, {model}]({pictures[model]})\n")
        for duel in duels:
            if duel.model == model:
                parts += [f"### {model}, {duel.format}\n", rates_of(setting, duel, folders[model])]
                parts += [starts(duel), alike(duel), gaps(setting, duel)]
    return "\n".join(part for part in parts if part).rstrip() + "\n"


def table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A table; the first column to the left, the others to the right."""
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join("| " + " | ".join(line) + " |" for line in [head, rule, *lines]) + "\n"


def how(setting: Setting, duels: Sequence[Duel]) -> str:
    versions = {name: version for duel in duels for name, version in duel.versions().items()}
    noisy, count = 0, 0
    for duel in duels:
        for row in setting.rows:
            for rates in duel.rates(row.name).values():
                count += len(rates.by_round)
                noisy += len(rates.by_round) - len(rates.quiet)
    bands = [duel.bandwidth() for duel in duels if duel.bandwidth()]
    pinned = "pinned to cores (OMP_PROC_BIND=true, OMP_PLACES=cores; unspool's OpenBLAS, which does not read them, by hand)"
    lines = [
        f"- {setting.date}, {setting.machine}, {setting.system}",
        f"- {setting.threads} threads for each, {pinned if setting.pinned else 'where the system puts them'}; {setting.rounds} rounds",
        f"- memory is read at {' / '.join(f'{band / 1e9:.1f}' for band in bands)} GB/s (the median of each table below)",
        f"- other processes disturbed {noisy} of {count} calls",
        "- " + ", ".join(f"{name} {version}" for name, version in versions.items()),
        f"- `{setting.command}`",
        *(f"- left out: {said}" for said in setting.left_out),
    ]
    return "## The run\n\n" + "\n".join(lines) + "\n"


def rows_of(setting: Setting) -> str:
    """What the rows are."""
    more = (
        "Prompts are random tokens, the same for all engines and others in each round, as some engines keep what they computed of a\n"
        "prompt that they have seen; of speculative search and prompt lookup, a phrase of 8 tokens again and again, and\n"
        f"{DRAFTED} tokens are guessed at once. The draft of speculative search holds the first layers of its model.\n"
        f"Sampling: top-k {TOP_K}, top-p {TOP_P}, temperature {TEMPERATURE}. "
        f"Contrastive search: k = {CONTRASTIVE_K}, alpha = {CONTRASTIVE_ALPHA}. DoLa: every other layer of the lower half.\n"
        "Beams: one text is returned, and its tokens are counted.\n"
        "Exact search takes the 8 likeliest tokens of a prefix and stops after as many nodes."
    )
    head = ("row", "prompts", "tokens of each", "new", "n", "counted")
    lines = [(r.name, str(r.prompts), str(r.length), str(r.new or "–"), str(r.n), f"{r.counted:,} {r.unit}") for r in setting.rows]
    return f"## The rows\n\n{more}\n\n{table(head, lines)}"


def rates_of(setting: Setting, duel: Duel, folder: Path) -> str:
    """Tokens per second."""
    ours = [name for name in duel.names if is_ours(name)]
    head = ["row", *duel.names]
    for name in ours:
        short = name if len(ours) > 1 else ""
        head += [f"{short} x best".strip(), f"{short} x {REFERENCE}".strip(), f"{short} of bandwidth".strip()]
    lines = []
    for row in setting.rows:
        rates = duel.rates(row.name)
        if not rates:
            continue
        line = [row.name]
        for name in duel.names:
            found = rates.get(name)
            mark = "" if found is None or len(found.quiet) == len(found.by_round) else "*" if found.quiet else "**"
            line.append(f"{found.median:,.1f}{mark}" if found else "–")
        best = best_peer(rates)
        for name in ours:
            mine = rates.get(name)
            line.append(f"{ratio(mine, rates[best]):.2f} ({best})" if mine and best else "–")
            line.append(f"{ratio(mine, rates[REFERENCE]):.2f}" if mine and REFERENCE in rates else "–")
            share = duel.share(mine.median, row, folder) if mine else 0.0
            line.append(f"{share:.0%}" if share else "–")
        lines.append(line)
    return table(head, lines) if lines else ""


def starts(duel: Duel) -> str:
    """From the start of a process."""
    keys = (("first token, s", "first", ".2f"), ("of it the model's opening, s", "load", ".2f"), ("most memory, MiB", "peak", ",.0f"))
    lines = [[name, *(format(duel.median_of_start(name, key), form) for _, key, form in keys)] for name in duel.names]
    said = "From the start of a process to its first token, files in memory and caches written, and the most memory in 32 + 64 tokens:\n\n"
    return said + table(["engine", *(title for title, _, _ in keys)], lines) if lines else ""


def alike(duel: Duel) -> str:
    """Whether greedy search finds the same texts."""
    lines = [
        (row, f"{name} and {other}", f"{equal} of {texts}", "–" if first < 0 else str(first))
        for row, name, other, equal, texts, first in duel.alike()
    ]
    said = "Texts of greedy search, 32 tokens each, compared before anything was timed:\n\n"
    return said + table(("row", "engines", "equal texts", "first token that differs"), lines) if lines else ""


def gaps(setting: Setting, duel: Duel) -> str:
    """Why a cell is empty."""
    found: dict[tuple[str, str], list[str]] = {}
    for row in setting.rows:
        for name in duel.names:
            if said := duel.said(row.name, name):
                found.setdefault((name, said), []).append(row.name)
    lines = [f"- {name}: {', '.join(rows)}: {said}" for (name, said), rows in found.items()]
    lines += [f"- {name} did not start: {said}" for name, said in duel.failures().items()]
    return "Not there:\n\n" + "\n".join(lines) + "\n" if lines else ""
