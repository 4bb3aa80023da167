"""What a field takes: its kind and range, said to a person and checked, part by part where it is an object."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from unspool.errors import FLOAT32_MAX, as_json, is_whole
from unspool.serve.errors import Refused


@dataclass(frozen=True)
class Takes:
    """Values of one kind."""

    wanted: str
    """What they are, for a person."""
    right: Callable[[Any], bool]
    """Whether a value is one."""
    inside: Mapping[str, Takes] = field(default_factory=dict)
    """Of an object whose keys are known: what each of them takes."""

    def check(self, name: str, value: Any, param: str | None = None) -> None:
        """Refuse another value, by the name of the field and the path in it."""
        param = param or name
        if not self.right(value):
            beyond = "" if not _is_real(value) or is_number(value) else ", within float32's +-3.4e38"
            raise Refused(f"{name} takes {self.wanted}{beyond}; got {as_json(value)}", param)
        for key, one in value.items() if self.inside else ():
            if key not in self.inside:
                raise Refused(f"{name} has no {key[:80]}; known: {', '.join(sorted(self.inside))}", param)
            if one is not None:
                self.inside[key].check(f"{name}.{key}", one, param)

    def __or__(self, other: Takes) -> Takes:
        return Takes(f"{self.wanted} or {other.wanted}", lambda value: self.right(value) or other.right(value))


def is_number(value: Any) -> bool:
    """Whether it is a number that float32 has."""
    return _is_real(value) and -FLOAT32_MAX <= value <= FLOAT32_MAX


def _is_real(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _every(right: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and all(map(right, value))


FLAG = Takes("true or false", lambda value: isinstance(value, bool))
A_TEXT = Takes("a text", lambda value: isinstance(value, str))
ANYTHING = Takes("any value", lambda value: True)
OBJECT = Takes("an object", lambda value: isinstance(value, Mapping))
A_LIST = Takes("a list", lambda value: isinstance(value, list))
WORDED = Takes("a list of texts, none of them empty", _every(lambda one: isinstance(one, str) and one != ""))
NUMBER = Takes("a number within float32", is_number)
CHANCE = Takes("a number of 0 to 1", lambda value: is_number(value) and 0 <= value <= 1)
TOKEN_IDS = Takes("a list of token ids", _every(lambda one: is_whole(one, 0)))
SOME_IDS = Takes("a list of token ids, not empty", lambda value: TOKEN_IDS.right(value) and len(value) > 0)


def whole(least: int | None = None, most: int | None = None) -> Takes:
    """Whole numbers of a range."""
    wanted = "a whole number" if least is None else f"a whole number >= {least}" if most is None else f"a whole number of {least} to {most}"
    return Takes(wanted, lambda value: is_whole(value, least) and (most is None or value <= most))


def number(least: float, most: float | None = None) -> Takes:
    """Numbers of a range."""
    wanted = f"a number >= {least}" if most is None else f"a number of {least} to {most}"
    return Takes(wanted, lambda value: is_number(value) and value >= least and (most is None or value <= most))


def above(bound: float) -> Takes:
    """Numbers above a bound."""
    return Takes(f"a number > {bound}", lambda value: is_number(value) and value > bound)


def one_of(*names: str) -> Takes:
    """One of some names."""
    return Takes(f"{', '.join(names[:-1])} or {names[-1]}", lambda value: value in names)


def parts(**inside: Takes) -> Takes:
    """An object with known keys."""
    return Takes(f"an object with {', '.join(inside)}", OBJECT.right, inside)
