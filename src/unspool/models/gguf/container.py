"""The container of a GGUF file: what it says of itself, and where its tensors lie.

All numbers are little-endian. A file is b"GGUF", its version, how many tensors and how many keys it has; the keys with their values;
the tensors' names, dimensions, formats and places; and, from the next multiple of the alignment on, their data. A length is compared
with what is left of the file before anything is read or made of that size.
"""

from __future__ import annotations

import math
import mmap
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unspool.errors import ModelError
from unspool.models.gguf.formats import GGUF_FORMATS, Format

VERSIONS = (2, 3)
TEXT, ARRAY, BOOL = 8, 9, 7
NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", BOOL: "B", 10: "Q", 11: "q", 12: "d"}
"""Types of values, as the module struct calls them."""
MOST_DIMENSIONS = 4
SMALLEST_KEY, SMALLEST_TENSOR = 13, 32
"""Bytes that a key with its value and the description of a tensor take at least."""
SHARD_NAME = re.compile(r"(.*)-(\d{5})-of-(\d{5})\.gguf", re.DOTALL)


@dataclass(frozen=True, eq=False)
class Tensor:
    """A tensor in a file: its shape as arrays have it, the last dimension being the one that lies together."""

    shape: tuple[int, ...]
    format: Format
    bytes: NDArray[np.uint8] = field(repr=False)
    """(rows, bytes of a row), a view of the file."""


@dataclass(frozen=True, eq=False)
class Container:
    """A file's keys and tensors."""

    path: Path
    keys: Mapping[str, Any] = field(repr=False)
    """Numbers, texts, lists of texts, and arrays of numbers."""
    tensors: Mapping[str, Tensor] = field(repr=False)


class _Broken(Exception):
    """What is wrong with a file, as the end of a sentence that begins with its name."""


def read_container(path: Path) -> Container:
    """Read a file, or the set of files that it is the first of."""
    first = _read_one(path)
    count = first.keys.get("split.count", 0)
    return first if not isinstance(count, int) or count < 2 else _read_set(first, count)


def _read_one(path: Path) -> Container:
    try:
        with path.open("rb") as file:
            lead = file.read(24)
            _check_lead(lead)
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return Container(path, *_Cursor(data).read())
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror}") from None
    except _Broken as error:
        raise ModelError(f"{path} {error}") from None


def _check_lead(lead: bytes) -> None:
    """Refuse what does not begin as a file of a known version does."""
    if lead[:4] != b"GGUF":
        raise _Broken(f"is no GGUF file: it begins with {lead[:4]!r}")
    if len(lead) < 24:
        raise _Broken(f"is truncated: it has {len(lead)} bytes")
    (version,) = struct.unpack_from("<I", lead, 4)
    if version & 0xFFFF == 0 and version:
        raise _Broken("is written in big-endian byte order; convert it for little-endian machines")
    if version not in VERSIONS:
        raise _Broken(f"has version {version} of the format GGUF; supported are {' and '.join(map(str, VERSIONS))}")


