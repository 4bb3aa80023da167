"""What comes next at some rows: the model's distributions, and those that its lane's processors leave."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from unspool.arrays import INF, Array, Flags, Floats, Ints, copy, host, like, logsumexp, topk
from unspool.core.few import Few, FewOrWhole, whole
from unspool.core.lane import Lane
from unspool.core.model import no_numbers
from unspool.errors import ModelError, PartError

CONFIDENT = 20
"""How many of the likeliest tokens a confidence is the mean of (Fu et al. 2025, arXiv 2508.15260)."""


class Distributions:
    """The next-token distributions of R rows of one lane, each computed when it is first read.

    Large arrays stay where the model computed them, in its array library; frontiers are views of them.
    """

    def __init__(self, lane: Lane, rows: Ints) -> None:
        self.lane, self.rows = lane, rows
        self.draw: Callable[[str], Floats] = no_draws
        """The uniforms (R,) of these rows for a purpose, for processors that draw."""

    @cached_property
    def logits(self) -> Array:
        """(R, V), the model's own."""
        return self.lane.logits(self.rows)

    @cached_property
    def total(self) -> Array:
        """(R, 1), log of the sum of exp(logits)."""
        total = logsumexp(self.logits)
        if broken(total).any():
            raise no_numbers(self.lane.model)
        return total

    @property
    def plain(self) -> bool:
        """Whether no processor changes the logits."""
        return not self.lane.chain

    @cached_property
    def scores(self) -> Array:
        """(R, V), after the processors."""
        return whole(self.left)

    @cached_property
    def few(self) -> Few | None:
        """The scores of the tokens that can come after the processors, where they are few."""
        return self.left if isinstance(self.left, Few) else None

    @cached_property
    def left(self) -> FewOrWhole:
        """What the processors leave."""
        return self.logits if self.plain else self.process()

    def process(self, watch: Callable[[Array], None] | None = None) -> FewOrWhole:
        """What the processors leave, anew; `watch` sees the scores (R, V) after each."""
        rows = self.lane.describe(self.rows, self.logits, self.draw)
        return self.lane.left(rows, self.rows, self.logits, watch)

    @cached_property
    def processed_total(self) -> Array:
        """(R, 1), log of the sum of exp(scores); -inf where the processors leave nothing."""
        if self.plain:
            return self.total
        total = logsumexp(self.few.scores if self.few else self.scores)
        if broken(total).any():
            _ = self.total                                               # the model's own NaN is the model's
            raise PartError(f"the processor {self._culprit()} returned NaN or infinity; what cannot come is -inf")
        return total

    def _culprit(self) -> Any:
        """The first processor whose scores are no logarithms."""
        after: list[Array] = []
        self.process(after.append)
        bad = (broken(logsumexp(scores)).any() for scores in after)
        return next((seat.part for seat, is_bad in zip(self.lane.chain, bad, strict=True) if is_bad), self.lane.chain[-1].part)

    def note(self, name: str) -> Floats:
        """(R,), on the host. margin: the likeliest token's probability less that of the next; confidence: minus the mean log-probability of
        the 20 likeliest, in nats."""
        if name not in self._notes:
            best = host(topk(self.logits, min(CONFIDENT if name == "confidence" else 2, self.logits.shape[-1]))[0]) - host(self.total)
            best = best.astype(np.float64)
            self._notes[name] = np.exp(best[:, 0]) - np.exp(best[:, -1]) if name == "margin" else -best.mean(-1)
        return self._notes[name]

    @cached_property
    def _notes(self) -> dict[str, Floats]:
        return {}

    def settle(self) -> None:
        """Compute all of it now: the rows may be forgotten before all who share them have read them."""
        if len(self.rows):
            _ = self.total, self.processed_total


class Without(Distributions):
    """Some rows of other distributions, after which some tokens cannot come; the others keep their log-probabilities."""

    def __init__(self, of: Distributions, index: Ints, forbidden: Sequence[Collection[int]]) -> None:
        super().__init__(of.lane, of.rows[index])
        self.draw, self.logits, self.total = of.draw, of.logits[like(index, of.logits)], of.total[like(index, of.total)]
        self.processed_total = of.processed_total[like(index, of.processed_total)]
        left = copy(of.scores[like(index, of.scores)])                   # now, for whoever draws in a processor may draw anew later
        for i, tokens in enumerate(forbidden):
            for token in tokens:
                left[i, token] = -INF
        self.left = left

    @property
    def plain(self) -> bool:
        """Never: what is forbidden has a score of its own."""
        return False


def broken(total: Array) -> Flags:
    """Which sums of exponentials are none: NaN, or infinity, which some libraries give where others give NaN."""
    return np.asarray(~(host(total) < np.inf))


def no_draws(purpose: str) -> Floats:
    """Rows that nobody gave uniforms."""
    raise ModelError(f"the draw {purpose!r} belongs to a row of a run; these rows are of none")
