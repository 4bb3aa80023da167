"""Two distributions of which the likeliest tokens are known: how far apart they are at least."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

LEFT_BY_ROUNDING = 1e-6
"""A rest of less than this is what rounding leaves of 0."""


@dataclass(frozen=True)
class Distance:
    """Bounds from below: the tokens that both records hold one by one, all others as one.

    Joining tokens never makes two distributions look further apart, so the true values are at least these.
    """

    kl: float
    """Kullback-Leibler divergence of the second from the first, in nats; infinite where the second rules out what the first allows."""
    total_variation: float
    top_in_common: float
    """The share of the likeliest tokens that are the same, of as many as both records hold; a token that cannot come is none of them."""


def distance(first: Mapping[int, float], second: Mapping[int, float]) -> Distance:
    """Between two distributions, given as the probabilities of their likeliest tokens."""
    shared = first.keys() & second.keys()
    pairs = [(first[t], second[t]) for t in sorted(shared)]
    pairs.append((_rest(p for p, _ in pairs), _rest(q for _, q in pairs)))
    kl = sum((_term(p, q) for p, q in pairs), 0.0)
    many = min(len(first), len(second))
    best = [set(sorted((t for t in d if d[t] > 0), key=lambda t: (-d[t], t))[:many]) for d in (first, second)]
    most = max(map(len, best))
    common = len(best[0] & best[1]) / most if most else 1.0
    return Distance(max(kl, 0.0), sum(abs(p - q) for p, q in pairs) / 2, common)


def _rest(values: Iterable[float]) -> float:
    left = 1.0 - sum(values)
    return left if left > LEFT_BY_ROUNDING else 0.0


def _term(p: float, q: float) -> float:
    if p == 0:
        return 0.0
    if q == 0:
        return math.inf if p > 10 * LEFT_BY_ROUNDING else 0.0
    return p * math.log(p / q)
