"""Processors that steer by what was chosen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unspool.arrays import INF, Array, Floats, Ints, block, host, like, log_softmax, namespace, topk
from unspool.core.processor import Processor, Rows
from unspool.errors import check, is_whole, number
from unspool.processors.measures import limited
from unspool.processors.truncate import scatter_kept


@dataclass(frozen=True)
class Mirostat(Processor):
    """Keep the surprise of the text near tau bits, by a line mu that follows each row.

    After a token of surprise s, mu becomes mu - eta * (s - tau); it begins at 2 * tau. Basu et al. 2021, arXiv 2007.14966.
    Version 2 cuts the tokens more surprising than mu. Version 1, the paper's algorithm, estimates the exponent z of Zipf's law
    from the sorted probabilities and keeps the k likeliest, k = ((z - 1) * 2^mu / (1 - n^(1 - z)))^(1 / z).
    surprise: "original", -log2 of the probability before the cut, as in the paper, or "truncated", after it, as in llama.cpp.
    In version 1 the constants follow: the authors' program takes n = 50000, the 3001 likeliest tokens and one more than k, rounded;
    llama.cpp takes the vocabulary, the 100 likeliest and k without its fraction.
    """

    stateful = True
    reads_scores = True
    tau: float = 5.0
    eta: float = 0.1
    surprise: str = "original"
    version: int = 2

    def __post_init__(self) -> None:
        number("mirostat(tau)", self.tau, above=0)
        number("mirostat(eta=...)", self.eta, 0)
        check(self.surprise in ("original", "truncated"), f'mirostat(surprise=...) is "original" or "truncated"; got {self.surprise!r}')
        check(is_whole(self.version) and self.version in (1, 2), f"mirostat(version=...) is 1 or 2; got {self.version!r}")

    @property
    def by_scores(self) -> bool:  # type: ignore[override]
        """Version 1 asks for the size of the vocabulary."""
        return self.version == 2

    def begin(self, prompt: Ints) -> float:
        """mu at the prompt's end."""
        return 2 * self.tau

    def advance(self, memories: Sequence[float], tokens: Sequence[int], scores: Sequence[Array]) -> list[float]:
        after = []
        for mu, token, row in zip(memories, tokens, scores, strict=True):
            logprobs = log_softmax(row[None])
            if self.surprise == "truncated":
                logprobs = log_softmax(self._cut(logprobs, [mu]))
            surprise = -float(host(logprobs)[0, token]) / math.log(2)
            after.append(mu - self.eta * (surprise - self.tau))
        return after

    def process(self, rows: Rows, scores: Array, memory: Any = None) -> Array:
        return self._cut(log_softmax(scores), memory)

    def _cut(self, logprobs: Array, mus: Sequence[float]) -> Array:
        if self.version == 1:
            return self._keep_best(logprobs, mus)
        xp = namespace(logprobs)
        line = like(np.asarray([[-limited(mu) * math.log(2)] for mu in mus], host(logprobs[:1, :1]).dtype), logprobs)
        return block(logprobs, (logprobs >= line) | (logprobs == xp.max(logprobs, axis=-1, keepdims=True)))

    def _keep_best(self, logprobs: Array, mus: Sequence[float]) -> Array:
        ours, vocabulary = self.surprise == "original", logprobs.shape[-1]
        best = host(topk(logprobs, 3001 if ours else 100)[0]).astype(np.float64)
        counts = [zipf_count(row, mu, 50000 if ours else vocabulary, ours) for row, mu in zip(best, mus, strict=True)]
        columns = topk(logprobs, int(min(max(counts), vocabulary)))[1]
        keep = np.arange(columns.shape[-1]) < np.asarray(counts)[:, None]
        return scatter_kept(logprobs, columns, like(keep, logprobs))


def zipf_count(logprobs: Floats, mu: float, n: int, rounded: bool) -> float:
    """How many tokens version 1 of mirostat keeps, from the log-probabilities of the likeliest, best first."""
    known = logprobs[logprobs > -INF]
    if len(known) < 2:
        return 1
    steps = np.log(np.arange(2, len(known) + 1) / np.arange(1, len(known)))
    z = float((known[:-1] - known[1:]) @ steps / (steps @ steps))
    share = 1 / math.log(n) if abs(z - 1) < 1e-9 else (z - 1) / -math.expm1((1 - z) * math.log(n))
    log_k = (math.log(share) + mu * math.log(2)) / max(z, 1e-12)         # z is 0 where all are equal
    k = math.exp(log_k) if log_k < 40 else INF
    return max(k if k == INF else round(k) + 1 if rounded else int(k), 1)


@dataclass(frozen=True)
class AdaptiveP(Processor):
    """Favour tokens whose probability is near a target, which makes up for what was chosen before.

    s'(v) = 5 - 10 * d^2 / (1 + d) with d = |p(v) - t| / 0.3, where t = 2 * target - the mean probability of the tokens chosen so
    far, within [0, 1]; the mean weighs a token decay times less than the next, and begins at the target. A target below 0
    changes nothing. It is meant to be last. MrJackSpade and ddh0 2025, llama.cpp pull request 17927.
    """

    stateful = True
    reads_scores = True
    by_scores = True
    target: float
    decay: float = 0.9

    def __post_init__(self) -> None:
        number("adaptive_p(target)", self.target, most=1, note=", below 0 for none")
        number("adaptive_p(decay=...)", self.decay, 0, 0.99)

    def begin(self, prompt: Ints) -> tuple[float, float]:
        """The weighted sum of probabilities, and the sum of weights."""
        return self.target / (1 - self.decay), 1 / (1 - self.decay)

    def advance(
        self, memories: Sequence[tuple[float, float]], tokens: Sequence[int], scores: Sequence[Array]
    ) -> list[tuple[float, float]]:
        after = []
        for (sum_, weight), token, row in zip(memories, tokens, scores, strict=True):
            p = math.exp(float(host(log_softmax(row[None]))[0, token]))
            after.append((p + self.decay * sum_, 1 + self.decay * weight))
        return after

    def process(self, rows: Rows, scores: Array, memory: Any = None) -> Array:
        """Scores by the distance to the target."""
        if self.target < 0:
            return scores
        xp = namespace(scores)
        aims = [min(max(2 * self.target - sum_ / weight, 0.0), 1.0) for sum_, weight in memory]
        aim = like(np.asarray(aims, host(scores[:1, :1]).dtype)[:, None], scores)
        apart = xp.abs(xp.exp(log_softmax(scores)) - aim) / 0.3
        return xp.where(scores > -INF, 5 - 10 * apart**2 / (1 + apart), -INF)
