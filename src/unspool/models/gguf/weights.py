"""The weights of a GGUF file, named and laid out as Hugging Face's, and widened to float32 piece by piece where they are used."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unspool.errors import ModelError
from unspool.models.families import Family, family_of
from unspool.models.gguf.container import Container, Tensor
from unspool.models.gguf.formats import Format
from unspool.models.gguf.layouts import LAYER_PARTS, OTHER_PARTS, PASSED_OVER, TWO_NORMS, Layout, layout_of
from unspool.models.stored import Scaled, Stored, Turned, Whole

PLAIN_FORMATS = {"F32": "<f4", "F16": "<f2", "BF16": "<u2"}
"""Formats that are arrays as they lie in the file."""
PART = re.compile(r"(?:blk\.(\d{1,6})\.)?(\w+)\.(weight|bias)")


class Blocks(Stored):
    """Rows of a tensor in blocks: an array of float32 to look at, as `Stored` is."""

    def __init__(self, data: NDArray[np.uint8], form: Format, rows: NDArray[Any] | None = None) -> None:
        super().__init__(data, rows)
        self.form, self.shape = form, (*self.shape[:-1], data.shape[1] // form.size * form.numbers)
        self.bits, self.minima = 8 * form.size / form.numbers, form.blocks is not None and form.blocks.whole.minima
        self.finite = True

    @property
    def whole(self) -> Whole | None:
        return self.form.blocks.whole if self.form.blocks and self.finite else None

    def look_through(self) -> bool:
        if (blocks := self.form.blocks) and blocks.whole.four_bits and not blocks.whole.minima:
            self.finite = blocks.is_finite(self.numbers.reshape(-1, self.form.size))
            self.let_go()
        return self.finite

    def scaled(self) -> Scaled:
        assert self.form.blocks is not None
        rows = self._held()
        found = self.form.blocks.scaled(np.ascontiguousarray(rows).reshape(-1, self.form.size))
        scales, numbers = found.scales.reshape(len(rows), -1), found.numbers.reshape(len(rows), -1)
        return Scaled(scales, numbers, None if found.minima is None else found.minima.reshape(len(rows), -1))

    def _like(self, numbers: NDArray[Any], rows: NDArray[Any] | None = None) -> Blocks:
        found = Blocks(numbers, self.form, rows)
        found.finite = self.finite
        return found

    def _widen(self, numbers: NDArray[Any]) -> NDArray[np.float32]:
        wide: NDArray[np.float32] = self.form.widen(numbers.reshape(-1, numbers.shape[-1]))
        return wide.reshape(*numbers.shape[:-1], -1)


def read_weights(container: Container, config: Mapping[str, Any]) -> dict[str, Any]:
    """The weights of a file: matrices as they are stored, what has one dimension in float32."""
    layout = layout_of(str(container.keys["general.architecture"]))
    family = family_of(layout.family, config)
    place = _Place(layout, family, config, two_norms="blk.0.attn_norm_2.weight" in container.tensors)
    return {place.name(name): place.weight(name, tensor) for name, tensor in container.tensors.items() if not name.endswith(PASSED_OVER)}


class _Place:
    """Where a tensor belongs in a family's checkpoint, and how it lies there."""

    def __init__(self, layout: Layout, family: Family, config: Mapping[str, Any], two_norms: bool) -> None:
        self.layout, self.family = layout, family
        self.parts = LAYER_PARTS | TWO_NORMS if two_norms else LAYER_PARTS
        self.heads = int(config["num_attention_heads"])
        self.key_heads = int(family.key_heads or config.get("num_key_value_heads") or self.heads)

    def part(self, name: str) -> tuple[str | None, str, str]:
        """The number of a tensor's layer, what the family calls the part, and weight or bias."""
        found = PART.fullmatch(name)
        layer, part, kind = found.groups() if found else (None, "", "")
        field = (OTHER_PARTS if layer is None else self.parts).get(part, "")
        joint = len(self.family.qkv) == 1
        if field in ("q", "k", "v", "qkv"):
            named = (self.family.qkv[0] if joint else None) if field == "qkv" else None if joint else self.family.qkv["qkv".index(field)]
        else:
            named = getattr(self.family, field, None)
        if named is None:
            raise ModelError(f"the file holds the tensor {name!r:.60}, which is no part of a {self.layout.family} model")
        return layer, named, kind

    def name(self, name: str) -> str:
        layer, named, kind = self.part(name)
        return f"{'' if layer is None else self.family.layer.format(int(layer))}{named}.{kind}"

    def weight(self, name: str, tensor: Tensor) -> Any:
        tensor.format.check(f"{name:.60}")
        order = self.order(name, tensor.shape[0])
        if len(tensor.shape) == 1:
            wide = tensor.format.widen(tensor.bytes)[0]
            wide = wide - 1 if self.layout.norms_plus_one and "norm" in name else wide
            return wide if order is None else wide[order]
        matrix = _matrix(tensor)
        matrix = matrix if order is None else matrix[order]
        return Turned(matrix) if self.family.transposed and name.startswith("blk.") else matrix

    def order(self, name: str, size: int) -> NDArray[np.intp] | None:
        """Which row of a tensor stands at each place of the checkpoint's; None: they are the same."""
        part = name.split(".")[2] if name.startswith("blk.") else ""
        if part in ("attn_q", "attn_k") and self.layout.paired:
            heads = self.heads if part == "attn_q" else self.key_heads
            order: NDArray[np.intp] = _rows(name, size, 2 * heads).reshape(heads, -1, 2).swapaxes(1, 2).reshape(-1)
            return order
        if part == "attn_qkv" and self.family.qkv_by_head:
            count = self.heads + 2 * self.key_heads
            stored = np.split(_rows(name, size, count).reshape(count, -1), [self.heads, self.heads + self.key_heads])
            return np.concatenate([heads.reshape(self.key_heads, -1) for heads in stored], axis=1).reshape(-1)
        return None


def _rows(name: str, size: int, parts: int) -> NDArray[np.intp]:
    if size % parts:
        raise ModelError(f"{name} has {size} rows, which its heads do not divide")
    return np.arange(size)


def _matrix(tensor: Tensor) -> Stored:
    if len(tensor.shape) > 2:
        raise ModelError(f"a tensor has the shape {tensor.shape}; weights are vectors and matrices")
    plain = PLAIN_FORMATS.get(tensor.format.name)
    return Stored(tensor.bytes.view(plain)) if plain else Blocks(tensor.bytes, tensor.format)
