"""A model that remembers answers as the model itself, whatever was asked before, and computes nothing twice."""

import pytest
from helpers.tables import PROMPTS, Letters, run, same, table
from laws.covering import build, over

from unspool.models import remembering
from unspool.models.remembering import Remembering

REMEMBERS = Remembering(table(seed=1))
"""One for all tests: what it knows of one decoder serves the next."""


@over("kinds")
def test_it_answers_as_the_model(name):
    decoder = build(name).resolve(Letters())
    for one, other in zip(run(table(seed=1), decoder, PROMPTS, seed=4), run(REMEMBERS, decoder, PROMPTS, seed=4), strict=True):
        same(one, other)


@pytest.mark.parametrize("name", ["greedy", "sample(3)", "beam(3)", "follow((1, 3, 0, 2))"])
def test_what_is_known_is_not_computed_again(name):
    model = Remembering(table(seed=2))
    first = run(model, name, PROMPTS[:1])
    count = model.inner.forwards
    same(first[0], run(model, name, PROMPTS[:1])[0])
    assert model.inner.forwards == count


def test_equal_samples_stay_rows_of_their_own():
    model = Remembering(table(seed=1))
    for _ in range(2):
        assert len(run(model, "temperature(0) | sample(4)", PROMPTS[:1])[0]) == 4


def test_it_forgets_where_there_is_too_much(monkeypatch):
    monkeypatch.setattr(remembering, "MOST", 5)
    model = Remembering(table(seed=1))
    for _ in range(4):
        same(run(model, "sample(3)", PROMPTS)[0], run(table(seed=1), "sample(3)", PROMPTS)[0])
        assert sum(map(len, model.children.values())) <= 60
