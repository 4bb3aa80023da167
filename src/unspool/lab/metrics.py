"""Measures of generated texts, each with one definition.

A text is a sequence of units: tokens, or words from `words`. Where a measure is taken over several texts it is pooled: the
counts of all texts are added before they are divided, so long texts weigh more; a mean over texts is a comprehension away.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence

import numpy as np

from unspool.errors import check

Units = Sequence[Hashable]


def words(text: str) -> list[str]:
    """A text cut at white space."""
    return text.split()


def ngrams(units: Units, n: int) -> Iterator[tuple[Hashable, ...]]:
    """All n-grams of a text, in order."""
    check(n >= 1, f"an n-gram has at least one unit; got n = {n}")
    return zip(*(units[i:] for i in range(n)))


def repetition(texts: Iterable[Units], n: int) -> float:
    """rep-n: the share of n-grams that occurred before in their text, 1 - distinct / all (Su et al. 2022, arXiv 2202.06417).

    Texts shorter than n have no n-grams; without any the value is 0. seq-rep-n (Welleck et al. 2019, arXiv 1908.04319) is
    the same of one text.
    """
    distinct = total = 0
    for text in texts:
        grams = list(ngrams(text, n))
        distinct += len(set(grams))
        total += len(grams)
    return 1 - distinct / total if total else 0.0


def diversity(texts: Iterable[Units]) -> float:
    """The product of 1 - rep-n for n = 2, 3, 4 (Su et al. 2022, arXiv 2202.06417)."""
    kept = list(texts)
    return math.prod(1 - repetition(kept, n) for n in (2, 3, 4))


def distinct(texts: Iterable[Units], n: int) -> float:
    """distinct-n: different n-grams of all texts together / all their n-grams (Li et al. 2016, arXiv 1510.03055).

    It falls as texts get longer or more; compare equal amounts only.
    """
    grams = [gram for text in texts for gram in ngrams(text, n)]
    return len(set(grams)) / len(grams) if grams else 0.0


def ngram_entropy(texts: Iterable[Units], n: int) -> float:
    """Ent-n: the entropy of the n-grams of all texts together, -sum f log f with their frequencies f, in nats.

    Zhang et al. 2018, arXiv 1809.05972. It grows with the amount of text; nan without an n-gram.
    """
    counts = np.asarray(list(Counter(gram for text in texts for gram in ngrams(text, n)).values()), np.float64)
    shares = counts / counts.sum()
    return float(-(shares * np.log(shares)).sum()) if len(counts) else math.nan


def loop_period(units: Units, longest: int = 90, repeats: int = 3, least: int = 12) -> int:
    """The period of the loop that a text ends in, 0 if it ends in none (cf. Holtzman et al. 2020, arXiv 1904.09751).

    A text ends in a loop of period p if its last max(repeats * p, least) units repeat with that period; p is at most
    `longest`, and the smallest one counts.
    """
    for period in range(1, min(longest, len(units) // repeats) + 1):
        span = max(repeats * period, least)
        tail = units[-span:]
        if len(tail) == span and all(tail[i] == tail[i - period] for i in range(period, span)):
            return period
    return 0


def end_repetition(units: Units, n: int = 4, last: int = 50) -> float:
    """The share of the n-grams that end in a text's second half, at most its last units, and came before in it; 0 without any.

    It is seq-rep-n (Welleck et al. 2019, arXiv 1908.04319) of the end, which sees a circle in which a word changes, too.
    """
    grams = list(ngrams(units, n))
    first, seen, came = max(0, len(units) - min(last, len(units) // 2) - n + 1), set[tuple[Hashable, ...]](), 0
    for i, gram in enumerate(grams):
        came += i >= first and gram in seen
        seen.add(gram)
    return came / (len(grams) - first) if len(grams) > first else 0.0


def ends_in_circles(units: Units, least: int = 12) -> bool:
    """Whether a text ends in a loop, or half of the 4-grams of its end came before; a text below `least` units does not."""
    return len(units) >= least and (loop_period(units) > 0 or end_repetition(units) >= 0.5)


def loops(texts: Iterable[Units]) -> float:
    """The share of texts that end in circles."""
    found = [ends_in_circles(text) for text in texts]
    return sum(found) / len(found) if found else 0.0


def zipf(texts: Iterable[Units], most: int | None = None) -> float:
    """Minus the slope of log frequency on log rank, by least squares over all units; natural text is near 1.

    most: only so many of the most frequent. nan for fewer than two different units.
    """
    counts = sorted(Counter(unit for text in texts for unit in text).values(), reverse=True)[:most]
    if len(counts) < 2:
        return math.nan
    return -float(np.polyfit(np.log(np.arange(1, len(counts) + 1)), np.log(counts), 1)[0])
