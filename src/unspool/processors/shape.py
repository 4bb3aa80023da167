"""Processors that change the shape of the whole distribution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from unspool.arrays import INF, Array, log_softmax, namespace, topk
from unspool.errors import check
from unspool.processor import Processor, Rows


@dataclass(frozen=True)
class Temperature(Processor):
    """scores / t: below 1 sharper, above 1 flatter; 0 leaves only the best token, of equals the one with the lowest id.

    Ackley, Hinton and Sejnowski 1985.
    """

    t: float = 1.0

    def __post_init__(self) -> None:
        check(0 <= self.t < INF, f"temperature(t) needs a finite t >= 0; got {self.t!r}")

    def process(self, rows: Rows, scores: Array, memory: Any = None) -> Array:
        """Divide, or for 0 keep the best."""
        if self.t == 1:
            return scores
        if self.t > 0:
            return scores / self.t
        xp = namespace(scores)
        best = topk(scores, 1)[1]
        places = xp.arange(scores.shape[-1], **({} if not hasattr(scores, "is_cuda") else {"device": scores.device}))
        return xp.where(places == best, scores, -INF)


@dataclass(frozen=True)
class LogSoftmax(Processor):
    """log softmax(scores): so that what follows sees log-probabilities, as transformers' beam search shows its processors."""

    def process(self, rows: Rows, scores: Array, memory: Any = None) -> Array:
        """Normalise."""
        return log_softmax(scores)
