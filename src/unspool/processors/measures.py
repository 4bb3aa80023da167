"""Numbers of a whole distribution that rules ask for."""

from __future__ import annotations

from unspool.arrays import INF, Array, log_softmax, logsumexp, namespace, or_zero


def total_of(scores: Array) -> Array:
    """(R, 1), log of the sum of exp(scores); 0 for a row that nothing may follow."""
    return or_zero(logsumexp(scores))


def rounding(logs: Array) -> Array:
    """How far numbers such as these may be from what they stand for: where a bound is reached within it, it is reached.

    The probabilities 0.4 and 0.3 come as logarithms of 32 bits, whose exponentials sum to 0.69999996.
    """
    xp = namespace(logs)
    return xp.finfo(logs.dtype).eps * (4 + xp.abs(logs))


def entropy(scores: Array) -> Array:
    """(R, 1), the entropy of softmax(scores) in nats."""
    xp, logprobs = namespace(scores), log_softmax(scores)
    return -xp.sum(xp.exp(logprobs) * or_zero(logprobs), axis=-1, keepdims=True)


def possible(scores: Array) -> Array:
    """(R, 1), how many tokens of each row can come."""
    xp = namespace(scores)
    return xp.sum(xp.astype(scores > -INF, scores.dtype), axis=-1, keepdims=True)
