"""What a call of `generate` wants to know of every step: the scores (V,) after every beginning of a text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unspool.arrays import Array, copy, host, namespace
from unspool.core.processor import Processor, Rows


class SeenRows:
    """Scores by the tokens of their rows."""

    def __init__(self) -> None:
        self.scores: dict[bytes, Array] = {}

    def __len__(self) -> int:
        return len(self.scores)

    def after(self, tokens: Sequence[int]) -> Array:
        """The scores (V,) after a text."""
        return self.scores[_name(tokens)]

    def nothing(self) -> Array:
        """Zeros in their shape."""
        return namespace(some := next(iter(self.scores.values()))).zeros_like(some)


@dataclass(frozen=True)
class _Watch(Processor):
    """Keeps the scores that come by, and changes nothing."""

    name = "watch"
    seen: SeenRows

    def __hash__(self) -> int:
        return id(self)

    def process(self, rows: Rows, scores: Array, memory: Any = None) -> Array:
        texts = np.asarray(host(rows.tokens))
        for i, length in enumerate(rows.lengths.tolist()):
            self.seen.scores[_name(texts[i, texts.shape[1] - length :])] = scores[i]
        return copy(scores)


def watch(seen: SeenRows) -> Processor:
    """A processor that puts the scores that come by into `seen`."""
    return _Watch(seen)


def _name(tokens: Sequence[int] | Any) -> bytes:
    """The name of a text."""
    return np.asarray(tokens, np.int64).tobytes()
