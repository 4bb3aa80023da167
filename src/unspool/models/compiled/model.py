"""A transformer whose forward runs in the kernels; everything else about it stays as it was."""

from __future__ import annotations

import ctypes as c
from collections.abc import Iterator, Sequence
from copy import copy
from pathlib import Path
from typing import Any

import numpy as np

from unspool.arrays import Array
from unspool.core.model import NO_PLAN, Plan, layers_within
from unspool.kernels.library import (
    ACTIVATION_CODES,
    FORMAT_CODES,
    LARGEST_HEAD,
    BlockFields,
    Matrix,
    ModelFields,
    NormFields,
    available,
    kernels,
)
from unspool.models.compiled.cache import PackedStore, place_for
from unspool.models.compiled.coded import coded_form
from unspool.models.compiled.forms import PackedForm, form_of
from unspool.models.compiled.packing import Packed, pack, size_of
from unspool.models.compiled.session import CompiledSession
from unspool.models.stored import Stored, in_memory
from unspool.models.transformer import Block, Linear, Norm, Transformer

REGISTER = 16
"""Keys and values lie in the pool padded to so many numbers, a whole register."""
STREAMED = 64 << 20
"""Bytes of packed weights beyond which they do not stay in a processor's cache from one step to the next."""
CODING = (b"avx512",)
"""Variants of the kernels for which a model that is read from memory at every step is faster with coded exponents than without."""
NORMS = ("before_attention", "after_attention", "before_mlp", "after_mlp", "query_norm", "key_norm")


