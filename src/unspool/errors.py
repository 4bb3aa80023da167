"""What can go wrong, by kind. Every message says what was wrong, the value, and the fix.

UnspoolError (a ValueError)
├── ParameterError      a setting out of its range, or two that contradict each other
├── DecoderError        a text form that is no decoder
├── UnknownName         a model, strategy, processor or parameter nobody knows; suggests the nearest
├── PromptError         a prompt or continuation that cannot be used
├── ModelError          weights, configuration or tokenizer that cannot be loaded, or logits that are not numbers
├── DeadEnd             a prompt none of whose hypotheses could go on
├── Unsupported         something this model or session cannot do, by name
├── PartError           a processor, strategy or stop that does not keep its contract, by name
└── MissingExtra        an optional dependency that is not installed
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from inspect import signature
from numbers import Integral, Real
from typing import Any

FLOAT32_MAX = (2 - 2**-23) * 2.0**127
"""The largest number of float32, in which scores are computed."""

NO_PATTERN = (re.error, OverflowError, RecursionError, ValueError)
"""What `re` raises for a text that is none of its patterns: of the last three one with a count that is too large, or nested too deeply."""
MOST_DIGITS = 80
"""Of a whole number that somebody writes; Python itself reads no more than 4,300."""
WIDE, NAMES_SAID = 200, 8
"""Names that are longer together are not all said where one is unknown, but so many of them."""


class UnspoolError(ValueError):
    """The base of every error that unspool raises on purpose."""

    about: tuple[str, ...] = ()
    """The settings at fault, by the names that another engine has for them, where it is about such."""
    reason: str = ""
    """The message without those names and their values."""


class ParameterError(UnspoolError):
    """A setting is out of its range, or contradicts another."""


class DecoderError(UnspoolError):
    """A text form is no decoder."""


class UnknownName(UnspoolError):
    """A name that nobody knows."""


class PromptError(UnspoolError):
    """A prompt or a continuation cannot be used."""


class ModelError(UnspoolError):
    """A model's files or its logits are broken."""


class DeadEnd(UnspoolError):
    """Every hypothesis of a prompt died."""


class Unsupported(UnspoolError):
    """The model or session cannot do this."""


class PartError(UnspoolError):
    """A part of a decoder broke its contract: it changed an argument, or answered with what is no answer."""


class MissingExtra(UnspoolError):
    """An optional dependency is not installed."""


def unknown(kind: str, name: str, known: Iterable[str], listed: str = "") -> UnknownName:
    """An UnknownName that suggests the nearest known names. Where none is near it says all, or if they are many how they are `listed`."""
    names = sorted(known)
    close = near(name, names)
    everything = f"known: {', '.join(names)}"
    if len(everything) > WIDE:
        everything = listed or f"known: {', '.join(names[:NAMES_SAID])} and {len(names) - NAMES_SAID} more"
    hint = f"did you mean {' or '.join(close)}?" if close else everything
    return UnknownName(f"unknown {kind} {name!r}: {hint}" if name else f"the name of the {kind} is empty; {everything}")


def near(name: str, known: Iterable[str]) -> list[str]:
    """Up to three names that a name may have meant: those that are spelled much like it, begin with it, or are its beginning."""
    from difflib import get_close_matches

    word, names = name.lower(), sorted(known)
    longer = [n for n in names if len(word) > 2 and (n.startswith(word) or word.startswith(n + "_"))]
    return list(dict.fromkeys([*get_close_matches(word, names, n=3, cutoff=0.7), *longer]))[:3]


def check(ok: bool, message: str) -> None:
    """Raise a ParameterError with this message unless ok."""
    if not ok:
        raise ParameterError(message)


def is_whole(value: Any, least: int | None = None) -> bool:
    """Whether it is a whole number, of Python or numpy, and not below the least; True is none."""
    return isinstance(value, Integral) and not isinstance(value, bool) and (least is None or int(value) >= least)


