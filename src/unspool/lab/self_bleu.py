"""Self-BLEU: how much texts repeat one another."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Sequence

from unspool.errors import check
from unspool.lab.metrics import Units, ngrams

UNMATCHED = 0.1
"""What a precision without a match counts as matches (method 1 of Chen and Cherry 2014, doi 10.3115/v1/W14-3346)."""


def self_bleu(texts: Sequence[Units], order: int = 4) -> list[float]:
    """For each text its BLEU with all the others as references (Zhu et al. 2018, arXiv 1802.01886); 1 for a copy.

    BLEU is min(1, exp(1 - r / c)) * (p_1 ... p_order)^(1 / order), with c the length of the text, r the length of the
    reference nearest to c (the shorter one of two), and p_n the share of its n-grams that occur in a reference, each at most
    as often as in the reference that has it most often. Without a common unit it is 0; a longer n-gram's precision without a
    match has UNMATCHED matches instead. One text alone has no references: nan.
    """
    check(order >= 1, f"self-BLEU counts n-grams up to an order of at least 1; got {order}")
    if len(texts) < 2:
        return [math.nan] * len(texts)
    logs = [0.0] * len(texts)
    for n in range(1, order + 1):
        for i, precision in enumerate(_precisions([Counter(ngrams(text, n)) for text in texts], n)):
            logs[i] += math.log(precision) / order if precision else -math.inf
    lengths = [len(text) for text in texts]
    return [_brevity(lengths, i) * math.exp(log) for i, log in enumerate(logs)]


def _precisions(counts: list[Counter[tuple[Hashable, ...]]], n: int) -> list[float]:
    """For each text the precision of its n-grams against all the others."""
    most: dict[tuple[Hashable, ...], tuple[int, int, int]] = {}          # of an n-gram: its most counts in a text, which, and in another
    for i, own in enumerate(counts):
        for gram, count in own.items():
            first, which, second = most.get(gram, (0, -1, 0))
            most[gram] = (count, i, first) if count > first else (first, which, max(second, count))
    found = []
    for i, own in enumerate(counts):
        matches: float = 0
        for gram, count in own.items():
            first, which, second = most[gram]
            matches += min(count, second if which == i else first)
        found.append((matches or (UNMATCHED if n > 1 else 0)) / max(1, own.total()))
    return found


def _brevity(lengths: list[int], i: int) -> float:
    own = lengths[i]
    nearest = min((abs(other - own), other) for j, other in enumerate(lengths) if j != i)[1]
    return math.exp(min(0.0, 1 - nearest / own)) if own else 0.0
