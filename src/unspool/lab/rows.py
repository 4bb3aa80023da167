"""What came of comparing decoders, as numbers: a row of estimates for each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from unspool.arrays import Floats
from unspool.errors import ParameterError
from unspool.lab.bootstrap import NO_ESTIMATE, Estimate, estimate
from unspool.lab.generations import Generation
from unspool.lab.significance import Difference, difference_of, holm
from unspool.lab.text_metric import Metric, TextSample

Made = Sequence[tuple[Generation, TextSample | None]]
"""Texts of one decoder, each as it was made and as metrics read it; None of a prompt that came to no text."""


@dataclass(frozen=True)
class Cost:
    """What all runs of one decoder cost."""

    forwards: int
    tokens: int
    other_forwards: int
    other_tokens: int
    seconds: float
    new_tokens: int
    """Of the texts that came out, end tokens too."""

    @property
    def tokens_per_new(self) -> float:
        """Tokens that went through the model for each new one; the prompt's count."""
        return self.tokens / self.new_tokens if self.new_tokens else math.nan

    @property
    def new_per_second(self) -> float:
        return self.new_tokens / self.seconds if self.seconds else math.nan


@dataclass(frozen=True)
class DecoderRow:
    """One decoder, or the reference texts."""

    name: str
    prompts: int
    texts: int
    seeds: tuple[int, ...]
    values: dict[str, Estimate]
    differences: dict[str, Difference]
    """From the first decoder, over the prompts that both have; empty for the first itself."""
    cost: Cost | None
    """None for reference texts."""
    failed: int = 0
    """How often a prompt came to no text. Costs count such runs; the metrics are those of the texts there are."""


@dataclass(frozen=True)
class Compared:
    """A row for each decoder, the first of which the others are compared with."""

    rows: list[DecoderRow]
    reference: DecoderRow | None
    metrics: list[Metric]
    generations: list[Generation]
    texts: list[dict[str, float | None]] = field(repr=False)
    """The metrics of each generation alone; None where there is no text."""
    settings: dict[str, Any]
    """Model, limits, seeds, unit."""

    @property
    def all_rows(self) -> list[DecoderRow]:
        return [*self.rows, *([self.reference] if self.reference else [])]

    def __getitem__(self, name: str) -> DecoderRow:
        for row in self.all_rows:
            if row.name == name:
                return row
        raise ParameterError(f"there is no row {name!r}; there are {', '.join(repr(row.name) for row in self.all_rows)}")


def row_of(name: str, made: Made, base: Made | None, metrics: Sequence[Metric]) -> DecoderRow:
    """The row of a decoder; base: the texts of the one it is compared with."""
    groups, others = _by_prompt(made), _by_prompt(base or [])
    texts = sum(map(len, groups.values()))
    both = [prompt for prompt in groups if prompt in others]
    mine, theirs = [groups[p] for p in both], [others[p] for p in both]
    values = {m.name: _estimate(m, list(groups.values())) for m in metrics}
    differences = {} if base is None else {m.name: _difference(m, mine, theirs) for m in metrics}
    seeds = tuple(dict.fromkeys(g.seed for g, _ in made))
    return DecoderRow(name, len(groups), texts, seeds, values, differences, _sum_of_costs([g for g, _ in made]), len(made) - texts)


def row_of_human(samples: Sequence[TextSample], metrics: Sequence[Metric]) -> DecoderRow:
    """The row of reference texts, each a prompt's only one; what compares with them has no value of themselves."""
    values = {m.name: NO_ESTIMATE if m.needs == "features" else _estimate(m, [[s] for s in samples]) for m in metrics}
    return DecoderRow("reference", len(samples), len(samples), (), values, {}, None)


def _by_prompt(made: Made) -> dict[str, list[TextSample]]:
    groups: dict[str, list[TextSample]] = {}
    for g, sample in made:
        if sample is not None:
            groups.setdefault(g.prompt, []).append(sample)
    return groups


def _estimate(metric: Metric, groups: list[list[TextSample]]) -> Estimate:
    if not groups:
        return NO_ESTIMATE
    return estimate(metric, _parts(metric, groups)) if metric.parts else Estimate(_of_collection(metric, groups))


def _difference(metric: Metric, groups: list[list[TextSample]], base: list[list[TextSample]]) -> Difference:
    if not groups:
        return Difference(math.nan)
    if metric.parts:
        return difference_of(metric, _parts(metric, groups), _parts(metric, base))
    return Difference(_of_collection(metric, groups) - _of_collection(metric, base))


def _parts(metric: Metric, groups: list[list[TextSample]]) -> Floats:
    return np.asarray([metric.numbers(samples) for samples in groups], np.float64)


def _of_collection(metric: Metric, groups: list[list[TextSample]]) -> float:
    """The mean over collections of one text for each prompt: the first texts, the second ones, and so on."""
    collections = list(zip(*groups))                                     # as many as every prompt has texts
    return float(np.mean([metric.of_collection(texts) for texts in collections])) if collections else math.nan


def _sum_of_costs(made: Sequence[Generation]) -> Cost:
    """Every text bears its share of what its batch cost."""

    def total(name: str) -> float:
        return math.fsum(getattr(g.batch, name) / g.batch.texts for g in made)

    counts = {name: round(total(name)) for name in ("forwards", "tokens", "other_forwards", "other_tokens")}
    return Cost(**counts, seconds=total("seconds"), new_tokens=sum(len(g.tokens) for g in made))


def corrected(rows: Sequence[DecoderRow]) -> list[DecoderRow]:
    """The rows of a comparison, the p-values of all their differences corrected for each other."""
    places = [(i, name) for i, row in enumerate(rows) for name in row.differences]
    found = dict(zip(places, holm([rows[i].differences[name].p for i, name in places]), strict=True))
    return [
        replace(row, differences={name: replace(one, holm=found[i, name]) for name, one in row.differences.items()})
        for i, row in enumerate(rows)
    ]
