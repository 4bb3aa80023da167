"""Best-first branch and bound over the tree of tokens: the agenda of exact search."""

from __future__ import annotations

import heapq
import time
from bisect import insort
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from unspool.arrays import Floats, Ints, host, or_zero
from unspool.core.frontier import Frontier
from unspool.core.strategy import Choice, Dropped
from unspool.errors import ParameterError
from unspool.processors.force import tree_of
from unspool.record.certificate import Certificate
from unspool.strategies.lengths import Bounds

GLANCED, AGAIN = 64, 8
"""So many of a row's best tokens are looked at first, and so many times more whenever they are used up: a row that waits is small."""
LISTED = 100
"""Prefixes, of those that were never followed, that the record holds."""
NEARLY = 1e-4
"""By so much a token may add more than was said, for scores are numbers of 32 bits."""


Child: TypeAlias = tuple[int, int, float, str]
"""(row, token, score, reason)"""


@dataclass(eq=False)
class Open:
    """A row with children that did not grow, best first."""

    row: int
    total: float
    """The sum of its tokens' scores."""
    tokens: Ints
    totals: Floats
    """(K,), the sums of its children."""
    bounds: Floats
    """(K,), what no text that goes on from a child exceeds."""
    read: int
    """How many of its tokens were looked at; 0 if all there are."""
    at: Any
    """Its place in the tree of texts among which is searched."""
    next: int = 0
    order: int = 0
    """Of its entry in the queue; 0 if it waits no longer."""

    @property
    def bound(self) -> float:
        """That of its best child; -inf if none is left."""
        return float(self.bounds[self.next]) if self.next < len(self.bounds) else -np.inf


