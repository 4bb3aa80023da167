"""Means from samples without replacement: without bias, with a variance without bias, in intervals that hold the truth."""

import numpy as np
import pytest
from gate.test_stochastic_beam import DRAWS, LIMIT, PROMPT
from helpers.tables import Letters, enumerate_texts, table

import unspool as un


def estimates(n, f, draws=DRAWS, **how):
    lm = un.LanguageModel(table(seed=3, vocabulary=3, end_tokens=(2,)), Letters(3, (2,)))
    found = [lm.generate([list(PROMPT)], un.StochasticBeam(n), max_new_tokens=LIMIT, seed=seed)[0] for seed in range(draws)]
    return [un.estimate(output, f, **how) for output in found]


def length(text):
    return len(text.tokens)


EXACT = dict(enumerate_texts(table(seed=3, vocabulary=3, end_tokens=(2,)), PROMPT, LIMIT))
TRUTH = sum(p * len(text) for text, p in EXACT.items())


def test_value_and_variance_have_no_bias():
    found, runs = estimates(4, length, 600), 600
    values, variances = np.asarray([e.value for e in found]), np.asarray([e.deviation**2 for e in found])
    assert abs(values.mean() - TRUTH) < 4.5 * values.std() / runs**0.5
    squares = (values - TRUTH) ** 2
    assert abs((variances - squares).mean()) < 4.5 * (variances - squares).std() / runs**0.5


def test_normalised_varies_less_and_intervals_hold_the_truth_as_often_as_they_say():
    model = table(seed=3, vocabulary=5, end_tokens=(4,), sharpness=1.0)
    lm = un.LanguageModel(model, Letters(5, (4,)))
    truth = sum(p * len(text) for text, p in enumerate_texts(model, PROMPT, 5))
    outputs = [lm.generate([list(PROMPT)], un.StochasticBeam(64), max_new_tokens=5, seed=seed)[0] for seed in range(100)]
    spread = {}
    for normalised in (False, True):
        found = [un.estimate(output, length, normalised) for output in outputs]
        assert 0.88 <= np.mean([e.low <= truth <= e.high for e in found]) < 1
        spread[normalised] = np.std([e.value for e in found])
    assert spread[True] < spread[False] / 2


@pytest.mark.parametrize("normalised", [False, True])
def test_all_texts_make_it_exact(normalised):
    (found,) = estimates(len(EXACT), length, 1, normalised=normalised)
    assert found.value == pytest.approx(TRUTH, abs=1e-6)
    assert found.low == pytest.approx(found.high)


def test_a_wider_confidence_is_a_wider_interval():
    narrow, wide = (estimates(3, length, 1, confidence=c)[0] for c in (0.5, 0.99))
    assert wide.high - wide.low > 3 * (narrow.high - narrow.low)


def test_what_it_is_told_wrong():
    with pytest.raises(un.ParameterError, match="at least two"):
        estimates(1, length, 1)
    with pytest.raises(un.ParameterError, match="confidence"):
        estimates(3, length, 1, confidence=1.0)
    lm = un.LanguageModel(table(), Letters())
    with pytest.raises(un.UnspoolError, match="stochastic_beam"):
        un.estimate(lm.generate("ab", un.Sample(2), max_new_tokens=2), length)
