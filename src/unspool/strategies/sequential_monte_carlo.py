"""Sequential Monte Carlo: texts of p(text | valid), and an estimate of p(valid)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from unspool.arrays import INF, Floats, Ints, host, like, logsumexp, namespace
from unspool.errors import DeadEnd, check
from unspool.frontier import Frontier, order_among_siblings
from unspool.randomness import draw, uniform
from unspool.step import Hypothesis
from unspool.strategies.stochastic_beam import gumbel
from unspool.strategy import Choice, Run, Strategy

CUT = ("length", "context", "time")
"""Reasons that end a text which is not at its end."""


@dataclass(frozen=True)
class SequentialMonteCarlo(Strategy):
    """Draw n texts from the model's distribution given that the text is valid: that the processors leave all of it possible.

    Masking token by token draws from another distribution: it never sees that a token leads to where hardly anything is
    valid. Here `particles` texts are drawn from what the processors leave, each weighted by p(text) under the model over its
    probability under the processors; whenever the effective sample size, sum(w) ** 2 / sum(w ** 2), falls below `resample` *
    particles, the particles are drawn anew by their weights (Lew et al. 2023, arXiv 2306.03081; Loula et al. 2025, arXiv
    2504.13139). resample=0 is sequential importance sampling.

    A text's score is the logarithm of its weight / particles, so the scores of all particles (n=particles) sum, by their
    exponentials, to an unbiased estimate of p(valid). The n texts are drawn by weight without replacement.

    truncated: whether texts that are cut at the length limit are valid, too; otherwise their weight is zero.
    """

    aliases = ("smc",)
    streams = False
    particles: int
    n: int = 1
    resample: float = 0.5
    truncated: bool = False

    def __post_init__(self) -> None:
        whole = isinstance(self.particles, int) and not isinstance(self.particles, bool) and self.particles >= 1
        check(whole, f"sequential_monte_carlo(particles) needs a whole number >= 1; got {self.particles!r}")
        check(isinstance(self.n, int) and self.n >= 1, f"sequential_monte_carlo(n=...) needs a whole number n >= 1; got {self.n!r}")
        check(self.n <= self.particles, f"sequential_monte_carlo(n={self.n}) asks for more texts than particles ({self.particles})")
        check(0 <= self.resample <= 1, f"sequential_monte_carlo(resample=...) needs a share in [0, 1]; got {self.resample!r}")

    def run(self, frontier: Frontier) -> Run:
        """Each round weigh the particles and draw a token each; one that has ended waits for the others of its prompt."""
        at, step = np.repeat(np.arange(len(frontier)), self.particles), 0
        particles = living(frontier, at, np.full(len(at), -np.log(self.particles)))
        while len(particles):
            mass = possible(frontier)
            particles = self.drawn_anew(weighed(particles, mass), frontier, step)
            particles = self.valid(with_tokens(particles, frontier, mass), frontier)
            grows = particles["done"] == ""
            over = ~np.isin(particles["prompt"], particles["prompt"][grows])
            now, later = particles[grows | over], particles[~grows & ~over]
            if not len(now):
                return
            order = now["weight"] + gumbel(drawn(frontier, now["prompt"], step, "order", order_among_siblings(now["prompt"])))
            waits = list(dict.fromkeys(later["row"]))
            frontier = yield Choice(now["token"], now["row"], now["weight"], now["done"], {"order": order}, waits)
            particles = np.concatenate([later, living(frontier, np.arange(len(frontier)), frontier["score"])])
            step += 1

    def drawn_anew(self, particles: Particles, frontier: Frontier, step: int) -> Particles:
        """Of each prompt as many particles as there were, drawn by weight at even distances, where weights are uneven."""
        kept = []
        for prompt in dict.fromkeys(particles["prompt"]):
            some = particles[particles["prompt"] == prompt]
            share = np.exp(some["weight"] - logsumexp(some["weight"]))
            if (some["done"] == "").any() and 1 / (share**2).sum() < self.resample * self.particles:
                aims = (np.arange(self.particles) + drawn(frontier, prompt, step, "resample")) / self.particles
                index = np.searchsorted(np.cumsum(share), aims, side="right").clip(max=len(some) - 1)
                total = float(logsumexp(some["weight"])[0])
                some = some[index]
                some["weight"] = total - np.log(self.particles)
            kept.append(some)
        return np.concatenate(kept) if kept else particles

    def valid(self, particles: Particles, frontier: Frontier) -> Particles:
        """Those that are not cut; an error if of a prompt there were only such."""
        cut = np.isin(particles["done"], CUT) & (not self.truncated)
        lost = set(particles["prompt"]) - set(particles["prompt"][~cut])
        if lost:
            limit = frontier.search.limits[min(lost)]
            raise DeadEnd(
                f"none of {self.particles} particles is at its end within {limit} tokens, so p(valid) is estimated to be 0: "
                "raise the limit, or count texts that are cut, by sequential_monte_carlo(truncated=True)"
            )
        return particles[~cut]

    def rank(self, finished: list[Hypothesis]) -> list[Hypothesis]:
        """In the order in which they were drawn."""
        return sorted(finished, key=lambda h: -float(h.columns["order"]))[: self.n]


PARTICLE = np.dtype([("prompt", "i8"), ("row", "i8"), ("at", "i8"), ("token", "i8"), ("weight", "f8"), ("done", "O")])
Particles: TypeAlias = np.ndarray
"""(P,) of PARTICLE; where `done` is empty, `at` is the row's place in the frontier, otherwise `token` ends the text."""


def drawn(frontier: Frontier, prompt: Ints, step: int, purpose: str, index: Any = 0) -> Floats:
    """Uniforms that belong to prompts and no row of theirs."""
    return uniform(frontier.search.seed, frontier.search.lineages[prompt], step, purpose, index)


def living(frontier: Frontier, at: Ints, weights: Floats) -> Particles:
    """Particles at rows of a frontier."""
    particles = np.zeros(len(at), PARTICLE)
    particles["prompt"], particles["row"], particles["at"] = frontier["prompt"][at], frontier.rows[at], at
    particles["weight"], particles["done"] = weights, ""
    return particles


def possible(frontier: Frontier) -> Floats:
    """(R,), the log of the model's probability of all tokens that the processors leave possible."""
    xp = namespace(frontier.scores)
    kept = xp.where(frontier.scores > -INF, frontier.logits, -INF)
    return np.asarray(host(logsumexp(kept)).astype(np.float64) - host(frontier.raw_total))[:, 0]


def weighed(particles: Particles, mass: Floats) -> Particles:
    """Living particles weighed by what is possible after them; without those that cannot go on."""
    live = particles["done"] == ""
    particles["weight"][live] += mass[particles["at"][live]]
    return particles[particles["weight"] > -INF]


def with_tokens(particles: Particles, frontier: Frontier, mass: Floats) -> Particles:
    """Living particles with a token each, and why they are done if they are."""
    live = particles["done"] == ""
    if not live.any():
        return particles
    at = particles["at"][live]
    scores = frontier.scores[like(at, frontier.scores)]
    tokens = np.asarray(host(draw(scores, frontier.uniform("sample", at))))
    raw, processed = frontier.pick(at, tokens)
    particles["token"][live] = tokens
    particles["weight"][live] += raw - processed - mass[at]
    particles["done"][live] = frontier.ends(at, tokens)
    return particles
