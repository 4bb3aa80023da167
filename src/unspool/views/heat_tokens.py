"""The tokens of a text that is coloured, the spans in which they are shown, and the scales of their colours."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
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
    name: str = ""
    """As it is shown, where that is not the name by which it is asked for."""

    def band(self, value: float) -> int:
        return bisect_left(self.limits, value)


SCALES = {
    "probability": Scale((-0.5, -0.1, -0.01, -0.001), ("50% or more", "10% to 50%", "1% to 10%", "0.1% to 1%", "below 0.1%")),
    "surprisal": Scale((1, 3, 6, 10), ("up to 1 bit", "1 to 3", "3 to 6", "6 to 10", "above 10 bits")),
    "entropy": Scale((1, 2, 4, 6), ("up to 1 bit", "1 to 2", "2 to 4", "4 to 6", "above 6 bits")),
    "effective": Scale((2, 5, 20, 100), ("up to 2", "2 to 5", "5 to 20", "20 to 100", "above 100"), name="effective choices"),
    "rank": Scale((1, 10, 100), ("the likeliest", "top 10", "top 100", "beyond"), (0, 1, 3, 4)),
}
"""The classes of rank are those of GLTR: Gehrmann, Strobelt and Rush 2019, arXiv 1906.04043."""
BY = tuple(SCALES)
BY_WORDS = ("probability", "surprisal")
"""What words can be coloured by: a distribution, and so entropy and rank, is of single tokens."""


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
    parts: tuple[Token, ...] = ()
    """Where it is a word: the tokens that it is made of, see `word_of`."""

    @property
    def probability(self) -> float:
        return math.exp(self.logprob)

    @property
    def surprisal(self) -> float:
        """-log2 of the probability: how many bits it tells."""
        return -self.logprob / math.log(2)

    @property
    def effective(self) -> float | None:
        """exp(H), H the entropy in nats: how many choices, all equally likely, were as uncertain; the distribution's perplexity."""
        return None if self.entropy is None else 2**self.entropy

    def to_dict(self) -> dict[str, Any]:
        numbers = {"probability": self.probability, "surprisal": self.surprisal, "effective": self.effective}
        values = {**vars(self), **numbers, "alternatives": [c.to_dict() for c in self.alternatives]}
        parts = values.pop("parts")
        return values | ({"tokens": [t.token for t in parts]} if parts else {})


def word_of(text: str, tokens: Sequence[Token]) -> Token:
    """Tokens as one: its probability is the product of theirs, its surprisal the sum.

    That is how likely the model held it that the text goes on with these tokens. With tokens that begin with their space, that is less
    sure than that the word ends there (Pimentel and Meister 2024, arXiv 2406.14561).
    """
    if len(tokens) == 1:
        return replace(tokens[0], text=text, rank=None, entropy=None, parts=tuple(tokens))
    logprob, processed = math.fsum(t.logprob for t in tokens), math.fsum(t.processed for t in tokens)
    return Token(tokens[0].token, text, logprob, processed, parts=tuple(tokens))


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
