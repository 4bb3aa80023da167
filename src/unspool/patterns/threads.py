"""Threads: they stand at instructions of a program, side by side, and go on together with every character.

A thread may owe promises: that other threads will reach their goal in the rest of the text, or that they never will. It has
matched when it is at its goal and owes nothing. One idea covers three:

    lookahead      a promise about threads that start here
    lookbehind     a promise about threads that started before, of which some reach their goal just here
    atomic groups  who takes the second way promises that the first leads nowhere
"""

from __future__ import annotations

from typing import Any

from unspool.patterns.program import Fork, Instructions, Promise, Read

Owed = frozenset[Any]
"""Promises: whether threads shall reach their goal, which goal, and the threads."""
Threads = frozenset[tuple[int, Owed]]
"""Where each stands, and what it owes."""
NONE: frozenset[Any] = frozenset()


def beginning(at: int) -> Threads:
    """One thread that owes nothing."""
    return frozenset([(at, NONE)])


def outcome(moved: Threads, goal: int) -> Threads | None:
    """None if one of them has matched; else those that still may, without those that owe more than another at the same place."""
    if (goal, NONE) in moved:
        return None
    owing = [thread for thread in moved if thread[1]]
    return moved - {(at, owed) for at, owed in owing for other, less in moved if at == other and less < owed}


def promise(owed: Owed | None, wanted: bool, goal: int, found: Threads | None) -> Owed | None:
    """What is owed with one more promise, of threads with this outcome; None if it cannot be kept."""
    if owed is None or (found is None and not wanted) or (found == NONE and wanted):
        return None
    return owed | {(wanted, goal, found)} if found else owed


class Moment:
    """Where threads go from between two characters, the second of which is known: "" at the end of the text."""

    def __init__(self, program: Instructions, character: str) -> None:
        self.program, self.character = program, character
        self.behind: list[Threads | None] = []
        """For every lookbehind the outcome of its threads that are at their goal here."""
        self._known: dict[tuple[int, int], Threads | None] = {}

    def move(self, threads: Threads, goal: int) -> Threads:
        """The threads after the character. Those at the goal stay there until they owe nothing."""
        ready = [(at, kept) for at, owed in threads if (kept := self._keep(owed)) is not None]
        moved, seen = set(), set()
        while ready:
            thread = at, owed = ready.pop()
            if thread in seen:
                continue
            seen.add(thread)
            do, more = self.program.instructions[at], None
            if at == goal:
                moved.add(thread)
            elif isinstance(do, Read):
                if do.character.matches(self.character):
                    moved.add((do.then, owed))
            elif isinstance(do, Fork):
                ready.append((do.first, owed))
                more = owed if do.cut is None else promise(owed, False, do.cut, self._reach(do.first, do.cut))
                if more is not None:
                    ready.append((do.second, more))
            elif isinstance(do, Promise):
                found = self._reach(do.start, do.goal) if do.behind is None else self.behind[do.behind]
                more = promise(owed, do.wanted, do.goal, found)
                if more is not None:
                    ready.append((do.then, more))
            elif do is not None:
                ready.append((do, owed))
        return frozenset(moved)

    def _keep(self, owed: Owed) -> Owed | None:
        """What is still owed after the character; None if a promise is broken."""
        kept: Owed | None = NONE
        for wanted, goal, threads in owed:
            kept = promise(kept, wanted, goal, outcome(self.move(threads, goal), goal))
        return kept

    def _reach(self, start: int, goal: int) -> Threads | None:
        """The outcome of one thread that begins here."""
        if (start, goal) not in self._known:
            self._known[start, goal] = outcome(self.move(beginning(start), goal), goal)
        return self._known[start, goal]
