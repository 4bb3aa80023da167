"""Weights from safetensors files, without torch: float32 as views of the file, float16 and bfloat16 widened to float32."""

from __future__ import annotations

import json
import math
import mmap
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from unspool.errors import ModelError

STORED = {"F64": np.float64, "F32": np.float32, "F16": np.float16, "BF16": np.uint16}
WHOLE_NUMBERS = {"I64": np.int64, "I32": np.int32, "I16": np.int16, "I8": np.int8, "U8": np.uint8}
"""Whole numbers, in which quantised weights are stored."""
NAMES = {"F16": "float16", "BF16": "bfloat16"}
LARGEST_SIZE = 1 << 63
"""No size of a tensor reaches it."""
BUFFERS = (".attn.bias", ".attn.masked_bias", ".attention.bias", ".attention.masked_bias", ".rotary_emb.inv_freq")
"""Ends of names that are masks and tables of older checkpoints, not weights."""


ReadFile: TypeAlias = Callable[[Path], Iterable[tuple[str, Any]]]
"""What makes named tensors of one safetensors file."""


def read_weights(folder: Path, private: bool = False) -> dict[str, NDArray[np.float32]]:
    """All tensors of a checkpoint in float32; private: ones that may be written, the file stays."""
    return gather_files(folder, lambda path: read_safetensors(path, private))


def gather_files(folder: Path, read: ReadFile) -> dict[str, Any]:
    """All tensors of a checkpoint, one file or shards with an index, each file read in a way."""
    index, single = folder / "model.safetensors.index.json", folder / "model.safetensors"
    if index.is_file():
        return _read_shards(folder, index, read)
    if single.is_file():
        return dict(read(single))
    pickled = [p.name for p in folder.iterdir() if p.suffix in (".bin", ".pt", ".pth", ".ckpt")]
    if pickled:
        raise ModelError(
            f"{folder} has only pickled weights ({pickled[0]}), which can run code when opened; convert them to model.safetensors"
        )
    raise ModelError(f"{folder} has no model.safetensors (and no model.safetensors.index.json)")


def stored_dtype(folder: Path) -> str:
    """The number format in which most of a checkpoint is stored, as torch calls it."""
    counts: dict[str, int] = {}
    for path in folder.glob("*.safetensors"):
        for name, entry in read_header(path)[0].items():
            if name != "__metadata__":
                counts[entry["dtype"]] = counts.get(entry["dtype"], 0) + math.prod(entry["shape"])
    return NAMES.get(max(counts, key=lambda kind: counts[kind], default=""), "float32")


def _read_shards(folder: Path, index: Path, read: ReadFile) -> dict[str, Any]:
    try:
        place = json.loads(index.read_text(), object_pairs_hook=_without_duplicates)["weight_map"]
        shards = sorted(set(place.values()))
        outside = [s for s in shards if Path(s).name != s]
    except _Twice as error:
        raise ModelError(f"{index} names {error} twice; it is broken") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ModelError(f"{index} is no index of shards: it needs a weight_map from tensor to file") from None
    if outside:
        raise ModelError(f"{index} names {outside[0]!r}, which lies outside the folder")
    missing = [s for s in shards if not (folder / s).is_file()]
    if missing:
        raise ModelError(f"{folder} lacks the shard {missing[0]} that {index.name} names")
    weights: dict[str, Any] = {}
    for shard in shards:
        for name, array in read(folder / shard):
            if name in weights:
                raise ModelError(f"{name} is in two shards of {folder}")
            weights[name] = array
    lost = [name for name in place if name not in weights and not name.endswith(BUFFERS)]
    if lost:
        raise ModelError(f"{index} names {lost[0]}, which is in no shard")
    return weights


def read_safetensors(path: Path, private: bool = False) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """The tensors of one safetensors file in float32; those stored in other formats lie in one array together.

    One large array comes in large pages: that takes a third less time than an array for each tensor.
    """
    stored = read_stored(path, private)
    room = np.empty(sum(array.size for array in stored.values() if array.dtype != np.float32), np.float32)
    for name, array in stored.items():
        if array.dtype != np.float32:
            wide, room = room[: array.size].reshape(array.shape), room[array.size :]
            array = within(path, name, array, widen(array, wide))
        yield name, array


def read_stored(path: Path, private: bool = False, formats: Mapping[str, Any] = STORED) -> dict[str, NDArray[Any]]:
    """The tensors of one safetensors file as they lie in it, bfloat16 as 16-bit integers; nothing is read before it is used."""
    header, start = read_header(path)
    data = np.memmap(path, np.uint8, "c" if private else "r", offset=start) if path.stat().st_size > start else np.zeros(0, np.uint8)
    names = [name for name in header if name != "__metadata__" and not name.endswith(BUFFERS)]
    return {name: _stored(path, name, data, formats, **header[name]) for name in names}