class Hunt:
    """The state of one search: open rows by their bounds, the best scores found, and what was left aside."""

    def __init__(
        self,
        start: Frontier,
        bounds: Bounds,
        *,
        n: int,
        expand: int,
        renormalise: bool,
        nodes: int,
        seconds: float,
        among: Sequence[tuple[int, ...]],
        contains: Callable[[list[int]], bool],
    ) -> None:
        self.start, self.bounds = start, bounds
        self.n, self.expand, self.renormalise, self.nodes, self.contains = n, expand, renormalise, nodes, contains
        self.prompt, self.node = int(start["prompt"][0]), int(start["node"][0])
        self.prompt_length = int(start.prompt_lengths[0])
        self.rows: dict[int, Open] = {}
        self.heap: list[tuple[float, int, Open]] = []                    # (-bound, order, row)
        self.order = self.grown = self.dived = 0
        self.best: list[float] = []                                      # the n best scores, worst first
        self.committed: list[float] = []                                 # those of them that the search has taken down
        self.aside = -np.inf                                             # the largest bound of what was left aside
        self.children: list[Child] = []                                  # those of the next choice
        self.freed: list[int] = []
        self.diving: Open | None = None
        self.budget = bool(nodes or seconds)
        self.dives = self.first_dive = self.budget
        """Whether the row that grows is dived from: goes on by its best child; and whether that is the first time."""
        self.deadline = time.monotonic() + seconds if seconds else np.inf
        self.at: Any = tree_of(among) if among else None                 # the place of the row that grows next
        self.over = False

    # --- a round ----------------------------------------------------------------------------------------------------------

    def choose(self, frontier: Frontier) -> Choice | None:
        """The next choice, given what came of the last one; None at the end."""
        self.committed, self.children, self.freed = list(self.best), [], []
        if len(frontier):
            self._open(frontier)
        grows = None if self.over else self._next()
        frontier.certify(self._certificate(grows, self.committed, self.children))
        self.proved = self._certificate(grows, self.best, [])
        if grows is None:
            dropped = None if self.over else self._bounded(frontier)
            self.over = True
            if not self.children and dropped is None:
                return None
            return self._choice(dropped=dropped)
        self.children.append((*grows[:3], ""))
        waits = [row for row in frontier.rows.tolist() if row in self.rows]
        return self._choice(waits=waits, frees=self.freed)

    def _choice(self, **more: Any) -> Choice:
        rows, tokens, scores, reasons = zip(*self.children, strict=True) if self.children else ((), (), (), ())
        children = np.asarray(tokens, np.int64), np.asarray(rows, np.int64), np.asarray(scores, np.float64), list(reasons)
        return Choice(*children, certificate=self.proved, **more)

    def _next(self) -> tuple[int, int, float, float] | None:
        """The child that grows next, and its bound: the best of all, or of the row that is dived from. None where nothing is left."""
        while True:
            top = self._top()
            dive, self.diving = self.diving, None
            if self.first_dive and dive is None and self.grown:
                self.first_dive = False
            if top is None or top.bound <= self.least or (not self.first_dive and self._spent()):
                return None
            row = dive if dive is not None and dive.bound > self.least else top
            token, total, bound = int(row.tokens[row.next]), float(row.totals[row.next]), row.bound
            at = None if row.at is None else row.at[token]
            source, i = self.start.place(row.row)
            reason = reason_of(source, i, token)
            length = int(source.generated[i]) + 1
            self._advance(row, source, i)
            if reason or (at is not None and None in at):
                self._offer(source, i, token, total, reason, at)
            if not reason and (at is None or any(t is not None for t in at)):
                self.at = at
                self.grown += 1
                self.dives = self.budget and (dive is row or 2 * self.dived <= self.grown) and length < self.bounds.most
                self.dived += self.dives
                return row.row, token, total, bound

    def _top(self) -> Open | None:
        """The row of the largest bound."""
        while self.heap and self.heap[0][1] != self.heap[0][2].order:    # it has moved on, or is given up
            heapq.heappop(self.heap)
        return self.heap[0][2] if self.heap else None

    @property
    def least(self) -> float:
        """What a text must exceed to be among the n best; -inf while there are fewer."""
        return self.best[0] if len(self.best) == self.n else -np.inf

    def _spent(self) -> bool:
        return (0 < self.nodes <= self.grown) or time.monotonic() >= self.deadline

    # --- rows -------------------------------------------------------------------------------------------------------------

    def _open(self, frontier: Frontier) -> None:
        """Read a row that has grown: its texts that end are offered, its best children wait in the queue."""
        row = Open(int(frontier.rows[0]), float(frontier["score"][0]), *EMPTY, 0, self.at)
        length = int(frontier.generated[0]) + 1
        ending = np.asarray([] if row.at is not None else frontier.end_tokens, np.int64)
        if self.expand and len(ending):
            ending = ending[np.isin(ending, frontier.top(min(self.expand, frontier.vocabulary))[1])]
        values = self._values(frontier, ending)
        for token, value in zip(ending.tolist(), values.tolist(), strict=True):
            if value > -np.inf:
                self._check(value)
                self._offer(frontier, 0, token, row.total + value, "end", None)
        self._read(row, frontier, 0)
        if length >= self.bounds.most and row.at is None:                # all children are whole texts
            while row.bound > self.least:
                token, total = int(row.tokens[row.next]), float(row.totals[row.next])
                row.next += 1
                self._offer(frontier, 0, token, total, reason_of(frontier, 0, token), None)
                if row.next == len(row.tokens) and row.read:
                    self._read(row, frontier, 0)
            self.aside = max(self.aside, row.bound)
            return
        self.rows[row.row] = row
        likeliest = float(values.max(initial=-np.inf)) + row.total
        self.diving = row if self.dives and row.totals.max(initial=-np.inf) > likeliest else None
        self._queue(row)

    def _read(self, row: Open, source: Frontier, i: int) -> None:
        """The next of a row's children: those that may be among the n best, or all of a tree of texts."""
        row.next = 0
        if row.at is not None:
            tokens = np.asarray([t for t in row.at if t is not None], np.int64)
            values = self._values(source.take([i]), tokens)
            order = np.argsort(-values, kind="stable")
            tokens, values, row.read = tokens[order], values[order], 0
        else:
            wanted = self.expand or source.vocabulary
            before, many = row.read, min(wanted, source.vocabulary, row.read * AGAIN or GLANCED)
            tokens, values = (found[0] for found in source.take([i]).top(many, self.renormalise))
            if self.expand and many == wanted < source.vocabulary:
                rest = source.take([i]).top(many + 1, self.renormalise)[0][0, -1:]
                self._aside(row.total + rest, int(source.generated[i]) + 1)
            row.read = 0 if many == min(wanted, source.vocabulary) else many
            tokens, values = values[before:], tokens[before:]
            ends = np.isin(tokens, source.end_tokens)
            tokens, values = tokens[~ends], values[~ends]
        possible = values > -np.inf
        row.tokens, row.totals = tokens[possible], row.total + values[possible]
        if possible.any():
            self._check(float(values[possible].max()))
        row.bounds = self.bounds.of(row.totals, int(source.generated[i]) + 1)
        if not len(row.tokens) and row.read:
            self._read(row, source, i)

    def _values(self, frontier: Frontier, tokens: Ints) -> Floats:
        """What tokens add to the score of a frontier's only row: (K,)."""
        if not len(tokens):
            return np.zeros(0)
        values = np.asarray(host(frontier.scores), np.float64)[0, tokens]
        return np.asarray(values - float(or_zero(host(frontier.processed_total))[0, 0])) if self.renormalise else values

    def _check(self, value: float) -> None:
        """Refuse a token that adds more than the bound allows for."""
        if not self.renormalise and value > self.bounds.gain + NEARLY:
            hint = "put log_softmax first, or " if not self.bounds.gain else ""
            raise ParameterError(
                f"exact(gain={self.bounds.gain:g}): a token adds {value:.4g} to a score, more than the bound allows for: {hint}"
                f"give exact(gain=...) the most that a token may add, at least {np.ceil(value * 1000) / 1000:g}"
            )

    def _advance(self, row: Open, source: Frontier, i: int) -> None:
        """A row's best child is taken: read on if it was the last one read, and give the row up if nothing is left of it."""
        row.next += 1
        if row.next == len(row.tokens) and row.read:
            self._read(row, source, i)
        self._queue(row)

    def _queue(self, row: Open) -> None:
        """A row waits if a child of it may be among the n best."""
        if row.bound > self.least:
            self.order += 1
            row.order = self.order
            heapq.heappush(self.heap, (-row.bound, row.order, row))
        else:
            self.aside = max(self.aside, row.bound)
            row.order = 0
            self.rows.pop(row.row, None)
            self.freed.append(row.row)

    # --- texts ------------------------------------------------------------------------------------------------------------

    def _offer(self, source: Frontier, i: int, token: int, total: float, reason: str, at: Any) -> None:
        """A text that is whole: it is found, if it is wanted and among the n best so far."""
        if at is not None:
            if None not in at:
                return
            reason = reason or "followed"
        score = self.bounds.score(total, int(source.generated[i]) + 1, reason == "end")
        if score <= self.least:
            self.aside = max(self.aside, score)
            return
        if not self.contains([*source.tokens(i)[self.prompt_length :].tolist(), token]):
            return
        insort(self.best, score)
        if len(self.best) > self.n:
            self.aside = max(self.aside, self.best.pop(0))
        self.children.append((int(source.rows[i]), token, score, reason))

    def _aside(self, totals: Floats, length: int) -> None:
        """Children that are not looked at count for the bound all the same."""
        possible = totals[totals > -np.inf]
        self.aside = max(self.aside, float(self.bounds.of(possible, length).max(initial=-np.inf)))

    def _certificate(self, grows: tuple[int, int, float, float] | None, found: list[float], pending: list[Child]) -> Certificate:
        """What is proved if these scores are found, and these texts are not yet."""
        top = self._top()
        open_bounds = [*([] if top is None else [top.bound]), *([] if grows is None else [grows[3]])]
        bound = max([self.aside, *open_bounds, *(score for _, _, score, _ in pending)])
        given = "" if self.renormalise else f"no token adds more than {self.bounds.gain:g} to a score"
        return Certificate(self.prompt, self.node, self.n, sorted(found, reverse=True), float(bound), self.grown, given)

    def _bounded(self, frontier: Frontier) -> Dropped | None:
        """What the bound spared: the likeliest prefixes that were never followed, for the record."""
        if not frontier.records:
            return None
        spared = [
            (float(bound), row.row, int(token))
            for row in self.rows.values()
            for bound, token in zip(row.bounds[row.next :][:LISTED], row.tokens[row.next :][:LISTED], strict=True)
        ]
        if not spared:
            return None
        bounds, rows, tokens = map(np.asarray, zip(*heapq.nlargest(LISTED, spared), strict=True))
        return Dropped(tokens, rows, bounds, np.full(len(bounds), "bounded", dtype=object))


def reason_of(source: Frontier, i: int, token: int) -> str:
    """Why a text that goes on by this token would be whole; "" if it would not."""
    return str(source.reasons(np.asarray([i], np.int64), np.asarray([token], np.int64))[0])


EMPTY = np.zeros(0, np.int64), np.zeros(0), np.zeros(0)
"""The children of a row that nobody has read."""
