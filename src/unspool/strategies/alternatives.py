"""Alternatives: what the text would be with each of the likeliest next tokens."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unspool.core.frontier import Frontier
from unspool.core.strategy import Around, Asks, Choice, Each, Strategy, times
from unspool.errors import number, whole
from unspool.record.step import Hypothesis
from unspool.strategies.greedy import Greedy

_GREEDY = Greedy()


@dataclass(frozen=True)
class Alternatives(Around):
    """Go on from each of the n likeliest next tokens by a run of its own; the texts stand in the order of these tokens.

    least: the probability that a token needs, after the processors; the likeliest is always there. then: the strategy that goes on. At
    a later position it stands inside follow, as follow(" the beginning", then=alternatives(5)).
    """

    many = False
    n: int = 3
    least: float = 0.0
    then: Strategy = _GREEDY

    def __post_init__(self) -> None:
        super().__post_init__()
        whole("alternatives(n)", self.n, 1)
        number("alternatives(least=...)", self.least, 0, 1)

    @property
    def streams(self) -> bool:  # type: ignore[override]
        """Only where there is one."""
        return self.n == 1 and super().streams

    def run(self, frontier: Frontier) -> Asks:
        """Fork into the alternatives, and let each go on alone."""
        logprobs, tokens = frontier.top(self.n)
        found = frontier.candidates(logprobs, tokens)
        with np.errstate(divide="ignore"):
            found = found.take((found.score >= np.log(self.least)) | (found.rank == 0))
        frontier = yield Choice(found.tokens, found.parents, columns={"alternative": found.rank})
        if len(frontier):
            yield Each(frontier, self.then)

    def most_texts(self) -> int | None:
        return None if self.least else times(self.n, self.then.most_texts())

    def most_rows(self) -> int | None:
        return times(self.n, self.then.most_rows())

    def rank(self, finished: list[Hypothesis]) -> list[Hypothesis]:
        """In the order of the first tokens; of one of them as the strategy inside ranks them."""
        return sorted(finished, key=lambda h: int(h.columns.get("alternative", -1)))
