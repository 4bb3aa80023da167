"""What layers are packed in: a format, how many inputs share a scale, whether each group has a minimum, and the bytes of that."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from unspool.kernels.library import BLOCK_OUTPUTS, GROUP_INPUTS, WHOLE_FORMATS
from unspool.models.stored import Stored, Whole

WITH_POINT = ("float32", "bfloat16", "float16")
"""Formats of numbers that need no scales."""
WITH_MINIMA = "int4_min"
"""The one of formats that any weights can be packed in whose groups have minima."""
OF_FOUR_BITS = ("int4", WITH_MINIMA, "whole4")
BITS_OF_INT4 = 5.0
"""Bits of a number in int4 with a scale and a minimum for each 32; weights whose file has more are packed in int8."""


class PackedForm(NamedTuple):
    """What layers that are packed as one lie in: a format of `FORMAT_CODES`, with what it leaves open."""

    kind: str
    group: int
    """How many inputs share a scale."""
    minima: bool

    @classmethod
    def of(cls, kind: str) -> PackedForm:
        """A format that any weights can be packed in."""
        return cls(kind, GROUP_INPUTS, kind == WITH_MINIMA)

    @property
    def whole(self) -> bool:
        """Whether it holds the whole numbers of a file as they are."""
        return self.kind in WHOLE_FORMATS

    def sizes(self, outputs: int, inputs: int) -> tuple[int, int, int]:
        """Bytes of the numbers, the scales and the minima of a packed layer."""
        rows, groups = -(-outputs // BLOCK_OUTPUTS) * BLOCK_OUTPUTS, -(-inputs // self.group)
        if self.kind in WITH_POINT:
            return rows * inputs * (4 if self.kind == "float32" else 2), 0, 0
        scales = rows * groups * (4 if self.whole else 2)
        return rows * groups * self.group // (2 if self.kind in OF_FOUR_BITS else 1), scales, scales if self.minima else 0


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
