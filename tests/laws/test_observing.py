"""Observing changes nothing: a text is the same whatever is recorded of it, and whether one looks at it while it grows."""

from itertools import product

import pytest
from helpers.tables import PROMPTS, VOCABULARY, Letters, table
from laws.covering import build, over

import unspool as un
from unspool.record.step import LEVELS

MODEL = table(seed=21)
WATCHED = [("tokens", 5), *product(("choices", "stages"), (1, 3, VOCABULARY + 9))]
"""Levels, and how many alternatives."""


def run(name, **options):
    """A run that nobody has looked at yet; the prompts are decoded together, and one has more than one text to grow from."""
    return un.LanguageModel(MODEL, Letters()).stream(PROMPTS, build(name), max_new_tokens=4, seed=3, **options)


def texts(run):
    """Everything that came of it but the record, or the failure."""
    return [([vars(s) for s in output.sequences], output.failure) for output in run.outputs]


@over("kinds")
def test_the_text_does_not_depend_on_what_is_recorded(name):
    unseen = texts(run(name, level="off"))
    for level, choices in WATCHED:
        assert texts(run(name, level=level, choices=choices)) == unseen, (level, choices)


@over("kinds")
def test_the_text_does_not_depend_on_being_watched(name):
    """Streamed step by step, as text, with the record drawn while it grows, or with another level from the middle on."""
    unseen = texts(run(name, level="off"))
    for level in LEVELS:
        watched = run(name, level=level)
        for i, step in enumerate(watched):
            watched.certain(step)
            watched.so_far()
            if i == 1:
                watched.record("stages")
        assert texts(watched) == unseen, level
    streamed = run(name, level="choices")
    try:
        shown = "".join(streamed.text())
    except un.DeadEnd:
        assert unseen[0][1]
    else:
        assert shown.removeprefix("\n") == unseen[0][0][0]["text"]
    assert texts(streamed) == unseen


@pytest.mark.parametrize("level", LEVELS)
def test_numbers_are_the_same_to_the_last_bit(level):
    """Not only nearly: what is recorded is computed beside the run, never in its place."""
    decoder = "temperature(0.7) | top_p(0.9) | sample(3)"
    lm = un.load()
    plain, seen = (lm.generate(["Once upon a time", "The king"], decoder, max_new_tokens=6, level=i, choices=7) for i in ("off", level))
    assert [[vars(s) for s in o.sequences] for o in plain] == [[vars(s) for s in o.sequences] for o in seen]
