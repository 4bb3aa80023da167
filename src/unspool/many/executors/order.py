"""What comes of units in the order of the units, whoever runs them, and however often a worker is lost."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Protocol, TypeVar

from unspool.errors import UnspoolError
from unspool.language_model import LanguageModel
from unspool.record.step import Step

SeesStep = Callable[[Step], None]
AHEAD = 3
"""Units for each worker that are given out or wait for an earlier one: so memory stays flat, however slow one of them is."""
LOSSES = 3
"""So many workers may be lost over one unit."""


class Task(Protocol):
    """A unit of work, as executors see it: plain data that can be sent, and what comes of it depends on nothing else."""

    @property
    def number(self) -> int:
        """Its place among all units."""

    @property
    def span(self) -> str:
        """What it is, for people."""

    def make(self, lm: LanguageModel, told: SeesStep = ...) -> Any:
        """Run it; told: is given every step, where there are some."""


W = TypeVar("W", bound=Task)


class Lost:
    """In place of what came of a unit: its worker is gone."""


class Executor(Protocol):
    """Runs units of one model."""

    def model(self) -> dict[str, Any]:
        """What saved lines say of the model."""

    def run(self, units: Iterator[W], told: SeesStep) -> Iterator[tuple[W, Any]]:
        """What came of each unit, in their order; told: is given every step, where it is known here."""

    def close(self) -> None:
        """Let go of what it holds."""


class Workers(Protocol):
    """Some workers, each with at most one unit; those that are lost are replaced."""

    size: int

    def give(self, unit: Task) -> None:
        """Let a worker that has none run a unit."""

    def wait(self) -> list[tuple[Any, Any]]:
        """Wait until something comes of one of them: what was made, an Exception, or Lost."""


def in_order(units: Iterator[W], workers: Workers) -> Iterator[tuple[W, Any]]:
    """Give units out as workers are free, and out again where a worker was lost; what came of them in their order."""
    out: deque[W] = deque()                                            # given out or to be, and not yet handed on
    again: deque[W] = deque()
    done: dict[int, Any] = {}
    losses: dict[int, int] = {}
    busy, more = 0, True
    wrong: Exception | None = None
    while True:
        while busy < workers.size and (again or (more and len(out) < AHEAD * workers.size)):
            try:
                unit = again.popleft() if again else next(units, None)
            except Exception as error:                                    # told once the units before it are handed on
                unit, wrong = None, error
            if unit is None:
                more = False
                break
            if unit.number not in losses:
                out.append(unit)
            workers.give(unit)
            busy += 1
        while out and out[0].number in done:
            unit = out.popleft()
            losses.pop(unit.number, None)
            yield unit, done.pop(unit.number)
        if not busy and not out and not more:
            if wrong is not None:
                raise wrong
            return
        if not busy:
            continue
        for unit, found in workers.wait():
            busy -= 1
            if isinstance(found, Lost):
                losses[unit.number] = losses.get(unit.number, 0) + 1
                if losses[unit.number] >= LOSSES:
                    raise UnspoolError(f"{LOSSES} workers were lost over {unit.span}; is there enough memory? fewer --workers need less")
                again.append(unit)
            elif isinstance(found, Exception):
                raise found
            else:
                done[unit.number] = found
