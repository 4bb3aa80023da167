"""Stops that read the new tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unspool.arrays import Array, Flags, Ints
from unspool.core.processor import Rows
from unspool.core.stop import Stop
from unspool.errors import check, is_whole, named, plain, said_truth


@dataclass(frozen=True, init=False)
class End(Stop):
    """End at these tokens, beside the model's own end tokens."""

    variadic = True
    reason = "end"
    tokens: tuple[int, ...]

    def __init__(self, *tokens: int) -> None:
        check(len(tokens) > 0, "end() needs at least one token id, as in end(50256)")
        for t in tokens:
            check(is_whole(t, 0), f"end() takes token ids >= 0; got {t!r}")
        object.__setattr__(self, "tokens", plain(tokens))

    def token_ids(self) -> Iterable[int]:
        return self.tokens

    @property
    def end_tokens(self) -> tuple[int, ...]:
        return self.tokens

    def ends(self, rows: Rows, tokens: Ints, memory: Sequence[Any]) -> Flags:
        return np.isin(tokens, self.tokens)


@dataclass(frozen=True)
class StopFunction(Stop):
    """End where a function says so: it is called with the new tokens of a hypothesis, the newest last."""

    stateful = True
    function: Callable[[tuple[int, ...]], bool]

    def __post_init__(self) -> None:
        check(callable(self.function), f"stop_function(function) needs something to call with the new tokens; got {self.function!r}")

    def begin(self, prompt: Ints) -> tuple[int, ...]:
        return ()

    def advance(self, memories: Sequence[tuple[int, ...]], tokens: Sequence[int], logits: Sequence[Array]) -> list[tuple[int, ...]]:
        return [(*m, int(t)) for m, t in zip(memories, tokens, strict=True)]

    def ends(self, rows: Rows, tokens: Ints, memory: Sequence[tuple[int, ...]]) -> Flags:
        who = f"stop_function: {named(self.function)}"
        return np.asarray([said_truth(who, self.function(new)) for new in memory], bool)
