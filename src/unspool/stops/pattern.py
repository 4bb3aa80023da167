"""Whether a pattern matches somewhere in a text that grows: every character is read once.

The pattern becomes a program whose threads go through the text side by side. A thread may have made promises: that other threads will
reach their goal in the rest of the text, or that they never will. So one idea covers three:

    lookahead        a promise about threads that start here
    lookbehind       threads that started everywhere before, and those of them that reach their goal just here
    atomic groups    who takes a later way promises that the earlier one leads nowhere

After a character the threads are a set, which is the memory of a row, and what a character makes of a set is remembered.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, NamedTuple

from unspool import patterns

LARGEST = 2000
"""Instructions of a program; a pattern that needs more is searched for again instead."""
REMEMBERED = 100_000
"""Threads in the sets that are remembered; then all are forgotten."""
END = ""
"""What follows the last character."""

Threads = frozenset[tuple[int, frozenset[Any]]]
"""Each a place in the program, and promises (wanted, goal, threads)."""
State = tuple[Any, ...]
"""The pattern's threads, then those of every lookbehind; () once the pattern has matched for good."""
NONE: frozenset[Any] = frozenset()
FOUND: State = ()


class Step(NamedTuple):
    """Goes on where the character is one of these."""

    character: patterns.Character
    then: int


class Fork(NamedTuple):
    """Goes both ways; in an atomic group, which ends at `cut`, the second way only where the first does not lead there."""

    first: int
    second: int
    cut: int | None


class Look(NamedTuple):
    """Goes on if threads from `start` reach the goal, or if not; behind: those of this lookbehind do so here."""

    wanted: bool
    goal: int
    start: int
    behind: int | None
    then: int


class Irregular(Exception):
    """No automaton can follow this pattern, or no small one."""


class Automaton:
    """Follows a text character by character; `Irregular` if it cannot follow this pattern."""

    def __init__(self, pattern: str) -> None:
        self.program: list[Any] = [None]                                 # a goal goes nowhere; a number goes there
        self.behinds: dict[patterns.Sequence, tuple[int, int]] = {}      # each lookbehind's first instruction and goal, inner ones first
        self.first = self._write(patterns.tree(pattern), 0, None)
        self.start: State = (NONE,) * (1 + len(self.behinds))
        self._after: dict[tuple[State, str], State] = {}
        self._room = REMEMBERED

    def advance(self, state: State, text: Iterable[str]) -> State:
        """The state after more text."""
        for character in text:
            if state == FOUND:
                break
            after = self._after.get((state, character))
            state = self._step(state, character) if after is None else after
        return state

    def matches(self, state: State) -> bool:
        """Whether the pattern matches in the text so far, if no more comes."""
        return self.advance(state, [END]) == FOUND

    def _step(self, state: State, character: str) -> State:
        """One step, remembered."""
        moment, behinds = Moment(self.program, character), []
        for threads, (start, goal) in zip(state[1:], self.behinds.values(), strict=True):
            moved = moment.move(threads | {(start, NONE)}, goal)
            arrived = frozenset(thread for thread in moved if thread[0] == goal)
            moment.behind.append(outcome(arrived, goal))
            behinds.append(moved - arrived)
        threads = outcome(moment.move(state[0] | {(self.first, NONE)}, 0), 0)
        after = FOUND if threads is None else (threads, *behinds)
        self._room -= 1 + sum(map(len, after))
        if self._room < 0:
            self._after, self._room = {}, REMEMBERED
        self._after[state, character] = after
        return after

    def _add(self, instruction: Any) -> int:
        if len(self.program) == LARGEST:
            raise Irregular
        self.program.append(instruction)
        return len(self.program) - 1

    def _write(self, node: patterns.Node, then: int, cut: int | None) -> int:
        """Instructions for a node that go on at `then`, inside the atomic group that ends at `cut`: the first of them."""
        if isinstance(node, patterns.Character):
            return self._add(Step(node, then))
        if isinstance(node, patterns.Sequence):
            for item in reversed(node.items):
                then = self._write(item, then, cut)
            return then
        if isinstance(node, patterns.Either):
            at = self._add(None)                                         # where none of them matches
            for option in reversed(node.options):
                at = self._add(Fork(self._write(option, then, cut), at, cut))
            return at
        if isinstance(node, patterns.Repeat):
            return self._write_rounds(node, then, cut)
        if isinstance(node, patterns.Atomic):
            goal = self._add(then)
            return self._write(node.body, goal, goal)
        if isinstance(node, patterns.Anchor):
            return self._write(node.meaning, then, cut)
        if isinstance(node, patterns.Look):
            if not node.ahead and node.body in self.behinds:
                start, goal = self.behinds[node.body]
            else:
                goal = self._add(None)
                door = goal if node.ahead else self._add(goal)           # so that a step does not end at the goal, one character late
                start = self._write(node.body, door, None)
            if node.ahead:
                return self._add(Look(node.wanted, goal, start, None, then))
            self.behinds.setdefault(node.body, (start, goal))
            return self._add(Look(node.wanted, goal, start, list(self.behinds).index(node.body), then))
        raise Irregular                                                  # it asks for what an earlier group matched

    def _write_rounds(self, node: patterns.Repeat, then: int, cut: int | None) -> int:
        if node.possessive:
            cut = then = self._add(then)
            once = patterns.Atomic(node.body)
            body: patterns.Node = once
        else:
            body = node.body
        if cut is not None and node.body.least == 0 and node.most != 1:
            raise Irregular                                              # `re` ends such rounds by rules of its own
        end = then

        def fork(first: int) -> Fork:
            return Fork(end, first, cut) if node.lazy else Fork(first, end, cut)

        if node.most is None:
            then = self._add(None)
            self.program[then] = fork(self._write(body, then, cut))
        for _ in range((node.most or node.least) - node.least):
            then = self._add(fork(self._write(body, then, cut)))
        for _ in range(node.least):
            then = self._write(body, then, cut)
        return then


