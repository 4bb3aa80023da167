"""The batch: runs of many requests, each at its own place, whose forwards are one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from unspool.arrays import Ints
from unspool.core.lane import Forward, Forwards
from unspool.core.loop import Rounds
from unspool.core.together import run
from unspool.record.step import Step

PIECE_TOKENS = 256
"""Tokens of a run that go through the model in one forward."""
TOGETHER_TOKENS = 1024
"""Tokens of all runs that do, beside those of rows that grow by one."""


class Runs(Protocol):
    """What can take part: a `Stream`, or whoever else asks for forwards."""

    rounds: Rounds

    def keep(self, step: Step) -> None:
        """Take a step down."""

    def interrupt(self) -> None:
        """End now."""

    def give_up(self) -> None:
        """Free every row."""


def _nothing(_: Any) -> None:
    """Nobody listens."""


@dataclass(eq=False)
class Work:
    """A run in the batch, and who is told of it."""

    stream: Runs
    told: Callable[[Step], None] = _nothing
    """Of every step, as it is taken."""
    over: Callable[[Exception | None], None] = _nothing
    """At the end: None, or what went wrong."""
    rows: int = 1
    """How many rows it may have."""
    until: float | None = None
    """The time at which it is broken off."""
    stopped: bool = False
    """Whether that is because the server stops."""
    gone: bool = False
    """Whether nobody waits for it any longer."""
    answer: Ints | None = field(default=None, repr=False)
    pieces: Forwards[Ints] | None = field(default=None, repr=False)
    """Of a forward that is run piece by piece."""
    asks: Forward | None = field(default=None, repr=False)
    """The forward that it waits for."""

    def go_on(self) -> Forward | None:
        """Up to its next forward; None at its end."""
        while True:
            try:
                if self.pieces is not None:
                    return next(self.pieces) if self.answer is None else self.pieces.send(self.answer)
                ask = self.stream.rounds.send(self.answer)
            except StopIteration as over:
                if self.pieces is None:
                    return None
                self.answer, self.pieces = over.value, None
                continue
            self.answer = None
            if isinstance(ask, Forward):
                self.pieces = in_pieces(ask)
            else:
                self.stream.keep(ask)
                self.told(ask)


def in_pieces(ask: Forward) -> Forwards[Ints]:
    """The new rows of an ask by forwards of about `PIECE_TOKENS` tokens, so that nobody waits long for another's prompt."""
    rows = np.asarray(ask.parents, np.int64)
    size = max(1, PIECE_TOKENS // max(1, len(ask.chains)))
    for first in range(0, max(map(len, ask.chains), default=0), size):
        rows = yield Forward(ask.lane, rows, [chain[first : first + size] for chain in ask.chains], ask.every)
    return rows


class OneBatch:
    """Runs that go on together: in every round each comes to its next forward, and all of these are run in one."""

    def __init__(self) -> None:
        self.work: list[Work] = []
        self.entering: deque[Work] = deque()
        """Those that take part from the next round on; any thread may add to them."""
        self.tokens = 0
        """Tokens that went through the model for them."""

    def add(self, work: Work) -> None:
        """Let a run take part from the next round on."""
        self.entering.append(work)

    @property
    def busy(self) -> bool:
        """Whether there is a run."""
        return bool(self.work or self.entering)

    @property
    def rows(self) -> int:
        """How many rows the runs may have."""
        return sum(work.rows for work in [*self.work, *self.entering])

    def round(self, now: float) -> int:
        """Every run up to its next forward, and then that forward, of all; how many rows it had."""
        while self.entering:
            self.work.append(self.entering.popleft())
        self.work = [work for work in self.work if self._goes_on(work, now)]
        asks = [(work, work.asks) for work in self._next() if work.asks is not None]
        self._run(asks)
        self.tokens += sum(len(chain) for _, ask in asks for chain in ask.chains)
        return sum(len(ask.chains) for _, ask in asks)

    def _goes_on(self, work: Work, now: float) -> bool:
        """Bring a run to its next forward; whether it comes to one."""
        if work.gone or (work.until is not None and now >= work.until):
            self._break_off(work)
            return False
        try:
            work.asks = work.asks or work.go_on()
        except Exception as error:                                       # its own fault, and nobody else's
            self._fail(work, error)
            return False
        if work.asks is None:
            work.over(None)
        return work.asks is not None

    def _next(self) -> list[Work]:
        """The runs whose forwards are next: all that grow by a token a row, and of longer pieces those that come first."""
        found, tokens = [], 0
        for work in self.work:
            counts = [len(chain) for chain in work.asks.chains] if work.asks else []
            if max(counts, default=0) > 1:
                if tokens and tokens + sum(counts) > TOGETHER_TOKENS:
                    continue
                tokens += sum(counts)
            found.append(work)
        return found

    def _run(self, asks: list[tuple[Work, Forward]]) -> None:
        """Run the forwards, in one, or where that fails each by itself."""
        try:
            answers = run([ask for _, ask in asks])
        except Exception:
            for work, ask in asks:
                try:
                    (work.answer,), work.asks = run([ask]), None
                except Exception as error:
                    self._fail(work, error)
                    self.work.remove(work)
        else:
            for (work, _), rows in zip(asks, answers, strict=True):
                work.answer, work.asks = rows, None

    def _break_off(self, work: Work) -> None:
        """End a run as it is; its rows are given up."""
        try:
            work.stream.interrupt()
            work.stream.give_up()                                        # also what a run that had not begun had asked for
            work.over(None)
        except Exception as error:
            self._fail(work, error)

    def _fail(self, work: Work, error: Exception) -> None:
        work.stream.give_up()
        work.over(error)
