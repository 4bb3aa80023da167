"""Stops at a limit of time or length."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unspool.arrays import Flags, Ints
from unspool.errors import check
from unspool.processor import Rows
from unspool.stop import Stop


@dataclass(frozen=True)
class MaxTime(Stop):
    """End every hypothesis at its next token once this many seconds have passed since decoding began."""

    reason = "time"
    stateful = True
    seconds: float

    def __post_init__(self) -> None:
        check(self.seconds > 0, f"max_time(seconds) needs seconds > 0; got {self.seconds!r}")

    def begin(self, prompt: Ints) -> float:
        """The deadline."""
        return time.monotonic() + self.seconds

    def ends(self, rows: Rows, tokens: Ints, memory: Sequence[float]) -> Flags:
        """Whether the deadline has passed."""
        now = time.monotonic()
        return np.asarray([now >= deadline for deadline in memory], bool)


@dataclass(frozen=True)
class TokenBudget(Stop):
    """End once prompt and new tokens together are this many, at the first new token at the earliest."""

    aliases = ("max_length",)
    reason = "length"
    tokens: int

    def __post_init__(self) -> None:
        whole = isinstance(self.tokens, int) and not isinstance(self.tokens, bool) and self.tokens >= 1
        check(whole, f"token_budget(tokens) needs a whole number of tokens >= 1; got {self.tokens!r}")

    def ends(self, rows: Rows, tokens: Ints, memory: Sequence[Any]) -> Flags:
        """Whether the token fills the budget."""
        return np.asarray(rows.lengths + 1 >= self.tokens, bool)
