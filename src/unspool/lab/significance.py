"""Whether two decoders differ: a paired randomisation test of each difference, and Holm's correction for asking many at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np

from unspool.arrays import Floats
from unspool.lab.bootstrap import Estimate, difference
from unspool.lab.text_metric import Metric

SWAPS = 4999
"""How often prompts are swapped at random."""
ALL_SWAPS = 12
"""Prompts up to which every way to swap them is tried instead."""
LEVEL = 0.05


@dataclass(frozen=True)
class Difference(Estimate):
    """A difference with its interval, and how surprising it would be if there were none; nan where that is not known."""

    p: float = math.nan
    """By a paired randomisation test of this difference alone."""
    holm: float = math.nan
    """The same, corrected for all differences of a comparison."""

    @property
    def holds(self) -> bool:
        """Whether it is significant among all differences of its comparison."""
        return self.holm < LEVEL


def difference_of(metric: Metric, parts: Floats, base: Floats) -> Difference:
    """The metric of parts minus that of base, both (prompts, k) of the same prompts, with its p-value."""
    found = difference(metric, parts, base)
    return Difference(found.value, found.low, found.high, paired_p(metric, parts, base))


def paired_p(metric: Metric, parts: Floats, base: Floats) -> float:
    """How often a difference as large comes when each prompt's texts are given to the two decoders by a coin.

    Where the decoders do not differ, who wrote which of a prompt's texts says nothing; so the test holds for any number of prompts
    (approximate randomisation: Noreen 1989; Riezler and Maxwell 2005, W05-0908). All swaps are tried of few prompts, so that n prompts
    have no p below 2 / 2^n; of more, SWAPS random ones, and the p is (as large + 1) / (SWAPS + 1). nan of one prompt or without a value.
    """
    there = float(metric.of_sums(parts.sum(0)) - metric.of_sums(base.sum(0)))
    if len(parts) < 2 or math.isnan(there):
        return math.nan
    total, swapped = (parts + base).sum(0), swaps(len(parts)) @ (parts - base)
    found = metric.of_sums((total + swapped) / 2) - metric.of_sums((total - swapped) / 2)
    found = found[~np.isnan(found)]
    as_large = int((np.abs(found) >= abs(there) - 1e-9 * max(1.0, abs(there))).sum())
    every = len(parts) <= ALL_SWAPS
    return as_large / max(1, len(found)) if every else (as_large + 1) / (len(found) + 1)


@lru_cache(4)
def swaps(prompts: int) -> Floats:
    """Ways to swap prompts, 1 or -1 of each, (ways, prompts), always the same. Half of all will do: the others mirror them."""
    if prompts <= ALL_SWAPS:
        return np.asarray([(1, *rest) for rest in product((1, -1), repeat=prompts - 1)], np.float64)
    drawn: Floats = np.random.default_rng(0).integers(0, 2, (SWAPS, prompts)).astype(np.float64) * 2 - 1
    return drawn


def holm(values: Sequence[float]) -> list[float]:
    """p-values corrected for each other (Holm 1979, jstor 4615733): those below a level are wrong together at most so often.

    The i-th smallest of m is multiplied by m - i + 1, is no smaller than those before it, and at most 1. Those that are nan stay, and
    do not count.
    """
    known = sorted((p, i) for i, p in enumerate(values) if not math.isnan(p))
    found, least = [math.nan] * len(values), 0.0
    for rank, (p, i) in enumerate(known):
        least = max(least, min(1.0, (len(known) - rank) * p))
        found[i] = least
    return found
