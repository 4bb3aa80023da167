"""What stands in braces in a decoder's text form: sets and ranges of values.

    temperature({0.3..1.5 by 0.2}) | top_p({0.8, 0.9, 0.95}) | {sample, best_of(4)}

A set holds values with commas between: numbers, texts in quotes, or whole parts. A range goes from one number to another, by a step or in
a number of values, evenly or (`log`) by a constant factor; with neither any number of it may be drawn, and a grid takes `GRID_VALUES` of
them. A mapping, which has a colon, stays what it is.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import pairwise

import numpy as np

from unspool.core.decoder import REGISTRY, own_parts, written
from unspool.core.randomness import uniform, word
from unspool.errors import DecoderError, check
from unspool.views.terminal import fit_right

MOST_VALUES = 10_000
"""Of one range."""
GRID_VALUES = 7
"""Of a range that does not say which."""
DIGITS = 4
"""Significant digits of a number that is drawn from a range."""
EXAMPLE = 'a set is {0.8, 0.9} and a range {0.3..1.5 by 0.2} or {0.3..1.5 in 7}'
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_RANGE = re.compile(rf"\s*({_NUMBER})\s*\.\.\s*({_NUMBER})\s*(?:by\s+({_NUMBER})|in\s+(\d{{1,9}}))?\s*(log)?\s*")
_OPEN, _CLOSE = "([{", ")]}"


@dataclass(frozen=True)
class Axis:
    """One parameter that a sweep varies."""

    name: str
    """Of the part, with the parameter where it is not the first: "temperature", "top_p.min_keep"."""
    given: str
    """What stands between the braces."""
    values: tuple[str, ...]
    """As texts; none of a range any number of which may be drawn."""
    low: float = math.nan
    high: float = math.nan
    log: bool = False
    whole: bool = False
    """Whether the range has whole numbers alone: its ends are written so, and it stands for no number that may be broken."""

    def drawn(self, seed: int, number: int) -> str:
        """The value of draw `number`: one of the set, or a number of the range."""
        u = float(uniform(seed, np.asarray([word("sweep")], np.uint64), number, self.name)[0])
        if self.values:
            return self.values[min(int(u * len(self.values)), len(self.values) - 1)]
        if self.whole and not self.log:
            return str(int(self.low) + min(int(u * (self.high - self.low + 1)), int(self.high - self.low)))
        if self.log:
            drawn = math.exp(math.log(self.low) + u * (math.log(self.high) - math.log(self.low)))
            return str(round(drawn)) if self.whole else f"{drawn:.{DIGITS}g}"
        return f"{self.low + u * (self.high - self.low):.{DIGITS}g}"

    def spread(self) -> Axis:
        """With values: its own, or GRID_VALUES of its range; as many whole ones as there are, at most."""
        if self.values:
            return self
        count = min(GRID_VALUES, int(self.high - self.low) + 1) if self.whole else GRID_VALUES
        return replace(self, values=tuple(dict.fromkeys(_spaced(self.low, self.high, count, self.log, self.whole))))


@dataclass(frozen=True)
class Template:
    """A decoder's text form with sets and ranges in it."""

    text: str
    pieces: tuple[str, ...]
    """What stands before, between and behind the braces."""
    axes: tuple[Axis, ...]

    @property
    def size(self) -> int | None:
        """How many settings there are; None where any number of a range may be drawn."""
        return None if any(not axis.values for axis in self.axes) else math.prod(len(axis.values) for axis in self.axes)

    def at(self, values: tuple[str, ...]) -> str:
        """The text form with these values."""
        filled = (piece for pair in zip(self.pieces, (*values, ""), strict=True) for piece in pair)
        return "".join(filled)

    def spread(self) -> Template:
        """With a few values of each range that says only from where to where."""
        return replace(self, axes=tuple(axis.spread() for axis in self.axes))

    def grid(self) -> Iterator[tuple[str, ...]]:
        """The values of every setting, the last axis fastest."""
        for number in range(self.size or 0):
            yield self.numbered(number)

    def numbered(self, number: int) -> tuple[str, ...]:
        """The values of one setting of the grid."""
        found = []
        for axis in reversed(self.axes):
            number, place = divmod(number, len(axis.values))
            found.append(axis.values[place])
        return tuple(reversed(found))


