"""A model whose sessions find again what earlier ones have computed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from unspool.arrays import Array, Ints
from unspool.core.model import NO_PLAN, ROOT, Model, Plan, Session, first_layers
from unspool.core.tree import TokenForest

MOST = 4096
"""Rows that are remembered; a new session of more begins with none."""


class Remembering:
    """The same model; a row that one session made is not computed again by the next.

    Every session answers as one of its own would: it is given each row at most once, so that equal texts stay different rows.
    """

    def __init__(self, model: Model) -> None:
        self.model, self.vocabulary, self.context = model, model.vocabulary, model.context
        self.end_tokens, self.start = model.end_tokens, model.start
        self._forget(Plan())

    def _forget(self, plan: Plan) -> None:
        self.layers, self.inner = plan.layers, self.model.session(Plan(layers=plan.layers))
        self.prompts: dict[bytes, list[int]] = {}
        self.children: dict[tuple[int, int], list[int]] = {}
        """Rows by their parent and token."""

    def first_layers(self, count: int) -> Model:
        """That of the model itself, which remembers nothing."""
        return first_layers(self.model, count)

    def session(self, plan: Plan = NO_PLAN) -> Session:
        """The rows there are, as if they were new."""
        if sum(map(len, self.children.values())) > MOST or plan.layers != self.layers:
            self._forget(plan)
        return Borrowed(self)


class Borrowed:
    """Rows of a Remembering model; see `unspool.core.model.Session`."""

    def __init__(self, owner: Remembering) -> None:
        self.owner, self.inner, self.can, self.given = owner, owner.inner, owner.inner.can, set[int]()
        self.nodes: TokenForest = owner.inner.nodes

    def extend(self, parents: Sequence[int] | Ints, chains: Sequence[Sequence[int] | Ints], every: bool = False) -> Ints:
        """Grow rows: along those that are known, then by computing the rest in one forward; any may be asked again."""
        at: Ints = np.array(parents, np.int64)
        rest: list[tuple[int, Ints]] = []
        for i, given in enumerate(chains):
            chain = np.asarray(given, np.int64)
            at[i], known = self._begin(chain) if at[i] == ROOT else self._along(int(at[i]), chain)
            if known < len(chain):
                rest.append((i, chain[known:]))
        if rest:
            grown = self.inner.extend([int(at[i]) for i, _ in rest], [chain for _, chain in rest], every=True)
            for (i, chain), row in zip(rest, grown, strict=True):
                self._remember(int(at[i]), chain, int(row))
                at[i] = row
        return at

    def _begin(self, chain: Ints) -> tuple[int, int]:
        """A whole prompt that is known, or ROOT."""
        row = self._free(self.owner.prompts.get(chain.tobytes(), []))
        return (ROOT, 0) if row is None else (row, len(chain))

    def _along(self, row: int, chain: Ints) -> tuple[int, int]:
        """How far a chain is known: the last row, and the number of its tokens."""
        for i, token in enumerate(chain.tolist()):
            after = self._free(self.owner.children.get((row, token), []))
            if after is None:
                return row, i
            row = after
        return row, len(chain)

    def _free(self, rows: list[int]) -> int | None:
        """The first row that was not given yet, given."""
        row = next((row for row in rows if row not in self.given), None)
        if row is not None:
            self.given.add(row)
        return row

    def _remember(self, parent: int, chain: Ints, row: int) -> None:
        if parent == ROOT:
            self.owner.prompts.setdefault(chain.tobytes(), []).append(row)
            self.given.add(row)
            return
        for node, token in zip(self.nodes.path(row)[-len(chain) :].tolist(), chain.tolist(), strict=True):
            self.owner.children.setdefault((parent, token), []).append(node)
            self.given.add(node)
            parent = node

    def keep(self, rows: Iterable[int]) -> None:
        """Nothing is forgotten: a later session may want it."""

    def logits(self, rows: Sequence[int] | Ints, layer: int | None = None) -> Array:
        return self.inner.logits(rows, layer)

    def hidden(self, rows: Sequence[int] | Ints, layer: int | None = None) -> Array:
        return self.inner.hidden(rows, layer)
