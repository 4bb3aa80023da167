"""Products of a few rows with large weights, in numpy.

A product of one row takes as long as reading the weights. From two rows on BLAS copies them first into an order of its own, at every
call: two rows took 2.6 times as long as one, and eight hardly longer than two. So the weights are cut into pieces that stay in a core's
cache, and the rows go over each piece one by one; memory is read once, and nothing is copied.
"""

from __future__ import annotations

import numpy as np

from unspool.arrays import Array

PIECE = 1 << 17
"""Numbers of a piece: 512 KB."""
BY_PIECES = 3
"""The most rows that go over pieces one by one; with more, the copy is worth its time."""


def product(x: Array, weight: Array) -> Array:
    """x W^T: numpy's x (N, I) and W (O, I) -> (N, O)."""
    across = weight.T
    if not 1 < len(x) <= BY_PIECES or weight.size < PIECE:
        return x @ across
    return _by_inputs(x, across) if across.flags.c_contiguous else _by_outputs(x, weight)


def _by_outputs(x: Array, weight: Array) -> Array:
    out = np.empty((len(x), len(weight)), np.result_type(x, weight))
    size = max(1, PIECE // weight.shape[1])
    for first in range(0, len(weight), size):
        piece = weight[first : first + size]
        for row, its in zip(x, out[:, first : first + size], strict=True):
            np.matmul(piece, row, out=its)
    return out


def _by_inputs(x: Array, across: Array) -> Array:
    """Sums over pieces of the inputs; across: (I, O)."""
    out = np.zeros((len(x), across.shape[1]), np.result_type(x, across))
    size = max(1, PIECE // across.shape[1])
    for first in range(0, len(across), size):
        piece, part = across[first : first + size], x[:, first : first + size]
        for row, sums in zip(part, out, strict=True):
            sums += row @ piece
    return out
