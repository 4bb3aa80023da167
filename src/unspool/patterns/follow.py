"""Whether a pattern matches somewhere in a text that grows: as `re.search` says of all of it, without reading it again.

`follower(pattern)` has a `start`, the state of an empty text; `advance(state, text)`, the state after more text; and `matches(state)`.
States are immutable, so a text may go on in several ways.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from unspool.patterns.program import END, Instructions, Irregular
from unspool.patterns.threads import NONE, Moment, Threads, beginning, outcome
from unspool.patterns.tree import Lookaround, tree, walk

State = tuple[Any, ...]
FOUND: State = ()
"""The state of a text in which the pattern matches, however it goes on."""
TOO_LONG = 2000
"""Instructions of a program at most."""
SHORT = 100
"""The same where searching again is cheap: a state may hold a thread for every instruction."""
FAR = 1000
"""Characters up to which it is."""
REMEMBERED = 100_000
"""How many threads the remembered states may hold together; then they are forgotten."""


@lru_cache(maxsize=64)
def follower(pattern: str) -> LazyAutomaton | Window:
    """The cheapest way to follow a text for this pattern."""
    window = Window(pattern)
    try:
        return LazyAutomaton(pattern, SHORT if window.needs <= FAR else TOO_LONG)
    except Irregular:
        return window


class LazyAutomaton:
    """Reads every character once; a state is where the threads of the pattern are, then those of each lookbehind.

    Steps are remembered, so a text costs little more than looking them up. `Irregular` where no program follows the pattern.
    """

    def __init__(self, pattern: str, most: int = TOO_LONG) -> None:
        self.program = Instructions(pattern, most)
        self.start: State = (NONE,) * (1 + len(self.program.behinds))
        self._steps: dict[tuple[State, str], State] = {}
        self._room = REMEMBERED

    def advance(self, state: State, text: Iterable[str]) -> State:
        """The state after more text."""
        for character in text:
            if state == FOUND:
                break
            after = self._steps.get((state, character))
            state = self._step(state, character) if after is None else after
        return state

    def matches(self, state: State) -> bool:
        """Whether the pattern matches if the text ends here."""
        return self.advance(state, [""]) == FOUND

    def _step(self, state: State, character: str) -> State:
        moment, behinds = Moment(self.program, character), list[Threads]()
        for threads, (start, goal) in zip(state[1:], self.program.behinds, strict=True):
            moved = moment.move(threads | beginning(start), goal)
            here = frozenset(thread for thread in moved if thread[0] == goal)
            moment.behind.append(outcome(here, goal))
            behinds.append(moved - here)
        found = outcome(moment.move(state[0] | beginning(self.program.start), END), END)
        after = FOUND if found is None else (found, *behinds)
        self._room -= 1 + sum(map(len, after))
        if self._room < 0:
            self._steps, self._room = {}, REMEMBERED
        self._steps[state, character] = after
        return after


class Window:
    """Searches again after every piece of text, in its end alone where a match has a greatest length, and in all of it otherwise.

    A state is whether the pattern matches, the text that may still matter, and where in it a match may still begin.
    """

    def __init__(self, pattern: str) -> None:
        self._search = re.compile(pattern).search
        self.start: State = (self._search("") is not None, "", 0)
        root = tree(pattern)
        self._beside = 2 + sum(node.body.most for node in walk(root) if isinstance(node, Lookaround))
        """How many characters before and after it a match may depend on at most; `$` on two."""
        self.needs = root.most + self._beside
        """How many characters from the start of a match on decide on it."""

    def advance(self, state: State, text: str) -> State:
        """The state after more text."""
        if state == FOUND:
            return FOUND
        text, begin = state[1] + text, state[2]
        match = self._search(text, begin)
        if match and match.start() + self.needs <= len(text):            # the first one; whatever follows, it remains
            return FOUND
        begin = max(begin, len(text) - self.needs + 1)
        dropped = max(begin - self._beside, 0)
        return match is not None, text[dropped:], begin - dropped

    def matches(self, state: State) -> bool:
        """Whether the pattern matches if the text ends here."""
        return state == FOUND or bool(state[0])

