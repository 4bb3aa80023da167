"""What is known of an engine: its settings, and the processors, strategies and stops that they make, in their order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from unspool.core.decoder import Part

Given = Mapping[str, Any]


@dataclass(frozen=True)
class Setting:
    """A setting of an engine, by the engine's name for it, with the engine's default."""

    name: str
    default: Any = None
    shown: str = ""
    """How it is written where its name and default say too little."""

    def of(self, given: Given) -> Any:
        """Its value; None counts as not given."""
        value = given.get(self.name)
        return self.default if value is None else value

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
    differs: str = ""
    """What a translation cannot keep."""
    step: str = ""
    """Its name in the engine's own list of samplers, if the user can order them."""
    bare: bool = False
    """Of a strategy: whether it runs without processors."""

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
    unsaid: dict[str, str] = field(default_factory=dict)
    """Settings without an equal here, and what to do instead."""
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

    @property
    def everything(self) -> tuple[Place, ...]:
        return self.places + self.strategies + self.stops

    @property
    def names(self) -> set[str]:
        found = {s.name for place in self.everything for s in place.settings} | {c.setting.name for c in self.calls}
        return found | set(self.unsaid) | self.ignored