def _stored(
    path: Path, name: str, data: NDArray[np.uint8], formats: Mapping[str, Any], dtype: str, shape: list[int], data_offsets: list[int]
) -> NDArray[Any]:
    """A tensor as it is in the file."""
    first, last = data_offsets
    if dtype not in formats:
        raise ModelError(f"{path}: {name} is stored as {dtype}; supported are {', '.join(formats)}")
    kind = np.dtype(formats[dtype])
    count = math.prod(shape)
    if last - first != kind.itemsize * count:
        raise ModelError(f"{path} is broken: {name} has bytes {first}-{last} for {count} numbers of {kind.itemsize} bytes")
    raw = data[first:last]
    array: NDArray[Any] = np.frombuffer(raw if raw.ctypes.data % kind.itemsize == 0 else raw.copy(), kind)
    try:
        return array.reshape(shape)
    except ValueError:                                                   # of none, but sizes whose product is beyond an address
        raise ModelError(f"{path} is broken: {name} has the shape {shape}") from None


def release(array: NDArray[Any]) -> None:
    """Give back the memory that a tensor's part of its file takes, where the system can; it is read again when it is used again."""
    base: Any = array if array.flags.c_contiguous or array.flags.f_contiguous else None
    while base is not None and not isinstance(base, mmap.mmap):
        base = base.obj if isinstance(base, memoryview) else getattr(base, "base", None)
    if base is None or not hasattr(mmap, "MADV_DONTNEED"):
        return
    begin = np.frombuffer(base, np.uint8).ctypes.data
    first = array.ctypes.data - begin
    first, last = -(-first // mmap.PAGESIZE) * mmap.PAGESIZE, (first + array.nbytes) // mmap.PAGESIZE * mmap.PAGESIZE
    if last > first:
        base.madvise(mmap.MADV_DONTNEED, first, last - first)


def widen(array: NDArray[Any], wide: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
    """An array's numbers in float32; 16-bit integers are the upper halves of such numbers (bfloat16). wide: where they are to lie."""
    if array.dtype == np.float32:
        return array
    wide = np.empty_like(array, np.float32) if wide is None else wide
    if array.dtype == np.uint16:
        np.left_shift(array, 16, out=wide.view(np.uint32), dtype=np.uint32)
        return wide
    with np.errstate(over="ignore"):
        np.copyto(wide, array, casting="same_kind")
    return wide


def within(path: Path, name: str, array: NDArray[Any], wide: NDArray[np.float32]) -> NDArray[np.float32]:
    """What an array became in float32, if that reaches as far."""
    if array.dtype == np.float64 and (np.isinf(wide) != np.isinf(array)).any():
        raise ModelError(f"{path}: {name} holds numbers beyond float32, in which the model is computed")
    return wide


def read_header(path: Path) -> tuple[dict[str, Any], int]:
    """What a safetensors file says of its tensors, and where their data begins."""
    size = path.stat().st_size
    with path.open("rb") as file:
        lead = file.read(8)
        length = struct.unpack("<Q", lead)[0] if len(lead) == 8 else size
        if length > size - 8:
            raise ModelError(f"{path} is truncated or is no safetensors file: its header would be longer than the file ({size} bytes)")
        text = file.read(length)
    try:
        header = json.loads(text, object_pairs_hook=_without_duplicates)
        for name, entry in header.items():
            if name != "__metadata__":
                _check_entry(**entry)
    except _Twice as error:
        raise ModelError(f"{path} is no safetensors file: its header names {error} twice") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ModelError(f"{path} is no safetensors file: its header cannot be read") from None
    _check_places(path, header, size - 8 - length)
    return header, 8 + length


def _check_entry(dtype: str, shape: list[int], data_offsets: list[int]) -> None:
    first, last = data_offsets
    if not isinstance(dtype, str) or not all(isinstance(n, int) and 0 <= n < LARGEST_SIZE for n in [*shape, first, last]):
        raise ValueError


def _check_places(path: Path, header: Mapping[str, Any], size: int) -> None:
    """Refuse tensors that do not lie one after the other in all of the data, as the format wants it."""
    places = sorted((*entry["data_offsets"], name) for name, entry in header.items() if name != "__metadata__")
    for first, last, name in places:
        if last > size or last < first:
            raise ModelError(f"{path} is truncated or broken: {name} needs bytes {first}-{last} of {size}")
    end, before = 0, "the header"
    for first, last, name in places:
        if first < end:
            raise ModelError(f"{path} is broken: the tensors {before} and {name} overlap, up to byte {end} and from byte {first}")
        if first > end:
            raise ModelError(f"{path} is broken: bytes {end}-{first} between {before} and {name} are no tensor's")
        end, before = last, name
    if end < size:
        raise ModelError(f"{path} is broken: bytes {end}-{size} after {before} are no tensor's")


class _Twice(Exception):
    """A JSON object names something twice."""


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The pairs of a JSON object, each name once."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise _Twice(repr(name))
        found[name] = value
    return found
