"""The number formats of GGUF tensors: how a block of numbers is stored, and what float32 numbers it stands for.

A block holds small whole numbers q beside scales in float16: d, or of parts of it d * s; and minima m where q begins at 0. A format
is its fields, in the order of their bytes, and the formula of its whole numbers with their scales, or of its numbers. Formats whose
numbers stand in a code book (IQ1 to IQ3) are left to the package gguf.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from unspool.errors import MissingExtra, ModelError
from unspool.models.stored import Scaled, Whole

BlockArray: TypeAlias = Any
"""Blocks (n,) whose fields are arrays (n, ...)."""
Numbers: TypeAlias = NDArray[Any]

AT_ONCE = 1 << 16
"""Numbers that are widened together, so that what is made on the way stays in the processor's cache."""
HALF = "<f2"
IQ4_LEVELS = np.array([-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113], np.int8)
"""What the four bits of IQ4 stand for."""
FOUR_BIT_FLOATS = np.array([0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12], np.int8)
"""What those of MXFP4 and NVFP4 stand for: sign, two bits of exponent, one of mantissa; twice as large."""


@dataclass(frozen=True)
class WholeBlocks:
    """What makes of blocks of bytes whole numbers with scales, or the numbers that these come to, where this is what a format stores."""

    layout: np.dtype[Any]
    formula: Callable[[BlockArray], Scaled]
    whole: Whole
    """How the whole numbers lie."""

    def __call__(self, data: NDArray[np.uint8]) -> Numbers:
        return self.scaled(data).wide().reshape(len(data), -1)

    @np.errstate(invalid="ignore", over="ignore")
    def scaled(self, data: NDArray[np.uint8]) -> Scaled:
        """Blocks (n, bytes) as whole numbers (n, numbers)."""
        return self.formula(data.view(self.layout)[:, 0])

    def is_finite(self, data: NDArray[np.uint8]) -> bool:
        """Whether all scales are finite."""
        return "d" not in (self.layout.names or ()) or bool(np.isfinite(data.view(self.layout)["d"]).all())


