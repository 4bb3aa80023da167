"""Numbers of a whole distribution that rules ask for."""

from __future__ import annotations

from typing import Any

import numpy as np

from unspool.arrays import INF, Array, log_softmax, logsumexp, namespace, or_zero, remembered, summed

ENOUGH = 1e15
"""A factor or an amount beyond this, or below one over it, acts as its limit: scores that it meets stay within float32."""
TINY = 1e-6
"""A temperature below this looks at what lies between the scores alone, which is all that counts then."""


def limited(value: Any) -> Any:
    """A number or an array within what is enough; -inf stays."""
    if isinstance(value, np.ndarray):
        return np.where(np.isneginf(value), value, np.clip(value, -ENOUGH, ENOUGH))
    return value if value == -INF else min(max(value, -ENOUGH), ENOUGH)


def divided(scores: Array, by: Any, least: float) -> Array:
    """scores / by; by: a number or (R, 1), at least `least`. Next to 0 the best token is left, with its equals."""
    if least >= TINY:
        return scores / by
    xp = namespace(scores)
    below = scores - or_zero(xp.max(scores, axis=-1, keepdims=True))
    with np.errstate(over="ignore"):
        return below / (max(by, 1 / ENOUGH) if isinstance(by, int | float) else xp.clip(by, 1 / ENOUGH, None))


def total_of(scores: Array) -> Array:
    """(R, 1), log of the sum of exp(scores); 0 for a row that nothing may follow."""
    return remembered("total", scores, lambda: or_zero(logsumexp(scores)))


def rounding(logs: Array) -> Array:
    """How far numbers such as these may be from what they stand for: where a bound is reached within it, it is reached.

    The probabilities 0.4 and 0.3 come as logarithms of 32 bits, whose exponentials sum to 0.69999996.
    """
    xp = namespace(logs)
    return xp.finfo(logs.dtype).eps * (4 + xp.abs(logs))


def entropy(scores: Array) -> Array:
    """(R, 1), the entropy of softmax(scores) in nats."""
    xp, logprobs = namespace(scores), log_softmax(scores)
    return -summed(xp.exp(logprobs) * or_zero(logprobs))


def possible(scores: Array) -> Array:
    """(R, 1), how many tokens of each row can come."""
    xp = namespace(scores)
    return xp.sum(xp.astype(scores > -INF, scores.dtype), axis=-1, keepdims=True)
