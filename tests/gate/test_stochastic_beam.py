"""Sampling without replacement against the exact law: every order of drawing, every inclusion, every estimate."""

from itertools import permutations

import numpy as np
import pytest
from helpers.checks import fits
from helpers.tables import BACKENDS, enumerate_texts, run, table, texts
from laws.test_sampling import CASES, END, MODEL, on, processors

import unspool as un
from unspool.record.trace import Trace
from unspool.strategies.stochastic_beam import importance_weights, log_inclusion

PROMPT, LIMIT, DRAWS = (1, 2), 3, 1500


def samples(model, n, before=(), seed=5, draws=DRAWS):
    """Independent samples of n texts: the same prompt under many names, in one run."""
    names = [f"draw {i}" for i in range(draws)]
    return run(model, un.Decoder((*before, un.StochasticBeam(n))), [PROMPT] * draws, LIMIT, names=names, seed=seed)


def orders(exact, n):
    """Every order in which n texts can be drawn without replacement, and its probability."""
    for drawn in permutations(exact, n):
        mass, left = 1.0, 1.0
        for text in drawn:
            mass *= exact[text] / left
            left -= exact[text]
        yield drawn, mass


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("n", [1, 2])
def test_texts_are_drawn_without_replacement(backend, n):
    model = table(seed=3, vocabulary=3, end_tokens=(2,), backend=BACKENDS[backend])
    exact = dict(enumerate_texts(model, PROMPT, LIMIT))
    fits([tuple(texts(found)) for found in samples(model, n)], orders(exact, n))


@pytest.mark.parametrize("case", ["temperature(0.6) | ", "top_k(2) | ", "repetition_penalty(1.5) | "])
def test_they_are_drawn_from_what_the_processors_leave(case):
    case = case if case in CASES else next(c for c in CASES if c.startswith(case.partition("(")[0]))
    model, other = on("numpy")
    exact = dict(enumerate_texts(MODEL, PROMPT, LIMIT, CASES[case]))
    fits([tuple(texts(found)) for found in samples(model, 2, processors(case, other))], orders(exact, 2))


def test_inclusion_probabilities_are_exact():
    model = table(seed=4, vocabulary=3, end_tokens=(2,))
    exact = dict(enumerate_texts(model, PROMPT, LIMIT))
    inclusion = {text: sum(mass for drawn, mass in orders(exact, 3) if text in drawn) for text in exact}
    found = samples(model, 3)
    for text, p in inclusion.items():
        share = np.mean([text in texts(some) for some in found])
        assert abs(share - p) < 4.5 * np.sqrt(p * (1 - p) / DRAWS) + 1e-9


@pytest.mark.parametrize("n", [1, 2, 4])
def test_weighted_sums_have_no_bias(n):
    model = table(seed=3, vocabulary=3, end_tokens=(2,))
    exact = dict(enumerate_texts(model, PROMPT, LIMIT))
    found = samples(model, n)
    for f in (lambda text: 1.0, len, lambda text: float(text[0] == 1)):
        truth = sum(p * f(text) for text, p in exact.items())
        estimates = [np.sum(weights(some) * [f(text) for text in texts(some)]) for some in found]
        assert abs(np.mean(estimates) - truth) < 4.5 * np.std(estimates) / np.sqrt(DRAWS) + 1e-9


def weights(found):
    return importance_weights(Trace([list(PROMPT)], [], [found], "tokens"))


def test_all_texts_with_their_probabilities_where_n_is_enough():
    model = table(seed=3, vocabulary=3, end_tokens=(2,))
    exact = dict(enumerate_texts(model, PROMPT, LIMIT))
    for n in (len(exact), len(exact) + 5):
        found = samples(model, n, draws=1)[0]
        assert set(texts(found)) == set(exact)
        np.testing.assert_allclose(weights(found), [exact[text] for text in texts(found)], atol=1e-6)


def test_a_smaller_sample_is_the_beginning_of_a_larger_one():
    model = table(seed=8, end_tokens=(END,))
    many = texts(run(model, un.StochasticBeam(12), [PROMPT], 4)[0])
    assert len(set(many)) == 12
    for n in (1, 2, 7):
        assert texts(run(model, un.StochasticBeam(n), [PROMPT], 4)[0]) == many[:n]


def test_inclusion_of_texts_too_rare_for_a_float():
    assert log_inclusion(-1000.0) == -1000.0
    assert log_inclusion(-40.5) == pytest.approx(log_inclusion(-39.5) - 1)
    assert log_inclusion(np.inf) == 0.0


def test_weights_of_another_strategy_are_refused():
    found = run(table(), un.Sample(2), [PROMPT], LIMIT)[0]
    with pytest.raises(un.UnspoolError, match="stochastic_beam"):
        weights(found)
