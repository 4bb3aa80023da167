"""The library of kernels: found, loaded once, its structures, and which variant of it this processor runs."""

from __future__ import annotations

import ctypes as c
import os
import struct
import sys
from functools import cache
from pathlib import Path
from typing import Any

from unspool.errors import ParameterError, in_digits
from unspool.kernels.build import FOLDER, NAME, stamp
from unspool.kernels.cores import cores

PACKED_FORMATS = ("float32", "bfloat16", "float16", "int8", "int4", "int4_min")
"""Those that any weights can be packed in."""
WHOLE_FORMATS = ("whole8", "whole4")
"""Those of weights that are whole numbers in their file."""
CODED_FORMATS = ("coded32", "coded16")
"""Those that hold float32 and bfloat16 in fewer bits, without loss."""
FORMAT_CODES = {name: code for code, name in enumerate(PACKED_FORMATS + WHOLE_FORMATS + CODED_FORMATS)}
ACTIVATION_CODES = {"gelu_tanh": 1, "gelu": 2, "silu": 3, "relu": 4}
BLOCK_OUTPUTS, GROUP_INPUTS, CHUNK_INPUTS, SEGMENT, LARGEST_HEAD = 16, 32, 8, 128, 512
MOST_THREADS = 256
"""As many as pool.c starts at most."""
ELF = b"\x7fELF"
THREADS_OF_A_CORE = 4
"""More than that wait for each other most of the time."""
INT32, INT64, FLOAT32, ADDRESS = c.c_int32, c.c_int64, c.c_float, c.c_void_p


class Matrix(c.Structure):
    """Packed weights of a linear layer; the structures here are those of unspool.h."""

    _fields_ = (
        *((name, INT32) for name in ("format", "outputs", "inputs", "streamed")),
        *((name, ADDRESS) for name in ("data", "scales", "minima", "bias")),
        *(("group", INT32), ("exponent", INT32), ("exceptions", ADDRESS)),
    )


class NormFields(c.Structure):
    """A norm."""

    _fields_ = (("weight", ADDRESS), ("bias", ADDRESS), ("epsilon", FLOAT32), ("centred", INT32))


class BlockFields(c.Structure):
    """A layer."""

    _fields_ = (
        *((name, Matrix) for name in ("qkv", "out", "up", "down", "gate")),
        *((name, NormFields) for name in ("before_attention", "after_attention", "before_mlp", "after_mlp", "query_norm", "key_norm")),
        *(("rope", INT32), ("window", INT32), ("query_scale", FLOAT32), ("softcap", FLOAT32)),
    )


class ModelFields(c.Structure):
    """A model."""

    _fields_ = (
        *((name, INT32) for name in ("layers", "width", "heads", "key_heads", "head_size", "slot_size", "inner")),
        *((name, INT32) for name in ("activation", "parallel", "whole_norms", "ropes", "short_keys")),
        ("softcap", FLOAT32),
        *((name, ADDRESS) for name in ("slopes", "rope_pairs", "rope_interleaved", "blocks")),
        *(("final", NormFields), ("head", Matrix)),
    )


class StepFields(c.Structure):
    """New tokens."""

    _fields_ = (
        *(("tokens", INT32), ("wanted", INT32)),
        *((name, ADDRESS) for name in ("x", "path", "length", "pool", "cosines", "sines", "layer", "hidden")),
    )


class Kernels(c.Structure):
    """What one variant offers."""

    _fields_ = (
        ("name", c.c_char_p),
        ("forward", c.CFUNCTYPE(c.c_int, ADDRESS, ADDRESS)),
        ("linear", c.CFUNCTYPE(c.c_int, ADDRESS, ADDRESS, c.c_int, ADDRESS, FLOAT32)),
        ("log_sum_exp", c.CFUNCTYPE(None, ADDRESS, c.c_int, INT64, ADDRESS, ADDRESS)),
        ("top", c.CFUNCTYPE(c.c_int, ADDRESS, c.c_int, INT64, c.c_int, ADDRESS)),
    )


def library() -> Any:
    """The library, or None where it was not built, was built of other sources, or cannot be loaded."""
    return _opened()[0]