def outcome(moved: Threads, goal: int) -> Threads | None:
    """None if a thread is at the goal and owes nothing; else all that are left, none of which asks more than another."""
    if (goal, NONE) in moved:
        return None
    owing = [thread for thread in moved if thread[1]]
    return moved - {(at, owed) for at, owed in owing for other, less in moved if at == other and less < owed}


class Moment:
    """Where threads go between one character and the next."""

    def __init__(self, program: list[Any], character: str) -> None:
        self.program, self.character = program, character
        self.behind: list[Threads | None] = []
        """For every lookbehind the outcome of its threads that reach their goal here."""
        self._known: dict[tuple[int, int], Threads | None] = {}

    def move(self, threads: Threads, goal: int) -> Threads:
        """The threads after the character; those at their goal stay there until all promises are kept."""
        ready: list[tuple[int, frozenset[Any]]] = []
        for at, owed in threads:
            kept: frozenset[Any] | None = NONE
            for wanted, place, others in owed:
                kept = promise(kept, wanted, place, outcome(self.move(others, place), place))
            if kept is not None:
                ready.append((at, kept))
        moved, seen = set(), set()
        while ready:
            thread = at, owed = ready.pop()
            if thread in seen:
                continue
            seen.add(thread)
            do = self.program[at]
            if at == goal:
                moved.add(thread)
            elif isinstance(do, Step):
                if do.character.matches(self.character):
                    moved.add((do.then, owed))
            elif isinstance(do, Fork):
                ready.append((do.first, owed))
                after = owed if do.cut is None else promise(owed, False, do.cut, self.reach(do.first, do.cut))
                if after is not None:
                    ready.append((do.second, after))
            elif isinstance(do, Look):
                found = self.reach(do.start, do.goal) if do.behind is None else self.behind[do.behind]
                after = promise(owed, do.wanted, do.goal, found)
                if after is not None:
                    ready.append((do.then, after))
            elif do is not None:
                ready.append((do, owed))
        return frozenset(moved)

    def reach(self, start: int, goal: int) -> Threads | None:
        """The outcome of one thread that starts here."""
        if (start, goal) not in self._known:
            self._known[start, goal] = outcome(self.move(frozenset([(start, NONE)]), goal), goal)
        return self._known[start, goal]


def promise(owed: frozenset[Any] | None, wanted: bool, goal: int, found: Threads | None) -> frozenset[Any] | None:
    """What is owed with one more promise; None if it is broken already."""
    if owed is None or (found is None and not wanted) or (found == NONE and wanted):
        return None
    return owed | {(wanted, goal, found)} if found else owed


class Window:
    """Searches again after every piece of text, in as much of it as can matter: all of it where the pattern has no greatest width."""

    start: State = (False, "", 0)

    def __init__(self, pattern: str) -> None:
        self._search = re.compile(pattern).search
        root = patterns.tree(pattern)
        self._beside = 2 + looked_at(root)                               # `$` reads two characters further
        self._needs = root.most + self._beside

    def advance(self, state: State, text: str) -> State:
        """Whether it matches, the text that may still matter, and where in it a match may still begin."""
        if state == FOUND:
            return FOUND
        text, begin = state[1] + text, state[2]
        match = self._search(text, begin)
        if match and match.start() + self._needs <= len(text):           # all that it depends on has been read
            return FOUND
        begin = max(begin, len(text) - self._needs + 1)
        dropped = max(begin - self._beside, 0)
        return match is not None, text[dropped:], begin - dropped

    def matches(self, state: State) -> bool:
        """Whether the pattern matches in the text so far, if no more comes."""
        return state == FOUND or bool(state[0])


def looked_at(node: Any) -> int:
    """How many characters all lookarounds in a node read at most."""
    if isinstance(node, patterns.Look):
        return node.body.most + looked_at(node.body)
    inside = getattr(node, "items", ()) or getattr(node, "options", ()) or (getattr(node, "body", ()),)
    return sum(map(looked_at, inside)) if inside != ((),) else 0


@lru_cache(maxsize=64)
def follower(pattern: str) -> Automaton | Window:
    """What follows a text for this pattern."""
    try:
        return Automaton(pattern)
    except Irregular:
        return Window(pattern)
