"""Weights packed as the kernels read them: blocks of 16 outputs, in a number format."""

from __future__ import annotations

import ctypes as c
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unspool.kernels.library import BLOCK_OUTPUTS, FORMAT_CODES, Kernels, Matrix, address, kernels, library
from unspool.models.compiled.cache import Bytes, PackedStore, padded
from unspool.models.compiled.coded import pack_coded
from unspool.models.compiled.forms import PackedForm
from unspool.models.compiled.whole import pack_whole
from unspool.models.stored import in_memory, let_go
from unspool.models.transformer import Linear

PACKED_AT_ONCE = 1 << 22
"""Numbers that are widened to float32 together."""
STREAMED = 64 << 20
"""Bytes of packed weights beyond which they do not stay in a processor's cache from one step to the next."""


@dataclass(frozen=True, eq=False)
class Packed:
    """A linear layer, packed: its bytes, the structure that names them, and the kernels that were in use when it was packed."""

    rooms: tuple[Bytes, ...]
    bias: NDArray[np.float32] | None
    fields: Matrix
    kernels: Kernels

    def __call__(self, x: NDArray[np.float32], softcap: float = 0.0) -> NDArray[np.float32]:
        """x (N, inputs) -> (N, outputs); softcap s turns y to s * tanh(y / s)."""
        x = np.ascontiguousarray(x, np.float32)
        y = np.empty((len(x), self.fields.outputs), np.float32)
        if self.kernels.linear(c.addressof(self.fields), address(x), len(x), address(y), softcap):
            raise MemoryError("the kernels found no memory")
        return y


def shape_of(linears: Sequence[Linear]) -> tuple[int, int]:
    """Outputs and inputs of linear layers that read the same, as one."""
    return sum(linear.weight.shape[0] for linear in linears), int(linears[0].weight.shape[1])


def size_of(linears: Sequence[Linear], form: PackedForm) -> int:
    """Bytes that linear layers take in a store, packed as one."""
    return sum(map(padded, form.sizes(*shape_of(linears))))


def pack(linears: Sequence[Linear], form: PackedForm, store: PackedStore) -> Packed:
    """Linear layers that read the same, as one; from the store, if it holds them."""
    outputs, inputs = shape_of(linears)
    rooms = tuple(store.room(size) for size in form.sizes(outputs, inputs))
    if not store.filled:
        _fill(linears, form, rooms)
    bias = _bias(linears)
    data, scales, minima, exceptions = (room.ctypes.data if len(room) else None for room in rooms)
    fields = Matrix(
        format=FORMAT_CODES[form.kind],
        outputs=outputs,
        inputs=inputs,
        streamed=len(store.bytes) > STREAMED,
        data=data,
        scales=scales,
        minima=minima,
        bias=None if bias is None else bias.ctypes.data,
        group=form.group,
        exponent=form.exponent,
        exceptions=exceptions,
    )
    return Packed(rooms, bias, fields, kernels())


def _fill(linears: Sequence[Linear], form: PackedForm, rooms: Sequence[Bytes]) -> None:
    """Pack layers into their rooms, some blocks at a time."""
    outputs, inputs = shape_of(linears)
    blocks, step = -(-outputs // BLOCK_OUTPUTS), max(PACKED_AT_ONCE // (inputs * BLOCK_OUTPUTS), 1)
    for block in range(0, blocks, step):
        some = list(_outputs(linears, block * BLOCK_OUTPUTS, (block + step) * BLOCK_OUTPUTS))
        if form.whole:
            pack_whole(some, form, rooms, block)
            continue
        parts = [np.asarray(in_memory(part), np.float32) for part in some]
        weight = parts[0] if len(parts) == 1 else np.concatenate(parts)
        if form.coded:
            pack_coded(weight, form, outputs, rooms, block)
            continue
        strides = [stride // 4 for stride in weight.strides]
        places = [room.ctypes.data + len(room) // blocks * block if len(room) else None for room in rooms[:3]]
        if library().un_pack(weight.ctypes.data, *strides, len(weight), inputs, FORMAT_CODES[form.kind], *places):
            raise ValueError(f"weights are not packed in {form.kind} by the kernels")
    for linear in linears:
        let_go(linear.weight)


def _outputs(linears: Sequence[Linear], first: int, last: int) -> Iterator[Any]:
    """The weights of some outputs of linear layers, a part of each; what was read of their file before is given back."""
    at = 0
    for linear in linears:
        size = len(linear.weight)
        begin, end = max(first - at, 0), min(last - at, size)
        if begin < end:
            let_go(linear.weight[:begin])
            yield linear.weight[begin:end]
        at += size


def _bias(linears: Sequence[Linear]) -> NDArray[np.float32] | None:
    """The biases of linear layers side by side, in whole blocks; None if none has one."""
    if all(linear.bias is None for linear in linears):
        return None
    given = [np.zeros(len(linear.weight)) if linear.bias is None else linear.bias for linear in linears]
    joined = np.concatenate(given).astype(np.float32)
    return np.pad(joined, (0, -len(joined) % BLOCK_OUTPUTS))
