"""Beam sampling and best-first beam search against their definitions on tables."""

from collections import Counter
from itertools import permutations

import numpy as np
import pytest
from helpers.tables import BACKENDS, run, search_of, table, texts

import unspool as un
from unspool.core.loop import decode

PROMPTS, LIMIT = [[1], [2, 0], [3, 3, 1]], 6


def test_beam_sampling_keeps_the_best_of_what_is_drawn_without_replacement():
    """Of one round with two beams: which two are drawn first, by the sum over all orders of drawing; the better of them comes first."""
    model, runs = table(seed=3, vocabulary=5, end_tokens=()), 4000
    p = np.asarray(model.probabilities((1,)), np.float64)
    p /= p.sum()
    law = Counter()
    for first, second in permutations(range(5), 2):
        pair = (first, second) if p[first] > p[second] else (second, first)
        law[pair] += p[first] * p[second] / (1 - p[first])
    found = run(model, un.BeamSample(2, n=2), [[1]] * runs, 1, names=list(map(str, range(runs))))
    seen = Counter(tuple(t for (t,) in texts(one)) for one in found)
    assert set(seen) <= set(law)
    chi = sum((seen[pair] - runs * mass) ** 2 / (runs * mass) for pair, mass in law.items())
    assert chi < 27.9                                                    # 9 degrees of freedom, p = 0.001


def test_beam_sampling_of_all_there_is_is_beam_search():
    """Where every candidate is drawn, the order of drawing decides only which endings count; without ends it decides nothing."""
    model = table(seed=5, vocabulary=4, end_tokens=())
    found, best = (run(model, f"{name}(64, n=8, length_penalty=0.0)", PROMPTS, 3) for name in ("beam_sample", "beam"))
    assert list(map(texts, found)) == list(map(texts, best))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("ends", [(3,), (3, 0), ()])
@pytest.mark.parametrize("width", [1, 2, 3, 5])
@pytest.mark.parametrize("processors", ["", "no_repeat_ngram(2) | ", "temperature(1.8) | "])
def test_best_first_finds_what_beam_search_finds(backend, ends, width, processors):
    for seed in range(4):
        model = table(seed=seed, vocabulary=5, end_tokens=ends, sharpness=1.0, backend=BACKENDS[backend])
        for n in {1, width}:
            beams = run(model, f"{processors}beam({width}, length_penalty=0.0, early_stopping='never', n={n})", PROMPTS, LIMIT)
            found = run(model, f"{processors}best_first({width}, n={n})", PROMPTS, LIMIT)
            for mine, theirs in zip(found, beams, strict=True):
                assert texts(mine) == texts(theirs)
                np.testing.assert_allclose([h.score for h in mine], [h.score for h in theirs], atol=1e-5)


def rows_of(model, decoder, limit):
    """How many texts a search grows."""
    decoder = un.parse(decoder)
    return sum(int((step.reason == "").sum()) for step in decode(search_of(model, decoder, [[1]], limit), decoder.strategy))


def test_best_first_grows_fewer_rows():
    """Never more than beam search grows, up to the last round that decides it, and on the whole far fewer."""
    counts = np.asarray(
        [
            [rows_of(table(seed=seed, vocabulary=6, sharpness=2.0), decoder, 8) for seed in range(20)]
            for decoder in ("best_first(4)", "beam(4, length_penalty=0.0, early_stopping='never')")
        ]
    )
    assert (counts[0] <= counts[1]).all()
    assert counts[0].sum() < 0.6 * counts[1].sum()


def test_ties_leave_the_queue_in_the_order_in_which_they_came():
    even = un.models.toy.TableModel(lambda text: [0.25] * 4, 4, end_tokens=(3,))
    (found,) = run(even, un.BestFirst(3, 3), [[0]], 2)
    (beams,) = run(even, un.Beam(3, 0.0, "never", n=3), [[0]], 2)
    assert [h.score for h in found] == [h.score for h in beams]
    assert texts(found) == texts(run(even, un.BestFirst(3, 3), [[0]], 2)[0])
