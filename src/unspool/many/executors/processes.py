"""Units run by several processes of this machine, each with a model of its own."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from typing import Any

from unspool.errors import UnspoolError, whole
from unspool.kernels.cores import cores
from unspool.many.executors.opening import ModelOpening, Worker
from unspool.many.executors.order import Lost, SeesStep, Task, W, in_order

SECONDS_TO_END = 5.0
"""Seconds that a process has to end before it is killed."""


@dataclass(eq=False)
class _Process:
    process: Any
    pipe: Connection
    unit: Task | None = None
    ready: bool = False


class Processes:
    """Some processes, each of which opens the model. One that is lost is replaced; with this process all of them end."""

    def __init__(self, opening: ModelOpening, size: int) -> None:
        whole("workers", size, 1)
        self.opening, self.size = opening, size
        self._model: dict[str, Any] | None = None
        self._workers = [self._started() for _ in range(size)]

    def model(self) -> dict[str, Any]:
        lost = 0
        while self._model is None:
            before = list(self._workers)
            self.wait()
            lost += sum(worker not in self._workers for worker in before)
            if lost >= self.size + 2:
                raise UnspoolError("the workers end before they have opened the model; is there enough memory? fewer --workers need less")
        return self._model

    def run(self, units: Iterator[W], told: SeesStep) -> Iterator[tuple[W, Any]]:
        return in_order(units, self)

    def give(self, unit: Task) -> None:
        worker = next((w for w in self._workers if w.unit is None and w.ready), None) or next(w for w in self._workers if w.unit is None)
        worker.unit = unit
        with contextlib.suppress(OSError):                                # its end is found when it is waited for
            worker.pipe.send(unit)

    def wait(self) -> list[tuple[Any, Any]]:
        found: list[tuple[Any, Any]] = []
        ready = wait([worker.pipe for worker in self._workers])
        for worker in [w for w in self._workers if w.pipe in ready]:
            try:
                said = worker.pipe.recv()
            except (EOFError, OSError):
                self._replace(worker)
                found += [(worker.unit, Lost())] if worker.unit else []
                continue
            if isinstance(said, dict):
                self._model, worker.ready = said, True
            elif worker.unit is None:                                     # the model could not be opened
                raise said
            else:
                found.append((worker.unit, said))
                worker.unit = None
        return found

    def close(self) -> None:
        for worker in self._workers:
            worker.pipe.close()
        for worker in self._workers:
            worker.process.terminate()
        for worker in self._workers:
            worker.process.join(SECONDS_TO_END)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()

    def _started(self) -> _Process:
        context = get_context("spawn")
        here, there = context.Pipe()
        process = context.Process(target=_work, args=(there, self.opening, max(1, cores() // self.size)), daemon=True)
        process.start()
        there.close()
        return _Process(process, here)

    def _replace(self, worker: _Process) -> None:
        worker.pipe.close()
        worker.process.join(SECONDS_TO_END)
        self._workers[self._workers.index(worker)] = self._started()


def _work(pipe: Connection, opening: ModelOpening, threads: int) -> None:
    """A worker's whole life: open the model, then run units until nobody gives any."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)                          # Ctrl-C is for who gave the units out
    if not any(os.environ.get(name) for name in ("UNSPOOL_THREADS", "OMP_NUM_THREADS")):
        os.environ["UNSPOOL_THREADS"] = str(threads)
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        try:
            worker = Worker(opening)
            pipe.send(worker.model())
        except Exception as error:
            pipe.send(_sendable(error))
            return
        while True:
            unit = pipe.recv()
            try:
                found = worker.make(unit)
            except Exception as error:
                found = _sendable(error)
            pipe.send(found)


def _sendable(error: Exception) -> Exception:
    """An error that can be read by another process."""
    return error if isinstance(error, UnspoolError) else UnspoolError(f"a worker failed: {type(error).__name__}: {error}")