@cache
def _opened() -> tuple[Any, str]:
    """The library, and otherwise why there is none."""
    path = FOLDER / NAME
    if not path.is_file():
        return None, "the kernels are not built"
    try:
        if not _is_elf(path):
            return None, f"{path} is no library"
        if not _is_whole(path):
            return None, f"{path} is cut off"
        found = c.CDLL(str(path))
        found.un_stamp.restype = c.c_char_p
    except (OSError, AttributeError) as error:
        return None, f"the kernels cannot be loaded ({error})"
    if found.un_stamp().decode() != stamp():
        return None, "the kernels were built of other sources"
    found.un_variant.restype, found.un_variant.argtypes = c.POINTER(Kernels), [c.c_int]
    found.un_pack.argtypes = [ADDRESS, INT64, INT64, INT32, INT32, INT32, ADDRESS, ADDRESS, ADDRESS]
    found.un_pack_coded.restype, found.un_pack_coded.argtypes = c.c_int, [ADDRESS, *[INT64] * 2, *[INT32] * 4, *[ADDRESS] * 3, INT64]
    found.un_exponents.restype, found.un_exponents.argtypes = c.c_int, [ADDRESS, *[INT64] * 2, *[INT32] * 3, ADDRESS]
    found.un_threads(thread_count())
    return found, ""


def _is_elf(path: Path) -> bool:
    """Whether a file is what the system loads; of other systems' kinds the loader says it."""
    return not sys.platform.startswith("linux") or _first(path, 4) == ELF


def _first(path: Path, count: int) -> bytes:
    with path.open("rb") as file:
        return file.read(count)


def _is_whole(path: Path) -> bool:
    """Whether an ELF file holds all that it says must be loaded: the system ends a process that loads one cut off."""
    with path.open("rb") as file:
        head = file.read(64)
        if len(head) < 64 or head[:5] != ELF + b"\x02":                # 64 bits; of another kind the system says what is wrong
            return len(head) == 64
        order = "<" if head[5] == 1 else ">"
        (first,), (size, count) = struct.unpack_from(order + "Q", head, 32), struct.unpack_from(order + "HH", head, 54)
        file.seek(first)
        segments = file.read(size * count)
        if len(segments) < size * count:
            return False
        ends = [sum(struct.unpack_from(order + "8xQ16xQ", segments, i * size)) for i in range(count)]
        return max(ends, default=0) <= path.stat().st_size


def address(array: Any) -> int:
    """Where a numpy array's numbers lie; of one that can be written to, a quarter of the time that `array.ctypes.data` takes."""
    if array.size and array.flags.writeable:
        return c.addressof(c.c_char.from_buffer(array))
    return int(array.ctypes.data)


def thread_count() -> int:
    """UNSPOOL_THREADS, or OMP_NUM_THREADS, but no more than some for each core; or the cores that this process may use."""
    return min(_asked()[1] or cores(), THREADS_OF_A_CORE * cores(), MOST_THREADS)


def thread_note() -> str:
    """What is to be said where more threads are asked for than compute; usually nothing."""
    (name, asked), count = _asked(), thread_count()
    if asked <= count:
        return ""
    return f"{name} asks for {asked} threads; {count} compute, as more would wait for each other on the cores of this process: {cores()}"


def _asked() -> tuple[str, int]:
    """Which variable of the environment sets how many threads, and how many; 0 if none does."""
    for name in ("UNSPOOL_THREADS", "OMP_NUM_THREADS"):
        text = os.environ.get(name, "").split(",")[0].strip()
        if count := in_digits(text):
            return name, count
        if text and name == "UNSPOOL_THREADS":
            raise ParameterError(f"UNSPOOL_THREADS={text!r:.80}: it is how many threads compute, 1 or more")
    return "", 0


@cache
def variants() -> dict[str, Kernels]:
    """The variants that this processor can run, the best first."""
    found: dict[str, Kernels] = {}
    while library() is not None and (variant := library().un_variant(len(found))):
        found[variant.contents.name.decode()] = variant.contents
    return found


def kernels() -> Kernels:
    """The variant in use: the best, or that which UNSPOOL_KERNELS names."""
    wanted = os.environ.get("UNSPOOL_KERNELS", "")
    if wanted in ("", "auto"):
        return next(iter(variants().values()))
    if wanted not in variants():
        raise ParameterError(f"UNSPOOL_KERNELS={wanted!r}: this machine runs {', '.join(variants()) or 'none'}; or 'none' for numpy")
    return variants()[wanted]


def available() -> bool:
    """Whether there are kernels that run here, and UNSPOOL_KERNELS is not "none"; a name in it that is none is an error."""
    return os.environ.get("UNSPOOL_KERNELS") != "none" and bool(variants()) and kernels() is not None


def missing() -> str:
    """Why there are no kernels, as the end of a sentence."""
    if os.environ.get("UNSPOOL_KERNELS") == "none":
        return ": UNSPOOL_KERNELS=none turns the kernels off"
    return f": {_opened()[1]}; to build them, install a C compiler and run python -m unspool.kernels.build"


def unusable() -> str:
    """What is to be said where there is a library and it cannot be used, as the end of a sentence; usually nothing."""
    there = (FOLDER / NAME).is_file() and os.environ.get("UNSPOOL_KERNELS") != "none" and library() is None
    return missing() if there else ""
