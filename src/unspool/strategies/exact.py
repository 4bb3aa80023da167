"""Exact search: the most probable texts, with proof."""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np

from unspool.errors import check
from unspool.frontier import Frontier
from unspool.step import Hypothesis
from unspool.strategy import Choice, Run, Strategy


@dataclass(frozen=True)
class Exact(Strategy):
    """The n most probable finished texts, best first, by uniform-cost search.

    A prefix is never less probable than what extends it, so the first text that is taken from the queue finished is the
    best of all (cf. Stahlberg and Byrne 2019, arXiv 1908.10090, and Meister, Vieira and Cotterell 2020, arXiv 2007.03909).
    Rows that are not the best wait in the session. The search may visit very many prefixes; `expand` bounds how many of a
    row's best tokens are queued (0: all, which alone is exact).
    """

    many = False
    n: int = 1
    expand: int = 0

    def __post_init__(self) -> None:
        check(isinstance(self.n, int) and self.n >= 1, f"exact(n) needs a whole number n >= 1; got {self.n!r}")
        check(isinstance(self.expand, int) and self.expand >= 0, f"exact(expand=...) needs a whole number >= 0; got {self.expand!r}")

    def run(self, frontier: Frontier) -> Run:
        """Grow the best prefix of the queue until n texts have finished."""
        queue: list[tuple[float, int, int]] = []                         # (cost, row, token)
        open_tokens: dict[int, int] = {}                                 # row -> how many of its tokens are queued
        found = 0
        while True:
            if len(frontier):
                values, tokens = frontier.top(self.expand or frontier.lane.model.vocabulary)
                row, score = int(frontier.rows[0]), float(frontier["score"][0])
                possible = np.flatnonzero(values[0] > -np.inf)
                for i in possible:
                    heapq.heappush(queue, (-(score + values[0, i]), row, int(tokens[0, i])))
                open_tokens[row] = len(possible)
            if not queue:
                return
            cost, row, token = heapq.heappop(queue)
            open_tokens[row] -= 1
            frontier = yield Choice([token], [row], [-cost], waits=[r for r, count in open_tokens.items() if count])
            found += len(frontier) == 0
            if found == self.n:
                return

    def rank(self, finished: list[Hypothesis]) -> list[Hypothesis]:
        """In the order found, which is by log-probability."""
        return finished[: self.n]
