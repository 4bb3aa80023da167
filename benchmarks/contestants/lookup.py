"""A draft for speculative search that is no network: after the last two tokens comes what came after them before (prompt lookup).

cf. Saxena 2023, "Prompt Lookup Decoding". As a model of unspool's its certain guess is a distribution: all of it on one token.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

import unspool as un
from unspool.core.tree import TokenForest

MATCHED = 2
"""Tokens at the end of a text that are looked for before it."""
SURE = 1e4
"""How far the guess's logit lies above the others'."""


def follower(tokens: Sequence[int]) -> int:
    """What followed the latest earlier place that reads as the text's end does; the last token where there is none."""
    end = list(tokens[-MATCHED:])
    for i in range(len(tokens) - MATCHED - 1, -1, -1):
        if list(tokens[i : i + MATCHED]) == end:
            return int(tokens[i + MATCHED])
    return int(tokens[-1])


class Lookup:
    """The model: it knows nothing but the text."""

    end_tokens: tuple[int, ...] = ()
    start: int | None = None

    def __init__(self, vocabulary: int, context: int) -> None:
        self.vocabulary, self.context = vocabulary, context

    def session(self, plan: un.Plan = un.NO_PLAN) -> LookupSession:
        return LookupSession(self.vocabulary, self.context)


class LookupSession:
    """Its rows are their tokens."""

    can: frozenset[str] = frozenset()

    def __init__(self, vocabulary: int, context: int) -> None:
        self.nodes = TokenForest(vocabulary, context)

    def extend(self, parents: Any, chains: Any, every: bool = False) -> Any:
        grown = zip(parents, self.nodes.grow(parents, chains), strict=True)
        return np.asarray([rows[-1] if len(rows) else parent for parent, rows in grown], np.int64)

    def keep(self, rows: Iterable[int]) -> None:
        self.nodes.keep(rows)

    def logits(self, rows: Any, layer: int | None = None) -> Any:
        found = np.zeros((len(rows), self.nodes.vocabulary), np.float32)
        for i, row in enumerate(rows):
            found[i, follower(self.nodes.tokens(row).tolist())] = SURE
        return found

    def hidden(self, rows: Any, layer: int | None = None) -> Any:
        raise un.Unsupported("a lookup has no hidden states")
