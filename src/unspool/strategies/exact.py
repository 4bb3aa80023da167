"""Exact search: the most probable texts, with proof."""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np

from unspool.core.frontier import Frontier
from unspool.core.strategy import Asks, Choice, Dropped, Strategy
from unspool.errors import whole
from unspool.record.step import Hypothesis

LISTED = 100
"""Prefixes, of those that were never followed, that the record holds."""


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
        whole("exact(n)", self.n, 1)
        whole("exact(expand=...)", self.expand, 0)

    def run(self, frontier: Frontier) -> Asks:
        """Grow the best prefix of the queue until n texts have finished."""
        queue: list[tuple[float, int, int]] = []                         # (cost, row, token)
        queued: dict[int, int] = {}                                      # row -> how many of its tokens are queued
        found = 0
        while True:
            if len(frontier):
                values, tokens = frontier.top(self.expand or frontier.vocabulary)
                row, score = int(frontier.rows[0]), float(frontier["score"][0])
                possible = values[0] > -np.inf
                costs = -(score + values[0, possible])
                queued[row] = len(costs)
                for cost, token in zip(costs.tolist(), tokens[0, possible].tolist(), strict=True):
                    heapq.heappush(queue, (cost, row, token))
            if not queue:
                return
            cost, row, token = heapq.heappop(queue)
            queued[row] -= 1
            dropped = self._bounded(frontier, queue, row, token) if found + 1 == self.n and frontier.records else None
            waits = [r for r in frontier.rows.tolist() if queued[r]]
            frees = [] if queued[row] else [row]
            frontier = yield Choice([token], [row], [-cost], waits=waits, frees=frees, dropped=dropped)
            found += len(frontier) == 0
            if found == self.n:
                return

    def _bounded(self, frontier: Frontier, queue: list[tuple[float, int, int]], row: int, token: int) -> Dropped | None:
        """What the bound spared if this token ends the search: the likeliest prefixes that were never followed."""
        source, i = frontier.place(row)
        if not queue or source.reasons(np.asarray([i]), np.asarray([token]))[0] == "":
            return None
        costs, rows, tokens = map(np.asarray, zip(*heapq.nsmallest(LISTED, queue), strict=True))
        return Dropped(tokens, rows, -costs, np.full(len(costs), "bounded", dtype=object))

    def rank(self, finished: list[Hypothesis]) -> list[Hypothesis]:
        """In the order found, which is by log-probability."""
        return finished[: self.n]
