"""What follows a row and is no column: a value of each, computed from the nearest ancestor that has one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from unspool.core.tree import TokenForest

Advance = Callable[[list[int], list[Any], list[int]], Sequence[Any]]
"""advance(parents, their values, tokens) -> the values of the rows that these tokens make of them"""


class Memory:
    """A value for each row; one that is missing is computed from the nearest ancestor that has one, when it is read.

    So chains, speculation, waiting and rewinding need no code of their own.
    """

    def __init__(self, nodes: TokenForest, advance: Advance) -> None:
        self.nodes, self.advance, self.values = nodes, advance, dict[int, Any]()

    def __call__(self, rows: Iterable[int]) -> list[Any]:
        """The values of rows."""
        wanted = [int(row) for row in rows]
        missing = [row for row in wanted if row not in self.values]
        if missing:
            self._fill(missing)
        return [self.values[row] for row in wanted]

    def _fill(self, rows: list[int]) -> None:
        """Compute what is missing, a generation at a time from the ancestors that are known."""
        children: dict[int, list[int]] = {}
        reached: set[int] = set()
        for row in rows:
            while row not in self.values and row not in reached:
                reached.add(row)
                parent = self.nodes.parent(row)
                children.setdefault(parent, []).append(row)
                row = parent
        parents = [row for row in children if row in self.values]
        while parents:
            pairs = [(parent, child) for parent in parents for child in children[parent]]
            known = [self.values[parent] for parent, _ in pairs]
            found = self.advance([parent for parent, _ in pairs], known, [self.nodes.token(child) for _, child in pairs])
            self.values.update(zip((child for _, child in pairs), found, strict=True))
            parents = [child for _, child in pairs if child in children]

    def after(self, rows: Iterable[int], tokens: Iterable[int]) -> Sequence[Any]:
        """The values that rows would have after one more token each."""
        parents = [int(row) for row in rows]
        return self.advance(parents, self(parents), [int(token) for token in tokens])

    def keep(self, rows: Iterable[int]) -> None:
        """Forget all but what these rows need."""
        self.values = {at: self.values[at] for at in nearest(rows, self.values, self.nodes)}


def nearest(rows: Iterable[int], known: dict[int, Any], nodes: TokenForest) -> set[int]:
    """Of each row the nearest ancestor, itself included, that is known."""
    found: set[int] = set()
    passed: set[int] = set()                                             # on the way from an earlier row: that one's is theirs
    for row in rows:
        at = int(row)
        while at not in known and at not in passed:
            passed.add(at)
            at = nodes.parent(at)
        if at in known:
            found.add(at)
    return found
