"""Weights from safetensors files, without torch: float32 as views of the file, float16 and bfloat16 widened to float32."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unspool.errors import ModelError

DTYPES = {"F64": np.float64, "F32": np.float32, "F16": np.float16, "BF16": np.uint16}


def read_weights(folder: Path) -> dict[str, NDArray[np.float32]]:
    """All tensors of a checkpoint, one file or shards with an index."""
    index, single = folder / "model.safetensors.index.json", folder / "model.safetensors"
    if index.is_file():
        return _read_shards(folder, index)
    if single.is_file():
        return dict(read_safetensors(single))
    pickled = [p.name for p in folder.iterdir() if p.suffix in (".bin", ".pt", ".pth", ".ckpt")]
    if pickled:
        raise ModelError(
            f"{folder} has only pickled weights ({pickled[0]}), which can run code when opened; convert them to model.safetensors"
        )
    raise ModelError(f"{folder} has no model.safetensors (and no model.safetensors.index.json)")


def _read_shards(folder: Path, index: Path) -> dict[str, NDArray[np.float32]]:
    try:
        place = json.loads(index.read_text())["weight_map"]
        shards = sorted(set(place.values()))
        outside = [s for s in shards if Path(s).name != s]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ModelError(f"{index} is no index of shards: it needs a weight_map from tensor to file") from None
    if outside:
        raise ModelError(f"{index} names {outside[0]!r}, which lies outside the folder")
    missing = [s for s in shards if not (folder / s).is_file()]
    if missing:
        raise ModelError(f"{folder} lacks the shard {missing[0]} that {index.name} names")
    weights: dict[str, NDArray[np.float32]] = {}
    for shard in shards:
        for name, array in read_safetensors(folder / shard):
            if name in weights:
                raise ModelError(f"{name} is in two shards of {folder}")
            weights[name] = array
    lost = [name for name in place if name not in weights]
    if lost:
        raise ModelError(f"{index} names {lost[0]}, which is in no shard")
    return weights


def read_safetensors(path: Path) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """The tensors of one safetensors file in float32."""
    header, start = read_header(path)
    data = np.memmap(path, np.uint8, "r", offset=start) if path.stat().st_size > start else np.zeros(0, np.uint8)
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        kind, shape, (first, last) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
        if kind not in DTYPES:
            raise ModelError(f"{path}: {name} is stored as {kind}; supported are {', '.join(DTYPES)}")
        dtype = np.dtype(DTYPES[kind])
        if last > len(data) or last - first != dtype.itemsize * int(np.prod(shape)):
            raise ModelError(f"{path} is truncated or broken: {name} needs bytes {first}-{last} of {len(data)}")
        raw = data[first:last]
        array: NDArray[Any] = np.frombuffer(raw if raw.ctypes.data % dtype.itemsize == 0 else raw.copy(), dtype).reshape(shape)
        if kind == "BF16":
            array = (array.astype(np.uint32) << 16).view(np.float32)
        yield name, array.astype(np.float32, copy=False)


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
        header = json.loads(text)
        for name, entry in header.items():
            if name != "__metadata__":
                _check_entry(**entry)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ModelError(f"{path} is no safetensors file: its header cannot be read") from None
    return header, 8 + length


def _check_entry(dtype: str, shape: list[int], data_offsets: list[int]) -> None:
    first, last = data_offsets
    if not isinstance(dtype, str) or not all(isinstance(n, int) and n >= 0 for n in [*shape, first, last]):
        raise ValueError
