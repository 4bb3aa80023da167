"""The tree of tokens: which row stands for which tokens, and which rows are still needed.

A row is the name of a node; it stands for the tokens from the root to that node. Sessions keep a forest of trees, one for every
extension of `ROOT`, and put what they compute for a token where the forest says: into a slot of a tree.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from heapq import heappop

import numpy as np

from unspool.arrays import Ints
from unspool.errors import ModelError

ROOT = -1
"""The row without tokens."""
SPAN = 1 << 32
"""A row is tree * SPAN + slot."""
NO_ROWS = np.zeros(0, np.int64)


def places(rows: Iterable[int]) -> list[tuple[int, int]]:
    """The tree and the slot of each row."""
    return [divmod(int(row), SPAN) for row in rows]


def last_rows(parents: Sequence[int] | Ints, grown: Sequence[Ints]) -> Ints:
    """What an extension gives: for each parent the last of its new rows; the parent, where its chain had no tokens."""
    return np.asarray([new[-1] if len(new) else parent for parent, new in zip(parents, grown, strict=True)], np.int64)


class TokenTree:
    """One tree: which slot holds which token after which parent."""

    def __init__(self, slots: int = 64) -> None:
        self.token = np.zeros(slots, np.int64)
        self.parent = np.zeros(slots, np.int64)
        self.depth = np.zeros(slots, np.int64)                           # its place in the text, from 0
        self.used = np.zeros(slots, bool)
        self.top = 0                                                     # every slot from here on is free
        self._holes: list[int] = []                                      # free slots below top, a heap
        self._paths: dict[int, Ints] = {}

    def grow(self, parent: int, chain: Ints) -> Ints:
        """Slots for a chain of tokens after parent (-1: at the root), the lowest free ones."""
        slots, past = self._free(len(chain)), self.path(parent)
        path = np.concatenate([past, slots])
        first, last = int(slots[0]), int(slots[-1])
        self.parent[first] = parent
        if first == last:                                                # as mostly, and single numbers are set faster than arrays
            self.used[first], self.token[first], self.depth[first] = True, chain[0], len(past)
        else:
            self.used[slots], self.token[slots], self.depth[slots] = True, chain, np.arange(len(past), len(path))
            self.parent[slots[1:]] = slots[:-1]
        self._paths[last] = path
        return slots

    def _free(self, count: int) -> Ints:
        found = [heappop(self._holes) for _ in range(min(count, len(self._holes)))]
        fresh = count - len(found)
        if self.top + fresh > len(self.token):
            more = max(fresh, len(self.token))
            for name in ("token", "parent", "depth", "used"):
                array = getattr(self, name)
                setattr(self, name, np.concatenate([array, np.zeros(more, array.dtype)]))
        self.top += fresh
        new = np.arange(self.top - fresh, self.top)
        return np.concatenate([np.asarray(found, np.int64), new]) if found else new

    def path(self, slot: int) -> Ints:
        """The slots from the root to this one."""
        known = self._paths.get(slot)
        if known is not None or slot == -1:
            return NO_ROWS if known is None else known
        behind, at = [slot], int(self.parent[slot])
        while at != -1 and at not in self._paths:
            behind.append(at)
            at = int(self.parent[at])
        path = np.concatenate([self._paths.get(at, NO_ROWS), np.asarray(behind[::-1], np.int64)])
        self._paths[slot] = path
        return path

    def keep(self, slots: Sequence[int]) -> None:
        """Free every slot that is on no path to one of these."""
        self._paths = {slot: self.path(slot) for slot in slots}
        self.used[: self.top] = False
        for path in self._paths.values():
            self.used[path] = True
        on = np.flatnonzero(self.used[: self.top])
        self.top = int(on[-1]) + 1 if len(on) else 0
        self._holes = np.flatnonzero(~self.used[: self.top]).tolist()    # ascending, so a heap


class TokenForest:
    """The trees of a session, and the only place where tokens and rows are checked.

    vocabulary: tokens lie below it. context: the most tokens of a row, if there is a limit.
    """

    def __init__(self, vocabulary: int, context: int | None = None) -> None:
        self.vocabulary, self.context = vocabulary, context
        self.trees: dict[int, TokenTree] = {}
        self._next = 0

    def grow(self, parents: Sequence[int] | Ints, chains: Sequence[Sequence[int] | Ints]) -> list[Ints]:
        """For each parent and its chain of tokens the rows of those tokens; nothing grows if one of them cannot."""
        work = [(int(p), np.asarray(c, np.int64).reshape(-1)) for p, c in zip(parents, chains, strict=True)]
        self._check_tokens(np.concatenate([chain for _, chain in work] or [NO_ROWS]))
        for parent, chain in work:
            self._check_length(parent, len(chain))
        grown = []
        for parent, chain in work:
            if not len(chain):
                grown.append(NO_ROWS)
                continue
            tree, slot = divmod(parent, SPAN)
            if parent == ROOT:
                tree, slot = self._next, -1
                self.trees[tree] = TokenTree()
                self._next += 1
            grown.append(self.trees[tree].grow(slot, chain) + tree * SPAN)
        return grown

    def _check_tokens(self, tokens: Ints) -> None:
        if len(tokens) and (tokens.min() < 0 or tokens.max() >= self.vocabulary):
            bad = tokens[(tokens < 0) | (tokens >= self.vocabulary)][0]
            raise ModelError(f"token {bad} is outside the model's vocabulary of {self.vocabulary}")

    def _check_length(self, parent: int, more: int) -> None:
        length = more if parent == ROOT else self.length(parent) + more
        if self.context is not None and length > self.context:
            raise ModelError(f"a text of {length} tokens is longer than the model's context of {self.context}")

    def _find(self, row: int) -> tuple[TokenTree, int]:
        """The tree and the slot of a living row."""
        tree, slot = divmod(int(row), SPAN)
        nodes = self.trees.get(tree)
        if nodes is None or not slot < nodes.top or not nodes.used[slot]:
            raise ModelError(f"there is no row {row} in this session: it was never made, or forgotten")
        return nodes, slot

    def require(self, rows: Iterable[int]) -> None:
        """Refuse rows that were never made, or are forgotten."""
        for row in rows:
            self._find(row)

    def keep(self, rows: Iterable[int]) -> None:
        """Forget what is on no path to one of these rows."""
        rows = [row for row in rows if row != ROOT]                      # which is always there
        self.require(rows)
        kept: dict[int, list[int]] = {}
        for tree, slot in places(rows):
            kept.setdefault(tree, []).append(slot)
        self.trees = {tree: self.trees[tree] for tree in self.trees if tree in kept}
        for tree, slots in kept.items():
            self.trees[tree].keep(slots)

    def alive(self) -> set[int]:
        """Every row that is remembered."""
        return {tree * SPAN + slot for tree, nodes in self.trees.items() for slot in np.flatnonzero(nodes.used).tolist()}

    def __len__(self) -> int:
        return sum(int(nodes.used.sum()) for nodes in self.trees.values())

    def parent(self, row: int) -> int:
        """The row before this one; ROOT before the first token."""
        nodes, slot = self._find(row)
        before = int(nodes.parent[slot])
        return ROOT if before == -1 else int(row) - slot + before

    def token(self, row: int) -> int:
        """The last token of a row."""
        nodes, slot = self._find(row)
        return int(nodes.token[slot])

    def path(self, row: int) -> Ints:
        """The rows from the first token to this row."""
        if row == ROOT:
            return NO_ROWS
        nodes, slot = self._find(row)
        return nodes.path(slot) + (int(row) - slot)

    def tokens(self, row: int) -> Ints:
        """The tokens a row stands for."""
        if row == ROOT:
            return NO_ROWS
        nodes, slot = self._find(row)
        return nodes.token[nodes.path(slot)]

    def length(self, row: int) -> int:
        """The number of tokens a row stands for."""
        if row == ROOT:
            return 0
        nodes, slot = self._find(row)
        return int(nodes.depth[slot]) + 1
