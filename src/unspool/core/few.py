"""The scores of the few tokens that can come, without the rest of the vocabulary."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np

from unspool.arrays import IN_TURN, INF, Array, Floats, Ints, gather, read_only

LARGE_VOCABULARY = 2048
"""Rows of a smaller vocabulary are left whole: there is nothing to win."""
SPARSE = 4
"""Few are at most one in so many."""
GLANCE = 64
"""So many scores of a row are looked at before all of them are."""


@dataclass(frozen=True)
class Few:
    """Of R rows of numpy scores those above -inf, (R, K); all others are -inf.

    A row's tokens stand in ascending order, as in a whole row, so that of equals the lowest id comes first here too. Behind them
    are columns of -inf, where other rows have more.
    """

    scores: Floats
    tokens: Ints
    vocabulary: int

    @classmethod
    def of(cls, scores: Array) -> Few | None:
        """The few of whole rows (R, V); None where they are many, or too little is known of the array's library."""
        if not (limit := cls.most(scores)):
            return None
        rows, vocabulary = scores.shape
        glance = scores[:, :: max(vocabulary // GLANCE, 1)]
        if SPARSE * np.count_nonzero(glance != -INF) > glance.size:
            return None
        places = np.flatnonzero(scores != -INF)                          # what is no number is kept, to be found later
        if len(places) > rows * IN_TURN:
            return None
        row, column = np.divmod(places, vocabulary)
        first = np.searchsorted(row, np.arange(rows + 1))
        most = int((first[1:] - first[:-1]).max())
        if most > limit:
            return None
        place = np.arange(len(row)) - first[row]
        few, tokens = np.full((rows, max(most, 1)), -INF, scores.dtype), np.zeros((rows, max(most, 1)), np.int64)
        few[row, place], tokens[row, place] = scores.ravel()[places], column
        return cls(read_only(few), tokens, vocabulary)

    @classmethod
    def kept(cls, scores: Floats, columns: Ints) -> Few:
        """Whole rows (R, V) of which these columns (R, K) are left, at most `most(scores)` of them."""
        vocabulary, values = scores.shape[-1], gather(scores, columns)
        there = values != -INF                                           # what is no number is kept, to be found later
        order = np.argsort(np.where(there, columns, vocabulary), -1)[:, : max(int(there.sum(-1).max()), 1)]
        return cls(read_only(gather(values, order)), np.where(gather(there, order), gather(columns, order), 0), vocabulary)

    @staticmethod
    def most(scores: Array) -> int:
        """How many tokens of each of these whole rows are few; 0 where they are left whole."""
        large = isinstance(scores, np.ndarray) and scores.shape[-1] >= LARGE_VOCABULARY and len(scores) > 0
        return min(IN_TURN, scores.shape[-1] // SPARSE) if large else 0

    def whole(self) -> Floats:
        """The scores (R, V) of all tokens."""
        found: Floats = np.full((len(self.scores), self.vocabulary), -INF, self.scores.dtype)
        row, place = np.nonzero(self.scores != -INF)
        found[row, self.tokens[row, place]] = self.scores[row, place]
        found.flags.writeable = False
        return found

    def take(self, index: Any) -> Few:
        """Some of the rows."""
        return Few(self.scores[index], self.tokens[index], self.vocabulary)

    def scored(self, scores: Floats) -> Few:
        """The same tokens with other scores (R, K)."""
        return replace(self, scores=scores)

    def at(self, rows: Ints, tokens: Ints) -> Floats:
        """The scores of (row, token) pairs."""
        here = self.tokens[rows] == tokens[:, None]                      # behind them token 0 stands, of -inf
        return np.where(here.any(-1), self.scores[rows, here.argmax(-1)], -INF)


FewOrWhole: TypeAlias = Array | Few
"""Whole rows (R, V), or their few."""


def few(scores: FewOrWhole) -> FewOrWhole:
    """The few of whole rows where there are few."""
    return scores if isinstance(scores, Few) else Few.of(scores) or scores


def whole(scores: FewOrWhole) -> Array:
    """Whole rows."""
    return scores.whole() if isinstance(scores, Few) else scores