def read_template(text: str) -> Template:
    """A decoder's text form, taken apart at its braces."""
    pieces, axes, begun = [], list[Axis](), 0
    for start, end, where, broken in _sets(text):
        inner = text[start + 1 : end]
        before = sum(axis.name.split(" (")[0] == where for axis in axes)
        axes.append(_axis(f"{where} ({before + 1})" if before else where, inner, broken))
        pieces.append(text[begun:start])
        begun = end + 1
    if not axes:
        raise DecoderError(f"there is nothing to sweep in {fit_right(text, 60)!r}: put values in braces; {EXAMPLE}")
    return Template(text, (*pieces, text[begun:]), tuple(axes))


def value_of(text: str) -> int | float | str:
    """A value of an axis as what it says: a number, or a text."""
    if re.fullmatch(r"[-+]?\d+", text):
        return int(text)
    return float(text) if re.fullmatch(_NUMBER, text) else text


# --- where the braces are ---------------------------------------------------------------------------------------------


def _sets(text: str) -> Iterator[tuple[int, int, str, bool]]:
    """(where it opens, where it closes, what it is called, whether that may be a broken number) of each set that is no mapping.

    Quotes hide what is in them.
    """
    calls: list[tuple[str, int]] = []                                     # the open calls: name, and how many arguments stand before
    at = 0
    while at < len(text):
        c = text[at]
        if c in "\"'":
            at = _behind_quote(text, at)
            continue
        if c == "{":
            end = _closing(text, at)
            if ":" not in _bare(text[at + 1 : end]):
                yield at, end, *_called(text[:at], calls)
                at = end + 1
                continue
        if c in _OPEN:
            found = re.search(r"([A-Za-z_]\w*)\s*$", text[:at]) if c == "(" else None
            calls.append((found[1] if found else "", 0))
        elif c in _CLOSE and calls:
            calls.pop()
        elif c == "," and calls:
            calls[-1] = calls[-1][0], calls[-1][1] + 1
        at += 1


def _called(before: str, calls: list[tuple[str, int]]) -> tuple[str, bool]:
    """What the parameter is called that a value stands for, and whether it takes broken numbers."""
    name, place = next(((n, p) for n, p in reversed(calls) if n), ("", 0))
    if not name:
        return "part", False
    keyword = re.search(r"[(,]\s*([A-Za-z_]\w*)\s*=\s*$", before)
    own_parts()
    known = {f.name: str(f.type) for f in written(REGISTRY[name])} if name in REGISTRY else {}
    parameter = keyword[1] if keyword else [*known, ""][min(place, len(known))]
    return (name if not parameter or parameter == next(iter(known), "") else f"{name}.{parameter}"), "float" in known.get(parameter, "")


def _behind_quote(text: str, at: int) -> int:
    quote, place = text[at], at + 1
    while place < len(text) and text[place] != quote:
        place += 2 if text[place] == "\\" else 1
    return place + 1


def _closing(text: str, at: int) -> int:
    """Where the bracket at a place closes."""
    place, still = at, ""
    while place < len(text):
        if text[place] in "\"'":
            place = _behind_quote(text, place)
            continue
        if text[place] in _OPEN:
            still += text[place]
        elif text[place] in _CLOSE:
            if _OPEN.index(still[-1]) != _CLOSE.index(text[place]):
                break
            still = still[:-1]
        if not still:
            return place
        place += 1
    what = "the brace" if still[-1] == "{" else f"the {still[-1]!r}"
    raise DecoderError(f"{what} of {fit_right(text[at:], 30)!r} is not closed; {EXAMPLE}")


def _bare(text: str) -> str:
    """What of a text stands in no quotes and no brackets; the rest is blank."""
    out, deep, at = [], 0, 0
    while at < len(text):
        if text[at] in "\"'":
            end = min(_behind_quote(text, at), len(text))
            out.append(" " * (end - at))
            at = end
            continue
        deep -= text[at] in _CLOSE
        out.append(text[at] if deep == 0 and text[at] not in _CLOSE else " ")
        deep += text[at] in _OPEN
        at += 1
    return "".join(out)


