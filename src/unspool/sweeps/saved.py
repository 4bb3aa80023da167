"""The file of a sweep: a line that says what is asked, and a line for each unit, with its numbers and without its texts."""

from __future__ import annotations

import json
import math
from collections import deque
from pathlib import Path
from typing import Any

from unspool.errors import UnspoolError
from unspool.files import Growing
from unspool.lab.generations import unread_format
from unspool.sweeps.units import Parts, Spent

SWEEP_FORMAT = 1
_HEAD = '{"unspool_sweep": '


class UnitNumbers:
    """What a unit comes to: for each of its settings, metrics and items the sums, None where an item came to no text."""

    def __init__(self, parts: list[list[list[Parts | None]]], spent: Spent) -> None:
        self.parts, self.spent = parts, spent

    def to_line(self, number: int) -> str:
        """A line of the file."""
        return json.dumps({"unspool_sweep": SWEEP_FORMAT, "unit": number, "parts": self.parts, "spent": vars(self.spent)}) + "\n"


class SweepFile:
    """Grows by a line for each unit; a torn line at its end is forgotten. What it was begun for is compared with what is asked now."""

    def __init__(self, path: str | Path) -> None:
        self.path, self.file = Path(path), Growing(path)
        self.held: deque[UnitNumbers] = deque()
        self._end = 0

    def open(self, asked: dict[str, Any]) -> None:
        """Read what is there, or write the first line. Call it while the file is claimed."""
        lines = list(self.file.lines())
        whole = [line for line in lines if line.endswith(b"\n")]
        for number, line in enumerate(lines, 1):
            if line[: len(_HEAD)] != _HEAD.encode()[: len(line)]:
                raise self._foreign(number)
        if not whole:
            self._end = self.file.append(json.dumps({"unspool_sweep": SWEEP_FORMAT, "asked": asked}, ensure_ascii=False) + "\n", 0)
            return
        for number, line in enumerate(whole, 1):
            try:
                value = json.loads(line)
                if type(found := value["unspool_sweep"]) is int and found > SWEEP_FORMAT:
                    raise unread_format(f"line {number} of {self.path}", found, "a sweep", SWEEP_FORMAT)
                if found != SWEEP_FORMAT or value.get("unit", -1) != number - 2:
                    raise ValueError
                if number == 1:
                    there = value["asked"]
                else:
                    self.held.append(_numbers(value))
            except UnspoolError:
                raise
            except (ValueError, KeyError, TypeError, RecursionError):
                raise self._foreign(number) from None
        self._compare(there, json.loads(json.dumps(asked)))
        self._end = sum(map(len, whole))

    def _compare(self, there: dict[str, Any], here: dict[str, Any]) -> None:
        """Refuse a file that was begun for something else, and say for what."""
        flat = [_flat(one) for one in (there, here)]
        if flat[0].get("the model's fingerprint"):                        # the same weights may lie elsewhere, under another name
            flat = [{k: v for k, v in one.items() if k != "the model's name"} for one in flat]
        for what in {**flat[1], **flat[0]}:
            old, new = (one.get(what) for one in flat)
            if old != new:
                told = f"{what} is {old!r:.60} there and {new!r:.60} now"
                raise UnspoolError(f"{self.path} was begun with another setting: {told}; give another file")
        hashes = [one.get("hashes", {}) for one in (there, here)]
        for what in {**hashes[1], **hashes[0]}:
            if hashes[0].get(what) != hashes[1].get(what):
                raise UnspoolError(f"{self.path} was begun with other {what}; give another file")

    def append(self, number: int, numbers: UnitNumbers) -> None:
        """Write the line of a unit."""
        self._end = self.file.append(numbers.to_line(number), self._end)

    def _foreign(self, number: int) -> UnspoolError:
        return UnspoolError(f"line {number} of {self.path} is none of a sweep that unspool saved; give another file")


def _numbers(value: dict[str, Any]) -> UnitNumbers:
    parts = [[[None if item is None else tuple(map(float, item)) for item in items] for items in goals] for goals in value["parts"]]
    if not all(x is None or all(map(math.isfinite, x)) for goals in parts for items in goals for x in items):
        raise ValueError
    return UnitNumbers(parts, Spent(**value["spent"]))


def _flat(asked: dict[str, Any]) -> dict[str, Any]:
    names = {"model": "the model's", "versions": "the version of"}
    found = {f"{names[k]} {name}": v for k in names for name, v in asked.get(k, {}).items()}
    return found | {k: v for k, v in asked.items() if k not in (*names, "hashes")}
