"""Processors that steer by what was chosen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unspool.arrays import INF, Array, Ints, block, host, like, log_softmax, namespace
from unspool.errors import check
from unspool.processor import Processor, Rows


@dataclass(frozen=True)
class Mirostat(Processor):
    """Keep the surprise of the text near tau bits: cut tokens more surprising than mu, which follows each row.

    After a token of surprise s, mu becomes mu - eta * (s - tau); it begins at 2 * tau. This is the second version of
    Basu et al. 2021, arXiv 2007.14966. surprise: "original", -log2 of the probability before the cut, as in the paper, or
    "truncated", after it, as in llama.cpp.
    """

    stateful = True
    reads_scores = True
    tau: float = 5.0
    eta: float = 0.1
    surprise: str = "original"

    def __post_init__(self) -> None:
        check(0 < self.tau < INF, f"mirostat(tau) needs a finite tau > 0; got {self.tau!r}")
        check(0 <= self.eta < INF, f"mirostat(eta=...) needs a finite eta >= 0; got {self.eta!r}")
        check(self.surprise in ("original", "truncated"), f'mirostat(surprise=...) is "original" or "truncated"; got {self.surprise!r}')

    def begin(self, prompt: Ints) -> float:
        """mu at the prompt's end."""
        return 2 * self.tau

    def advance(self, memories: Sequence[float], tokens: Sequence[int], scores: Sequence[Array]) -> list[float]:
        """mu after each token."""
        after = []
        for mu, token, row in zip(memories, tokens, scores, strict=True):
            logprobs = log_softmax(row[None])
            if self.surprise == "truncated":
                logprobs = log_softmax(self._cut(logprobs, [mu]))
            surprise = -float(host(logprobs)[0, token]) / math.log(2)
            after.append(mu - self.eta * (surprise - self.tau))
        return after

    def process(self, rows: Rows, scores: Array, memory: Any = None) -> Array:
        """Block tokens more surprising than mu."""
        return self._cut(log_softmax(scores), memory)

    def _cut(self, logprobs: Array, mus: Sequence[float]) -> Array:
        xp = namespace(logprobs)
        line = like(np.asarray([[-mu * math.log(2)] for mu in mus], host(logprobs[:1, :1]).dtype), logprobs)
        return block(logprobs, (logprobs >= line) | (logprobs == xp.max(logprobs, axis=-1, keepdims=True)))
