"""Weights packed as the kernels read them: blocks of 16 outputs, in a number format."""

from __future__ import annotations

import ctypes as c
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unspool.errors import ModelError
from unspool.kernels.library import BLOCK_OUTPUTS, FORMAT_CODES, Kernels, Matrix, address, kernels, library
from unspool.models.compiled.cache import Bytes, PackedStore, padded
from unspool.models.compiled.coded import are_sound, pack_coded
from unspool.models.compiled.forms import PackedForm, Rooms
from unspool.models.compiled.parts import parts_of, strides_of, widened
from unspool.models.compiled.whole import pack_whole
from unspool.models.transformer import Linear


@dataclass(frozen=True, eq=False)
class Packed:
    """A linear layer, packed: its bytes, the structure that names them, and the kernels that were in use when it was packed."""

    rooms: Rooms
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
    rooms = Rooms(*(store.room(size) for size in form.sizes(outputs, inputs)))
    if not store.filled:
        _fill([linear.weight for linear in linears], form, rooms)
    elif form.coded and not are_sound(rooms, form, outputs):
        raise ModelError(f"{store.path} is damaged: remove it, and the model is packed anew")
    bias = _bias(linears)
    fields = Matrix(
        format=FORMAT_CODES[form.kind],
        outputs=outputs,
        inputs=inputs,
        streamed=store.streamed,
        data=_place(rooms.numbers),
        scales=_place(rooms.scales),
        minima=_place(rooms.minima),
        bias=None if bias is None else bias.ctypes.data,
        group=form.group,
        exponent=form.exponent,
        exceptions=_place(rooms.exceptions),
    )
    return Packed(rooms, bias, fields, kernels())


def _place(room: Bytes) -> int | None:
    return room.ctypes.data if len(room) else None


def _fill(weights: Sequence[Any], form: PackedForm, rooms: Rooms) -> None:
    """Pack weights into the rooms of their layer."""
    blocks = -(-sum(map(len, weights)) // BLOCK_OUTPUTS)
    for block, parts in parts_of(weights):
        if form.whole:
            pack_whole(parts, form, rooms, block)
            continue
        weight = widened(parts)
        if form.coded:
            pack_coded(weight, form, rooms, block, blocks)
            continue
        places = [room.ctypes.data + len(room) // blocks * block if len(room) else None for room in rooms[:3]]
        if library().un_pack(weight.ctypes.data, *strides_of(weight), *weight.shape, FORMAT_CODES[form.kind], *places):
            raise ValueError(f"weights are not packed in {form.kind} by the kernels")


def _bias(linears: Sequence[Linear]) -> NDArray[np.float32] | None:
    """The biases of linear layers side by side, in whole blocks; None if none has one."""
    if all(linear.bias is None for linear in linears):
        return None
    given = [np.zeros(len(linear.weight)) if linear.bias is None else linear.bias for linear in linears]
    joined = np.concatenate(given).astype(np.float32)
    return np.pad(joined, (0, -len(joined) % BLOCK_OUTPUTS))
