"""What layers are packed in: a format with what it leaves open (scales, minima, codes of exponents), and the bytes of that."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from unspool.kernels.library import BLOCK_OUTPUTS, CODED_FORMATS, GROUP_INPUTS, WHOLE_FORMATS
from unspool.models.stored import Stored, Whole

WITH_MINIMA = "int4_min"
"""The one of formats that any weights can be packed in whose groups have minima."""
OF_FOUR_BITS = ("int4", WITH_MINIMA, "whole4")
BITS = {"float32": 32, "bfloat16": 16, "float16": 16, "coded32": 28, "coded16": 12}
"""Bits of a number in formats that need no scales."""
BITS_OF_INT4 = 5.0
"""Bits of a number in int4 with a scale and a minimum for each 32; weights whose file has more are packed in int8."""


class Rooms(NamedTuple):
    """The parts of a packed layer: how many bytes each takes, or these bytes."""

    numbers: Any
    scales: Any = 0
    minima: Any = 0
    exceptions: Any = 0


class PackedForm(NamedTuple):
    """What layers that are packed as one lie in: a format of `FORMAT_CODES`, with what it leaves open."""

    kind: str
    group: int
    """How many inputs share a scale."""
    minima: bool
    exponent: int = 0
    """Of coded formats the exponent below the first that has a code."""
    exceptions: int = 0
    """Of coded formats how many weights have an exponent without a code."""

    @classmethod
    def of(cls, kind: str) -> PackedForm:
        """A format that any weights can be packed in."""
        return cls(kind, GROUP_INPUTS, kind == WITH_MINIMA)

    @property
    def whole(self) -> bool:
        """Whether it holds the whole numbers of a file as they are."""
        return self.kind in WHOLE_FORMATS

    @property
    def coded(self) -> bool:
        """Whether exponents lie in codes."""
        return self.kind in CODED_FORMATS

    def sizes(self, outputs: int, inputs: int) -> Rooms:
        """Bytes of the parts of a packed layer."""
        blocks, groups = -(-outputs // BLOCK_OUTPUTS), -(-inputs // self.group)
        rows = blocks * BLOCK_OUTPUTS
        if self.kind in BITS:
            return Rooms(rows * inputs * BITS[self.kind] // 8, exceptions=4 * (blocks + 1) + 8 * self.exceptions if self.coded else 0)
        scales = rows * groups * (4 if self.whole else 2)
        return Rooms(rows * groups * self.group // (2 if self.kind in OF_FOUR_BITS else 1), scales, scales if self.minima else 0)


def form_of(weights: Sequence[Any], kind: str) -> PackedForm:
    """What weights are packed in as one, of the dtype that is asked for.

    For float32 it holds what their file has, in 16 bits or as whole numbers: each is widened where it is used, and is the same. For
    int4 it loses little of what has few bits in its file already.
    """
    if kind == "float32":
        kinds = {getattr(weight, "kind", kind) for weight in weights}
        return whole_form(weights) or PackedForm.of(kinds.pop() if len(kinds) == 1 else kind)
    if kind != "int4" or any(getattr(weight, "bits", None) is None for weight in weights):
        return PackedForm.of(kind)
    if any(weight.bits > BITS_OF_INT4 for weight in weights):
        return PackedForm.of("int8")
    return PackedForm.of(WITH_MINIMA if any(weight.minima for weight in weights) else kind)


def whole_form(weights: Sequence[Any]) -> PackedForm | None:
    """What holds weights as their file has them; None where some are no whole numbers with scales."""
    forms: list[Whole] = [form for weight in weights if isinstance(weight, Stored) and (form := weight.whole)]
    group = min((form.group for form in forms), default=1)
    if not forms or len(forms) < len(weights) or weights[0].shape[1] % group or any(form.group % group for form in forms):
        return None
    four_bits = group % 2 == 0 and all(form.four_bits for form in forms)
    return PackedForm("whole4" if four_bits else "whole8", group, any(form.minima for form in forms))
