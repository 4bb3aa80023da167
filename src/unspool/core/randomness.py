"""Uniforms from a counter, without a generator and without state.

A draw depends on the seed, the lineage of its row (the prompt, and which child of which child it is), its step, and what
it is for; so a text is the same alone, in a batch, in another order, or resumed. The mixing function is splitmix64's
(Steele, Lea and Flood 2014, doi 10.1145/2660193.2660195).
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unspool.arrays import IN_CACHE, Array, Floats, like, namespace

Lineage = NDArray[np.uint64]
CDF_BLOCK = 256


def _mix(z: Any) -> Any:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def combine(*parts: Any) -> Lineage:
    """One 64-bit key from several integers or arrays of integers of one shape."""
    with np.errstate(over="ignore"):
        z = np.uint64(0)
        for part in parts:
            z = _mix(z + np.uint64(0x9E3779B97F4A7C15) + np.asarray(part).astype(np.uint64))
        return np.asarray(z)


def word(text: str | bytes) -> int:
    """A 64-bit number for a text."""
    return int.from_bytes(blake2b(text.encode() if isinstance(text, str) else text, digest_size=8).digest(), "little")


def child(lineage: Lineage, index: Any, step: Any = 0) -> Lineage:
    """The lineage of the index-th child, born at a step; the first child keeps its parent's.

    The step counts because a row and its first child have one lineage, and their second children need two.
    """
    index = np.asarray(index)
    if not index.any():
        return lineage
    return np.where(index == 0, lineage, combine(lineage, index + (np.asarray(step) << 32)))


def uniform(seed: int, lineage: Lineage, step: Any, purpose: str, index: Any = 0) -> Floats:
    """Uniforms in [0, 1), one for each lineage, for the given step and purpose."""
    bits = combine(np.uint64(seed & (2**64 - 1)), lineage, step, np.uint64(word(purpose)), index)
    return np.asarray((bits >> np.uint64(11)).astype(np.float64) * 2.0**-53)


def draw(scores: Array, u: Floats) -> Array:
    """Tokens by inverse CDF: for each row the token whose slice of [0, 1) holds u.

    scores (R, V), not necessarily normalised, u (R,) -> (R,). The slices lie in ascending order of token and have the
    lengths softmax(scores); the sums are in float64. A row of -inf alone gives a token all the same.
    """
    xp = namespace(scores)
    rows, vocabulary = scores.shape
    if xp is np and scores.size > IN_CACHE and rows > 1:
        return np.concatenate([draw(scores[r : r + 1], u[r : r + 1]) for r in range(rows)])
    top = xp.max(scores, axis=-1, keepdims=True)
    p = xp.exp(scores - xp.where(top == -xp.inf, xp.zeros_like(top), top))
    p = xp.concat([p, xp.zeros((rows, -vocabulary % CDF_BLOCK), dtype=p.dtype, **_place(p))], axis=-1)
    p = xp.reshape(p, (rows, -1, CDF_BLOCK))                                  # first the block, then the token inside it
    cdf = xp.cumulative_sum(xp.sum(p, axis=-1, dtype=xp.float64), axis=-1)
    aim = like(u, cdf)[:, None] * cdf[:, -1:]
    chosen = xp.clip(xp.sum(xp.astype(cdf <= aim, xp.int64), axis=-1), 0, cdf.shape[1] - 1)
    every = xp.arange(rows, **_place(p))
    before = xp.where(chosen > 0, cdf[every, xp.clip(chosen - 1, 0, None)], xp.zeros_like(aim[:, 0]))
    inside = p[every, chosen]
    slices = xp.cumulative_sum(inside, axis=-1, dtype=xp.float64)
    found = xp.sum(xp.astype(slices <= (aim[:, 0] - before)[:, None], xp.int64), axis=-1)
    last = xp.max(xp.where(inside > 0, xp.arange(CDF_BLOCK, **_place(p)), 0), axis=-1)   # rounding never leaves the support
    return chosen * CDF_BLOCK + xp.minimum(found, last)


def _place(x: Array) -> dict[str, Any]:
    return {} if isinstance(x, np.ndarray) else {"device": x.device}
