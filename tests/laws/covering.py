"""Which decoders the laws run over: with `--all` the next larger set than without it.

A law that some processor may break runs over `pairs`: every processor with every kind of strategy, and every strategy with
every kind of processor; with `--all` over the whole product. A law that is kept by the record, the text or the loop,
whichever processor runs, runs over `kinds`: every strategy alone and with one processor of every kind; with `--all` over
`pairs`. Every stop is in all of them. A decoder is named by its text form, and is built when its test runs.
"""

from collections import Counter
from functools import cache
from itertools import product

import numpy as np
import pytest
from laws.examples import PROCESSOR_KINDS, STRATEGY_KINDS, processors, stops, strategies

import unspool as un


def texts_of(examples):
    """The text forms of every class's examples."""
    return {cls: [str(part) for part in some] for cls, some in examples.items()}


PROCESSORS, STRATEGIES, STOPS = map(texts_of, (processors(), strategies(), stops()))
KIND_OF = {
    str(part): next(kind for kind, is_true in PROCESSOR_KINDS.items() if is_true(part)) for some in processors().values() for part in some
}
OF_KIND = {kind: [text for cls in some for text in STRATEGIES[cls]] for kind, some in STRATEGY_KINDS.items()}
ALONE = tuple(s for some in STRATEGIES.values() for s in some)
STOPPED = tuple(f"{s} | {stop}" for some in STOPS.values() for stop in some for s in ("sample(3)", "beam(3)"))
ALWAYS = frozenset((*ALONE, *STOPPED))
"""Decoders that no share leaves out."""
DRAWING = frozenset(p for p, kind in KIND_OF.items() if kind == "draws")
"""Processors that draw: their distributions cannot be recomputed from the text alone."""
WANTED = frozenset(map(str, strategies()[un.ConstrainedBeam]))
NO_WAY = {"reads scores": WANTED, "dead end": WANTED | {str(part) for part in strategies()[un.Follow] if part.then}}
"""Strategies that want certain tokens, beside kinds of processors that may rule these out and leave nothing."""
READING_LAYERS = [str(part) for some in processors().values() for part in some if part.reads_layers]
SHALLOW = frozenset(product(READING_LAYERS, map(str, strategies()[un.EarlyExit])))
"""Processors that read layers beside drafts of a first layer, which has none: refused by name."""


@cache
def pairs():
    """Processors and strategies that meet, so that no kind misses a part of the other side; few of them."""
    found, used = {}, Counter()

    def meet(some_processors, some_strategies):
        """Of these the two that bring together what has not met, and have been used least."""
        p, s = min(
            ((p, s) for p, s in product(some_processors, some_strategies) if s not in NO_WAY.get(KIND_OF[p], ())),
            key=lambda two: (used[two[0]], used[KIND_OF[two[0]], two[1]] > 0, used[two[1]]),
        )
        found[p, s] = None
        used.update([p, s, (KIND_OF[p], s)])

    for cls, kind in product(PROCESSORS, STRATEGY_KINDS):
        meet(PROCESSORS[cls], OF_KIND[kind])
    for kind, s in product(PROCESSOR_KINDS, ALONE):
        if not used[kind, s] and s not in NO_WAY.get(kind, ()):
            meet([p for p in KIND_OF if KIND_OF[p] == kind], [s])
    return tuple(found)


@cache
def kinds():
    """One of these pairs for every strategy and kind of processor."""
    return tuple({(KIND_OF[p], s): (p, s) for p, s in reversed(pairs())}.values())


def whole():
    """Every processor with the first example of every strategy that wants no tokens, and what the two smaller sets hold."""
    every = product((p for some in PROCESSORS.values() for p in some), (some[0] for some in STRATEGIES.values()))
    possible = (two for two in every if two not in SHALLOW and two[1] not in WANTED | NO_WAY.get(KIND_OF[two[0]], frozenset()))
    return tuple(dict.fromkeys((*possible, *pairs())))


def names(which, draws=True):
    """The decoders of a set by name, strategies alone and all stops among them; without those that draw in a processor."""
    some = {"pairs": pairs, "kinds": kinds, "all": whole}[which]()
    return (*ALONE, *(f"{p} | {s}" for p, s in some if draws or p not in DRAWING), *STOPPED)


@cache
def parts(backend):
    """Every example by its text form."""
    return {str(part): part for some in (strategies(backend) | processors(backend) | stops()).values() for part in some}


@cache
def build(name, backend=np.asarray):
    """A decoder by its name."""
    known = parts(backend)
    if name in known:
        return un.Decoder((known[name],))
    first, second = next((a, b) for a, b in known_halves(name) if a in known and b in known)
    return known[first] | known[second]


def known_halves(name):
    """The two sides of each `|` of a text."""
    pieces = name.split(" | ")
    return ((" | ".join(pieces[:i]), " | ".join(pieces[i:])) for i in range(1, len(pieces)))


def over(which, *, backends=False, draws=True):
    """Runs a law over a set, or over the next larger one with `--all`; on the other backends over strategies alone, if wanted."""
    return pytest.mark.over(which, backends=backends, draws=draws)
