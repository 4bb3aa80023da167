"""What is known of an engine: its settings, and the processors, strategies and stops that they make, in their order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import isfinite
from numbers import Real
from typing import Any

from unspool.core.decoder import Part
from unspool.errors import ParameterError

Given = Mapping[str, Any]
LOST, DIFFERENT, REMARK = "lost", "different", "remark"
"""What a note says: the setting changes the text and could not be said; it means something else there; it is good to know."""


@dataclass(frozen=True)
class Note:
    """What is to be known of a translation."""

    setting: str
    """The setting that it is about, by the engine's name for it, or the part of a decoder; "" if it is about all of them."""
    what: str
    severity: str = REMARK
    """"lost", "different" or "remark"."""

    def __str__(self) -> str:
        mark = "" if self.severity == REMARK else f"{self.severity}: "
        named = not self.setting or self.what.startswith(self.setting)
        return f"{mark}{self.what}" if named else f"{mark}{self.setting}: {self.what}"


@dataclass(frozen=True)
class Setting:
    """A setting of an engine, by the engine's name for it, with the engine's default."""

    name: str
    default: Any = None
    shown: str = ""
    """How it is written where its name and default say too little."""
    also: tuple[Any, ...] = ()
    """Values of another kind than the default that it takes."""
    number: bool = False
    """Whether it is a number, though it has no default or one of another kind."""

    def of(self, given: Given) -> Any:
        """Its value; None counts as not given."""
        value = given.get(self.name)
        return self.default if value is None else value

    def check(self, value: Any) -> None:
        """Refuse a value of another kind than the default: a number is no text, and no flag; a flag is true or false."""
        told = any(type(value) is type(other) and value == other for other in self.also)
        if told or not (self.number or isinstance(self.default, int | float)):
            return
        if isinstance(self.default, bool):
            if value not in (True, False):
                raise ParameterError(f"{self.name} is true or false; got {value!r:.80}")
        elif isinstance(value, bool) or not isinstance(value, Real) or not isfinite(value):
            raise ParameterError(f"{self.name} is a number; got {value!r:.80}")

    def __str__(self) -> str:
        return self.shown or (self.name if self.default is None else f"{self.name}={self.default!r}")


@dataclass(frozen=True)
class Place:
    """One processor, strategy or stop of an engine, at its place in the order, with the settings that make it."""

    method: str
    settings: tuple[Setting, ...]
    read: Callable[[Given], Part | None]
    """The part that settings mean, None for none."""
    write: Callable[[Any], dict[str, Any]]
    """The settings that mean a part."""
    neutral: dict[str, Any] = field(default_factory=dict)
    """What switches it off where it is on by default."""
    sampling: bool = False
    """Whether it is applied only where tokens are drawn."""
    note: str = ""
    """What is to be known of it there."""
    tells: bool = False
    """Whether the note is said with every translation that has it."""
    differs: str = ""
    """What a translation cannot keep."""
    step: str = ""
    """Its name in the engine's own list of samplers, if the user can order them."""
    bare: bool = False
    """Of a strategy: whether it runs without processors."""
    takes: tuple[str, ...] = ()
    """Of a bare strategy: the processors that it has none the less."""

    @property
    def remark(self) -> str:
        """Note and difference, as sentences."""
        differs = f"{self.differs[0].upper()}{self.differs[1:]}." if self.differs else ""
        return " ".join(filter(None, [self.note, differs]))


@dataclass(frozen=True)
class CallSetting:
    """A setting that is an argument of `generate` here."""

    argument: str
    setting: Setting
    read: Callable[[Any], Any] = lambda value: value
    write: Callable[[Any], Any] = lambda value: value
    endless: bool = False
    """Of a limit: whether null there means none, in place of the default."""
    where: tuple[Setting, Any] | None = None
    """Another setting, and the value under which this one is that argument."""

    def holds(self, given: Given) -> bool:
        """Whether it is that argument beside these settings."""
        return self.where is None or self.where[0].of(given) == self.where[1]


@dataclass(frozen=True)
class Unsaid:
    """A setting that has no equal here: what to do about it, the values under which it does nothing, and how much it matters."""

    why: str
    off: tuple[Any, ...] = (False,)
    severity: str = LOST

    def note(self, name: str, value: Any) -> Note | None:
        """What is to be said of a value; None for one that does nothing."""
        quiet = value is None or any(value == off and isinstance(value, bool) == isinstance(off, bool) for off in self.off)
        return None if quiet else Note(name, self.why, self.severity)


def _nothing_more(given: Given) -> list[Note]:
    return []


@dataclass(frozen=True)
class Engine:
    """An engine: its processors in the order in which it applies them, its strategies, stops and other settings."""

    name: str
    title: str
    source: str
    """What the facts were read in."""
    places: tuple[Place, ...]
    strategies: tuple[Place, ...]
    """The first that settings mean is meant; the last always is."""
    stops: tuple[Place, ...] = ()
    calls: tuple[CallSetting, ...] = ()
    unsaid: dict[str, Unsaid] = field(default_factory=dict)
    """Settings without an equal here."""
    ignored: frozenset[str] = frozenset()
    """Settings that say nothing about the text."""
    flags: dict[str, str] = field(default_factory=dict)
    """Command-line options and their settings."""
    note: str = ""
    unsure: str = ""
    """What is not known of it, where several processors meet."""
    wrap: Callable[[list[Part], Part], tuple[list[Part], Part]] = lambda processors, strategy: (processors, strategy)
    """What a strategy of it does to all processors, as processors and strategy here."""
    unwrap: Callable[[list[Part], Part], tuple[list[Part], Part]] = lambda processors, strategy: (processors, strategy)
    """The other way."""
    ordered: Callable[[tuple[Place, ...], Given], list[Place]] = lambda places, given: list(places)
    """The places in the order that some settings make, where settings change it."""
    orders: str = ""
    """The setting that holds an order, if there is one."""
    orderings: tuple[dict[str, Any], ...] = ()
    """Settings that make another order."""
    searching: tuple[Place, ...] = ()
    """Processors that its beam search alone has, before all others."""
    warn: Callable[[Given], list[Note]] = _nothing_more
    """What is to be said of settings that meet."""
    prepare: Callable[[dict[str, Any], Any], dict[str, Any]] = lambda given, tokenizer: given
    """Settings with their texts made tokens by a tokenizer, which may be None, where the engine does that at once."""

    @property
    def everything(self) -> tuple[Place, ...]:
        return self.searching + self.places + self.strategies + self.stops

    @property
    def settings(self) -> list[Setting]:
        """The settings that are read, some of them several times."""
        places = [s for place in self.everything for s in place.settings]
        return places + [s for call in self.calls for s in (call.setting, *(call.where or ())[:1])]

    @property
    def names(self) -> set[str]:
        """Every name that is known."""
        found = {s.name for s in self.settings}
        return found | set(self.unsaid) | self.ignored | self.ordering

    @property
    def ordering(self) -> set[str]:
        """The settings that say an order."""
        return ({self.orders} if self.orders else set()) | {name for other in self.orderings for name in other}
