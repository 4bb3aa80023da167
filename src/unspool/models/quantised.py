"""Hugging Face checkpoints of quantised weights, whose whole numbers are widened to float32 piece by piece where they are used.

A weight is scale * (q - zero), with a scale and a zero for each group of inputs of an output. How q, scales and zeros lie in a file is what
the methods differ in: GPTQ (Frantar et al. 2023, arXiv 2210.17323), AWQ (Lin et al. 2024, arXiv 2306.00978), bitsandbytes' 8 bits
(Dettmers et al. 2022, arXiv 2208.07339), and the whole numbers of compressed-tensors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unspool.errors import ModelError
from unspool.models.stored import Scaled, Stored, Whole
from unspool.models.weights import STORED, WHOLE_NUMBERS, gather_files, read_stored, release, widen

Tensors = Mapping[str, NDArray[Any]]
"""The tensors of one layer, by what stands behind its name."""
WORD = 32
"""Bits of the words in which small numbers are packed."""
LOW_BITS = 0xFFF
"""The bits of a float32 that are 0 in a float16 or bfloat16; a product with eight bits then has no error."""
AWQ_ORDER = (0, 4, 1, 5, 2, 6, 3, 7)
"""Where in a word of AWQ each of eight outputs stands."""
WORD_KINDS, BYTE_KINDS, INDEX_KINDS = (np.dtype(np.int32),), (np.dtype(np.int8),), (np.dtype(np.int32), np.dtype(np.int64))
ZERO_KINDS = (*BYTE_KINDS, *INDEX_KINDS)
SCALE_KINDS = tuple(map(np.dtype, STORED.values()))
"""Kinds of tensors."""
HELD_KINDS = (np.dtype(np.int8), np.dtype(np.uint8), np.dtype(np.int16))
"""Kinds of whole numbers, of which none reaches beyond 8 bits."""
LARGEST_SCALE = np.float32(2.0**118)
"""With a larger scale a product with eight bits may be infinite, and two of which one is taken from the other no number."""
CHECKED_AT_ONCE = 1 << 22
"""Numbers that are looked through together."""
FOUR_BITS = "holds weights of bitsandbytes in 4 bits, of which those in 8 are read"
WAY_OUT = "use one in float32, float16 or bfloat16, a GGUF file, or backend='transformers' with the library that wrote it"


class QuantisedMatrix(Stored):
    """A matrix (outputs, inputs): an array of float32 to look at, as `Stored` is."""

    def __init__(self, parts: Grouped, rows: NDArray[Any] | None = None) -> None:
        super().__init__(np.broadcast_to(np.uint8(0), (parts.outputs, parts.inputs)), rows)
        self.parts, self.bits, self.minima = parts, float(parts.bits), True

    @property
    def whole(self) -> Whole | None:
        return self.parts.whole

    def scaled(self) -> Scaled:
        return self.parts.scaled(slice(None) if self.rows is None else self.rows)

    def __getitem__(self, which: Any) -> QuantisedMatrix:
        """Some rows: a slice, or an array of indices."""
        return QuantisedMatrix(self.parts, (np.arange(self.parts.outputs) if self.rows is None else self.rows)[which])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        wide = self.parts.rows(slice(None) if self.rows is None else self.rows)
        return wide if dtype is None else wide.astype(dtype, copy=False)

    def let_go(self) -> None:
        for tensor in self.parts.tensors:                                # which may lie by outputs or by inputs: all of each
            release(tensor)


@dataclass(frozen=True)
class Grouped:
    """The parts of a matrix, each for some of its outputs when asked: scale * (q - zero)."""

    outputs: int
    inputs: int
    bits: int
    q: Callable[[Any], NDArray[Any]]
    """(R, inputs)"""
    scale: Callable[[Any], NDArray[Any]]
    """(R, groups)"""
    zero: Callable[[Any], NDArray[Any]] | None = None
    """(R, groups); None: 0."""
    group: NDArray[np.int64] | None = None
    """(inputs,), the group of each; None: groups of equal size in their order."""
    tensors: tuple[NDArray[Any], ...] = ()
    """Those of the file that hold it."""

    def __post_init__(self) -> None:
        """Refuse parts that do not fit together, rather than broadcast them."""
        none, every = slice(0, 0), slice(None)
        scales = self.scale(every).shape
        if scales[:1] != (self.outputs,) or len(scales) != 2 or not scales[1] or (self.group is None and self.inputs % scales[1]):
            raise ValueError(f"scales are {scales}, for {self.outputs} outputs and groups of {self.inputs} inputs")
        if self.zero is not None and self.zero(every).shape != scales:
            raise ValueError(f"zeros are {self.zero(every).shape} where scales are {scales}")
        if self.q(none).shape != (0, self.inputs) or self.q(none).dtype not in HELD_KINDS:
            raise ValueError(f"numbers are {self.q(none).dtype} in rows of {self.q(none).shape[1:]}, for {self.inputs} inputs")

    @cached_property
    def whole(self) -> Whole | None:
        """How whole numbers lie that come to the same to the bit, if there are such: groups in order and, with zeros, short scales."""
        scale = self.scale(slice(None)).astype(np.float32)
        size, rest = divmod(self.inputs, scale.shape[1])
        short = not (scale.view(np.uint32) & LOW_BITS).any()
        in_order = self.group is None or (self.group == np.arange(self.inputs) // max(size, 1)).all()
        within = np.abs(scale).max(initial=0) <= LARGEST_SCALE
        if rest or not in_order or not within or not (short or self.zero is None):
            return None
        return Whole(size, short and self.bits <= 4, self.zero is not None)

    @np.errstate(invalid="ignore", over="ignore")
    def scaled(self, which: Any) -> Scaled:
        """The numbers of some outputs; where there are zeros, as those of `Whole` that have minima."""
        q, scale = self.q(which), self.scale(which).astype(np.float32)
        if self.zero is None:
            return Scaled(scale, q.astype(np.int8))
        # those of 4 bits are to begin at 0 and others at -128; numbers and zeros that move together stand for the same weights
        shift = (0 if self.bits <= 4 else -128) + ((1 << self.bits - 1) if q.dtype.kind == "i" else 0)
        return Scaled(scale, (q.astype(np.int16) + shift).astype(np.int8), -(self.zero(which).astype(np.float32) + shift) * scale)

    @np.errstate(invalid="ignore", over="ignore")
    def rows(self, which: Any) -> NDArray[np.float32]:
        q, scale = self.q(which).astype(np.float32), self.scale(which).astype(np.float32)
        groups = np.arange(self.inputs) * scale.shape[1] // self.inputs if self.group is None else self.group
        if self.zero is not None:
            q -= self.zero(which).astype(np.float32)[:, groups]
        q *= scale[:, groups]
        return q


def small_numbers(words: NDArray[np.int32], bits: int) -> NDArray[np.uint8]:
    """What is packed along the last axis, the lowest bits first: (..., N) words -> (..., N * 32 / bits)."""
    shifts = np.arange(0, WORD, bits, dtype=np.uint32)
    cut = words.view(np.uint32)[..., None] >> shifts & np.uint32((1 << bits) - 1)
    found: NDArray[np.uint8] = cut.reshape(*words.shape[:-1], words.shape[-1] * len(shifts)).astype(np.uint8)
    return found


def gptq(t: Tensors, settings: Mapping[str, Any]) -> Grouped:
    """qweight (inputs * b / 32, outputs), qzeros (groups, outputs * b / 32), scales (groups, outputs), g_idx (inputs,)."""
    bits, first = _bits(settings), 0 if settings.get("checkpoint_format") == "gptq_v2" else 1
    words = _part(t, "qweight", WORD_KINDS, None, None)
    inputs, outputs = words.shape[0] * WORD // bits, words.shape[1]
    scales = widen(_part(t, "scales", SCALE_KINDS, None, outputs))
    zeros = _part(t, "qzeros", WORD_KINDS, len(scales), _words(outputs, bits))
    zero = small_numbers(zeros, bits)[:, :outputs].astype(np.int16) + first  # the first form stores them less one
    return Grouped(
        outputs,
        inputs,
        bits,
        lambda which: small_numbers(np.ascontiguousarray(words.T[which]), bits),
        lambda which: scales.T[which],
        lambda which: zero.T[which],
        _groups(t, "g_idx", inputs, len(scales)),
        (words, zeros),
    )


def awq(t: Tensors, settings: Mapping[str, Any]) -> Grouped:
    """qweight (inputs, outputs / 8), qzeros (groups, outputs / 8), scales (groups, outputs); eight outputs in a word, in AWQ_ORDER."""
    bits = _bits(settings)
    if bits != 4 or str(settings.get("version", "gemm")).lower() != "gemm":
        raise ModelError(f"holds AWQ weights of the version {settings.get('version')!r:.40}, of which gemm with 4 bits is read; {WAY_OUT}")
    words = _part(t, "qweight", WORD_KINDS, None, None)
    inputs, outputs = words.shape[0], words.shape[1] * WORD // bits
    scales = widen(_part(t, "scales", SCALE_KINDS, None, outputs))
    _groups(t, "scales", inputs, len(scales))
    zeros = _part(t, "qzeros", WORD_KINDS, len(scales), words.shape[1])

    def unpacked(words: NDArray[Any]) -> NDArray[Any]:
        found: NDArray[Any] = small_numbers(words, bits).reshape(*words.shape, 8)[..., list(AWQ_ORDER)].reshape(len(words), -1)
        return found

    zero = unpacked(zeros)

    def q(which: Any) -> NDArray[Any]:
        at = np.arange(outputs)[which]
        blocks, place = np.unique(at // 8, return_inverse=True)
        found: NDArray[Any] = unpacked(np.ascontiguousarray(words[:, blocks]))[:, 8 * place + at % 8].T
        return found

    return Grouped(outputs, inputs, bits, q, lambda which: scales.T[which], lambda which: zero.T[which], tensors=(words, zeros))


def bitsandbytes(t: Tensors, settings: Mapping[str, Any]) -> Grouped:
    """weight (outputs, inputs) of -127 to 127 and SCB (outputs,), the largest size in each row."""
    if t["weight"].dtype == np.uint8:
        raise ModelError(f"{FOUR_BITS}; {WAY_OUT}")
    weight = _part(t, "weight", BYTE_KINDS, None, None)
    outputs, inputs = weight.shape
    largest = widen(_part(t, "SCB", SCALE_KINDS, outputs))[:, None]
    return Grouped(outputs, inputs, 8, lambda which: weight[which], lambda which: largest[which] / 127, tensors=(weight,))


def compressed_tensors(t: Tensors, settings: Mapping[str, Any]) -> Grouped:
    """weight_packed (outputs, inputs * b / 32) or weight, weight_scale (outputs, groups), weight_zero_point, weight_g_idx."""
    bits = _bits(settings)
    packed, zero = "weight_packed" in t, _part(t, "weight_zero_point", ZERO_KINDS) if "weight_zero_point" in t else None
    if packed:
        outputs, inputs = map(int, _part(t, "weight_shape", INDEX_KINDS, 2))
        if min(outputs, inputs) < 1:
            raise _Misfit("weight_shape", t["weight_shape"], f"numbers above 0: it has {outputs} and {inputs}")
        weight, half = _part(t, "weight_packed", WORD_KINDS, outputs, _words(inputs, bits)), 1 << bits - 1  # packed numbers begin at 0
        if zero is not None and zero.dtype == np.int32:
            words = _part(t, "weight_zero_point", WORD_KINDS, _words(outputs, bits), None)
            zero = small_numbers(np.ascontiguousarray(words.T), bits)[:, :outputs].T.astype(np.int16) - half
        elif zero is not None:
            _check_numbers(t, "weight_zero_point", bits)
    else:
        weight = _part(t, "weight", BYTE_KINDS, None, None)
        outputs, inputs = weight.shape
        for part in ("weight", *(["weight_zero_point"] if zero is not None else [])):
            _check_numbers(t, part, bits)
    scale = _spread(t, "weight_scale", widen(_part(t, "weight_scale", SCALE_KINDS)), outputs)
    groups = scale.shape[1]
    zeros = None if zero is None or not zero.any() else _spread(t, "weight_zero_point", zero, outputs, groups)

    def q(which: Any) -> NDArray[Any]:
        found: NDArray[Any] = weight[which]
        return small_numbers(np.ascontiguousarray(found), bits)[:, :inputs].astype(np.int16) - half if packed else found

    group = _groups(t, "weight_g_idx" if "weight_g_idx" in t else "weight_scale", inputs, groups)
    take = None if zeros is None else lambda which: zeros[which]
    return Grouped(outputs, inputs, bits, q, lambda which: scale[which], take, group, (weight,))


def _spread(t: Tensors, part: str, numbers: NDArray[Any], outputs: int, groups: int | None = None) -> NDArray[Any]:
    """Numbers of all weights, of outputs, or of their groups as an array (outputs, groups)."""
    held = numbers.reshape(len(numbers), -1) if numbers.size > 1 else numbers.reshape(1, -1)
    if len(held) not in (1, outputs) or not held.shape[1] or groups not in (None, held.shape[1]):
        raise _Misfit(part, t[part], f"({outputs}, {groups or 'groups'})")
    return np.broadcast_to(held, (outputs, held.shape[1]))


def _check_numbers(t: Tensors, part: str, bits: int) -> None:
    """Refuse whole numbers beyond those of so many bits, as which they are said to be."""
    tensor, half = t[part], 1 << bits - 1
    if tensor.dtype == np.int8 and bits == 8:
        return
    step = max(CHECKED_AT_ONCE // max(tensor[:1].size, 1), 1)
    for first in range(0, len(tensor), step):
        some = tensor[first : first + step]
        for found in (some.min(initial=0), some.max(initial=0)):
            if not -half <= found < half:
                raise _Misfit(part, tensor, f"numbers from {-half} to {half - 1}, which {bits} bits hold: it has {found}")
    release(tensor)


@dataclass(frozen=True)
class QuantisingMethod:
    """A way in which weights are quantised: what its tensors are called, and what makes a matrix of them."""

    grouped: Callable[[Tensors, Mapping[str, Any]], Grouped]
    main: tuple[str, ...]
    """The tensors that hold the whole numbers; a layer that has none of them is not quantised."""
    beside: tuple[str, ...]
    """Its other tensors."""
    needs: tuple[str, ...]
    """Those of them without which it cannot be read."""


METHODS: Mapping[str, QuantisingMethod] = {
    "gptq": QuantisingMethod(gptq, ("qweight",), ("qzeros", "scales", "g_idx"), ("qzeros", "scales")),
    "awq": QuantisingMethod(awq, ("qweight",), ("qzeros", "scales"), ("qzeros", "scales")),
    "bitsandbytes": QuantisingMethod(bitsandbytes, ("weight",), ("SCB", "weight_format"), ("SCB",)),
    "compressed-tensors": QuantisingMethod(
        compressed_tensors,
        ("weight_packed", "weight"),
        ("weight_scale", "weight_zero_point", "weight_shape", "weight_g_idx", "input_scale", "input_zero_point"),
        ("weight_scale",),
    ),
}


def method_of(settings: Any) -> tuple[QuantisingMethod, Mapping[str, Any]]:
    """The method that a config.json's quantization_config names, with its settings; an error says what is read."""
    given = settings if isinstance(settings, Mapping) else {}
    name = str(given.get("quant_method", "")).replace("_", "-")
    if name not in METHODS:
        raise ModelError(f"holds quantised weights ({name or 'quantization_config'}); supported are {', '.join(METHODS)}; {WAY_OUT}")
    if name == "bitsandbytes" and not given.get("load_in_8bit", given.get("_load_in_8bit")):
        raise ModelError(f"{FOUR_BITS}; {WAY_OUT}")
    return METHODS[name], _of_groups(given) if name == "compressed-tensors" else given


