"""Processors of Hugging Face's form, under any strategy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from unspool.arrays import Array, namespace
from unspool.core.processor import Processor, Rows
from unspool.errors import check


@dataclass(frozen=True)
class FromHf(Processor):
    """A Hugging Face logits processor, called with (input_ids, scores); it must not keep state of its own.

    Rows of different lengths are given to it one by one, so that it never sees padding.
    """

    name = "from_hf"
    function: Callable[[Array, Array], Array]

    def __post_init__(self) -> None:
        check(callable(self.function), f"from_hf(function) needs something to call with (input_ids, scores); got {self.function!r}")

    def process(self, rows: Rows, scores: Array, memory: Any = None) -> Array:
        width = rows.tokens.shape[1]
        if (rows.lengths == width).all():
            return self.function(rows.tokens, scores)
        parts = [
            self.function(rows.tokens[i : i + 1, width - int(n) :], scores[i : i + 1]) for i, n in enumerate(rows.lengths)
        ]
        return namespace(scores).concat(parts, axis=0)
