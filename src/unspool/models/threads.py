"""How many threads numpy's matrix products use.

The threads of OpenBLAS wait for each other by spinning. Where each has a core they halve the time of a large product; where another
process holds a core, or the system puts both on one, a step takes ten times as long and more; those of a small model took 220 ms
instead of 8. So a small model computes with one thread; for a large one each layer is timed, now and then with the other number.
"""

from __future__ import annotations

import os
import subprocess
import sys
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
TRIAL = 4
"""Pieces of work of a trial."""
REST = 50
"""A trial is followed by at least so many times its own time without one, so that trials take 2 % of all."""
SLOW = 3
"""Work on all threads that takes so many times the usual is followed by a trial at once."""
WINS = 0.95
"""What part of the usual time a trial must take to win."""
_COUNTING = Lock()


@cache
def libraries() -> list[Any]:
    """The BLAS libraries in use, as threadpoolctl shows them."""
    from threadpoolctl import ThreadpoolController

    found: list[Any] = ThreadpoolController().select(user_api="blas").lib_controllers
    return found


def blas() -> str:
    """Which BLAS numpy computes with and with which kernels, and whether OPENBLAS_CORETYPE names others than it would choose."""
    said = "; ".join(f"{b.internal_api} {b.version}, {getattr(b, 'architecture', 'unknown')}, {b.num_threads} threads" for b in libraries())
    named = os.environ.get("OPENBLAS_CORETYPE")
    chosen = _chosen() if named else ""
    if chosen and all(getattr(b, "architecture", chosen) != chosen for b in libraries()):
        said += f": OPENBLAS_CORETYPE={named} in the environment; without it the kernels would be those of {chosen}"
    return said


def _chosen() -> str:
    """The kernels that OpenBLAS takes by itself, asked in a process without the variable; "" where that cannot be known."""
    script = "import numpy; from threadpoolctl import threadpool_info as info; print(*(b.get('architecture', '') for b in info()))"
    rest = {name: value for name, value in os.environ.items() if name != "OPENBLAS_CORETYPE"}
    try:
        done = subprocess.run([sys.executable, "-c", script], env=rest, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return next(iter(done.stdout.split()), "")


class Pace:
    """Whether work of one kind is done faster alone, by one thread, or by all: learnt from the seconds it took."""

    def __init__(self) -> None:
        self.alone = True
        self.usual: deque[float] = deque(maxlen=2 * TRIAL)               # the last times as it is done now
        self.trial: list[float] = []                                     # those of a trial of the other way
        self.rest = 0.0                                                  # seconds until the next trial

    def next(self) -> bool:
        """Whether the next piece is done by one thread."""
        return self.alone if self.rest > 0 or len(self.usual) < TRIAL else not self.alone

    def saw(self, alone: bool, seconds: float) -> None:
        """Count a piece that was done."""
        with _COUNTING:
            if alone == self.alone:
                late = not alone and len(self.usual) >= TRIAL and seconds > SLOW * median(self.usual)
                self.rest = 0 if late else self.rest - seconds
                self.usual.append(seconds)
            elif self.usual:
                self._try(alone, seconds)

    def _try(self, alone: bool, seconds: float) -> None:
        """Count a piece of a trial, which is given up as soon as it cannot win."""
        self.trial.append(seconds)
        spent = sum(self.trial)
        won = spent < WINS * TRIAL * fmean(self.usual)
        if won and len(self.trial) < TRIAL:
            return
        if won:
            self.alone, self.usual = alone, deque(self.trial, maxlen=self.usual.maxlen)
        self.trial, self.rest = [], REST * spent


class ThreadChoice:
    """The threads of one model's products."""

    def __init__(self, weights: Iterable[Any], clock: Callable[[], float] = time.perf_counter) -> None:
        arrays = list(weights)
        self.plain = all(isinstance(w, np.ndarray) for w in arrays)
        self.small = self.plain and sum(w.nbytes for w in arrays) < SMALL
        self.clock, self.paces = clock, dict[tuple[str, int], Pace]()

    @contextmanager
    def work(self, kind: str, rows: int) -> Iterator[None]:
        """A context for products: with one thread for a small model, for a large one with as many as were faster.

        kind, rows: pieces of work of one kind and of about as many rows take about as long.
        """
        held = [(library, n) for library in libraries() if (n := library.get_num_threads()) != 1] if self.plain else []
        if not held:
            yield
            return
        pace = None if self.small else self.paces.setdefault((kind, rows.bit_length()), Pace())
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
