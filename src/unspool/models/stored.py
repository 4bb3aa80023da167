"""Tensors that stay in the numbers of their file, and are widened to float32 piece by piece where they are used."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unspool.arrays import Array
from unspool.errors import ModelError
from unspool.models.weights import NAMES, STORED, gather_files, read_stored, release, widen, within

HALVES = {np.dtype(STORED[stored]): name for stored, name in NAMES.items()}
"""What numbers of a file are called that are float32 in half its bits."""


class Scaled(NamedTuple):
    """Numbers in float32, scale * number + minimum: a scale, and perhaps a minimum, for each of the equal parts that whole numbers have."""

    scales: NDArray[Any]
    """(n, parts)."""
    numbers: NDArray[Any]
    """(n, numbers), from -128 to 127."""
    minima: NDArray[Any] | None = None

    def wide(self) -> NDArray[np.float32]:
        """The numbers, (n, numbers)."""
        cut: NDArray[np.float32] = self.numbers.astype(np.float32).reshape(*self.scales.shape, -1)
        cut *= self.scales[..., None]
        if self.minima is not None:
            cut += self.minima[..., None]
        return cut


class Whole(NamedTuple):
    """How the whole numbers of a matrix lie: how many inputs share a scale, and of how many bits they are."""

    group: int
    four_bits: bool
    """Whether they go from 0 to 15, where there are minima, and otherwise from -8 to 7; if not, they go from -128 to 127."""
    minima: bool
    """Whether each group has a minimum beside its scale."""


class Stored:
    """Rows of a tensor in a file: an array of float32 to look at, which is made anew whenever one is asked for and kept by nobody.

    numbers: as they lie in the file, bfloat16 as 16-bit integers; rows: which of its rows, in which order; None: all.
    """

    dtype, itemsize = np.dtype(np.float32), 4
    bits: float | None = None
    """How many bits its file has for a number, if these are whole numbers in blocks, beside a scale."""
    minima = False
    """Whether each block has a minimum beside its scale."""

    def __init__(self, numbers: NDArray[Any], rows: NDArray[Any] | None = None) -> None:
        self.numbers, self.rows = numbers, rows
        self.shape = numbers.shape if rows is None else (*rows.shape, *numbers.shape[1:])

    def __len__(self) -> int:
        return int(self.shape[0])

    @property
    def kind(self) -> str:
        """The number format that holds each number as it is, in the fewest bits: float16, bfloat16 or float32."""
        return HALVES.get(self.numbers.dtype, "float32")

    @property
    def whole(self) -> Whole | None:
        """What `scaled` gives; None if the numbers are no whole ones with scales."""
        return None

    def look_through(self) -> bool:
        """Whether `scaled` can stand for it, as `whole` says after that: with an infinite scale a sum of two products may be no number."""
        return True

    def scaled(self) -> Scaled:
        """The whole numbers (N, inputs), with scales and minima (N, groups), that come to the numbers to the bit."""
        raise NotImplementedError

    @property
    def T(self) -> Stored:
        if self.bits is not None:
            raise ModelError("quantised weights are read where a layer's matrix is (outputs, inputs), which it is not in this family")
        return Stored(self._held().T)

    def __getitem__(self, which: Any) -> Stored:
        """Some rows: a slice, or an array of indices."""
        if self.rows is not None:
            return self._like(self.numbers, self.rows[which])
        return self._like(self.numbers[which]) if isinstance(which, slice) else self._like(self.numbers, np.asarray(which))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        wide = self._widen(self._held())
        return wide if dtype is None else wide.astype(dtype, copy=False)

    def let_go(self) -> None:
        """Give back the memory that its part of the file takes."""
        release(self.numbers)

    def _held(self) -> NDArray[Any]:
        """The numbers of its rows, as they lie in the file."""
        held: NDArray[Any] = self.numbers if self.rows is None else self.numbers[self.rows]
        return held

    def _like(self, numbers: NDArray[Any], rows: NDArray[Any] | None = None) -> Stored:
        return Stored(numbers, rows)

    def _widen(self, numbers: NDArray[Any]) -> NDArray[np.float32]:
        return widen(numbers)

    def __array_namespace__(self, *, api_version: str | None = None) -> ModuleType:
        return np


class Turned:
    """A matrix that a family stores the other way round."""

    def __init__(self, matrix: Stored) -> None:
        self.T, self.shape = matrix, matrix.shape[::-1]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        turned: NDArray[Any] = np.asarray(self.T, dtype).T
        return turned


def read_matrices(folder: Path) -> dict[str, Any]:
    """All tensors of a checkpoint for who packs them: in float32, but those of two dimensions as they are stored."""
    return gather_files(folder, _read_file)


def _read_file(path: Path) -> Iterator[tuple[str, Any]]:
    for name, array in read_stored(path).items():
        if array.dtype == np.float64:
            yield name, within(path, name, array, widen(array))
        else:
            yield name, Stored(array) if array.ndim > 1 else widen(array)


def in_memory(weight: Array) -> Array:
    """A weight as an array of its library."""
    return np.asarray(weight) if isinstance(weight, Stored) else weight


def let_go(weight: Array) -> None:
    """Give back the memory that a weight's part of its file takes; see `unspool.models.weights.release`."""
    if isinstance(weight, Turned):
        weight = weight.T
    if isinstance(weight, Stored):
        weight.let_go()
    elif isinstance(weight, np.ndarray):
        release(weight)
