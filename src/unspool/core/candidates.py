"""Children that a strategy weighs before it chooses, in order."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from unspool.arrays import Flags, Floats, Ints


@dataclass
class Dropped:
    """Candidates that were considered and not taken; arrays (D,)."""

    tokens: Ints
    parents: Ints
    scores: Floats
    reasons: Any
    """(D,), a few words for each."""


@dataclass(frozen=True)
class Candidates:
    """N candidates: those of each group together, best first; all fields are (N,)."""

    at: Ints
    """The position of its parent in the frontier."""
    parents: Ints
    """Rows."""
    tokens: Ints
    score: Floats
    group: Ints
    rank: Ints
    """How many of its group are better."""

    def __len__(self) -> int:
        return len(self.tokens)

    def take(self, index: Any) -> Candidates:
        """Some of them, with the ranks they have."""
        return Candidates(*(getattr(self, f.name)[index] for f in fields(self)))

    def best(self, k: int) -> Candidates:
        """The k best of every group."""
        return self.take(self.rank < k)

    def dropped(self, which: Flags, reasons: Any = "pruned") -> Dropped:
        """Those that are not taken, for the record; reasons: a few words, for all or for each of the N."""
        some = np.broadcast_to(np.asarray(reasons, dtype=object), len(self))[which]
        return Dropped(self.tokens[which], self.parents[which], self.score[which], some)


def sorted_candidates(rows: Ints, groups: Ints, scores: Floats, tokens: Ints) -> Candidates:
    """Candidates from scores and tokens (R, K) of R rows; scores of -inf are left out."""
    at, score, tokens = np.repeat(np.arange(len(rows)), tokens.shape[1]), scores.ravel(), tokens.ravel()
    group = groups[at]                                                   # (R * K,)
    order = np.lexsort((-score, group)) if len(groups) and (groups != groups[0]).any() else np.argsort(-score, kind="stable")
    order = order[score[order] > -np.inf]                                # (N,)
    group = group[order]
    return Candidates(at[order], rows[at[order]], tokens[order], score[order], group, running_count(group))


def running_count(groups: Ints) -> Ints:
    """0, 1, 2, ... within each run of equal values of a sorted array."""
    return np.arange(len(groups)) - np.searchsorted(groups, groups)
