"""Weights whose exponents are packed as codes of four bits: float32 in 28 bits and bfloat16 in 12, and not a bit is lost.

Exponents of trained weights lie close together (T. Zhang et al. 2025, arXiv:2504.11651, who code them by Huffman's tree for a GPU);
here a code is of one length, so that a register of them is widened in a few instructions. See `kernels/linear_coded.h`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unspool.kernels.library import BLOCK_OUTPUTS, CHUNK_INPUTS, FORMAT_CODES, library
from unspool.models.compiled.forms import PackedForm, Rooms
from unspool.models.compiled.parts import parts_of, strides_of, widened

CODED_AS = {"float32": "coded32", "bfloat16": "coded16"}
CODES = 15
"""Exponents that have a code, beside that of zeros."""
FEW = 1 / 512
"""The part of a layer's weights that may be exceptions: each interrupts what is done for a register of others."""


def coded_form(weights: Sequence[Any], form: PackedForm) -> PackedForm:
    """The form in which weights take fewer bits and are the same; that which was given where there is none."""
    if form.kind not in CODED_AS or weights[0].shape[1] % CHUNK_INPUTS:
        return form
    kind = CODED_AS[form.kind]
    counts = exponents_of(weights, kind)
    within = np.convolve(counts[1:], np.ones(CODES, np.int64), "valid")  # those of exponents e + 1 to e + CODES, at e
    exponent = int(within.argmax())
    exceptions = int(counts[1:].sum() - within[exponent])
    return form._replace(kind=kind, exponent=exponent, exceptions=exceptions) if exceptions <= FEW * counts.sum() else form


def exponents_of(weights: Sequence[Any], kind: str) -> NDArray[np.int64]:
    """How many weights of layers have each of the 256 exponents in a coded format."""
    counts = np.zeros(256, np.int64)
    for _, parts in parts_of(weights):
        weight = widened(parts)
        if library().un_exponents(weight.ctypes.data, *strides_of(weight), *weight.shape, FORMAT_CODES[kind], counts.ctypes.data):
            raise MemoryError("the kernels found no memory")
    return counts


def pack_coded(weight: NDArray[np.float32], form: PackedForm, rooms: Rooms, block: int, blocks: int) -> None:
    """Weights of outputs side by side into the rooms of their layer, which has so many blocks, from a block on."""
    begins = rooms.exceptions.ctypes.data                                # of each block, and then the list
    if block == 0:
        rooms.exceptions[:4] = 0
    failed = library().un_pack_coded(
        weight.ctypes.data,
        *strides_of(weight),
        *weight.shape,
        FORMAT_CODES[form.kind],
        form.exponent,
        rooms.numbers.ctypes.data + len(rooms.numbers) // blocks * block,
        begins + 4 * block,
        begins + 4 * (blocks + 1),
        form.exceptions,
    )
    if failed:
        raise ValueError(f"weights are not packed as {form} by the kernels")


def are_sound(rooms: Rooms, form: PackedForm, outputs: int) -> bool:
    """Whether the exceptions of a layer lie where a file says: the kernels read them unseen."""
    blocks = -(-outputs // BLOCK_OUTPUTS)
    first = rooms.exceptions[: 4 * (blocks + 1)].view(np.int32)
    return bool(first[0] == 0 and first[-1] == form.exceptions and (np.diff(first) >= 0).all())
