"""Weights packed as the kernels read them: blocks of 16 outputs, in a number format."""

from __future__ import annotations

import ctypes as c
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unspool.models.compiled.library import BLOCK, FORMATS, GROUP, Matrix, kernels, library
from unspool.models.transformer import Linear

Bytes = NDArray[np.uint8]
ALIGNED = 64


@dataclass(frozen=True, eq=False)
class Packed:
    """A linear layer, packed: its bytes, and the structure that names them."""

    room: Bytes
    bias: NDArray[np.float32] | None
    fields: Matrix

    def __call__(self, x: NDArray[np.float32], softcap: float = 0.0) -> NDArray[np.float32]:
        """x (N, inputs) -> (N, outputs); softcap s turns y to s * tanh(y / s)."""
        x = np.ascontiguousarray(x, np.float32)
        y = np.empty((len(x), self.fields.outputs), np.float32)
        if kernels().linear(c.addressof(self.fields), x.ctypes.data, len(x), y.ctypes.data, softcap):
            raise MemoryError("the kernels found no memory")
        return y


def sizes(kind: str, outputs: int, inputs: int) -> tuple[int, int, int]:
    """Bytes of the numbers, the scales and the minima of a packed layer."""
    blocks, groups = -(-outputs // BLOCK), -(-inputs // GROUP)
    if kind in ("float32", "bfloat16"):
        return blocks * BLOCK * inputs * (4 if kind == "float32" else 2), 0, 0
    scales = blocks * BLOCK * groups * 2
    return blocks * BLOCK * groups * GROUP // (1 if kind == "int8" else 2), scales, scales if kind == "int4_min" else 0


def pack(linears: Sequence[Linear], kind: str) -> Packed:
    """Linear layers that read the same, as one."""
    weights = [linear.weight for linear in linears]
    outputs, inputs = sum(len(w) for w in weights), weights[0].shape[1]
    room, parts = make_room(sizes(kind, outputs, inputs))
    weight = np.asarray(weights[0] if len(weights) == 1 else np.concatenate(weights), np.float32)
    strides = [stride // 4 for stride in weight.strides]
    library().un_pack(weight.ctypes.data, *strides, outputs, inputs, FORMATS.index(kind), *parts)
    bias = None
    if any(linear.bias is not None for linear in linears):
        bias = np.zeros(-(-outputs // BLOCK) * BLOCK, np.float32)
        given = [np.zeros(len(w), np.float32) if linear.bias is None else linear.bias for linear, w in zip(linears, weights, strict=True)]
        bias[:outputs] = np.concatenate(given)
    return Packed(room, bias, Matrix(FORMATS.index(kind), outputs, inputs, *parts, None if bias is None else bias.ctypes.data))


def make_room(wanted: Sequence[int]) -> tuple[Bytes, list[int | None]]:
    """Memory for some arrays, each on a line of the cache of its own, and where they begin; None for one without bytes."""
    room = np.empty(sum(-(-n // ALIGNED) * ALIGNED for n in wanted) + ALIGNED, np.uint8)
    at = -(-room.ctypes.data // ALIGNED) * ALIGNED
    places: list[int | None] = []
    for n in wanted:
        places.append(at if n else None)
        at += -(-n // ALIGNED) * ALIGNED
    return room, places