@dataclass(frozen=True)
class Format:
    """A format: how many numbers a block has and how many bytes, and what makes float32 of it; None: nobody does."""

    name: str
    numbers: int
    size: int
    read: Callable[[NDArray[np.uint8]], Numbers] | WholeBlocks | None

    @property
    def blocks(self) -> WholeBlocks | None:
        """What makes of it whole numbers with scales, if these are what it stores."""
        return self.read if isinstance(self.read, WholeBlocks) else None

    def check(self, tensor: str) -> None:
        """Refuse a format of which no weights are made, by the name of the tensor that is stored in it."""
        if self.read is None:
            raise ModelError(f"{tensor} is stored as {self.name}, which holds no weights; supported are {', '.join(WEIGHTS)}")

    def widen(self, data: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Rows of bytes as rows of float32."""
        self.check("a tensor")
        assert self.read is not None
        blocks = np.ascontiguousarray(data).reshape(-1, self.size)
        wide, step = np.empty((len(blocks), self.numbers), np.float32), max(AT_ONCE // self.numbers, 1)
        with np.errstate(invalid="ignore", over="ignore"):
            for first in range(0, len(blocks), step):
                wide[first : first + step] = self.read(blocks[first : first + step])
        return wide.reshape(len(data), -1)


def parts(data: NDArray[np.uint8], width: int, run: int) -> NDArray[np.uint8]:
    """Whole numbers of so many bits: the lowest bits of the first `run` bytes, then the next bits of these, then the next bytes."""
    shifts = np.arange(0, 8, width, dtype=np.uint8)[:, None]
    cut: NDArray[np.uint8] = data.reshape(len(data), -1, 1, run) >> shifts & np.uint8((1 << width) - 1)
    return cut.reshape(len(data), -1)


def f32(numbers: Numbers) -> Numbers:
    """Numbers as float32; a scale of a block as an array (n, 1)."""
    wide: Numbers = numbers.astype(np.float32)
    return wide[:, None] if wide.ndim == 1 else wide


def q4_0(b: BlockArray) -> Scaled:
    """d (q - 8)."""
    return Scaled(f32(b["d"]), parts(b["q"], 4, 16).view(np.int8) - np.int8(8))


def q4_1(b: BlockArray) -> Scaled:
    """d q + m."""
    return Scaled(f32(b["d"]), parts(b["q"], 4, 16), f32(b["m"]))


def five_bits(b: BlockArray) -> Numbers:
    """Four bits of each q, and the fifth stored apart."""
    return parts(b["q"], 4, 16) | parts(b["high"], 1, 1) << 4


def q5_0(b: BlockArray) -> Scaled:
    """d (q - 16)."""
    return Scaled(f32(b["d"]), five_bits(b).view(np.int8) - np.int8(16))


def q5_1(b: BlockArray) -> Scaled:
    """d q + m."""
    return Scaled(f32(b["d"]), five_bits(b), f32(b["m"]))


def q8_0(b: BlockArray) -> Scaled:
    """d q."""
    return Scaled(f32(b["d"]), b["q"])


def q2_k(b: BlockArray) -> Scaled:
    """d s q - m t, with s and t for each 16 numbers."""
    return Scaled(f32(b["d"]) * f32(b["s"] & 15), parts(b["q"], 2, 32), -f32(b["m"]) * f32(b["s"] >> 4))


def q3_k(b: BlockArray) -> Scaled:
    """d (s - 32) (q - 4), where q's third bit is stored apart, as are the upper two bits of s."""
    s = parts(b["s"][:, :8], 4, 8) | parts(b["s"][:, 8:], 2, 4) << 4
    q = parts(b["q"], 2, 32) | parts(b["high"], 1, 32) << 2
    return Scaled(f32(b["d"]) * f32(s.view(np.int8) - np.int8(32)), q.view(np.int8) - np.int8(4))


def six_bit_scales(b: BlockArray) -> tuple[Numbers, Numbers]:
    """d s and -m t of Q4_K and Q5_K: four of each whole, of four more the lower bits together and the upper ones beside the first."""
    s, t, low = b["s"][:, :4], b["s"][:, 4:8], b["s"][:, 8:]
    scales = np.concatenate([s & 63, low & 15 | s >> 6 << 4], axis=1)
    below = np.concatenate([t & 63, low >> 4 | t >> 6 << 4], axis=1)
    return f32(b["d"]) * f32(scales), -f32(b["m"]) * f32(below)


def q4_k(b: BlockArray) -> Scaled:
    """d s q - m t, with s and t for each 32 numbers."""
    scales, minima = six_bit_scales(b)
    return Scaled(scales, parts(b["q"], 4, 32), minima)


def q5_k(b: BlockArray) -> Scaled:
    """d s q - m t, with s and t for each 32 numbers."""
    scales, minima = six_bit_scales(b)
    return Scaled(scales, parts(b["q"], 4, 32) | parts(b["high"], 1, 32) << 4, minima)


def q6_k(b: BlockArray) -> Scaled:
    """d s (q - 32), with s for each 16 numbers."""
    q = parts(b["q"], 4, 64) | parts(b["high"], 2, 32) << 4
    return Scaled(f32(b["d"]) * f32(b["s"]), q.view(np.int8) - np.int8(32))


def iq4_nl(b: BlockArray) -> Scaled:
    """d times one of 16 levels."""
    return Scaled(f32(b["d"]), IQ4_LEVELS[parts(b["q"], 4, 16)])


def iq4_xs(b: BlockArray) -> Scaled:
    """d (s - 32) times one of 16 levels, with s for each 32 numbers."""
    s = parts(b["s"], 4, 1) | parts(b["high"], 2, 1) << 4
    return Scaled(f32(b["d"]) * f32(s.view(np.int8) - np.int8(32)), IQ4_LEVELS[parts(b["q"], 4, 16)])


def threes(data: NDArray[np.uint8], digits: int, run: int) -> NDArray[np.uint8]:
    """The first digits in base 3 of fractions of 256, those of the first `run` bytes digit by digit, then those of the next bytes."""
    powers = np.array([3**i for i in range(digits)], np.uint8)[:, None]
    rest = data.reshape(len(data), -1, 1, run) * powers
    return (rest.astype(np.uint16) * 3 >> 8).astype(np.uint8).reshape(len(data), -1)


def tq1_0(b: BlockArray) -> Scaled:
    """d (q - 1), with five q in a byte."""
    q = np.concatenate([threes(b["q"], 5, 32), threes(b["more"], 5, 16), threes(b["last"], 4, 4)], axis=1)
    return Scaled(f32(b["d"]), q.view(np.int8) - np.int8(1))


def tq2_0(b: BlockArray) -> Scaled:
    """d (q - 1)."""
    return Scaled(f32(b["d"]), parts(b["q"], 2, 32).view(np.int8) - np.int8(1))


def mxfp4(b: BlockArray) -> Scaled:
    """2^(e - 128) times a float of four bits, as the table has it."""
    e = b["e"].astype(np.uint32)[:, None]
    scale = np.where(e < 2, np.uint32(1 << 21) << e, e - np.uint32(1) << np.uint32(23)).view(np.float32)
    return Scaled(scale, FOUR_BIT_FLOATS[parts(b["q"], 4, 16)])


def nvfp4(b: BlockArray) -> Scaled:
    """A scale for each 16 numbers, of four bits of exponent and three of mantissa, times a float of four bits."""
    e, mantissa = f32(b["s"] >> 3 & 15), f32(b["s"] & 7)
    scale = np.where(e == 0, mantissa * 2**-9, (1 + mantissa / 8) * 2.0 ** (e - 7)) * np.float32(0.5)
    scale[(b["s"] == 0) | (b["s"] == 127)] = 0
    return Scaled(scale, FOUR_BIT_FLOATS[parts(b["q"], 4, 8)])


def bf16(b: BlockArray) -> Numbers:
    """The upper half of a float32."""
    wide: Numbers = (b["q"].astype(np.uint32) << 16).view(np.float32)
    return wide


def _format(name: str, numbers: int, formula: Callable[[BlockArray], Numbers], **fields: Any) -> Format:
    """A format of fields, each a type of number and how many there are."""
    layout = np.dtype([*fields.items()])
    return Format(name, numbers, layout.itemsize, lambda data: formula(data.view(layout)[:, 0]).reshape(len(data), numbers))


def _scaled(name: str, numbers: int, group: int, formula: Callable[[BlockArray], Scaled], four_bits: bool = False, **fields: Any) -> Format:
    """A format of whole numbers, of which so many share a scale."""
    layout = np.dtype([*fields.items()])
    return Format(name, numbers, layout.itemsize, WholeBlocks(layout, formula, Whole(group, four_bits, minima="m" in fields)))


def _by_package(name: str, data: NDArray[np.uint8]) -> Numbers:
    """A format of the package gguf's."""
    try:
        import gguf
    except ImportError:
        raise MissingExtra(f"tensors in {name} are read with the package gguf: pip install 'unspool[gguf]'") from None
    found: Numbers = gguf.dequantize(data, gguf.GGMLQuantizationType[name])
    return found


def _of_package(name: str, size: int) -> Format:
    return Format(name, 256, size, partial(_by_package, name))


def _no_weights(name: str, numbers: int, size: int) -> Format:
    return Format(name, numbers, size, None)


GGUF_FORMATS: Mapping[int, Format] = {
    0: _format("F32", 1, lambda b: b["q"], q="<f4"),
    1: _format("F16", 1, lambda b: f32(b["q"]), q=HALF),
    2: _scaled("Q4_0", 32, 32, q4_0, four_bits=True, d=HALF, q="16u1"),
    3: _scaled("Q4_1", 32, 32, q4_1, four_bits=True, d=HALF, m=HALF, q="16u1"),
    6: _scaled("Q5_0", 32, 32, q5_0, d=HALF, high="4u1", q="16u1"),
    7: _scaled("Q5_1", 32, 32, q5_1, d=HALF, m=HALF, high="4u1", q="16u1"),
    8: _scaled("Q8_0", 32, 32, q8_0, d=HALF, q="32i1"),
    9: _no_weights("Q8_1", 32, 40),
    10: _scaled("Q2_K", 256, 16, q2_k, four_bits=True, s="16u1", q="64u1", d=HALF, m=HALF),
    11: _scaled("Q3_K", 256, 16, q3_k, four_bits=True, high="32u1", q="64u1", s="12u1", d=HALF),
    12: _scaled("Q4_K", 256, 32, q4_k, four_bits=True, d=HALF, m=HALF, s="12u1", q="128u1"),
    13: _scaled("Q5_K", 256, 32, q5_k, d=HALF, m=HALF, s="12u1", high="32u1", q="128u1"),
    14: _scaled("Q6_K", 256, 16, q6_k, q="128u1", high="64u1", s="16i1", d=HALF),
    15: _no_weights("Q8_K", 256, 292),
    16: _of_package("IQ2_XXS", 66),
    17: _of_package("IQ2_XS", 74),
    18: _of_package("IQ3_XXS", 98),
    19: _of_package("IQ1_S", 50),
    20: _scaled("IQ4_NL", 32, 32, iq4_nl, d=HALF, q="16u1"),
    21: _of_package("IQ3_S", 110),
    22: _of_package("IQ2_S", 82),
    23: _scaled("IQ4_XS", 256, 32, iq4_xs, d=HALF, high="2u1", s="4u1", q="128u1"),
    24: _no_weights("I8", 1, 1),
    25: _no_weights("I16", 1, 2),
    26: _no_weights("I32", 1, 4),
    27: _no_weights("I64", 1, 8),
    28: _format("F64", 1, lambda b: f32(b["q"]), q="<f8"),
    29: _of_package("IQ1_M", 56),
    30: _format("BF16", 1, bf16, q="<u2"),
    34: _scaled("TQ1_0", 256, 256, tq1_0, four_bits=True, q="32u1", more="16u1", last="4u1", d=HALF),
    35: _scaled("TQ2_0", 256, 256, tq2_0, four_bits=True, q="64u1", d=HALF),
    39: _scaled("MXFP4", 32, 32, mxfp4, e="u1", q="16u1"),
    40: _scaled("NVFP4", 64, 16, nvfp4, s="4u1", q="32u1"),
}
"""By their numbers in a file."""
WEIGHTS = tuple(form.name for form in GGUF_FORMATS.values() if form.read is not None)
