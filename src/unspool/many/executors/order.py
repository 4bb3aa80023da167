"""What comes of units in the order of the units, whoever runs them, and however often a worker is lost."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from unspool.errors import UnspoolError
from unspool.many.unit import Unit, UnitTexts
from unspool.record.step import Step

SeesStep = Callable[[Step], None]
AHEAD = 3
"""Units for each worker that are given out or wait for an earlier one: so memory stays flat, however slow one of them is."""
LOSSES = 3
"""So many workers may be lost over one unit."""


class Lost:
    """In place of what came of a unit: its worker is gone."""


class Executor(Protocol):
    """Runs units of one model."""

    def model(self) -> dict[str, Any]:
        """What saved lines say of the model."""

    def run(self, units: Iterator[Unit], told: SeesStep) -> Iterator[tuple[Unit, UnitTexts]]:
        """What came of each unit, in their order; told: is given every step, where it is known here."""

    def close(self) -> None:
        """Let go of what it holds."""


class Workers(Protocol):
    """Some workers, each with at most one unit; those that are lost are replaced."""

    size: int

    def give(self, unit: Unit) -> None:
        """Let a worker that has none run a unit."""

    def wait(self) -> list[tuple[Unit, UnitTexts | Exception | Lost]]:
        """Wait until something comes of one of them."""


def in_order(units: Iterator[Unit], workers: Workers) -> Iterator[tuple[Unit, UnitTexts]]:
    """Give units out as workers are free, and out again where a worker was lost; what came of them in their order."""
    out: deque[Unit] = deque()                                            # given out or to be, and not yet handed on
    again: deque[Unit] = deque()
    done: dict[int, UnitTexts] = {}
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
                    raise UnspoolError(f"{LOSSES} workers were lost over {span(unit)}; is there enough memory? fewer --workers need less")
                again.append(unit)
            elif isinstance(found, Exception):
                raise found
            else:
                done[unit.number] = found


def span(unit: Unit) -> str:
    """A unit, for people."""
    return f"{unit.name} from {unit.asked[0].where} to {unit.asked[-1].where}"
