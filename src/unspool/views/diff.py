"""What sets two traces apart: their settings, and for each pair of texts where they part and how the distributions differed till then."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from unspool.core.decoder import Part, parse, written
from unspool.errors import UnspoolError
from unspool.record.step import Hypothesis
from unspool.record.trace import Trace
from unspool.text import visible
from unspool.views.cells import Cell, NodeRecord, cell_of, considered_nodes
from unspool.views.characters import shown
from unspool.views.parting import Distance, distance
from unspool.views.sheet import to_json
from unspool.views.terminal import Paint, fit_left, fit_right, pad

OF_THE_TOKENS = 3
"""How many candidates are drawn where two texts part."""


@dataclass(frozen=True)
class DiffStep:
    """One step before which both texts were the same."""

    step: int
    tokens: tuple[int | None, int | None]
    """What each text went on with; None where it had ended."""
    model: Distance | None
    """Between the models' own distributions; None where a record does not hold them."""
    processed: Distance | None
    """Between those after the processors."""


@dataclass(frozen=True)
class TextDiff:
    """Two texts of one rank."""

    prompt: int
    rank: int
    """From 1, the best."""
    parts_at: int | None
    """The step, from 1, at which they part; None if they never do."""
    steps: list[DiffStep]
    """While they agree, with the step at which they part."""
    before: str
    """The text up to there."""
    went_on: tuple[str, str]
    """The token with which each went on; the reason in brackets where it had ended."""
    candidates: tuple[list[Cell], list[Cell]]
    """What each held for likeliest there."""


@dataclass(frozen=True)
class Diff:
    """Two traces side by side."""

    settings: list[tuple[str, Any, Any]]
    """(name, first, second) of what differs, a decoder's parts by parameter."""
    texts: list[TextDiff]
    counts: list[tuple[int, int]]
    """How many texts each prompt came to."""

    @property
    def equal(self) -> bool:
        """Whether every text is the same, by the same distributions as far as they are recorded. Settings may differ."""
        far = (d for t in self.texts for s in t.steps for d in (s.model, s.processed) if d)
        same = all(d.total_variation <= 1e-5 for d in far)
        return same and all(a == b for a, b in self.counts) and all(t.parts_at is None for t in self.texts)

    def to_dict(self) -> dict[str, Any]:
        settings = [{"name": n, "first": a, "second": b} for n, a, b in self.settings]
        return {"equal": self.equal, "settings": settings, "counts": self.counts, "texts": [_text_dict(t) for t in self.texts]}

    def to_json(self) -> str:
        return to_json(self.to_dict())

    def __str__(self) -> str:
        """As `unspool diff` shows it."""
        return self.draw(0, Paint(False)).removesuffix("\n")

    def _said(self) -> str:
        if not self.equal:
            return "different"
        whole = all(step.model and step.processed for text in self.texts for step in text.steps)
        return "the same" if whole else 'the same texts; distributions were not recorded everywhere, as level="choices" does'

    def draw(self, width: int, paint: Paint) -> str:
        """For a terminal: settings, then each pair of texts."""
        room = width or 80
        lines = [paint("settings", "head")] if self.settings else []
        lines += [fit_right(f"  {name}: {_value(a)} → {_value(b)}", room) for name, a, b in self.settings]
        for prompt, (a, b) in enumerate(self.counts):
            if a != b:
                lines.append(f"prompt {prompt + 1}: {a} texts → {b}")
        for text in self.texts:
            lines += ["", *_draw_text(text, room, paint, len(self.texts) > 1)]
        lines += ["", self._said()]
        return "\n".join(lines).lstrip("\n") + "\n"


def diff(first: Trace, second: Trace) -> Diff:
    """Compare two traces; texts are matched by prompt and rank.

    Distances are at least what is said: a record holds the likeliest tokens of a distribution, from the level "choices" on.
    Raises UnspoolError where the tokenizers or the prompts are not the same, for then no step is comparable.
    """
    names = [t.model.get("tokenizer") for t in (first, second)]
    clash = any(first.tokens[t] != second.tokens[t] for t in first.tokens.keys() & second.tokens.keys())
    if clash or (names[0] and names[1] and names[0] != names[1]):
        raise UnspoolError("these traces have different tokenizers, so there is no step to compare: record both with models that share one")
    if first.prompts != second.prompts:
        raise UnspoolError("these traces have different prompts, so their texts are no answers to the same: record both from one prompt")
    known = [_known(t) for t in (first, second)]
    texts = []
    for prompt, pair in enumerate(zip(first.hypotheses, second.hypotheses, strict=True)):
        for rank, (a, b) in enumerate(zip(*pair, strict=False), 1):
            texts.append(_compare((first, second), known, prompt, rank, (a, b)))
    counts = [(len(a), len(b)) for a, b in zip(first.hypotheses, second.hypotheses, strict=True)]
    return Diff(_settings(first, second), texts, counts)


def _known(trace: Trace) -> dict[tuple[int, int], NodeRecord]:
    """The recorded distributions by prompt and node."""
    if len(trace.prompts) == 1:
        return {(0, node): found for node, found in considered_nodes(trace)}
    parts = [(p, Trace([trace.prompts[p]], [s.only(p) for s in trace.steps], [[]], trace.level)) for p in range(len(trace.prompts))]
    return {(p, node): found for p, part in parts for node, found in considered_nodes(part)}


