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
from unspool.models.compiled.forms import PackedForm
from unspool.models.stored import in_memory

CODED_AS = {"float32": "coded32", "bfloat16": "coded16"}
CODES = 15
"""Exponents that have a code, beside that of zeros."""
PLACES, LOOKED_AT = 4, 8
"""At how many places of a layer, and of how many outputs or inputs there, exponents are looked at to choose those that have a code."""
FEW = 1 / 512
"""The part of the weights that are looked at which may be exceptions; there is room for four times as many of all."""


class Uncodable(Exception):
    """Too many weights have an exponent without a code."""


def coded_form(weights: Sequence[Any], form: PackedForm) -> PackedForm:
    """The form in which weights take fewer bits and are the same; that which was given where there is none."""
    if form.kind not in CODED_AS or weights[0].shape[1] % CHUNK_INPUTS:
        return form
    bits = np.concatenate([_some(weight) for weight in weights]).view(np.uint32)
    counts = np.bincount(bits >> 23 & 255, minlength=256)
    within = np.convolve(counts[1:], np.ones(CODES, np.int64), "valid")  # those of exponents e + 1 to e + CODES, at e
    exponent = int(within.argmax())
    if len(bits) - counts[0] - within[exponent] > FEW * len(bits):
        return form
    return form._replace(kind=CODED_AS[form.kind], exponent=exponent)


def _some(weight: Any) -> NDArray[np.float32]:
    """Weights of a layer from some places, at each of them such as lie together."""
    numbers = getattr(weight, "numbers", weight)
    lying = weight.T if numbers.strides[0] < numbers.strides[-1] else weight
    places = [len(lying) * (2 * i + 1) // (2 * PLACES) for i in range(PLACES)]
    return np.concatenate([np.ravel(np.asarray(in_memory(lying[at:][:LOOKED_AT]), np.float32)) for at in places])


def pack_coded(weight: NDArray[np.float32], form: PackedForm, outputs: int, rooms: Sequence[NDArray[np.uint8]], block: int) -> None:
    """Weights of outputs side by side into the rooms of their layer, which has so many outputs, from a block on."""
    numbers, exceptions = rooms[0], rooms[3]
    if block == 0:
        exceptions[:] = 0
    blocks, strides, inputs = -(-outputs // BLOCK_OUTPUTS), [stride // 4 for stride in weight.strides], weight.shape[1]
    its, first = (len(weight), inputs, FORMAT_CODES[form.kind], form.exponent), exceptions.ctypes.data
    where = (numbers.ctypes.data + len(numbers) // blocks * block, first + 4 * block, first + 4 * (blocks + 1))
    if library().un_pack_coded(weight.ctypes.data, *strides, *its, *where, form.exceptions(outputs, inputs)):
        raise Uncodable
