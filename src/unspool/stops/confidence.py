"""A stop for texts that the model is no longer sure of."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unspool.arrays import Array, Flags, Ints, host, log_softmax, topk
from unspool.core.processor import Rows
from unspool.core.stop import Stop
from unspool.errors import check, number, whole

MEASURES = ("chosen", "likeliest", "deepconf")


@dataclass(frozen=True)
class Confidence(Stop):
    """End with the token by which the model's confidence over the last `window` new tokens falls below `least`.

    measure: "chosen", the geometric mean of the probabilities of the tokens, exp(mean log p); "likeliest", that of the likeliest
    tokens in their places, whatever was chosen; "deepconf", minus the mean log-probability of the k likeliest tokens in nats, which
    is large where the distribution is sharp (Fu et al. 2025, arXiv 2508.15260: k = 20, a window of 2048, the line from a few trial
    texts). Probabilities are the model's own, before the processors. No text ends before it has `window` new tokens.
    """

    reason = "confidence"
    stateful = True
    reads_logits = True
    least: float
    window: int = 1
    measure: str = "chosen"
    k: int = 20

    def __post_init__(self) -> None:
        check(self.measure in MEASURES, f"confidence(measure=...) is one of {', '.join(MEASURES)}; got {self.measure!r}")
        if self.measure == "deepconf":
            number('confidence(least, measure="deepconf")', self.least, above=0)
        else:
            number("confidence(least)", self.least, above=0, most=1)
        for name in ("window", "k"):
            value = getattr(self, name)
            whole(f"confidence({name}=...)", value, 1)
        check(self.k == 20 or self.measure == "deepconf", 'confidence(k=...) belongs to measure="deepconf"; leave it out')

    def begin(self, prompt: Ints) -> tuple[float, ...]:
        """The confidence at each of the last new tokens: none yet."""
        return ()

    def advance(self, memories: Sequence[tuple[float, ...]], tokens: Sequence[int], logits: Sequence[Array]) -> list[tuple[float, ...]]:
        known = {id(row): self._read(row) for row in {id(row): row for row in logits}.values()}
        after = []
        for memory, token, row in zip(memories, tokens, logits, strict=True):
            read = known[id(row)]
            after.append((*memory, float(read[token] if self.measure == "chosen" else read))[-self.window :])
        return after

    def ends(self, rows: Rows, tokens: Ints, memory: Sequence[tuple[float, ...]]) -> Flags:
        """Whether the mean of a whole window is below the line."""
        line = self.least if self.measure == "deepconf" else math.log(self.least)
        return np.asarray([len(some) == self.window and math.fsum(some) / self.window < line for some in memory], bool)

    def _read(self, logits: Array) -> Any:
        """Of one distribution the number that is averaged, or all log-probabilities where that depends on the token."""
        logprobs = log_softmax(logits[None])
        if self.measure == "chosen":
            return host(logprobs)[0]
        return host(logprobs).max() if self.measure == "likeliest" else -host(topk(logprobs, self.k)[0]).mean()
