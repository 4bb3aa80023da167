"""Weights of layers that are packed as one, some outputs at a time, so that no layer is ever whole in float32."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unspool.kernels.library import BLOCK_OUTPUTS
from unspool.models.stored import in_memory, let_go

PACKED_AT_ONCE = 1 << 22
"""Numbers that are widened to float32 together."""


def parts_of(weights: Sequence[Any]) -> Iterator[tuple[int, list[Any]]]:
    """Whole blocks of outputs, one after the other: the first block, and the part of each weight that lies in them.

    What was read of a file before is given back.
    """
    outputs, inputs = sum(map(len, weights)), int(weights[0].shape[1])
    step = max(PACKED_AT_ONCE // (inputs * BLOCK_OUTPUTS), 1) * BLOCK_OUTPUTS
    for first in range(0, outputs, step):
        yield first // BLOCK_OUTPUTS, list(_outputs(weights, first, first + step))
    for weight in weights:
        let_go(weight)


def _outputs(weights: Sequence[Any], first: int, last: int) -> Iterator[Any]:
    """Some outputs of weights, a part of each."""
    at = 0
    for weight in weights:
        begin, end = max(first - at, 0), min(last - at, len(weight))
        if begin < end:
            let_go(weight[:begin])
            yield weight[begin:end]
        at += len(weight)


def widened(parts: Sequence[Any]) -> NDArray[np.float32]:
    """Parts in float32, side by side."""
    wide = [np.asarray(in_memory(part), np.float32) for part in parts]
    return wide[0] if len(wide) == 1 else np.concatenate(wide)


def strides_of(weight: NDArray[np.float32]) -> tuple[int, int]:
    """How far an output lies from the next, and an input, in numbers."""
    to_output, to_input = weight.strides
    return to_output // 4, to_input // 4
