"""Which settings a sweep tries: all of a grid, or some that are drawn."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Any

from unspool.core.decoder import Decoder, parse
from unspool.errors import ParameterError, UnspoolError, check, is_whole, option, whole
from unspool.lab.defaults import SEARCHES
from unspool.many.unit import written_out
from unspool.strategies.greedy import Greedy
from unspool.sweeps.axes import Template
from unspool.views.terminal import fit_right

MOST_SETTINGS = 2000
"""Of a grid that is tried whole."""
DRAWS = 60
"""So many draws for each setting that is wanted, before it is said that there are too few."""


@dataclass(frozen=True)
class SweepSetting:
    """One decoder of a sweep."""

    number: int
    """Its place among the settings, from 0."""
    values: tuple[str, ...]
    """Of each axis, as text."""
    text: str
    """The decoder's text form."""
    decoder: Decoder


def check_search(template: Template, search: str, settings: int | None, budget: int | None) -> None:
    """Refuse a search that cannot be made of a template."""
    check(search in SEARCHES, f"{option('search')} is one of {', '.join(SEARCHES)}; got {search!r}")
    least = f"{option('settings')} is a whole number >= 2, for at least 2 settings are compared; got {settings!r}"
    check(settings is None or is_whole(settings, 2), least)
    if budget is not None:
        whole(option("budget"), budget, 1)
    many = f"{option('settings')} or {option('budget')}"
    check(settings is None or budget is None, f"{many} says how many settings are drawn; give one of them, not both")
    drawn = settings is not None or budget is not None
    check(search != "grid" or not drawn, f"a grid is tried whole; {many} goes with {option('search')} random or halving")
    check(search != "random" or drawn, f"{option('search')} random draws settings: say how many, by {many} (runs of a prompt)")
    if not drawn and (size := template.spread().size or 0) > MOST_SETTINGS:
        few = f"take fewer values, or {option('search')} random or halving with {many}"
        raise ParameterError(f"the grid has {size} settings, more than {MOST_SETTINGS}; {few}")


def settings_of(template: Template, count: int | None, seed: int) -> list[SweepSetting]:
    """All settings of a grid, or so many different ones that are drawn."""
    if count is None or (template.size is not None and count >= template.size):
        return _made(template, template.grid())
    found: dict[tuple[str, ...], None] = {}
    for number in range(DRAWS * count):
        found.setdefault(tuple(axis.drawn(seed, number) for axis in template.axes))
        if len(found) == count:
            return _made(template, found)
    came = f"{DRAWS * count} draws from {fit_right(template.text, 60)} came to {len(found)} different settings"
    raise ParameterError(f"{came}, not {count}; ask for fewer")


def _made(template: Template, some: Iterable[tuple[str, ...]]) -> list[SweepSetting]:
    made: list[SweepSetting] = []
    known: dict[Hashable, str] = {}
    for values in some:
        text = template.at(values)
        try:
            decoder = parse(text)
        except UnspoolError as error:
            raise type(error)(f"the setting {fit_right(text, 80)} cannot be: {error}") from None
        decoder = decoder if decoder.strategy else decoder | Greedy()
        check(written_out(decoder), f"the setting {fit_right(text, 80)} holds an object that its text form does not say")
        key = key_of(decoder.parts)
        check(key not in known, f"the settings {known.get(key, '')} and {text} are the same decoder; give each once")
        known[key] = text
        made.append(SweepSetting(len(made), values, str(decoder), decoder))
    return made


def key_of(parts: tuple[Any, ...]) -> Hashable:
    """What equal parts have alike, whether their numbers are written 1 or 1.0."""
    try:
        hash(parts)
    except TypeError:                                                     # a mapping among their fields
        return str(parts)
    return parts