class _Cursor:
    """A place in a file, which goes on as it is read."""

    def __init__(self, data: mmap.mmap) -> None:
        self.data, self.at, self.size = data, 8, len(data)

    def read(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """The keys with their values, and the tensors."""
        tensors, keys = self.number("Q"), self.number("Q")
        self.expect(keys * SMALLEST_KEY + tensors * SMALLEST_TENSOR, f"{keys} keys and {tensors} tensors")
        values: dict[str, Any] = {}
        for _ in range(keys):
            name = self.text()
            if name in values:
                raise _Broken(f"names the key {name!r:.60} twice")
            values[name] = self.value(self.number("I"), name)
        places: dict[str, tuple[tuple[int, ...], int, int]] = {}
        for _ in range(tensors):
            name = self.text()
            if name in places:
                raise _Broken(f"names the tensor {name!r:.60} twice")
            places[name] = self.place(name)
        step = _alignment(values)
        start = -(-self.at // step) * step
        found = {name: self.tensor(name, start, step, *place) for name, place in places.items()}
        in_order = sorted(places, key=lambda name: places[name][2])
        for before, name in pairwise(in_order):
            if places[before][2] + found[before].bytes.size > places[name][2]:
                raise _Broken(f"is broken: the tensors {before!r:.60} and {name!r:.60} overlap")
        return values, found

    def expect(self, size: int, what: str) -> None:
        """Refuse what would reach beyond the file."""
        if size > self.size - self.at:
            raise _Broken(f"is truncated or broken: {what} from byte {self.at} on would need {size} bytes of its {self.size}")

    def number(self, kind: str) -> Any:
        form = struct.Struct("<" + kind)
        self.expect(form.size, "a number")
        (value,) = form.unpack_from(self.data, self.at)
        self.at += form.size
        return value

    def text(self) -> str:
        size = self.number("Q")
        self.expect(size, "a text")
        self.at += size
        return _decoded(self.data[self.at - size : self.at], self.at - size)

    def value(self, kind: int, name: str) -> Any:
        """A value of a type."""
        if kind == TEXT:
            return self.text()
        if kind == ARRAY:
            kind, count = self.number("I"), self.number("Q")
            return self.texts(count) if kind == TEXT else self.numbers(kind, count, name)
        if kind not in NUMBERS:
            raise _Broken(f"gives {name!r:.60} a value of the unknown type {kind}")
        value = self.number(NUMBERS[kind])
        return bool(value) if kind == BOOL else value

    def texts(self, count: int) -> list[str]:
        self.expect(8 * count, f"{count} texts")
        data, at, end, length = self.data, self.at, self.size, struct.Struct("<Q").unpack_from
        found: list[str] = []
        for _ in range(count):
            first = at + 8
            if first > end or (at := first + length(data, at)[0]) > end:
                raise _Broken(f"is truncated or broken: the text at byte {first - 8} would end beyond its {end} bytes")
            found.append(_decoded(data[first:at], first))
        self.at = at
        return found

    def numbers(self, kind: int, count: int, name: str) -> NDArray[Any]:
        if kind not in NUMBERS:
            what = "arrays" if kind == ARRAY else f"values of the unknown type {kind}"
            raise _Broken(f"gives {name!r:.60} an array of {what}")
        number = np.dtype("<" + NUMBERS[kind])
        self.expect(count * number.itemsize, f"{count} numbers")
        found = np.frombuffer(self.data, number, count, self.at) if count else np.zeros(0, number)
        self.at += found.nbytes
        return found.astype(bool) if kind == BOOL else found

    def place(self, name: str) -> tuple[tuple[int, ...], int, int]:
        """The shape of a tensor, the number of its format, and how far behind the start of the data it lies."""
        dimensions = self.number("I")
        if not 1 <= dimensions <= MOST_DIMENSIONS:
            raise _Broken(f"gives {name!r:.60} {dimensions} dimensions; a tensor has 1 to {MOST_DIMENSIONS}")
        shape = tuple(self.number("Q") for _ in range(dimensions))[::-1]
        if 0 in shape:
            raise _Broken(f"gives {name!r:.60} the shape {shape}, which holds nothing")
        return shape, self.number("I"), self.number("Q")

    def tensor(self, name: str, start: int, step: int, shape: tuple[int, ...], kind: int, offset: int) -> Tensor:
        if kind not in GGUF_FORMATS:
            raise _Broken(f"stores {name!r:.60} in the unknown format {kind}")
        form, rows = GGUF_FORMATS[kind], math.prod(shape[:-1])
        if shape[-1] % form.numbers:
            raise _Broken(f"stores {name!r:.60} in {form.name}, in blocks of {form.numbers}, but its rows have {shape[-1]} numbers")
        if offset % step:
            raise _Broken(f"places {name!r:.60} at {offset}, which is no multiple of its alignment {step}")
        row = shape[-1] // form.numbers * form.size
        self.at = start + offset
        self.expect(rows * row, f"the tensor {name!r:.60}")
        data = np.frombuffer(self.data, np.uint8, rows * row, self.at) if rows * row else np.zeros(0, np.uint8)
        return Tensor(shape, form, data.reshape(rows, row))


def _decoded(data: bytes, at: int) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise _Broken(f"is broken: the text at byte {at} is no UTF-8") from None


def _alignment(values: Mapping[str, Any]) -> int:
    step = values.get("general.alignment", 32)
    if not isinstance(step, int) or isinstance(step, bool) or step < 8 or step & (step - 1):
        raise _Broken(f"has general.alignment {step!r:.40}; it is a power of two, 8 or more")
    return step


def set_of(path: Path) -> list[Path]:
    """A file, with those that make up a model with it."""
    named = SHARD_NAME.fullmatch(path.name)
    return [path] if not named else [path.with_name(f"{named[1]}-{i:05}-of-{named[3]}.gguf") for i in range(1, int(named[3]) + 1)]


def _read_set(first: Container, count: int) -> Container:
    """A model in several files, the keys of which stand in the first."""
    named = SHARD_NAME.fullmatch(first.path.name)
    if not named or int(named[3]) != count:
        raise ModelError(f"{first.path} is one of {count} files, which are named as model-00001-of-{count:05}.gguf; it is not")
    if int(named[2]) != 1:
        raise ModelError(f"{first.path} is file {int(named[2])} of {count}; give the first, {named[1]}-00001-of-{named[3]}.gguf")
    tensors = dict(first.tensors)
    for path in set_of(first.path)[1:]:
        if not path.is_file():
            raise ModelError(f"{first.path} is one of {count} files, and {path.name} is not beside it")
        more = _read_one(path).tensors
        if twice := next((name for name in more if name in tensors), None):
            raise ModelError(f"{path} holds {twice!r:.60}, which another file of its set holds too")
        tensors |= more
    wanted = first.keys.get("split.tensors.count", len(tensors))
    if wanted != len(tensors):
        raise ModelError(f"{first.path} and the files of its set hold {len(tensors)} tensors where it says {wanted}")
    return Container(first.path, first.keys, tensors)