def _compare(
    traces: tuple[Trace, Trace], known: list[dict[tuple[int, int], NodeRecord]], prompt: int, rank: int, pair: tuple[Hypothesis, Hypothesis]
) -> TextDiff:
    steps: list[DiffStep] = []
    for i, tokens in enumerate(zip_longest(pair[0].tokens, pair[1].tokens)):
        found = [k.get((prompt, h.nodes[i])) if i < len(h.nodes) else None for k, h in zip(known, pair, strict=True)]
        model, processed = (_distance(found, column) for column in (1, 2))
        steps.append(DiffStep(i + 1, tokens, model, processed))
        if tokens[0] != tokens[1]:
            before = traces[0].bytes_of([*traces[0].prompts[prompt], *pair[0].tokens[:i]])
            went = [_went(t, h, before, i) for t, h in zip(traces, pair, strict=True)]
            cells = [[cell_of(t, before, *c) for c in f.choices] if f else [] for t, f in zip(traces, found, strict=True)]
            return TextDiff(prompt, rank, i + 1, steps, visible(before), (went[0], went[1]), (cells[0], cells[1]))
    before = traces[0].bytes_of([*traces[0].prompts[prompt], *pair[0].tokens])
    return TextDiff(prompt, rank, None, steps, visible(before), ("", ""), ([], []))


def _distance(found: list[NodeRecord | None], column: int) -> Distance | None:
    first, second = found
    if first is None or second is None:
        return None
    return distance({int(c[0]): float(c[column]) for c in first.choices}, {int(c[0]): float(c[column]) for c in second.choices})


def _went(trace: Trace, h: Hypothesis, before: bytes, at: int) -> str:
    return cell_of(trace, before, h.tokens[at], 0, 0).text if at < len(h.tokens) else f"({h.reason})"


def _settings(first: Trace, second: Trace) -> list[tuple[str, Any, Any]]:
    """What differs in the recipes and the models."""
    found: list[tuple[str, Any, Any]] = []
    texts = [str(t.recipe.get("decoder", "")) for t in (first, second)]
    if texts[0] != texts[1]:
        found += _decoders(*texts)
    for kind in ("recipe", "model"):
        a, b = getattr(first, kind), getattr(second, kind)
        names = [n for n in dict.fromkeys([*a, *b]) if n != "decoder" and a.get(n) != b.get(n)]
        found += [(n if kind == "recipe" else f"model's {n}", a.get(n), b.get(n)) for n in names]
    return found


def _decoders(*texts: str) -> list[tuple[str, Any, Any]]:
    """What differs between two decoders, by part and parameter; as texts where they hold parts that are not known here."""
    try:
        columns = [_parts(text) for text in texts]
    except UnspoolError:
        return [("decoder", texts[0], texts[1])]
    found: list[tuple[str, Any, Any]] = []
    for name in dict.fromkeys([*columns[0], *columns[1]]):
        a, b = (c.get(name) for c in columns)
        if a is None or b is None:
            found.append((name, a and str(a), b and str(b)))
            continue
        values = [{f.name: getattr(part, f.name) for f in written(part)} for part in (a, b)]
        found += [(f"{name} {k}", _plain(v), _plain(values[1][k])) for k, v in values[0].items() if v != values[1][k]]
    order = [n for n in columns[0] if n in columns[1]], [n for n in columns[1] if n in columns[0]]
    return found + ([("order", " | ".join(order[0]), " | ".join(order[1]))] if order[0] != order[1] else [])


def _parts(text: str) -> dict[str, Part]:
    """The parts by name, numbered from the second of a name on."""
    seen: defaultdict[str, int] = defaultdict(int)
    found = {}
    for part in parse(text).parts:
        name = str(part).partition("(")[0]
        seen[name] += 1
        found[name if seen[name] == 1 else f"{name} {seen[name]}"] = part
    return found


def _plain(value: Any) -> Any:
    return value if isinstance(value, bool | int | float | str | None) else str(value)


def _value(value: Any) -> str:
    return "none" if value is None else shown(str(value))


def _text_dict(text: TextDiff) -> dict[str, Any]:
    steps = [{**vars(s), "model": s.model and vars(s.model), "processed": s.processed and vars(s.processed)} for s in text.steps]
    return {**vars(text), "steps": steps, "candidates": [[c.to_dict() for c in cells] for cells in text.candidates]}


def _draw_text(text: TextDiff, width: int, paint: Paint, several: bool) -> list[str]:
    lines = [paint(f"text {text.rank}" + (f" of prompt {text.prompt + 1}" if text.prompt else ""), "head")] if several else []
    lines.append(paint(fit_left(shown(text.before), width), "prompt"))
    if text.parts_at is None:
        lines.append(f"  they never part ({len(text.steps)} steps)")
    else:
        lines.append(fit_right(f"  they part at step {text.parts_at}: {shown(text.went_on[0])!r} → {shown(text.went_on[1])!r}", width))
        half = (width - 6) // 2
        for pair in zip_longest(*(cells[:OF_THE_TOKENS] for cells in text.candidates)):
            cells = [fit_right(shown(c.cell(True)) if c else "", half) for c in pair]
            lines.append(f"    {pad(cells[0], half)}  {cells[1]}".rstrip())
    if any(s.processed for s in text.steps):
        lines.append(paint("  step  token           model: KL     TV   top   processed: KL     TV   top", "dim"))
        lines += [fit_right(_draw_step(s, text), width) for s in text.steps]
    return lines


def _draw_step(step: DiffStep, text: TextDiff) -> str:
    token = "=" if step.tokens[0] == step.tokens[1] else "≠"
    both = (step.model, step.processed)
    numbers = [" " * 9 if d is None else f"{_nats(d.kl)}  {d.total_variation:.3f}  {d.top_in_common:4.0%}" for d in both]
    return f"  {step.step:4}  {token:14}  {numbers[0]:>21}  {numbers[1]:>23}"


def _nats(value: float) -> str:
    return "    ∞" if math.isinf(value) else f"{value:.3f}"