class CompiledTransformer(Transformer):
    """A transformer with packed weights: the same model, the same rows, another engine.

    kind: the dtype asked for: float32, bfloat16, int8 or int4. For float32, weights that a file holds in 16 bits are packed in these, and
    whole numbers with scales as such, which come to the same numbers; so do exponents in codes.
    Norms and biases are float32, embeddings lie as in the file; keys and values are kept in bfloat16 under all kinds but float32.
    """

    def __init__(self, plain: Transformer, kind: str = "float32", checkpoint: Path | None = None) -> None:
        vars(self).update(vars(plain))
        self.kind, self.most_threads = kind, None                        # no product is left to numpy
        self.key_dtype: np.dtype[Any] = np.dtype(np.float32 if kind == "float32" else np.uint16)
        self.kernels = kernels()                                         # those of now, whatever UNSPOOL_KERNELS says later
        self.slot_size = -(-plain.head_size // REGISTER) * REGISTER
        self._kept: list[Any] = []                                       # what the structures point to
        self.ropes = list(dict.fromkeys(b.rope for b in plain.blocks if b.rope is not None))
        self._store = store_of(plain, kind, checkpoint, self.kernels.name in CODING)
        self._form_of = {id(linears[0]): form for linears, form in zip(linears_of(plain), self._store.forms, strict=True)}
        self.packed_head = self._pack([plain.output])
        self.fields = self._model(plain)
        self.address = c.addressof(self.fields)
        self._store.keep()

    @property
    def packed_bytes(self) -> int:
        """Memory that the packed weights take."""
        return len(self._store.bytes)

    @property
    def packed_formats(self) -> list[str]:
        """The formats that the packed weights lie in, by how much each holds."""
        sizes: dict[str, int] = {}
        for part in self._kept:
            if isinstance(part, Packed):
                name = list(FORMAT_CODES)[part.fields.format]
                sizes[name] = sizes.get(name, 0) + sum(map(len, part.rooms))
        return sorted(sizes, key=lambda name: -sizes[name])

    def zeros(self, shape: tuple[int, ...]) -> Array:
        """Zeros, as the kernels read them."""
        return np.zeros(shape, np.float32)

    def session(self, plan: Plan = NO_PLAN) -> CompiledSession:
        return CompiledSession(self, plan)

    def first_layers(self, count: int) -> CompiledTransformer:
        """The model as if it ended after so many layers; nothing is packed again."""
        layers_within((count,), self.layers)
        found = copy(self)
        found.layers, found.blocks, found.rules = count, self.blocks[:count], self.rules[:count]
        found.fields = ModelFields.from_buffer_copy(self.fields)
        found.fields.layers = count
        found.address = c.addressof(found.fields)
        return found

    def head(self, hidden: Array) -> Array:
        return self.packed_head(hidden, self.softcap or 0.0)

    def embed(self, tokens: Array, positions: Array) -> Array:
        """What goes into the first layer: (N, E), an array of its own."""
        x = in_memory(self.embedding[tokens])
        if self.embedding_scale != 1:
            x *= np.float32(self.embedding_scale)
        if self.positions is not None:
            x += in_memory(self.positions[positions])
        return np.ascontiguousarray(x if self.embedding_norm is None else self.embedding_norm(x), np.float32)

    def _pack(self, linears: Sequence[Linear]) -> Packed:
        packed = pack(linears, self._form_of[id(linears[0])], self._store)
        self._kept.append(packed)
        return packed

    def _model(self, plain: Transformer) -> ModelFields:
        blocks = (BlockFields * len(plain.blocks))(*(self._block(block, layer) for layer, block in enumerate(plain.blocks)))
        self._kept.append(blocks)
        return ModelFields(
            layers=len(plain.blocks),
            width=self.width,
            heads=self.heads,
            key_heads=self.key_heads,
            head_size=self.head_size,
            slot_size=self.slot_size,
            inner=max(len(block.up.weight) for block in plain.blocks),
            activation=ACTIVATION_CODES[plain.activation.__name__],
            parallel=self.parallel,
            whole_norms=self.whole_norms,
            ropes=len(self.ropes),
            short_keys=self.key_dtype.itemsize == 2,
            softcap=self.softcap or 0.0,
            slopes=None if self.slopes is None else self._hold(self.slopes),
            rope_pairs=self._hold([len(rope.frequencies) for rope in self.ropes], np.int32),
            rope_interleaved=self._hold([rope.interleaved for rope in self.ropes], np.int32),
            blocks=c.addressof(blocks),
            final=self._norm(plain.final_norm),
            head=self.packed_head.fields,
        )

    def _block(self, block: Block, layer: int) -> BlockFields:
        rule = self.rules[layer]
        return BlockFields(
            qkv=self._pack(block.qkv).fields,
            gate=Matrix() if block.gate is None else self._pack([block.gate]).fields,
            **{name: self._pack([getattr(block, name)]).fields for name in ("out", "up", "down")},
            **{name: self._norm(getattr(block, name)) for name in NORMS},
            rope=-1 if block.rope is None else self.ropes.index(block.rope),
            window=rule.window or 0,
            query_scale=block.query_scale,
            softcap=rule.softcap or 0.0,
        )

    def _norm(self, norm: Norm | None) -> NormFields:
        if norm is None:
            return NormFields()
        bias = None if norm.bias is None else self._hold(norm.bias)
        return NormFields(self._hold(norm.weight), bias, norm.epsilon, norm.centred)

    def _hold(self, numbers: Any, dtype: Any = np.float32) -> int:
        """The address of an array that lives as long as the model."""
        array = np.ascontiguousarray(numbers, dtype)
        self._kept.append(array)
        return int(array.ctypes.data)


def linears_of(model: Transformer) -> Iterator[Sequence[Linear]]:
    """The linear layers of a model, those together that are packed as one."""
    yield [model.output]
    for block in model.blocks:
        yield block.qkv
        yield from ([linear] for linear in (block.gate, block.out, block.up, block.down) if linear is not None)


def store_of(model: Transformer, kind: str, checkpoint: Path | None, can_code: bool) -> PackedStore:
    """Room for a model's packed weights, or the file that holds them; can_code: whether exponents may lie in codes."""

    def size(forms: Sequence[PackedForm]) -> int:
        return sum(size_of(linears, form) for linears, form in zip(linears_of(model), forms, strict=True))

    at_most = size(forms_of(model, kind))
    streamed = at_most > STREAMED
    path = place_for(checkpoint, kind, at_most, can_code and streamed)
    if path is not None and (found := PackedStore.kept(path, size, streamed)):
        return found
    if kind == "float32":
        look_through(model)
    forms = forms_of(model, kind)
    if can_code and streamed:
        forms = [coded_form([linear.weight for linear in linears], form) for linears, form in zip(linears_of(model), forms, strict=True)]
    return PackedStore.empty(size(forms), kind, path, forms, streamed)


def forms_of(model: Transformer, kind: str) -> list[PackedForm]:
    """What its layers are packed in for a dtype, in the order of `linears_of`."""
    return [form_of([linear.weight for linear in linears], kind) for linears in linears_of(model)]


def look_through(model: Transformer) -> None:
    """Have weights that lie as in their file find out whether their whole numbers can stand for them."""
    for linears in linears_of(model):
        for linear in linears:
            if isinstance(linear.weight, Stored):
                linear.weight.look_through()


def beyond_kernels(model: Transformer) -> str:
    """What of a model the kernels do not compute, as the end of a sentence; empty if they compute all of it."""
    if model.head_size > LARGEST_HEAD:
        return f"heads of {model.head_size} numbers; the kernels compute those of at most {LARGEST_HEAD}"
    if any((b.query_norm is None) != (b.key_norm is None) for b in model.blocks):
        return "a norm of queries or keys alone; the kernels compute both or none"
    return ""


def compiled(model: Transformer, kind: str = "float32", checkpoint: Path | None = None) -> Transformer:
    """The model in the kernels, or as it is where they cannot run it; packed weights of a large checkpoint are kept on disk."""
    return CompiledTransformer(model, kind, checkpoint) if available() and not beyond_kernels(model) else model
