"""How many threads numpy's matrix products use.

The threads of OpenBLAS wait for each other by spinning. Where each has a core they halve the time of a large product; where another
process holds a core, or the system puts both on one, a step takes ten times as long, and those of a small model always take longer:
220 ms instead of 8. So a small model computes with one thread, and for a large one the steps themselves are timed.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from statistics import fmean, median
from threading import Lock
from typing import Any

import numpy as np

SMALL = 64 << 20
"""Bytes of weights below which one thread computes."""
TRIAL = 3
"""Steps of a trial."""
AGAIN, SELDOM = 64, 1024
"""Steps until the next trial: at first, and at most; each trial that changes nothing doubles them."""
SLOW = 3
"""A step of so many times the usual one is followed by a trial."""
FASTER = 0.95
"""What part of the time a trial must take to win."""
MANY = 16
"""Rows from which on the first steps take all threads: their products are long, and waiting for each other is little of them."""
_COUNTING = Lock()


@cache
def libraries() -> list[Any]:
    """The BLAS libraries in use, as threadpoolctl shows them."""
    from threadpoolctl import ThreadpoolController

    found: list[Any] = ThreadpoolController().select(user_api="blas").lib_controllers
    return found


class Pace:
    """Whether steps of one kind are faster alone, with one thread, or with all: learnt from what they took."""

    def __init__(self, alone: bool) -> None:
        self.alone = alone
        self.times: deque[float] = deque(maxlen=3 * TRIAL)               # the last steps as they are done now
        self.trial: list[float] = []                                     # those done in the other way
        self.left, self.wait = TRIAL, AGAIN                              # steps until the trial; then until the next

    def next(self) -> bool:
        """Whether the next step is done with one thread."""
        return self.alone if self.left > 0 else not self.alone

    def saw(self, alone: bool, seconds: float) -> None:
        """Count a step that was done."""
        with _COUNTING:
            self._count(alone, seconds)

    def _count(self, alone: bool, seconds: float) -> None:
        if alone == self.alone:
            late = len(self.times) >= TRIAL and seconds > SLOW * median(self.times)
            self.times.append(seconds)
            self.left = 0 if late else self.left - 1
            self.wait = AGAIN if late else self.wait
            return
        self.trial.append(seconds)
        bound = FASTER * fmean(self.times)
        if sum(self.trial) < TRIAL * bound and len(self.trial) < TRIAL:
            return
        if sum(self.trial) < TRIAL * bound:
            self.alone, self.wait, self.times = alone, AGAIN, deque(self.trial, maxlen=self.times.maxlen)
        else:                                                            # lost, or already cannot win
            self.wait = min(2 * self.wait, SELDOM)
        self.trial, self.left = [], self.wait


class Threads:
    """The threads of one model's products."""

    def __init__(self, weights: Iterable[Any], clock: Callable[[], float] = time.perf_counter) -> None:
        arrays = list(weights)
        self.plain = all(isinstance(w, np.ndarray) for w in arrays)
        self.small = self.plain and sum(w.nbytes for w in arrays) < SMALL
        self.clock, self.paces = clock, dict[tuple[str, int], Pace]()

    @contextmanager
    def step(self, kind: str, rows: int) -> Iterator[None]:
        """A context for products: with one thread for a small model, for a large one with as many as were faster.

        kind, rows: steps of one kind and of about as many rows take about as long.
        """
        held = [(library, n) for library in libraries() if (n := library.get_num_threads()) != 1] if self.plain else []
        if not held:
            yield
            return
        pace = None if self.small else self.paces.setdefault((kind, rows.bit_length()), Pace(rows < MANY))
        alone, begun = pace is None or pace.next(), self.clock()
        try:
            for library, _ in held if alone else ():
                library.set_num_threads(1)
            yield
            if pace is not None:
                pace.saw(alone, self.clock() - begun)
        finally:
            for library, n in held if alone else ():
                library.set_num_threads(n)
