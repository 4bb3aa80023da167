"""Sessions over packed weights: the slots of `unspool.models.slots`, read by the kernels without windows or masks."""

from __future__ import annotations

import ctypes as c
from itertools import pairwise
from typing import Any, Protocol

import numpy as np

from unspool.arrays import Array, Ints
from unspool.core.tree import SPAN, places
from unspool.kernels.library import SEGMENT, Kernels, StepFields, address
from unspool.models.rope import Rope
from unspool.models.slots import SLOT, Pool, SlotModel, SlotSession

SPARE_SEGMENTS = 2
"""Segments beyond the last slot that are not let go at once."""
TOKENS_OF_A_CALL = 512
"""New tokens that go through the layers together: the kernels' room grows with them, and at so many no more is gained."""


class PackedModel(SlotModel, Protocol):
    """What a session needs of a CompiledTransformer."""

    head_size: int
    address: int
    """Of its structure."""
    ropes: list[Rope]
    key_dtype: np.dtype[Any]
    """Of keys and values in the pool: float32, or 16-bit integers, which are bfloat16."""
    kernels: Kernels

    def embed(self, tokens: Array, positions: Array) -> Array:
        """What goes into the first layer, (N, E)."""


class Segments(Pool):
    """Keys and values of one tree in segments of slots: more are added, and those beyond the last slot let go, without a copy."""

    def __init__(self, model: PackedModel, states: int) -> None:
        self.segments: list[Array] = []
        self.table = np.zeros(0, np.int64)                               # where each begins
        self.hidden = model.zeros((states, 0, model.width))

    def reserve(self, model: PackedModel, slots: int) -> None:  # type: ignore[override]
        wanted, have = -(-slots // SEGMENT), len(self.segments)
        if not wanted <= have <= wanted + SPARE_SEGMENTS:
            shape = (2, model.layers, model.key_heads, SEGMENT, model.slot_size)
            room = np.empty if model.slot_size == model.head_size else np.zeros  # numbers that pad a head stay 0
            self.segments = [*self.segments[:wanted], *(room(shape, model.key_dtype) for _ in range(wanted - have))]
            self.table = np.asarray([segment.ctypes.data for segment in self.segments], np.int64)
        states, room, width = self.hidden.shape
        if not slots <= room <= max(4 * slots, SEGMENT * (wanted + SPARE_SEGMENTS)):
            moved = model.zeros((states, max(SEGMENT * wanted, min(2 * room, 2 * slots)), width))
            kept = min(room, slots)
            moved[:, :kept] = self.hidden[:, :kept]
            self.hidden = moved


class CompiledSession(SlotSession):
    """Rows of a CompiledTransformer."""

    model: PackedModel
    pools: dict[int, Segments]  # type: ignore[assignment]

    def _forward(self, chains: list[Ints]) -> None:
        """One forward of new rows, some whole chains at a time; a row's numbers do not depend on which others are beside it."""
        first = tokens = 0
        for i, chain in enumerate(chains):
            if first < i and tokens + len(chain) > TOKENS_OF_A_CALL:
                self._run(chains[first:i])
                first, tokens = i, 0
            tokens += len(chain)
        self._run(chains[first:])
        self.forwards += 1

    def _run(self, chains: list[Ints]) -> None:
        """Some chains through the layers: a token hands over its path, and where its keys and values lie."""
        model, rows = self.model, np.concatenate(chains)
        total, slots, counts = len(rows), rows & SLOT, [len(chain) for chain in chains]
        tokens, length, pool, path = np.empty((4, total), np.int64)
        parts = [(self._pool(tree), slice(first, last), tree) for tree, first, last in runs_of(rows // SPAN)]
        for its, part, tree in parts:
            nodes = self.nodes.trees[tree]
            tokens[part], length[part], pool[part] = nodes.token[slots[part]], nodes.depth[slots[part]] + 1, address(its.table)
        paths = [self.nodes.trees[tree].path(slot) for tree, slot in places(chain[-1] for chain in chains)]
        path[:] = np.repeat(np.asarray([address(one) for one in paths], np.int64), counts)
        x = model.embed(tokens, length - 1)
        hidden = np.empty((1 + len(self.layers), total, model.width), np.float32)
        angles = [rope.angles(length - 1, x) for rope in model.ropes]
        arrays = {
            "x": x,
            "hidden": hidden,
            "path": path,
            "length": length.astype(np.int32),
            "pool": pool,
            "cosines": np.asarray([address(cosines) for cosines, _ in angles], np.int64),
            "sines": np.asarray([address(sines) for _, sines in angles], np.int64),
            "layer": np.asarray(self.layers, np.int32),
        }
        step = StepFields(total, len(self.layers), **{name: address(array) for name, array in arrays.items()})
        if model.kernels.forward(model.address, c.addressof(step)):
            raise MemoryError("the kernels found no memory for a step")
        for its, part, _ in parts:
            its.hidden[:, slots[part]] = hidden[:, part]

    def _pool(self, tree: int) -> Segments:
        """A tree's pool, with room for its slots."""
        if tree not in self.pools:
            self.pools[tree] = Segments(self.model, 1 + len(self.layers))
        self.pools[tree].reserve(self.model, self.nodes.trees[tree].top)
        return self.pools[tree]


def runs_of(values: Ints) -> list[tuple[int, int, int]]:
    """The runs of equal values: (value, first, last), last beyond the run."""
    edges = [0, *(np.flatnonzero(values[1:] != values[:-1]) + 1).tolist(), len(values)]
    return [(int(values[first]), first, last) for first, last in pairwise(edges)]
