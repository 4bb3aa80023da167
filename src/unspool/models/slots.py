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

from unspool.arrays import Array, Floats, Ints, like, namespace, plus, softmax, widened
from unspool.core.model import NO_PLAN, Plan, layers_within
from unspool.core.tree import SPAN, TokenForest, last_rows, places
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


CHAIN_BLOCK = 256
"""Tokens of a long chain that go through the model at once."""
SLOT = SPAN - 1
"""The bits of a row that are its slot."""
READ_TOGETHER = 16
"""Rows of a tree that share one reading of keys; beyond it a row pays too much for its neighbours' slots."""


class SlotModel(Protocol):
    """A transformer as plain array code: what a SlotSession needs of it."""

    vocabulary: int
    context: int
    layers: int
    key_heads: int
    slot_size: int
    """Numbers of a key in the pool: the size of a head, or more where kernels want whole registers."""
    width: int
    dtype: Any
    rules: Sequence[Rule]
    """What the attention of each layer does beyond the plain."""
    slopes: Floats | None
    """ALiBi's, (H,)."""
    most_threads: int | None
    """How many threads compute at most; see `unspool.models.threads`."""

    def forward(self, tokens: Array, positions: Array, attend: Attend, layers: Sequence[int] = ()) -> Array:
        """Hidden states of tokens (N,) at positions (N,), final, and those after some layers: (1 + L, N, E)."""

    def head(self, hidden: Array) -> Array:
        """Logits (N, V) of hidden states (N, E)."""

    def zeros(self, shape: tuple[int, ...]) -> Array:
        """An array of zeros beside the weights."""


class Pool:
    """Keys, values and hidden states of one tree: (layers, heads, slots, size) and (1 + L, slots, width), the final states first."""

    def __init__(self, model: SlotModel, slots: int, states: int) -> None:
        shape = (model.layers, model.key_heads, slots, model.slot_size)
        self.keys, self.values, self.hidden = model.zeros(shape), model.zeros(shape), model.zeros((states, slots, model.width))

    def reserve(self, model: SlotModel, slots: int) -> None:
        """Make room for this many slots."""
        states, have = self.hidden.shape[:2]
        if slots <= have:
            return
        more = Pool(model, max(slots, 2 * have), states)
        more.keys[:, :, :have], more.values[:, :, :have], more.hidden[:, :have] = self.keys, self.values, self.hidden
        self.keys, self.values, self.hidden = more.keys, more.values, more.hidden


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

    can = frozenset({"hidden", "layers"})

    def __init__(self, model: SlotModel, plan: Plan = NO_PLAN) -> None:
        self.model, self.nodes, self.pools = model, TokenForest(model.vocabulary, model.context), dict[int, Pool]()
        self.layers = layers_within(plan.layers, model.layers)
        self.room = plan.length or 0
        self.forwards = 0

    def extend(self, parents: Sequence[int] | Ints, chains: Sequence[Sequence[int] | Ints], every: bool = False) -> Ints:
        """Grow rows; long chains go through the model in blocks. Logits are made when they are asked for, of any row."""
        grown = self.nodes.grow(parents, chains)
        for start in range(0, max(map(len, grown), default=0), CHAIN_BLOCK):
            self._forward([new[start : start + CHAIN_BLOCK] for new in grown if len(new) > start])
        return last_rows(parents, grown)

    def keep(self, rows: Iterable[int]) -> None:
        """Forget rows and free their slots."""
        self.nodes.keep(rows)
        self.pools = {tree: self.pools[tree] for tree in self.nodes.trees}

    def hidden(self, rows: Sequence[int] | Ints, layer: int | None = None) -> Array:
        """Final hidden states (R, E), or those after a layer of the plan."""
        self.nodes.require(rows)
        which, where = 0 if layer is None else 1 + self.layers.index(layer), places(rows)
        trees = {tree for tree, _ in where}
        if len(trees) == 1:
            states = self.pools[trees.pop()].hidden[which]
            return states[like(np.asarray([slot for _, slot in where]), states)]
        found = [self.pools[tree].hidden[which, slot] for tree, slot in where]
        return namespace(found[0]).stack(found)

    def logits(self, rows: Sequence[int] | Ints, layer: int | None = None) -> Array:
        """Logits (R, V); those of 16-bit weights in float32."""
        with threads(self.model.most_threads), np.errstate(over="ignore", invalid="ignore"):
            return widened(self.model.head(self.hidden(rows, layer)))

    def _forward(self, chains: list[Ints]) -> None:
        """One forward of new rows, some chains of them, flat: a linear layer never sees padding."""
        starts = np.cumsum([0, *map(len, chains)])
        by_tree: dict[int, list[int]] = {}
        ends = places(new[-1] for new in chains)                         # (tree, slot) of the last of each chain
        for i, (tree, _) in enumerate(ends):
            by_tree.setdefault(tree, []).append(i)
        readings, writes = [], []
        tokens, positions = np.zeros((2, starts[-1]), np.int64)
        for tree, members in by_tree.items():
            nodes = self.nodes.trees[tree]
            if tree not in self.pools:
                self.pools[tree] = Pool(self.model, max(len(nodes.token), self.room), 1 + len(self.layers))
            pool = self.pools[tree]
            pool.reserve(self.model, nodes.top)
            at = np.concatenate([np.arange(starts[i], starts[i + 1]) for i in members])
            slots = np.concatenate([chains[i] for i in members]) & SLOT
            tokens[at], positions[at] = nodes.token[slots], nodes.depth[slots]
            writes.append((pool, as_run(at), as_run(slots)))
            for first in range(0, len(members), READ_TOGETHER):
                some = members[first : first + READ_TOGETHER]
                at = np.concatenate([np.arange(starts[i], starts[i + 1]) for i in some])
                window, mask = _window([nodes.path(ends[i][1]) for i in some], [len(chains[i]) for i in some])
                distance = positions[at][:, None] - nodes.depth[window]
                readings.append(Reading(pool, as_run(at), window, mask, distance))
        hidden = self._run_model(tokens, positions, readings, writes)    # (1 + L, N, E)
        for pool, some_at, its in writes:
            pool.hidden[:, its] = hidden[:, some_at]
        self.forwards += 1

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

        with threads(model.most_threads), np.errstate(over="ignore", invalid="ignore"):  # what is no number shows in the logits
            return model.forward(like(tokens, sample), like(positions, sample), attend, self.layers)


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
        scores = scores if bias is None else plus(scores, bias)
        scores = scores if mask is None else plus(scores, mask)
        scores = xp.reshape(scores, (keys.shape[0], groups * n, -1))
    out = xp.reshape(_average(scores, values), (heads, n, size))
    return xp.reshape(xp.permute_dims(out, (1, 0, 2)), (n, heads * size))


