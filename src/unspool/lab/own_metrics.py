"""Metrics of one's own: a function of a text, a class of such, or a Metric, known by its name from then on."""

from __future__ import annotations

import inspect
import math
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from unspool.core.elsewhere import DEFINED
from unspool.errors import PartError, check, said_number
from unspool.lab.known_metrics import is_built_in
from unspool.lab.text_metric import PER_TEXT, Metric, Samples, TextSample, ratio

KIND = "metric"
NumberOfText = Callable[[TextSample], float | None]


def own_metrics() -> dict[str, Metric]:
    """Those that were defined by now, by name."""
    return {name: value for (kind, name), (value, _) in DEFINED.items() if kind == KIND}


def metric(
    thing: Any = None, *, name: str | None = None, unit: str = "", aim: str = "as the task asks", decimals: int = 2, log: bool = False
) -> Any:
    """Make a metric known by its name: `--metrics NAME`, or metrics=[NAME].

    thing: a function of a `TextSample` that returns a number, or None for a text that has none; a class, of which one object without
    arguments is called like such a function; or a `Metric`, as it is. The metric of a function is the mean of its numbers over texts;
    its definition is what its docstring begins with. As a decorator it takes the other settings. Returns what it was given. name: the
    function's, if not given. unit: what the numbers are. log: whether it is drawn on a logarithmic scale.
    """
    if thing is None:
        return partial(metric, name=name, unit=unit, aim=aim, decimals=decimals, log=log)
    home = str(sys._getframe(1).f_globals.get("__name__", ""))
    if isinstance(thing, Metric):
        _define(replace(thing, name=name or thing.name), home)
        return thing
    check(callable(thing), f"a metric is a function of a text, a class of such, or a Metric; got {thing!r:.60}")
    found = name or re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", thing.__name__).lower()
    said = (inspect.getdoc(thing) or f"{found}, a metric of one's own.").split("\n\n")[0].replace("\n", " ")
    function = _object(thing, found) if isinstance(thing, type) else thing
    parts = partial(_sums, function, found)
    _define(Metric(found, said, unit or found, PER_TEXT, aim, parts=parts, value=ratio, decimals=decimals, log=log), home)
    return thing


def _object(thing: type, name: str) -> NumberOfText:
    try:
        made: Any = thing()
    except Exception as error:
        raise PartError(f"the metric {name}: its class is made without arguments, and says {type(error).__name__}: {error}") from error
    check(callable(made), f"the metric {name}: an object of its class is called with a text; give it a __call__(self, sample)")
    return made  # type: ignore[no-any-return]


def _sums(function: NumberOfText, name: str, samples: Samples) -> list[float]:
    found = [function(sample) for sample in samples]
    numbers = [said_number(f"the metric {name}", x) for x in found if x is not None]
    kept = [x for x in numbers if not math.isnan(x)]
    return [math.fsum(kept), len(kept)]


def _define(made: Metric, home: str) -> None:
    """Take a metric down, unless its name means another; home: the module that defines it, which may do so again."""
    check(bool(re.fullmatch(r"[A-Za-z]\w*", made.name)), f"the name of a metric is letters, digits and _, as comma_rate; got {made.name!r}")
    check(not is_built_in(made.name), f"the metric {made.name} is there already; call yours otherwise")
    check((made.parts is None) != (made.whole is None), f"the metric {made.name} has parts or a whole, one of the two")
    _, other = DEFINED.get((KIND, made.name), (None, home))
    check(other == home, f"the metric {made.name} is defined in {other} and in {home}; call one of them otherwise")
    DEFINED[KIND, made.name] = made, home
