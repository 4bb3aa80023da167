"""Stops at a limit of time or length."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unspool.arrays import Flags, Ints
from unspool.core.processor import Rows
from unspool.core.stop import Stop
from unspool.errors import number, whole


@dataclass(frozen=True)
class MaxTime(Stop):
    """End every hypothesis at its next token once this many seconds have passed since its prompt began."""

    reason = "time"
    stateful = True
    seconds: float

    def __post_init__(self) -> None:
        number("max_time(seconds)", self.seconds, above=0)

    def begin(self, prompt: Ints) -> float:
        return time.monotonic() + self.seconds

    def ends(self, rows: Rows, tokens: Ints, memory: Sequence[float]) -> Flags:
        now = time.monotonic()
        return np.asarray([now >= deadline for deadline in memory], bool)


@dataclass(frozen=True)
class TokenBudget(Stop):
    """End once prompt and new tokens together are this many, at the first new token at the earliest."""

    aliases = ("max_length",)
    reason = "length"
    tokens: int

    def __post_init__(self) -> None:
        whole("token_budget(tokens)", self.tokens, 1)

    def ends(self, rows: Rows, tokens: Ints, memory: Sequence[Any]) -> Flags:
        return np.asarray(rows.lengths + 1 >= self.tokens, bool)
