"""Processors that cut every token below a line, which each distribution draws for itself.

Tokens of equal probability stay or go together, and the likeliest min_keep always stay.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from unspool.arrays import INF, Array, block, log_softmax, logsumexp, namespace, or_zero, summed, topk
from unspool.core.processor import Processor, Rows, Standing
from unspool.errors import check, number, whole
from unspool.processors.measures import entropy, limited, possible, rounding, total_of


class _Threshold(Processor):
    """A score below which tokens go."""

    by_scores = True
    off = False
    min_keep: int

    def __post_init__(self) -> None:
        whole(f"{self.name}(min_keep=...)", self.min_keep, 1)

    def line(self, scores: Array) -> Array:
        """(R, V) -> (R, 1), the least score that stays."""
        raise NotImplementedError

    def process(self, rows: Rows, scores: Array, memory: Any = None) -> Array:
        if self.off:
            return scores
        line, likeliest = self.line(scores), topk(scores, self.min_keep)[0][:, -1:]
        return block(scores, (scores >= line - rounding(line)) | (scores >= likeliest))


def just_below(value: float) -> float:
    """A setting a little below a bound in [0, 1], with three digits that count."""
    if value <= 0:
        return 0.0
    value = min(1.0, value * (1 - 1e-5))
    digits = 2 - math.floor(math.log10(value))
    return float(math.floor(value * 10**digits) / 10**digits)


@dataclass(frozen=True)
class MinP(_Threshold):
    """Keep tokens at least p times as likely as the likeliest; above 1 the likeliest alone. Nguyen et al. 2024, arXiv 2407.01082.

    min_keep: so many tokens stay at least.
    """

    p: float
    min_keep: int = 1

    def __post_init__(self) -> None:
        number("min_p(p)", self.p, 0)
        super().__post_init__()

    @property
    def off(self) -> bool:  # type: ignore[override]
        return self.p == 0

    def line(self, scores: Array) -> Array:
        return namespace(scores).max(scores, axis=-1, keepdims=True) + math.log(self.p)

    def sparing(self, token: Standing) -> Processor:
        return replace(self, p=just_below(token.probability / token.best))


@dataclass(frozen=True)
class Epsilon(_Threshold):
    """Keep tokens whose probability is at least epsilon: p(v) >= epsilon. Hewitt, Manning and Liang 2022, arXiv 2210.15191.

    min_keep: so many tokens stay at least.
    """

    aliases = ("epsilon_cutoff",)
    epsilon: float
    min_keep: int = 1

    def __post_init__(self) -> None:
        number("epsilon(epsilon)", self.epsilon, 0, 1)
        super().__post_init__()

    @property
    def off(self) -> bool:  # type: ignore[override]
        return self.epsilon == 0

    def line(self, scores: Array) -> Array:
        return total_of(scores) + math.log(self.epsilon)

    def sparing(self, token: Standing) -> Processor:
        return replace(self, epsilon=just_below(token.probability))


@dataclass(frozen=True)
class Eta(_Threshold):
    """Keep tokens of probability at least epsilon, or less where the distribution is flat.

    p(v) >= min(epsilon, sqrt(epsilon) * exp(-H)), with the entropy H in nats. Hewitt, Manning and Liang 2022, arXiv 2210.15191.
    min_keep: so many tokens stay at least.
    """

    aliases = ("eta_cutoff",)
    epsilon: float
    min_keep: int = 1

    def __post_init__(self) -> None:
        number("eta(epsilon)", self.epsilon, 0, 1)
        super().__post_init__()

    @property
    def off(self) -> bool:  # type: ignore[override]
        return self.epsilon == 0

    def line(self, scores: Array) -> Array:
        least = math.log(self.epsilon)
        return total_of(scores) + namespace(scores).clip(least / 2 - entropy(scores), None, least)

    def sparing(self, token: Standing) -> Processor:
        return replace(self, epsilon=just_below(max(token.probability, (token.probability * math.exp(token.entropy)) ** 2)))


@dataclass(frozen=True)
class TopNSigma(_Threshold):
    """Keep tokens whose score is within n standard deviations of the best: s(v) >= max(s) - n * sigma.

    sigma is the standard deviation (of the population) of the scores of all tokens that can come, so the place among other
    processors matters, but a temperature before it does not. n = 0 keeps the best. min_keep: so many tokens stay at
    least. Tang et al. 2024, arXiv 2411.07641.
    """

    name = "top_n_sigma"
    aliases = ("top_nsigma",)
    n: float = 1.0
    min_keep: int = 1

    def __post_init__(self) -> None:
        number("top_n_sigma(n)", self.n, 0)
        super().__post_init__()

    def line(self, scores: Array) -> Array:
        xp, count = namespace(scores), possible(scores)
        count = xp.where(count == 0, xp.ones_like(count), count)
        centre = summed(or_zero(scores)) / count
        apart = xp.where(scores > -INF, scores - centre, xp.zeros_like(scores))
        sigma = xp.sqrt(summed(apart * apart) / count)
        return xp.max(scores, axis=-1, keepdims=True) - limited(self.n) * sigma


@dataclass(frozen=True)
class TopA(_Threshold):
    """Keep tokens of probability at least a times the square of the best: p(v) >= a * max(p)^2.

    The surer the model, the more is cut. min_keep: so many tokens stay at least. BlinkDL 2022, in RWKV-LM.
    """

    a: float
    min_keep: int = 1

    def __post_init__(self) -> None:
        number("top_a(a)", self.a, 0, 1)
        super().__post_init__()

    @property
    def off(self) -> bool:  # type: ignore[override]
        return self.a == 0

    def line(self, scores: Array) -> Array:
        return 2 * namespace(scores).max(scores, axis=-1, keepdims=True) - total_of(scores) + math.log(self.a)

    def sparing(self, token: Standing) -> Processor:
        return replace(self, a=just_below(token.probability / token.best**2))


@dataclass(frozen=True)
class PLess(_Threshold):
    """Keep tokens at least as likely as a second draw is to repeat the first: p(v) >= sum of p^2. It has no setting to tune.

    normalised: p(v) >= (n * sum of p^2 - 1) / (n - 1) for n tokens that can come, which keeps more; the paper's p-less-norm.
    order: p(v) >= (sum of p^order)^(1 / (order - 1)) = exp(-H), with the Renyi entropy H of that order; 1 is Shannon's, 0 the mean
    of all. The higher, the fewer stay. min_keep: so many tokens stay at least. Tan et al. 2025, arXiv 2509.23234.
    """

    name = "p_less"
    normalised: bool = False
    order: float = 2.0
    min_keep: int = 1

    def __post_init__(self) -> None:
        check(isinstance(self.normalised, bool), f"p_less(normalised) is True or False; got {self.normalised!r}")
        number("p_less(order=...)", self.order, 0)
        check(self.order == 2 or not self.normalised, f"p_less(normalised=True) is of order 2; got order={self.order!r}")
        super().__post_init__()

    def line(self, scores: Array) -> Array:
        xp, repeat = namespace(scores), self._repeat(scores)
        if self.normalised:
            count = xp.clip(possible(scores), 2, None)
            share = xp.clip((count * xp.exp(repeat) - 1) / (count - 1), 1e-30, None)
            repeat = xp.log(share)
        return total_of(scores) + repeat

    def _repeat(self, scores: Array) -> Array:
        """(R, 1), the negative Renyi entropy."""
        xp, order = namespace(scores), min(self.order, 1e6)              # beyond it is that of the best
        if order == 2:
            return logsumexp(2 * log_softmax(scores))
        if order == 0:
            return -xp.log(xp.clip(possible(scores), 1, None))
        if abs(order - 1) < 1e-6:
            return -entropy(scores)
        logprobs = log_softmax(xp.astype(scores, xp.float64))            # the difference of two numbers near 0 is divided by order - 1
        return xp.astype(logsumexp(order * logprobs) / (order - 1), scores.dtype)
