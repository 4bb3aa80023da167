"""Sessions of transformer models over slots of keys and values.

Every token of the tree has one slot in the pool of its tree. A new token looks at the slots on its path: the keys of the
whole pool are read as one view and a mask says which are on the path (or the path's own are gathered, where they are few of
the pool's). So forking, reordering, waiting, rewinding and sharing a prompt copy no keys or values; a prompt, a step of one row
and a step of many beams are the same few lines.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

import numpy as np

from unspool.arrays import Array, Floats, Ints, like, namespace, softmax, widened
from unspool.core.model import ROOT, SPAN, TokenForest
from unspool.models.threads import threads

Attend: TypeAlias = Callable[[int, Array, Array, Array], Array]
"""attend(layer, queries (N, H, D), keys (N, K, D), values (N, K, D)) -> (N, H * D); K divides H."""


@dataclass(frozen=True)
class Rule:
    """What the attention of a layer does beyond softmax(q k / sqrt(D)) v."""

    window: int | None = None
    """How far back a token sees, itself included."""
    softcap: float | None = None
    """Scores s become softcap * tanh(s / softcap)."""


BLOCK = 256
"""Tokens of a long chain that go through the model at once."""
TOGETHER = 16
"""Rows of a tree that share one reading of keys; beyond it a row pays too much for its neighbours' slots."""


class SlotModel(Protocol):
    """A transformer as plain array code: what a SlotSession needs of it."""

    layers: int
    key_heads: int
    head_size: int
    width: int
    dtype: Any
    rules: Sequence[Rule]
    """What the attention of each layer does beyond the plain."""
    slopes: Floats | None
    """ALiBi's, (H,)."""
    small: bool
    """Whether one thread is enough; see `unspool.models.threads`."""

    def forward(self, tokens: Array, positions: Array, attend: Attend) -> Array:
        """Final hidden states of tokens (N,) at positions (N,): (N, E)."""

    def head(self, hidden: Array) -> Array:
        """Logits (N, V) of hidden states (N, E)."""

    def zeros(self, shape: tuple[int, ...]) -> Array:
        """An array of zeros beside the weights."""


class Pool:
    """Keys, values and hidden states of one tree: (layers, heads, slots, size) and (slots, width)."""

    def __init__(self, model: SlotModel, slots: int) -> None:
        shape = (model.layers, model.key_heads, slots, model.head_size)
        self.keys, self.values, self.hidden = model.zeros(shape), model.zeros(shape), model.zeros((slots, model.width))

    def reserve(self, model: SlotModel, slots: int) -> None:
        """Make room for this many slots."""
        have = self.hidden.shape[0]
        if slots <= have:
            return
        more, xp = Pool(model, max(slots - have, have)), namespace(self.hidden)
        self.keys = xp.concat([self.keys, more.keys], axis=2)
        self.values = xp.concat([self.values, more.values], axis=2)
        self.hidden = xp.concat([self.hidden, more.hidden], axis=0)


@dataclass
class Reading:
    """New tokens of one tree that read the same window of its slots."""

    pool: Pool
    at: Any                                                              # which of the step's tokens: slice or array
    window: Any                                                          # which slots: slice or array
    mask: Array | None                                                   # (tokens, window), 0 or -inf; None: all seen
    distance: Ints                                                       # (tokens, window), from the key to the query
    masks: dict[int | None, Array | None] = field(default_factory=dict)  # by how far back a layer sees
    bias: Array | None = None                                            # (H, tokens, window), ALiBi's

    def prepare(self, model: SlotModel, sample: Array) -> None:
        """Put the masks of all kinds of layers beside the weights."""

        def beside(array: Any) -> Array:
            return namespace(sample).astype(like(array, sample), sample.dtype)

        for window in {rule.window for rule in model.rules}:
            mask = self.mask
            if window is not None and (self.distance >= window).any():
                mask = np.where(self.distance < window, 0 if mask is None else mask, -np.inf)
            self.masks[window] = None if mask is None else beside(mask)
        if model.slopes is not None:
            self.bias = beside(-model.slopes[:, None, None] * self.distance)


