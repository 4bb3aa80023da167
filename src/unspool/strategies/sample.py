"""Ancestral sampling: draw every token from its distribution."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unspool.arrays import host, like
from unspool.core.frontier import Frontier
from unspool.core.randomness import draw
from unspool.core.strategy import Choice, Run, Strategy
from unspool.errors import whole
from unspool.record.step import Hypothesis


@dataclass(frozen=True)
class Sample(Strategy):
    """Draw n texts, token by token, from the distribution that the processors leave.

    The i-th text of a prompt is the same for every n, batch and order: its draws depend on the seed, the prompt, i and
    the step alone.
    """

    aliases = ("sampling",)
    n: int = 1

    def __post_init__(self) -> None:
        whole("sample(n)", self.n, 1)

    def run(self, frontier: Frontier) -> Run:
        """Fork every prompt n times, then let each row go its own way."""
        at = np.repeat(np.arange(len(frontier)), self.n)
        texts = np.tile(np.arange(self.n), len(frontier))
        while len(frontier):
            u = frontier.uniform("sample", at)
            scores = frontier.scores
            tokens = host(draw(scores if len(at) == len(frontier) else scores[like(at, scores)], u))
            frontier = yield Choice(tokens, frontier.rows[at], memory={"text": texts}, uniform=u)
            at = np.arange(len(frontier))
            texts = frontier["text"]

    def rank(self, finished: list[Hypothesis]) -> list[Hypothesis]:
        """In the order in which they were begun."""
        return sorted(finished, key=lambda h: int(h.columns["text"]))