def in_digits(text: str) -> int | None:
    """The whole number, 0 or more, that a text writes in digits; None where it is none, or has more digits than any that is meant."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= MOST_DIGITS else None


def as_pattern(place: str, text: str) -> re.Pattern[str]:
    """A regular expression; place: whose it is, as "stop_regex(pattern)"."""
    try:
        return re.compile(text)
    except NO_PATTERN as error:
        raise ParameterError(f"{place}: {text!r:.{WIDE}} is no regular expression: {error}") from None


def as_json(value: Any, most: int = 80) -> str:
    """A value in JSON's words, cut where it is long: what was sent as JSON is shown as it was sent."""
    text = json.dumps(value, ensure_ascii=False, default=repr)
    return text if len(text) <= most else f"{text[: most - 3]}..."


def plain(value: Any) -> Any:
    """A number of numpy as Python's, which is written and counted like one; those in tuples, lists and dicts too."""
    if type(value) in (tuple, list):
        return type(value)(map(plain, value))
    if type(value) is dict:
        return {plain(key): plain(one) for key, one in value.items()}
    if isinstance(value, bool | int) and type(value) in (bool, int):
        return value
    return int(value) if isinstance(value, Integral) else float(value) if isinstance(value, Real) else value


_SPELLING: ContextVar[Callable[[str], str]] = ContextVar("spelling", default=str)


def option(name: str) -> str:
    """An option as whoever asked writes it: max_new_tokens in Python, --max-new-tokens on the command line."""
    return _SPELLING.get()(name)


@contextmanager
def spelled(spelling: Callable[[str], str]) -> Iterator[None]:
    """Within it, options are written so: spelling makes what is written of the name that Python has for one."""
    token = _SPELLING.set(spelling)
    try:
        yield
    finally:
        _SPELLING.reset(token)


def check_options(what: str, given: Iterable[str], *takers: Callable[..., Any]) -> None:
    """Refuse options that are none of what these functions take by keyword alone; what: who was asked."""
    known = [p.name for taker in takers for p in signature(taker).parameters.values() if p.kind is p.KEYWORD_ONLY]
    for name in given:
        if name not in known:
            raise unknown(f"option of {what}", name, known)


def whole(place: str, value: Any, least: int | None = None) -> None:
    """Refuse what is no whole number or below the least; place: what is set, as "top_k(k)"."""
    check(is_whole(value, least), f"{place} needs a whole number{'' if least is None else f' >= {least}'}; got {value!r}")


def number(
    place: str,
    value: Any,
    least: float | None = None,
    most: float | None = None,
    *,
    above: float | None = None,
    below: float | None = None,
    note: str = "",
) -> None:
    """Refuse what is no number in [least, most], or in (above, below), or beyond float32; place: what is set, as "min_p(p)"."""
    bounds = [(">=", "[", least), (">", "(", above), ("<=", "]", most), ("<", ")", below)]
    within = [(sign, bracket, bound) for sign, bracket, bound in bounds if bound is not None]
    real = isinstance(value, Real) and not isinstance(value, bool)
    ok = real and -FLOAT32_MAX <= value <= FLOAT32_MAX
    ok = ok and (least is None or value >= least) and (above is None or value > above)
    ok = ok and (most is None or value <= most) and (below is None or value < below)
    if len(within) == 2:
        (_, opening, low), (_, closing, high) = within
        wanted = f"a number in {opening}{low}, {high}{closing}"
    else:
        wanted = "a finite number" + "".join(f" {sign} {bound}" for sign, _, bound in within)
    beyond = ", within float32's +-3.4e38" if real and not -FLOAT32_MAX <= value <= FLOAT32_MAX and value - value == 0 else ""
    check(ok, f"{place} needs {wanted}{beyond}{note}; got {value!r}")


def named(function: Any) -> str:
    """A function as errors call it."""
    return f"the function {getattr(function, '__name__', function)}"


def said_number(who: str, found: Any) -> float:
    """What a function of the user's answered, as a number, which may be NaN or infinite; who: the part and its function."""
    try:
        return float("" if isinstance(found, str | bytes) else found)
    except (TypeError, ValueError, OverflowError):
        raise PartError(f"{who} answered {found!r:.60}; it returns a number") from None


def said_truth(who: str, found: Any) -> bool:
    """What a function of the user's answered, as True or False."""
    try:
        return bool(found)
    except (TypeError, ValueError):
        raise PartError(f"{who} answered {found!r:.60}; it returns True or False") from None
