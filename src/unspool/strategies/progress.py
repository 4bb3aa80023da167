"""How far a text has come in saying phrases: sets of phrases of tokens, of each of which one is to come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

Spelled = tuple[int, ...]


@dataclass(eq=False)
class Progress:
    """States of a text, numbered from 0, that of a text without tokens: which sets it has met, and its end as far as it begins a phrase.

    sets: of each one phrase is to be among the tokens of the text, in a row. ordered: whether one set after the other is to be met,
    each after the end of the phrase before it; otherwise phrases may overlap.
    """

    sets: Sequence[Sequence[Spelled]]
    ordered: bool = False
    states: list[tuple[frozenset[int], Spelled]] = field(default_factory=lambda: [(frozenset(), ())])
    _numbers: dict[tuple[frozenset[int], Spelled], int] = field(default_factory=lambda: {(frozenset(), ()): 0})
    _steps: dict[tuple[int, int], int] = field(default_factory=dict)
    _needs: dict[int, int] = field(default_factory=dict)

    def open(self, met: frozenset[int]) -> list[int]:
        """The sets that may be met next."""
        left = [i for i in range(len(self.sets)) if i not in met]
        return left[:1] if self.ordered else left

    def step(self, state: int, token: int) -> int:
        """The state after one more token."""
        if (state, token) not in self._steps:
            self._steps[state, token] = self._number(*self._after(*self.states[state], token))
        return self._steps[state, token]

    def _after(self, met: frozenset[int], tail: Spelled, token: int) -> tuple[frozenset[int], Spelled]:
        text = (*tail, token)
        new = {i for i in self.open(met) if any(text[-len(p) :] == p for p in self.sets[i])}
        if new and self.ordered:
            return met | new, ()
        beginnings = {p[:n] for i in self.open(met | new) for p in self.sets[i] for n in range(len(p))}
        return met | new, next(text[k:] for k in range(len(text) + 1) if text[k:] in beginnings or k == len(text))

    def _number(self, met: frozenset[int], tail: Spelled) -> int:
        if (met, tail) not in self._numbers:
            self._numbers[met, tail] = len(self.states)
            self.states.append((met, tail))
        return self._numbers[met, tail]

    def need(self, state: int) -> int:
        """In how many tokens all sets can be met, one phrase after the other, what has begun first; 0 if they are."""
        if state not in self._needs:
            met, tail = self.states[state]
            left = {i: min(map(len, self.sets[i])) for i in range(len(self.sets)) if i not in met}
            gain = [left[i] - (len(p) - begun(p, tail)) for i in self.open(met) for p in self.sets[i]]
            self._needs[state] = sum(left.values()) - max([0, *gain])
        return self._needs[state]

    def nearer(self, state: int) -> list[int]:
        """The tokens after which fewer are needed."""
        met, tail = self.states[state]
        tokens = sorted({p[begun(p, tail[k:])] for i in self.open(met) for p in self.sets[i] for k in range(len(tail) + 1)})
        return [t for t in tokens if self.need(self.step(state, t)) < self.need(state)]


def begun(phrase: Spelled, tail: Spelled) -> int:
    """How many tokens of a phrase, not all of them, stand at the end of a text."""
    return next(n for n in range(len(phrase) - 1, -1, -1) if tail[len(tail) - n :] == phrase[:n])
