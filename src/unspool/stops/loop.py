"""A stop for texts that go round in circles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from unspool.arrays import Array, Flags, Ints
from unspool.core.processor import Rows
from unspool.core.stop import Stop
from unspool.errors import check, whole


@dataclass(frozen=True)
class Loop(Stop):
    """End once the new text ends in a phrase that stands there `count` times in a row.

    The phrase has at least `shortest` and at most `period` tokens. after: so many tokens are there before it ends a text.
    """

    reason = "loop"
    stateful = True
    count: int = 4
    period: int = 32
    shortest: int = 1
    after: int = 0

    def __post_init__(self) -> None:
        for name, least in (("count", 2), ("period", 1), ("shortest", 1), ("after", 0)):
            value = getattr(self, name)
            whole(f"loop({name}=...)", value, least)
        check(self.shortest <= self.period, f"loop(shortest={self.shortest}) is above the longest phrase, period={self.period}")

    def begin(self, prompt: Ints) -> tuple[Ints, Ints]:
        """The last tokens, newest first, and for each distance how many tokens in a row equal the one so far before."""
        return np.full(self.period, -1, np.int64), np.zeros(self.period, np.int64)

    def advance(self, memories: Sequence[tuple[Ints, Ints]], tokens: Sequence[int], logits: Sequence[Array]) -> list[tuple[Ints, Ints]]:
        after = []
        for (last, equal), token in zip(memories, tokens, strict=True):
            after.append((np.concatenate([[token], last[:-1]]), np.where(last == token, equal + 1, 0)))
        return after

    def ends(self, rows: Rows, tokens: Ints, memory: Sequence[tuple[Ints, Ints]]) -> Flags:
        """Whether some phrase is there for the count-th time."""
        periods = np.arange(1, self.period + 1)
        enough = np.where(periods >= self.shortest, periods * (self.count - 1), np.iinfo(np.int64).max)
        found = np.asarray([bool((equal >= enough).any()) for _, equal in memory], bool)
        return found & (rows.generated + 1 > self.after)
