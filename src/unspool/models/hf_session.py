"""Sessions of transformers models: rows go through the model in batches and take their past from earlier ones.

New tokens of several rows stand side by side, the shorter chains padded on the right, where a causal model cannot see the padding.
Pasts of different lengths are padded on the left, which a mask hides and positions account for; a model that is not told positions runs
rows of equal pasts together instead. What is remembered of every living token is its final hidden state, from which the
model's own head makes the logits, or the logits where the head does more than that.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from unspool.arrays import Array, Ints
from unspool.core.model import NO_PLAN, Plan, layers_within
from unspool.core.tree import TokenForest
from unspool.errors import Unsupported
from unspool.models.hf_cache import Batch, Past, Store, gather
from unspool.models.hf_running import Running

Spot = tuple[Any, int, int]
"""A tensor (R, N, ...) and two indices into it."""


class TransformersSession:
    """Rows of a TransformersModel; see `unspool.core.model.Session`. Of layers before the last it remembers those of its plan."""

    def __init__(self, model: Running, plan: Plan = NO_PLAN) -> None:
        self.model, self.nodes, self.store = model, TokenForest(model.vocabulary, model.context), Store()
        self.can = frozenset({"hidden"}) if model.gives_hidden else frozenset()
        shown = model.early if plan.layers else None
        self.can |= {"layers"} if shown else set()
        self.norm = shown.norm if shown and not model.bare else _as_it_is
        self.layers = layers_within(plan.layers, shown.count + model.bare) if shown else ()
        self.early: dict[int, dict[int, Spot]] = {layer: {} for layer in self.layers}
        """Of every living row, its states after these layers."""
        self.states: dict[int, Spot] = {}
        """Of every living row, its final hidden state."""
        self.answers: dict[int, Spot] = {}
        """Of every living row, its logits, if they do not follow from its hidden state."""
        self.forwards = 0

    def extend(self, parents: Sequence[int] | Ints, chains: Sequence[Sequence[int] | Ints], every: bool = False) -> Ints:
        """Grow rows, all in one forward if the model is told positions. What comes out at each token is kept, whether asked for or not."""
        rows: Ints = np.array(parents, np.int64)
        groups: dict[int, list[tuple[Ints, int, Past]]] = {}
        for i, new in enumerate(self.nodes.grow(rows, chains)):
            if not len(new):
                continue
            rows[i] = new[-1]
            path = self.nodes.path(int(rows[i]))
            past = self.store.past(path, len(path) - len(new)) if self.model.caches else None
            count = past[2] if past else 0
            groups.setdefault(0 if self.model.told_positions else count, []).append((path, len(new), past))
        for group in groups.values():
            self._forward(group)
        return rows

    def keep(self, rows: Iterable[int]) -> None:
        """Forget rows, and what is known of them."""
        self.nodes.keep(rows)
        if len(self.nodes) == max(len(self.states), len(self.answers)):
            return                                                        # as at most steps of greedy search
        alive = self.nodes.alive()
        self.states = {row: place for row, place in self.states.items() if row in alive}
        self.answers = {row: place for row, place in self.answers.items() if row in alive}
        self.early = {k: {row: place for row, place in known.items() if row in alive} for k, known in self.early.items()}
        self.store.keep(alive)

    def logits(self, rows: Sequence[int] | Ints, layer: int | None = None) -> Array:
        """Logits (R, V) in float32."""
        self.nodes.require(rows)
        states = self._after(layer)
        if self.model.head is None:
            return _rows(self.answers, rows).float()
        with self.model.still():
            found = _rows(states, rows)
            return self.model.head(found if layer is None else self.norm(found)).float()

    def hidden(self, rows: Sequence[int] | Ints, layer: int | None = None) -> Array:
        """Final hidden states (R, E) in float32."""
        if "hidden" not in self.can:
            raise Unsupported(f"{self.model} gives no hidden states")
        self.nodes.require(rows)
        found = _rows(self._after(layer), rows)
        with self.model.still():
            return (found if layer is None else self.norm(found)).float()

    def _after(self, layer: int | None) -> dict[int, Spot]:
        """Where the states after a layer are, the last if none is named."""
        if layer is None:
            return self.states
        if layer not in self.early:
            raise Unsupported(f"{self.model} gives no layers but the last, and those of its plan; layer {layer} is none of them")
        return self.early[layer]

    def _forward(self, work: list[tuple[Ints, int, Past]]) -> None:
        """Run the tokens of some paths that are in no batch, of which the last `new` are new, and remember what comes out."""
        import torch

        pasts = [past for *_, past in work]
        counts = [past[2] if past else 0 for past in pasts]
        fresh = [len(path) - count for (path, *_), count in zip(work, counts, strict=True)]
        batch = gather(pasts) if self.model.caches else Batch(None, [0] * len(work))
        width, longest = max(counts), max(fresh)
        behind = batch.width if self.model.caches else width
        tokens, positions = np.zeros((2, len(work), longest), np.int64)
        mask = np.zeros((len(work), behind + longest), np.int64)
        for i, ((path, *_), count, more) in enumerate(zip(work, counts, fresh, strict=True)):
            tokens[i, :more] = self.nodes.tokens(int(path[-1]))[count:]
            positions[i] = np.minimum(count + np.arange(longest), len(path) - 1)
            mask[i, batch.first[i] : behind + more] = 1
        given = [torch.from_numpy(a) for a in (tokens, mask, positions)]
        states, answers, early = self.model.run(given[0], given[1], given[2], batch.cache, bool(self.layers))
        if self.model.caches:
            self.store.add(batch, [path for path, *_ in work], pasts)
        for i, (path, new, _) in enumerate(work):
            for j, row in enumerate(path[-new:].tolist(), fresh[i] - new):
                if states is not None:
                    self.states[row] = states, i, j
                if answers is not None:
                    self.answers[row] = answers, i, j
                for layer, known in self.early.items():
                    known[row] = early[layer - self.model.bare], i, j
        self.forwards += 1


def _rows(places: dict[int, Spot], rows: Sequence[int] | Ints) -> Array:
    """What is known of rows, side by side."""
    import torch

    found = [places[int(row)] for row in rows]
    return torch.stack([tensor[i, j] for tensor, i, j in found])


def _as_it_is(states: Array) -> Array:
    """The norm of states that are read without one."""
    return states
