"""The tokens of a text that is coloured, the spans in which they are shown, and the scales of their colours."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from unspool.text import unfinished, visible
from unspool.views.cells import Cell


@dataclass(frozen=True)
class Scale:
    """What a text is coloured by, in bands from cold to hot."""

    limits: tuple[float, ...]
    """The hottest value of each band but the last, on a scale that rises with heat."""
    labels: tuple[str, ...]
    heats: tuple[int, ...] = (0, 1, 2, 3, 4)

    def band(self, value: float) -> int:
        return bisect_left(self.limits, value)


SCALES = {
    "probability": Scale((-0.5, -0.1, -0.01, -0.001), ("50% or more", "10% to 50%", "1% to 10%", "0.1% to 1%", "below 0.1%")),
    "surprisal": Scale((1, 3, 6, 10), ("up to 1 bit", "1 to 3", "3 to 6", "6 to 10", "above 10 bits")),
    "entropy": Scale((1, 2, 4, 6), ("up to 1 bit", "1 to 2", "2 to 4", "4 to 6", "above 6 bits")),
    "rank": Scale((1, 10, 100), ("the likeliest", "top 10", "top 100", "beyond"), (0, 1, 3, 4)),
}
"""The classes of rank are those of GLTR: Gehrmann, Strobelt and Rush 2019, arXiv 1906.04043."""
BY = tuple(SCALES)


@dataclass(frozen=True)
class Token:
    """One token of the text as the model saw it before it came."""

    token: int
    text: str
    """With the bytes of an unfinished character as \\xNN."""
    logprob: float
    """The model's own, in nats."""
    processed: float
    """After the processors."""
    rank: int | None = None
    """1 for the likeliest; None if the record does not say."""
    entropy: float | None = None
    """Of the model's whole distribution, in bits."""
    alternatives: tuple[Cell, ...] = ()
    """The likeliest tokens, best first."""

    @property
    def probability(self) -> float:
        return math.exp(self.logprob)

    @property
    def surprisal(self) -> float:
        """-log2 of the probability: how many bits it tells."""
        return -self.logprob / math.log(2)

    def to_dict(self) -> dict[str, Any]:
        numbers = {"probability": self.probability, "surprisal": self.surprisal}
        return {**vars(self), **numbers, "alternatives": [c.to_dict() for c in self.alternatives]}


@dataclass(frozen=True)
class Span:
    """A part of the text that is shown in one colour: a token, or those that make up a character together."""

    text: str
    first: int
    last: int
    """The place after its last token."""
    special: bool = False
    """Whether its text is the name of a special token, not part of what was written."""


def spans_of(parts: Sequence[tuple[bytes, str]], pending: bytes) -> Iterator[Span]:
    """Tokens as bytes and names, put together where they share a character."""
    first, data = 0, pending
    for i, (own, name) in enumerate(parts):
        if not own:
            if i > first:
                yield Span(visible(data), first, i)
            yield Span(name, i, i + 1, special=True)
            first, data = i + 1, b""
            continue
        data += own
        if not unfinished(data) or i + 1 == len(parts):
            yield Span(visible(data), first, i + 1)
            first, data = i + 1, b""
