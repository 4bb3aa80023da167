"""Products of a few rows with large weights, in numpy.

A product of one row takes as long as reading the weights. From two rows on BLAS copies them first into an order of its own, at every
call, which costs more than the product does: two rows took 2.6 times as long as one. Here the weights are cut into pieces that stay in
a core's cache, and the rows go over each piece one by one; memory is read once, and nothing is copied.

OpenBLAS has kernels for AVX-512 that multiply small matrices as they lie, if their rows are the inputs; there a piece is small
enough for those, and takes all rows at once.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from unspool.arrays import Array
from unspool.models.threads import libraries

PIECE = 1 << 17
"""Numbers of a piece: 512 KB."""
SMALL_PRODUCT = 10**6
"""Multiplications of a product that OpenBLAS counts as small."""
PIECE_OUTPUTS = 1024
"""The most outputs of a piece of weights that lie by inputs."""
SMALL_KERNELS = frozenset({"SkylakeX", "Cooperlake", "SapphireRapids"})
"""OpenBLAS's names of processors for which it has small products."""
BY_OUTPUTS, BY_INPUTS, BY_SMALL = 8, 3, 12
"""The most rows that go by pieces, by how the weights lie; with more, the copy is worth its time."""


def product(x: Array, weight: Array) -> Array:
    """x W^T: numpy's x (N, I) and W (O, I) -> (N, O)."""
    rows, across = len(x), weight.T
    if rows == 1 or weight.size < PIECE or rows > max(BY_OUTPUTS, BY_SMALL):
        return x @ across
    if across.flags.c_contiguous:
        small = small_products()
        return _by_inputs(x, across, small) if rows <= (BY_SMALL if small else BY_INPUTS) else x @ across
    return _by_outputs(x, weight) if rows <= BY_OUTPUTS else x @ across


@cache
def small_products() -> bool:
    """Whether the BLAS in use multiplies small matrices without a copy."""
    found = libraries()
    return bool(found) and all(getattr(library, "architecture", None) in SMALL_KERNELS for library in found)


def _by_outputs(x: Array, weight: Array) -> Array:
    out = np.empty((len(x), len(weight)), np.result_type(x, weight))
    size = max(1, PIECE // weight.shape[1])
    for first in range(0, len(weight), size):
        piece = weight[first : first + size]
        for row, its in zip(x, out[:, first : first + size], strict=True):
            np.matmul(piece, row, out=its)
    return out


def _by_inputs(x: Array, across: Array, small: bool) -> Array:
    """Sums over pieces of the inputs; across: (I, O)."""
    out = np.zeros((len(x), across.shape[1]), np.result_type(x, across))
    for left in range(0, across.shape[1], PIECE_OUTPUTS):
        columns, its = across[:, left : left + PIECE_OUTPUTS], out[:, left : left + PIECE_OUTPUTS]
        size = max(1, (SMALL_PRODUCT // len(x) if small else PIECE) // columns.shape[1])
        for first in range(0, len(columns), size):
            piece, part = columns[first : first + size], x[:, first : first + size]
            if small:
                its += part @ piece
            else:
                for row, sums in zip(part, its, strict=True):
                    sums += row @ piece
    return out