def _average(scores: Array, values: Array) -> Array:
    """softmax(scores) values; the scores are written over in numpy."""
    if not isinstance(scores, np.ndarray):
        return softmax(scores) @ values
    scores -= scores.max(-1, keepdims=True)
    np.exp(scores, out=scores)
    out = scores @ values
    out /= scores.sum(-1, keepdims=True)
    return out


def _window(paths: list[Ints], new: list[int]) -> tuple[Any, Array | None]:
    """What the last `new` tokens of each path read: the union of the paths, or all slots below its last if it is at least half of those.

    The mask (tokens, window) is 0 where a token sees a slot and -inf elsewhere; None if all see all.
    """
    union = np.sort(paths[0]) if len(paths) == 1 else np.unique(np.concatenate(paths))
    top = int(union[-1]) + 1
    window = as_run(union) if 2 * len(union) < top else slice(0, top)
    size = window.stop - window.start if isinstance(window, slice) else len(window)
    sees = np.zeros((sum(new), size), bool)
    first = 0
    for path, count in zip(paths, new, strict=True):
        at = path - window.start if isinstance(window, slice) else np.searchsorted(window, path)
        sees[first : first + count, at[: len(path) - count]] = True
        sees[np.ix_(np.arange(first, first + count), at[len(path) - count :])] = np.tri(count, dtype=bool)
        first += count
    return window, None if sees.all() else np.where(sees, np.float32(0), np.float32(-np.inf))


def as_run(indices: Ints) -> slice | Ints:
    """A slice where the indices are one ascending run: read as a view."""
    if len(indices) and indices[-1] - indices[0] == len(indices) - 1 and (len(indices) == 1 or (np.diff(indices) == 1).all()):
        return slice(int(indices[0]), int(indices[-1]) + 1)
    return indices
