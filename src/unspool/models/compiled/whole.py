"""Weights that are whole numbers in their file, packed as these and widened as they are used: a sixth to a third of float32's bytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unspool.kernels.library import BLOCK_OUTPUTS
from unspool.models.compiled.forms import PackedForm, Rooms
from unspool.models.stored import Scaled, Stored

ZERO = 8
"""What is added to numbers of four bits that have a sign."""


@np.errstate(invalid="ignore", over="ignore")
def pack_whole(weights: Sequence[Stored], form: PackedForm, rooms: Rooms, block: int) -> None:
    """Weights of outputs side by side into the rooms of their layer, from a block on."""
    parts = [in_groups(weight.scaled(), form) for weight in weights]
    numbers, scales, minima = (np.concatenate(some) for some in zip(*parts, strict=True))
    blocks = -(-len(numbers) // BLOCK_OUTPUTS)
    missing = blocks * BLOCK_OUTPUTS - len(numbers)
    numbers, scales, minima = (np.pad(some, ((0, missing), (0, 0))) for some in (numbers, scales, minima))
    lying = numbers.reshape(blocks, BLOCK_OUTPUTS, -1, form.group).transpose(0, 2, 3, 1)
    if form.kind == "whole4":
        half = form.group // 2
        lying = lying[:, :, :half] | lying[:, :, half:] << 4
    for room, some in zip(rooms[:3], (lying, of_blocks(scales), of_blocks(minima)), strict=True):
        if len(room):
            size = some.nbytes // blocks
            room[block * size : (block + blocks) * size] = np.ascontiguousarray(some).view(np.uint8).reshape(-1)


def in_groups(its: Scaled, form: PackedForm) -> tuple[NDArray[Any], ...]:
    """Numbers, scales and minima as the format has them: a scale for each group, and what is added to number * scale."""
    times = its.numbers.shape[1] // its.scales.shape[1] // form.group
    scales = np.repeat(its.scales, times, axis=1)
    numbers = its.numbers.view(np.uint8)
    if its.minima is not None:
        return numbers, scales, np.repeat(its.minima, times, axis=1)
    if form.kind == "whole8":
        return numbers, scales, np.full_like(scales, -0.0)               # which changes nothing, not even the sign of zero
    return numbers + np.uint8(ZERO), scales, scales * np.float32(-ZERO)


def of_blocks(numbers: NDArray[Any]) -> NDArray[Any]:
    """(outputs, groups) -> (blocks, groups, BLOCK_OUTPUTS)."""
    lying: NDArray[Any] = numbers.reshape(-1, BLOCK_OUTPUTS, numbers.shape[1]).swapaxes(1, 2)
    return lying
