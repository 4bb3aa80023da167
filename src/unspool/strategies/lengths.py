"""How a search weighs texts of different lengths, log p(text) / weight, and what a prefix may come to at most."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from unspool.arrays import Floats

LENGTHS = ("generated", "without_end", "with_prompt", "gnmt")
"""What counts: new tokens with the end token; without it; prompt and new tokens, without it; new tokens, by the formula of GNMT."""
STEEP = 40.0
"""A length penalty beyond this acts as its limit: powers of lengths stay within float64."""


def weight_of(length: Any, kind: str, penalty: float) -> Floats:
    """length ** penalty; for "gnmt" ((5 + length) / 6) ** penalty."""
    length = np.asarray(length, np.float64)
    power = min(max(penalty, -STEEP), STEEP)
    return np.asarray(((5 + length) / 6 if kind == "gnmt" else length) ** power)


@dataclass(frozen=True)
class Bounds:
    """Scores of texts, sum / weight(length), and the largest that any text which goes on from a prefix can have.

    kind, penalty: see `weight_of`. most: new tokens of a text at most. prompt: tokens of the prompt. gain: what a token adds at most.
    """

    kind: str
    penalty: float
    most: int
    prompt: int
    gain: float = 0.0

    def score(self, total: float, length: int, ended: bool) -> float:
        """Of a text of so many new tokens, the last an end token or not."""
        return total / float(self._weight(max(length - ended, 1) if self._spares_the_end else length))

    def of(self, totals: Floats, length: int) -> Floats:
        """What no text exceeds that ends at a prefix of this length or goes on from it, (K,) for the sums (K,) of prefixes."""
        known = self._known.get(length)
        gains, factors = self._known[length] = known or self._factors(length)
        return np.asarray(((totals[:, None] + gains) * factors).max(-1, initial=-np.inf))

    @property
    def _spares_the_end(self) -> bool:
        return self.kind in ("without_end", "with_prompt")

    @cached_property
    def _known(self) -> dict[int, tuple[Floats, Floats]]:
        return {}

    def _weight(self, counted: Any) -> Floats:
        return weight_of(np.asarray(counted) + (self.prompt if self.kind == "with_prompt" else 0), self.kind, self.penalty)

    def _factors(self, length: int) -> tuple[Floats, Floats]:
        """For every length that a text may come to: what the tokens after the prefix add at most, and 1 / weight."""
        more = np.arange(self.most - length + 1)
        counted = length + more
        if self._spares_the_end:
            more, counted = np.concatenate([more, more]), np.concatenate([counted, np.maximum(counted - 1, 1)])
        gains, factors = np.asarray(more * self.gain, np.float64), np.asarray(1 / self._weight(counted))
        if not self.gain:                                                # only the ends matter: a sum below 0 takes the least factor
            gains, factors = np.zeros(2), np.asarray([factors.min(), factors.max()])
        return gains, factors