def _of_groups(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """The settings of compressed-tensors' weights, which are the same for all layers."""
    groups = settings.get("config_groups")
    kinds = [group.get("weights") for group in groups.values() if isinstance(group, Mapping)] if isinstance(groups, Mapping) else []
    if not kinds or any(kind != kinds[0] for kind in kinds) or not isinstance(kinds[0], Mapping):
        raise ModelError(f"holds weights of compressed-tensors without one format for all layers; {WAY_OUT}")
    if kinds[0].get("type", "int") != "int" or settings.get("format") not in ("pack-quantized", "int-quantized", "naive-quantized", None):
        kind = f"{kinds[0].get('type')}, {settings.get('format')}"
        raise ModelError(f"holds weights of compressed-tensors of the kind {kind!r:.60}, of which whole numbers are read; {WAY_OUT}")
    return {"bits": kinds[0].get("num_bits"), **kinds[0]}


def read_quantised(folder: Path, settings: Any) -> dict[str, Any]:
    """The weights of a folder, named as if they were not quantised; see `dequantised`."""
    files: dict[str, str] = {}

    def read(path: Path) -> Iterable[tuple[str, NDArray[Any]]]:
        tensors = read_stored(path, formats=STORED | WHOLE_NUMBERS)
        files.update(dict.fromkeys(tensors, path.name))
        return tensors.items()

    found = dequantised(gather_files(folder, read), settings, files)
    return {name: t if isinstance(t, Stored) else Stored(t) if t.ndim > 1 else widen(t) for name, t in found.items()}


def dequantised(tensors: Mapping[str, Any], settings: Any, files: Mapping[str, str] = MappingProxyType({})) -> dict[str, Any]:
    """The weights of a checkpoint as they would be named unquantised: matrices of quantised layers as `QuantisedMatrix`.

    files: where each tensor lies, for what is said of one that is broken.
    """
    method, given = method_of(settings)
    layers: dict[str, dict[str, Any]] = {}
    found: dict[str, Any] = {}
    for name, tensor in tensors.items():
        layer, _, part = name.rpartition(".")
        if part in method.main + method.beside and _is_quantised(method, tensors, layer):
            layers.setdefault(layer, {})[part] = tensor
        else:
            found[name] = tensor
    for layer, parts in layers.items():
        if lacks := [part for part in method.needs if part not in parts]:
            raise ModelError(f"lacks {layer}.{lacks[0]}, without which its weights cannot be read")
        try:
            found[f"{layer}.weight"] = QuantisedMatrix(method.grouped(parts, given))
        except _Misfit as error:
            part, problem = error.args
            raise ModelError(f"{files.get(f'{layer}.{part}', 'the file')} is broken: {layer}.{part} {problem}") from None
        except (ValueError, LookupError, TypeError) as error:
            raise ModelError(f"holds quantised weights {layer} whose parts do not fit together: {error}") from None
    return found


def _is_quantised(method: QuantisingMethod, tensors: Mapping[str, Any], layer: str) -> bool:
    own = [part for part in (*method.main, *method.needs) if part != "weight"]
    return any(f"{layer}.{part}" in tensors for part in own)


def _bits(settings: Mapping[str, Any]) -> int:
    bits = settings.get("bits", settings.get("w_bit"))
    if bits not in (2, 4, 8):
        raise ModelError(f"holds weights of {bits!r:.20} bits; 2, 4 and 8 are read; {WAY_OUT}")
    return int(bits)


class _Misfit(Exception):
    """A tensor of a layer is not what it should be."""

    def __init__(self, part: str, tensor: NDArray[Any], wanted: str) -> None:
        super().__init__(part, f"is {_called(tensor.dtype)} of the shape {tensor.shape}, where its layer needs {wanted}")


def _part(t: Tensors, part: str, kinds: tuple[Any, ...], *shape: int | None) -> NDArray[Any]:
    """A tensor of a layer, if it is of one of these kinds and of a shape, in which None stands for any size but 0; no shape: any."""
    tensor = t[part]
    fits = len(shape) == tensor.ndim and all(n == m if m is not None else n for n, m in zip(tensor.shape, shape, strict=True))
    if tensor.dtype not in kinds:
        raise _Misfit(part, tensor, " or ".join(map(_called, kinds)))
    if shape and not fits:
        raise _Misfit(part, tensor, f"the shape ({', '.join('1 or more' if n is None else str(n) for n in shape)})")
    return tensor


def _called(kind: np.dtype[Any]) -> str:
    """A kind of tensors by its name; bfloat16 are held as whole numbers of 16 bits."""
    return "bfloat16" if kind == np.uint16 else str(kind)


def _words(count: int, bits: int) -> int:
    """How many words hold so many numbers."""
    return -(-count * bits // WORD)


def _groups(t: Tensors, part: str, inputs: int, count: int) -> NDArray[np.int64] | None:
    """The group of each input where the file says it, in a tensor `g_idx`; otherwise all are of one size."""
    if not part.endswith("g_idx") or part not in t:
        if inputs % count:
            name = "scales" if "scales" in t else part
            raise _Misfit(name, t[name], f"a number of groups that divides {inputs} inputs")
        return None
    given = _part(t, part, INDEX_KINDS, inputs)
    if given.min() < 0 or given.max() >= count:
        raise _Misfit(part, given, f"groups from 0 to {count - 1}: it has {given.min()} to {given.max()}")
    return given.astype(np.int64)


__all__ = ["METHODS", "Grouped", "QuantisedMatrix", "dequantised", "method_of", "read_quantised"]
