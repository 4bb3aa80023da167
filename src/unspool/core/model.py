"""The contract with a model: rows of tokens that grow, fork, wait and are forgotten.

A row is the name of a node in the tree of tokens; it stands for the tokens from the root to that node. `ROOT` is the row
without tokens. Whoever can extend rows and give the logits after them can be decoded, by every strategy.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np

from unspool.arrays import Array, Ints, namespace
from unspool.errors import ModelError

ROOT = -1
SPAN = 1 << 32
"""A row is tree * SPAN + slot; every extension of ROOT starts a tree of its own."""


class Session(Protocol):
    """The rows of one decoding run over one model."""

    can: frozenset[str]
    """What it supports beyond logits: "hidden" (final hidden states)."""
    nodes: TokenForest

    def extend(self, parents: Sequence[int] | Ints, chains: Sequence[Sequence[int] | Ints]) -> Ints:
        """Grow each parent by its chain of tokens and return the new rows. The parents stay alive."""

    def keep(self, rows: Iterable[int]) -> None:
        """Forget every row that lies on no path from the root to one of these."""

    def logits(self, rows: Sequence[int] | Ints) -> Array:
        """Unnormalised log-probabilities of the token after each row: (R, V)."""

    def hidden(self, rows: Sequence[int] | Ints) -> Array:
        """Final hidden states at each row: (R, E). Only if "hidden" is in `can`."""


class Model(Protocol):
    """A causal language model on token ids."""

    vocabulary: int
    context: int
    """The most tokens a row may hold."""
    ends: tuple[int, ...]
    """End tokens."""
    start: int | None
    """The token that stands for an empty prompt, if the model has one."""

    def session(self) -> Session:
        """A new set of rows."""


def sound(logits: Array) -> Array:
    """Logits, refused if they hold NaN."""
    if bool(namespace(logits).any(namespace(logits).isnan(logits))):
        raise ModelError("the model's logits hold NaN; its weights are broken or its arithmetic overflowed")
    return logits


class TokenTree:
    """One tree of tokens: which slot holds which token after which parent."""

    def __init__(self, slots: int = 64) -> None:
        self.token = np.zeros(slots, np.int64)
        self.parent = np.zeros(slots, np.int64)
        self.depth = np.zeros(slots, np.int64)                           # its place in the text, from 0
        self.used = np.zeros(slots, bool)
        self.top = 0                                                     # every slot from here on is free
        self._paths: dict[int, Ints] = {}

    def grow(self, parent: int, chain: Ints) -> Ints:
        """Slots for a chain of tokens after parent (-1: at the root), the lowest free ones."""
        count = len(chain)
        slots = np.flatnonzero(~self.used[: self.top])[:count]
        fresh = count - len(slots)
        if fresh:
            while self.top + fresh > len(self.token):
                names = ("token", "parent", "depth")
                self.token, self.parent, self.depth = (np.concatenate([a := getattr(self, n), np.zeros_like(a)]) for n in names)
                self.used = np.concatenate([self.used, np.zeros_like(self.used)])
            slots = np.concatenate([slots, np.arange(self.top, self.top + fresh)])
            self.top += fresh
        self.used[slots] = True
        self.token[slots] = chain
        self.parent[slots] = np.concatenate([[parent], slots[:-1]])
        past = self.path(parent)
        self.depth[slots] = len(past) + np.arange(count)
        self._paths[int(slots[-1])] = np.concatenate([past, slots])
        return slots

    def path(self, slot: int) -> Ints:
        """The slots from the root to this one."""
        behind: list[int] = []
        while slot != -1 and slot not in self._paths:
            behind.append(slot)
            slot = int(self.parent[slot])
        known = self._paths[slot] if slot != -1 else np.zeros(0, np.int64)
        if not behind:
            return known
        path = np.concatenate([known, np.asarray(behind[::-1], np.int64)])
        self._paths[behind[0]] = path
        return path

    def keep(self, slots: Sequence[int]) -> None:
        """Free every slot that is on no path to one of these."""
        self._paths = {slot: self.path(slot) for slot in slots}
        self.used[: self.top] = False
        for path in self._paths.values():
            self.used[path] = True
        on = np.flatnonzero(self.used[: self.top])
        self.top = int(on[-1]) + 1 if len(on) else 0


class TokenForest:
    """The trees of a session, one for each extension of ROOT."""

    def __init__(self) -> None:
        self.trees: dict[int, TokenTree] = {}
        self._next = 0

    def grow(self, parent: int, chain: Ints) -> tuple[int, Ints]:
        """Extend a row by a chain: (its tree, the chain's slots)."""
        if parent == ROOT:
            tree, slot = self._next, -1
            self.trees[tree] = TokenTree()
            self._next += 1
        else:
            tree, slot = divmod(int(parent), SPAN)
        return tree, self.trees[tree].grow(slot, chain)

    def keep(self, rows: Iterable[int]) -> None:
        """Forget what is on no path to one of these rows."""
        kept: dict[int, list[int]] = {}
        for tree, slot in (divmod(int(row), SPAN) for row in rows):
            kept.setdefault(tree, []).append(slot)
        self.trees = {tree: self.trees[tree] for tree in self.trees if tree in kept}
        for tree, slots in kept.items():
            self.trees[tree].keep(slots)

    def parent(self, row: int) -> int:
        """The row before this one; ROOT before the first token."""
        tree, slot = divmod(int(row), SPAN)
        before = int(self.trees[tree].parent[slot])
        return ROOT if before == -1 else tree * SPAN + before

    def token(self, row: int) -> int:
        """The last token of a row."""
        tree, slot = divmod(int(row), SPAN)
        return int(self.trees[tree].token[slot])

    def path(self, row: int) -> Ints:
        """The rows from the first token to this row."""
        if row == ROOT:
            return np.zeros(0, np.int64)
        tree, slot = divmod(int(row), SPAN)
        return self.trees[tree].path(slot) + tree * SPAN

    def tokens(self, row: int) -> Ints:
        """The tokens a row stands for."""
        if row == ROOT:
            return np.zeros(0, np.int64)
        tree, slot = divmod(int(row), SPAN)
        nodes = self.trees[tree]
        return nodes.token[nodes.path(slot)]

    def length(self, row: int) -> int:
        """The number of tokens a row stands for."""
        return len(self.path(row))
