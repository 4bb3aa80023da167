"""Sequential Monte Carlo: texts of p(text | valid), and an estimate of p(valid)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unspool.arrays import INF, Floats, logsumexp, or_zero
from unspool.core.frontier import Frontier
from unspool.core.strategy import Asks, Choice, Strategy
from unspool.errors import DeadEnd, check, number, whole
from unspool.record.step import Hypothesis
from unspool.strategies.stochastic_beam import gumbel

WHOLE = ("end", "complete", "stop")
"""Reasons for which a text is at its end; under any other it was cut."""


@dataclass(frozen=True)
class SequentialMonteCarlo(Strategy):
    """Draw n texts from the model's distribution given that the text is valid: that the processors leave all of it possible.

    Masking token by token draws from another distribution: it never sees that a token leads to where hardly anything is
    valid. Here `particles` texts are drawn from what the processors leave, each weighted by p(text) under the model over its
    probability under the processors; whenever the effective sample size of those that go on, sum(w) ** 2 / sum(w ** 2), is below
    `resample` times their number, they are drawn anew by their weights (Lew et al. 2023, arXiv 2306.03081; Loula et al. 2025,
    arXiv 2504.13139). resample=0 is sequential importance sampling. A text that has ended keeps its weight: it has paid for its
    end, which the others have not, so that they could not be compared.

    A text's score is the logarithm of its weight / particles, so the scores of all particles (n=particles) sum, by their
    exponentials, to an unbiased estimate of p(valid). The n texts are drawn by weight without replacement.

    truncated: whether texts that are cut, by a limit or by a stop such as loop or confidence, are valid, too; otherwise their
    weight is zero. A stop string is an end.
    """

    aliases = ("smc",)
    streams = False
    joins = True
    particles: int
    n: int = 1
    resample: float = 0.5
    truncated: bool = False

    def __post_init__(self) -> None:
        whole("sequential_monte_carlo(particles)", self.particles, 1)
        whole("sequential_monte_carlo(n=...)", self.n, 1)
        check(self.n <= self.particles, f"sequential_monte_carlo(n={self.n}) asks for more texts than particles ({self.particles})")
        number("sequential_monte_carlo(resample=...)", self.resample, 0, 1)

    def run(self, frontier: Frontier) -> Asks:
        """Each round draw the particles anew where their weights are uneven, then a token for each."""
        frontier = self.begin(frontier)
        while len(frontier):
            frontier, weights = self.drawn_anew(frontier, frontier["score"])
            u = frontier.uniform("sample")
            tokens = frontier.draw(u)
            raw, processed = frontier.pick(np.arange(len(frontier)), tokens)
            weights = weights + np.where(processed > -INF, raw - or_zero(processed), -INF)
            lots = weights + gumbel(frontier.uniform("sequential_monte_carlo lot"))
            frontier = yield Choice(tokens, frontier.rows, weights, columns={"lot": lots}, uniform=u)

    def begin(self, frontier: Frontier) -> Frontier:
        """The particles of every prompt; the logarithm of its weight is the score of each."""
        frontier = frontier.take(np.repeat(np.arange(len(frontier)), self.particles))
        frontier.columns |= {"score": np.full(len(frontier), -np.log(self.particles)), "lot": np.zeros(len(frontier))}
        return frontier

    def drawn_anew(self, frontier: Frontier, weights: Floats) -> tuple[Frontier, Floats]:
        """The particles, those of a prompt drawn by weight, at even distances, where their weights are uneven."""
        prompts, order, new = frontier["prompt"], np.arange(len(frontier)), weights.copy()
        for prompt in np.unique(prompts):
            mine = np.flatnonzero(prompts == prompt)
            total = logsumexp(weights[mine])
            share = np.exp(weights[mine] - total)
            if 1 / (share**2).sum() < self.resample * len(mine):
                u = frontier.take(mine[:1]).uniform("resample", of="prompt")
                places = np.searchsorted(np.cumsum(share), (np.arange(len(mine)) + u) / len(mine), side="right")
                order[mine] = mine[places.clip(max=len(mine) - 1)]
                new[mine] = total - np.log(len(mine))
        return frontier.take(order), new

    def rank(self, finished: list[Hypothesis]) -> list[Hypothesis]:
        """In the order in which they are drawn, without those that are cut if they are not valid."""
        valid = [h for h in finished if self.truncated or h.reason in WHOLE]
        if finished and not valid:
            raise DeadEnd(
                f"none of {self.particles} particles came to its end before it was cut, so p(valid) is estimated to be 0: raise "
                "the limit on length, or count texts that are cut by sequential_monte_carlo(truncated=True)"
            )
        return sorted(valid, key=lambda h: -float(h.columns.get("lot", INF)))[: self.n]

    def most_rows(self) -> int:
        return self.particles