# --- what stands in them ----------------------------------------------------------------------------------------------


def _axis(name: str, given: str, broken: bool) -> Axis:
    bare = _bare(given)
    if not given.strip():
        raise DecoderError(f"the set{_of(name)} is empty; {EXAMPLE}")
    if ".." in bare:
        return _range(name, given, broken)
    cuts = [-1, *(i for i, c in enumerate(bare) if c == ","), len(given)]
    values = [given[a + 1 : b].strip() for a, b in pairwise(cuts)]
    if not all(values):
        raise DecoderError(f"the set {{{given}}}{_of(name)} has an empty place; {EXAMPLE}")
    twice = next((v for i, v in enumerate(values) if v in values[:i]), None)
    check(twice is None, f"the set {{{given}}}{_of(name)} has {twice} twice; give each value once")
    return Axis(name, given, tuple(values))


def _range(name: str, given: str, broken: bool) -> Axis:
    found = _RANGE.fullmatch(given)
    if not found:
        raise DecoderError(f"cannot read the range {{{given}}} of {name}: {EXAMPLE}, with log behind it for equal factors")
    low, high, step, count, log = found.groups()
    a, b = float(low), float(high)
    check(math.isfinite(a) and math.isfinite(b), f"the range {{{fit_right(given, 60)}}} of {name} has an end that is too large")
    check(a < b, f"the range {{{given}}} of {name} goes from {low} to {high}; the first number is the smaller one")
    check(not log or a > 0, f"the range {{{given}}} of {name} is by equal factors (log), so it begins above 0")
    check(not (log and step), f"the range {{{given}}} of {name}: log goes with a number of values, as {{{low}..{high} in 5 log}}")
    whole = not broken and _is_whole(low) and _is_whole(high)
    if step is None and count is None:
        return Axis(name, given, (), a, b, bool(log), whole)
    values = _stepped(name, given, low, high, step) if step else _counted(name, given, a, b, int(count), bool(log), whole)
    return Axis(name, given, tuple(values), a, b, bool(log))


def _stepped(name: str, given: str, low: str, high: str, step: str) -> list[str]:
    first, last, by = Decimal(low), Decimal(high), Decimal(step)
    check(by > 0, f"the step of the range {{{given}}} of {name} must be above 0; got {step}")
    check(last - first >= by, f"the range {{{given}}} of {name} has one value: its step is longer than itself")
    _check_count(name, given, last - first < by * MOST_VALUES)
    count = int((last - first) / by) + 1
    return [_plain(first + i * by) for i in range(count)]


def _counted(name: str, given: str, low: float, high: float, count: int, log: bool, whole: bool) -> list[str]:
    check(count > 1, f"the range {{{given}}} of {name} needs at least 2 values; got {count}")
    _check_count(name, given, count <= MOST_VALUES)
    values = _spaced(low, high, count, log, whole)
    check(len(set(values)) == count or not whole, f"the range {{{given}}} of {name} has fewer than {count} whole numbers apart; give fewer")
    check(len(set(values)) == count, f"the range {{{given}}} of {name} has values that six digits do not tell apart; give fewer")
    return values


def _spaced(low: float, high: float, count: int, log: bool, whole: bool) -> list[str]:
    """So many numbers, evenly or by equal factors; whole: rounded."""
    shares = [i / (count - 1) for i in range(count)]
    numbers = [low * (high / low) ** s if log else low + (high - low) * s for s in shares]
    return [str(round(x)) if whole else f"{x:.6g}" for x in numbers]


def _check_count(name: str, given: str, few: bool) -> None:
    check(few, f"the range {{{given}}} of {name} has more than {MOST_VALUES} values; take fewer, by a longer step")


def _of(name: str) -> str:
    """Whose set it is, if it is one of values."""
    return "" if name.startswith("part") else f" of {name}"


def _plain(number: Decimal) -> str:
    return format(number.normalize(), "f")


def _is_whole(text: str) -> bool:
    return bool(re.fullmatch(r"[-+]?\d+", text))
