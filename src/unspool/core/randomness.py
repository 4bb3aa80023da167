"""Uniforms from a counter, without a generator and without state.

A draw depends on the seed, the lineage of its row (the prompt, and which child of which child it is), its step, and what
it is for; so a text is the same alone, in a batch, in another order, or resumed. The mixing function is splitmix64's
(Steele, Lea and Flood 2014, doi 10.1145/2660193.2660195).
"""

from __future__ import annotations

from functools import cache
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unspool.arrays import IN_CACHE, IN_TURN, Array, Floats, Ints, like, namespace, or_zero

Lineage = NDArray[np.uint64]
ONES, GOLDEN = 2**64 - 1, 0x9E3779B97F4A7C15
CDF_BLOCK = 256
LEAST = 2.0**-54
"""In place of a uniform of 0, which has no logarithm."""


def _mix(z: Any) -> Any:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def _mix_one(z: int) -> int:
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & ONES
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB & ONES
    return z ^ (z >> 31)


def combine(*parts: Any) -> Lineage:
    """One 64-bit key from several integers or arrays of integers of one shape."""
    arrays = [np.asarray(part) for part in parts]
    if all(a.size == 1 for a in arrays):                                 # Python's numbers are faster than arrays of one
        one = 0
        for a in arrays:
            one = _mix_one((one + GOLDEN + int(a.item())) & ONES)
        return np.full(np.broadcast_shapes(*(a.shape for a in arrays)), one, np.uint64)
    with np.errstate(over="ignore"):
        z = np.uint64(0)
        for a in arrays:
            z = _mix(z + np.uint64(GOLDEN) + a.astype(np.uint64))
        return np.asarray(z)


@cache
def _hash(data: bytes) -> int:
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "little")


def word(text: str | bytes) -> int:
    """A 64-bit number for a text."""
    return _hash(text.encode()) if isinstance(text, str) else int.from_bytes(blake2b(text, digest_size=8).digest(), "little")


def child(lineage: Lineage, index: Any, step: Any = 0) -> Lineage:
    """The lineage of the index-th child, born at a step; the first child keeps its parent's.

    The step counts because a row and its first child have one lineage, and their second children need two.
    """
    lineage, index, step = np.broadcast_arrays(np.asarray(lineage, np.uint64), index, step)
    others = index != 0
    if not others.any():
        return np.asarray(lineage)
    found: Lineage = lineage.copy()
    found[others] = combine(lineage[others], index[others] + (step[others].astype(np.int64) << 32))
    return found


def uniform(seed: int, lineage: Lineage, step: Any, purpose: str, index: Any = 0) -> Floats:
    """Uniforms in [0, 1), one for each lineage, for the given step and purpose."""
    bits = combine(np.uint64(seed & (2**64 - 1)), lineage, step, np.uint64(word(purpose)), index)
    return np.asarray((bits >> np.uint64(11)).astype(np.float64) * 2.0**-53)


def draw(scores: Array, u: Floats) -> Array:
    """Tokens by inverse CDF: for each row the token whose slice of [0, 1) holds u.

    scores (R, V), not necessarily normalised, u (R,) -> (R,). The slices lie in ascending order of token and have the
    lengths softmax(scores); the sums are in float64, and of a numpy array left out columns of -inf change no bit of them. A row of
    -inf alone gives a token all the same.
    """
    rows, vocabulary = scores.shape
    if isinstance(scores, np.ndarray):
        if vocabulary > IN_TURN:
            return np.asarray([_draw_one(row, x) for row, x in zip(scores, u, strict=True)], np.int64)
        many = max(IN_CACHE // vocabulary, 1)
        return np.concatenate([_draw_short(_relative(scores[r : r + many]), u[r : r + many]) for r in range(0, max(rows, 1), many)])
    xp = namespace(scores)
    top = xp.max(scores, axis=-1, keepdims=True)
    p = xp.exp(scores - or_zero(top))
    if vocabulary % CDF_BLOCK:
        p = xp.concat([p, xp.zeros((rows, -vocabulary % CDF_BLOCK), dtype=p.dtype, **_place(p))], axis=-1)
    p = xp.reshape(p, (rows, -1, CDF_BLOCK))                              # first the block, then the token inside it
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


def _relative(scores: Floats) -> Floats:
    """Probabilities, each as a multiple of its row's greatest."""
    p: Floats = scores - or_zero(scores.max(-1, keepdims=True))
    return np.exp(p, out=p)


def _draw_short(p: Floats, u: Floats) -> Ints:
    """The column of each row that u falls on, summed from left to right: p (R, K), u (R,) -> (R,)."""
    cdf = np.cumsum(p, -1, dtype=np.float64)
    found: Ints = (cdf <= u[:, None] * cdf[:, -1:]).sum(-1)
    for row in np.flatnonzero(found == p.shape[-1]):                     # rounding never leaves the support
        found[row] = np.flatnonzero(p[row])[-1] if p[row].any() else 0
    return found


def _draw_one(scores: Floats, u: Any) -> int:
    """The same for one long row (V,): first the block, then the token inside it; if few tokens can come, among those alone."""
    p = _relative(scores)
    there = p != 0
    if np.count_nonzero(there) <= IN_TURN:
        tokens = np.flatnonzero(there)
        return int(tokens[_draw_short(p[None, tokens], np.asarray([u]))[0]]) if len(tokens) else 0
    sums = np.add.reduceat(p, np.arange(0, len(p), CDF_BLOCK), dtype=np.float64)
    cdf = np.cumsum(sums)
    aim = u * cdf[-1]
    block = min(int(cdf.searchsorted(aim, side="right")), len(cdf) - 1)
    inside = p[block * CDF_BLOCK : (block + 1) * CDF_BLOCK]
    found = int(np.cumsum(inside, dtype=np.float64).searchsorted(aim - (cdf[block - 1] if block else 0.0), side="right"))
    if found >= len(inside) or not inside[found]:                        # rounding never leaves the support
        found = int(np.flatnonzero(inside)[-1]) if inside.any() else 0
    return block * CDF_BLOCK + found


def gumbel(u: Floats) -> Floats:
    """Gumbel numbers of uniforms, -log(-log u)."""
    return np.asarray(-np.log(-np.log(np.maximum(u, LEAST))))
