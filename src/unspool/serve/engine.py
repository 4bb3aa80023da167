"""The engine: one thread that runs the batch, and the queue before it."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from unspool.serve.batch import OneBatch, Work
from unspool.serve.errors import BUSY, WAIT, Refused, stopping


class Leaver(Protocol):
    """What waits for runs, and can leave them."""

    def leave(self) -> None:
        """Wait no longer."""


class EngineThread:
    """Runs all requests in one batch; runs that find no room wait in their order.

    rows: how many rows grow together at most; a request of more runs alone. queue: how many requests may wait.
    """

    def __init__(self, rows: int = 64, queue: int = 256, watch: Callable[[int], None] = lambda rows: None) -> None:
        self.rows, self.queue, self.watch = rows, queue, watch
        self.batch = OneBatch()
        self.waiting: deque[list[Work]] = deque()
        self._changed = threading.Condition()
        self._end_by = math.inf
        """When what is at work is broken off; finite once the engine is to stop."""
        self._thread = threading.Thread(target=self._serve, name="unspool-engine", daemon=True)

    def start(self) -> None:
        """Begin to serve."""
        self._thread.start()

    def submit(self, works: Sequence[Work]) -> None:
        """Let the runs of a request take part as soon as there is room for them all; refused where too many wait."""
        with self._changed:
            if self._stopping:
                raise stopping()
            self.waiting.append(list(works))
            self._admit()
            if len(self.waiting) > self.queue:
                self.waiting.pop()
                raise Refused(f"{self.queue} requests wait already; try again", status=429, kind=BUSY, code="queue_full", wait=WAIT)
            self._changed.notify()

    def wake(self) -> None:
        """Look again at who is there: a client has gone."""
        with self._changed:
            self._changed.notify()

    def leave(self, waiting: Leaver) -> None:
        """End the waiting of a client that has gone, and with it what runs for nobody else."""
        waiting.leave()
        self.wake()

    def stop(self, grace: float) -> None:
        """Take no more requests; those at work may go on for so many seconds, and are broken off then."""
        with self._changed:
            self._end_by = min(self._end_by, time.monotonic() + grace)
            self._changed.notify()

    def join(self) -> None:
        """Wait until nothing is at work any longer, after `stop`."""
        self._thread.join()

    @property
    def _stopping(self) -> bool:
        return self._end_by < math.inf

    @property
    def alive(self) -> bool:
        """Whether the thread is at work."""
        return self._thread.is_alive()

    def _forget(self) -> None:
        """Requests that nobody waits for leave the queue."""
        for works in [works for works in self.waiting if all(work.gone for work in works)]:
            self.waiting.remove(works)
            for work in works:
                work.stream.give_up()

    def _admit(self) -> None:
        """Those at the head of the queue come in while there is room."""
        self._forget()
        while self.waiting:
            rows = sum(work.rows for work in self.waiting[0])
            if self.batch.busy and self.batch.rows + rows > self.rows:
                return
            for work in self.waiting.popleft():
                self.batch.add(work)

    def _refuse_waiting(self) -> None:
        """Requests that have not come in are told that the server is stopping."""
        while self.waiting:
            for work in self.waiting.popleft():
                work.stream.give_up()
                work.over(stopping())

    def _serve(self) -> None:
        while True:
            with self._changed:
                self._admit()
                while not self.batch.busy:
                    if self._stopping:
                        return
                    self._changed.wait()
                    self._admit()
                if time.monotonic() >= self._end_by:
                    self._refuse_waiting()
                    for work in [*self.batch.work, *self.batch.entering]:
                        work.until, work.stopped = 0.0, True
            self.watch(self.batch.round(time.monotonic()))
