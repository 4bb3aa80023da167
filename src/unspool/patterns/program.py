"""A pattern as a program that threads run through, one instruction after another."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

from unspool.patterns.tree import Anchor, Atomic, Character, Either, Lookaround, PatternNode, Repeat, Sequence, tree

END = 0
"""The goal of the pattern itself; the goals of its parts are other instructions."""


class Irregular(Exception):
    """No program can be written for this pattern, or none that is short enough."""


class Read(NamedTuple):
    """Goes on after the next character if it is one of these."""

    character: Character
    then: int


class Fork(NamedTuple):
    """Goes both ways; in an atomic group, which ends at `cut`, the second only where the first does not lead there."""

    first: int
    second: int
    cut: int | None


class Promise(NamedTuple):
    """Goes on if threads that begin at `start` reach the goal, or if they do not; behind: if those of that lookbehind do so here."""

    wanted: bool
    goal: int
    start: int
    behind: int | None
    then: int


class Instructions:
    """Instructions: those above, a number where another goes on, None for a goal. `Irregular` if they would be more than `most`."""

    def __init__(self, pattern: str, most: int) -> None:
        self.instructions: list[Any] = [None]
        self.behinds: list[tuple[int, int]] = []
        """The first instruction and the goal of every lookbehind; one that stands in another comes before it."""
        self._most, self._numbers = most, dict[Sequence, int]()
        self.start = self._write(tree(pattern), END, None)

    def _add(self, instruction: Any) -> int:
        if len(self.instructions) == self._most:
            raise Irregular
        self.instructions.append(instruction)
        return len(self.instructions) - 1

    def _write(self, node: PatternNode, then: int, cut: int | None) -> int:
        """Instructions for a node that go on at `then`, in the atomic group that ends at `cut`; which is the first of them."""
        if isinstance(node, Character):
            return self._add(Read(node, then))
        if isinstance(node, Sequence):
            for item in reversed(node.items):
                then = self._write(item, then, cut)
            return then
        if isinstance(node, Either):
            at = self._add(None)                                         # leads nowhere
            for option in reversed(node.options):
                at = self._add(Fork(self._write(option, then, cut), at, cut))
            return at
        if isinstance(node, Repeat):
            return self._write_repeat(node, then, cut)
        if isinstance(node, Atomic):
            goal = self._add(then)
            return self._write(node.body, goal, goal)
        if isinstance(node, Anchor):
            return self._write(node.meaning, then, cut)
        if isinstance(node, Lookaround):
            return self._write_look(node, then)
        raise Irregular                                                  # it asks for what an earlier group matched

    def _write_repeat(self, node: Repeat, then: int, cut: int | None) -> int:
        if node.possessive:
            cut = then = self._add(then)
            node = replace(node, body=replace(node.body, items=(Atomic(node.body),)))
        if cut is not None and node.body.least == 0 and node.most != 1:
            raise Irregular                                              # `re` ends rounds that match nothing by a rule of its own
        end, lazy = then, node.lazy
        if node.most is None:
            then = self._add(None)                                       # to be filled in: the rounds lead back to it
            body = self._write(node.body, then, cut)
            self.instructions[then] = Fork(end, body, cut) if lazy else Fork(body, end, cut)
        else:
            for _ in range(node.most - node.least):
                body = self._write(node.body, then, cut)
                then = self._add(Fork(end, body, cut) if lazy else Fork(body, end, cut))
        for _ in range(node.least):
            then = self._write(node.body, then, cut)
        return then

    def _write_look(self, node: Lookaround, then: int) -> int:
        if node.ahead:
            goal = self._add(None)
            return self._add(Promise(node.wanted, goal, self._write(node.body, goal, None), None, then))
        if node.body not in self._numbers:
            goal = self._add(None)
            start = self._write(node.body, self._add(goal), None)        # a step ends before the goal: who is there arrived just now
            self._numbers[node.body] = len(self.behinds)
            self.behinds.append((start, goal))
        number = self._numbers[node.body]
        start, goal = self.behinds[number]
        return self._add(Promise(node.wanted, goal, start, number, then))