class SlotSession:
    """Rows of a SlotModel; see `unspool.core.model.Session`."""

    can = frozenset({"hidden"})

    def __init__(self, model: SlotModel) -> None:
        self.model, self.nodes, self.pools = model, TokenForest(), dict[int, Pool]()
        self.forwards = 0

    def extend(self, parents: Sequence[int] | Ints, chains: Sequence[Sequence[int] | Ints]) -> Ints:
        """Grow rows; long chains go through the model in blocks."""
        rows: Ints = np.array(parents, np.int64)
        whole = [np.asarray(c, np.int64) for c in chains]
        for start in range(0, max(map(len, whole), default=0), BLOCK):
            growing = [i for i, c in enumerate(whole) if len(c) > start]
            rows[growing] = self._forward(rows[growing], [whole[i][start : start + BLOCK] for i in growing])
        return rows

    def keep(self, rows: Iterable[int]) -> None:
        """Forget rows and free their slots."""
        self.nodes.keep(rows)
        self.pools = {tree: self.pools[tree] for tree in self.nodes.trees}

    def hidden(self, rows: Sequence[int] | Ints) -> Array:
        """Final hidden states (R, E)."""
        where = [divmod(int(row), SPAN) for row in rows]
        trees = {tree for tree, _ in where}
        if len(trees) == 1:
            pool = self.pools[trees.pop()].hidden
            return pool[like(np.asarray([slot for _, slot in where]), pool)]
        states = [self.pools[tree].hidden[slot] for tree, slot in where]
        return namespace(states[0]).stack(states)

    def logits(self, rows: Sequence[int] | Ints) -> Array:
        """Logits (R, V); those of 16-bit weights in float32."""
        with threads(self.model.small):
            return widened(self.model.head(self.hidden(rows)))

    def _forward(self, parents: Ints, chains: list[Ints]) -> Ints:
        """One forward of all chains, flat: a linear layer never sees padding."""
        grown = [self.nodes.grow(int(parent), chain) for parent, chain in zip(parents, chains, strict=True)]
        starts = np.cumsum([0, *map(len, chains)])
        by_tree: dict[int, list[int]] = {}
        for i, (tree, _) in enumerate(grown):
            by_tree.setdefault(tree, []).append(i)
        readings, writes, positions = [], [], np.zeros(starts[-1], np.int64)
        for tree, members in by_tree.items():
            nodes = self.nodes.trees[tree]
            if tree not in self.pools:
                self.pools[tree] = Pool(self.model, len(nodes.token))
            pool = self.pools[tree]
            pool.reserve(self.model, nodes.top)
            at = np.concatenate([np.arange(starts[i], starts[i + 1]) for i in members])
            writes.append((pool, _run(at), _run(np.concatenate([grown[i][1] for i in members]))))
            for first in range(0, len(members), TOGETHER):
                some = members[first : first + TOGETHER]
                paths = [nodes.path(int(grown[i][1][-1])) for i in some]
                for i, path in zip(some, paths, strict=True):
                    positions[starts[i] : starts[i + 1]] = np.arange(len(path) - len(chains[i]), len(path))
                at = np.concatenate([np.arange(starts[i], starts[i + 1]) for i in some])
                window, mask = _window(paths, [len(chains[i]) for i in some], nodes.top)
                distance = positions[at][:, None] - nodes.depth[: nodes.top][window]
                readings.append(Reading(pool, _run(at), window, mask, distance))
        hidden = self._run_model(np.concatenate(chains), positions, readings, writes)
        for pool, some_at, slots in writes:
            pool.hidden[slots] = hidden[some_at]
        self.forwards += 1
        return np.asarray([tree * SPAN + slots[-1] for tree, slots in grown], np.int64)

    def _run_model(
        self, tokens: Ints, positions: Ints, readings: list[Reading], writes: list[tuple[Pool, Any, Any]]
    ) -> Array:
        model, sample = self.model, self.model.zeros((1,))
        xp = namespace(sample)
        for reading in readings:
            reading.prepare(model, sample)

        def attend(layer: int, queries: Array, keys: Array, values: Array) -> Array:
            for pool, at, slots in writes:
                pool.keys[layer][:, slots] = xp.permute_dims(keys[at], (1, 0, 2))
                pool.values[layer][:, slots] = xp.permute_dims(values[at], (1, 0, 2))
            rule = model.rules[layer]
            seen = [_attention(queries[r.at], r.pool.keys[layer], r.pool.values[layer], r, rule) for r in readings]
            if len(seen) == 1:
                return seen[0]
            out = model.zeros((queries.shape[0], seen[0].shape[1]))
            for reading, part in zip(readings, seen, strict=True):
                out[reading.at] = part
            return out

        with threads(model.small):
            return model.forward(like(tokens, sample), like(positions, sample), attend)


def _attention(queries: Array, keys: Array, values: Array, reading: Reading, rule: Rule) -> Array:
    """softmax(q k / sqrt(D) + mask) v over a window of slots; queries (N, H, D) -> (N, H * D)."""
    xp, (n, heads, size) = namespace(queries), queries.shape
    keys, values = keys[:, reading.window], values[:, reading.window]    # (K, S, D)
    groups = heads // keys.shape[0]
    q = xp.reshape(queries * size**-0.5, (n, keys.shape[0], groups, size))
    q = xp.reshape(xp.permute_dims(q, (1, 2, 0, 3)), (keys.shape[0], groups * n, size))
    scores = q @ xp.permute_dims(keys, (0, 2, 1))                        # (K, groups * N, S)
    if rule.softcap is not None:
        scores = xp.tanh(scores / rule.softcap) * rule.softcap
    mask, bias = reading.masks[rule.window], reading.bias
    if mask is not None or bias is not None:
        scores = xp.reshape(scores, (heads, n, -1))
        scores = scores if bias is None else scores + bias
        scores = scores if mask is None else scores + mask
        scores = xp.reshape(scores, (keys.shape[0], groups * n, -1))
    out = xp.reshape(softmax(scores) @ values, (heads, n, size))
    return xp.reshape(xp.permute_dims(out, (1, 0, 2)), (n, heads * size))


def _window(paths: list[Ints], new: list[int], top: int) -> tuple[Any, Any]:
    """What the last `new` tokens of each path read: all slots below top with a mask, or the union of the paths."""
    sees = np.zeros((sum(new), top), bool)
    first = 0
    for path, count in zip(paths, new, strict=True):
        past, own = path[: len(path) - count], path[len(path) - count :]
        sees[first : first + count, past] = True
        sees[np.ix_(np.arange(first, first + count), own)] = np.tri(count, dtype=bool)
        first += count
    union = np.flatnonzero(sees.any(0))
    window = _run(union) if 2 * len(union) < top else slice(0, top)
    sees = sees[:, window]
    return window, None if sees.all() else np.where(sees, np.float32(0), np.float32(-np.inf))


def _run(indices: Ints) -> slice | Ints:
    """A slice where the indices are one ascending run: read as a view."""
    if len(indices) and (np.diff(indices) == 1).all():
        return slice(int(indices[0]), int(indices[-1]) + 1)
    return indices


__all__ = ["ROOT", "Attend", "SlotModel", "SlotSession"]
