"""Best-first beam search: what beam search finds, without the beams that come to nothing."""

from __future__ import annotations

import heapq
from collections import Counter
from dataclasses import dataclass

import numpy as np

from unspool.core.frontier import Frontier
from unspool.core.strategy import Asks, Choice, Strategy
from unspool.errors import check, whole
from unspool.record.step import Hypothesis
from unspool.strategies.beam import enough


@dataclass(frozen=True)
class BestFirst(Strategy):
    """Find what beam search finds, growing always the best prefix of any length, but at each length no more than `width`.

    Prefixes wait in a queue, the most probable first. Of those that leave it, only the best of their length count, by beam search's
    own rule, so prefixes of a length beyond its beams are never grown, and the search ends with the n-th finished text: no other can be
    more probable (Meister, Vieira and Cotterell 2020, arXiv 2007.03909). The texts are those of
    beam(width, length_penalty=0, early_stopping="never", n=n); of prefixes as probable as each other, the one that was queued first leaves
    first. Rows grow one at a time, so fewer of them grow, and each forward is of one row.
    """

    many = False
    width: int
    n: int = 1

    def __post_init__(self) -> None:
        whole("best_first(width)", self.width, 1)
        whole("best_first(n=...)", self.n, 1)
        check(self.n <= self.width, f"best_first(n={self.n}) asks for more texts than {self.width} beams find; raise width")

    def run(self, frontier: Frontier) -> Asks:
        """Grow the best prefix of the queue that its length has room for."""
        queue: list[tuple[float, int, int, int, int, str]] = []          # (cost, in which order, length, row, token, reason)
        queued: Counter[int] = Counter()                                 # row -> how many of its tokens are queued
        left: Counter[int] = Counter()                                   # length -> how many have left the queue
        grown: Counter[int] = Counter()                                  # length -> how many of them go on
        order = found = 0
        while True:
            if len(frontier):
                many = enough(frontier, self.width)
                values, tokens = frontier.top(many)
                row, length = int(frontier.rows[0]), int(frontier.generated[0]) + 1
                possible = values[0] > -np.inf
                reasons = frontier.reasons(np.zeros(possible.sum(), np.int64), tokens[0, possible])
                costs = -(float(frontier["score"][0]) + values[0, possible])
                for cost, token, reason in zip(costs.tolist(), tokens[0, possible].tolist(), reasons.tolist(), strict=True):
                    heapq.heappush(queue, (cost, order := order + 1, length, row, token, reason))
                queued[row] = len(costs)
            taken = None
            frees = []
            while queue and taken is None:
                cost, _, length, row, token, reason = heapq.heappop(queue)
                queued[row] -= 1
                frees += [] if queued[row] else [row]
                counts = left[length] < (self.width if reason else many) and (bool(reason) or grown[length] < self.width)
                left[length] += 1
                if counts:
                    taken = token, row, -cost, reason
            if taken is None:
                return
            token, row, score, reason = taken
            grown[length] += not reason
            found += bool(reason)
            waits = [r for r in frontier.rows.tolist() if queued[r]]
            frontier = yield Choice([token], [row], [score], [reason], waits=waits, frees=frees)
            if found == self.n:
                return

    def rank(self, finished: list[Hypothesis]) -> list[Hypothesis]:
        """In the order found, which is by log-probability."""
        return finished[: self.n]

    def most_texts(self) -> int:
        return self.n
