"""Arithmetic sampling by its law: how many of n texts begin with a given beginning, and how each text is distributed."""

from collections import Counter

import numpy as np
import pytest
from helpers.checks import fits
from helpers.tables import BACKENDS, enumerate_texts, normalised, run, table, texts

import unspool as un
from unspool.strategies.arithmetic import renewed, sliced

PROMPT, LIMIT, END = (1, 2), 3, 3


def model_of(backend="numpy"):
    return table(seed=10, vocabulary=4, end_tokens=(END,), backend=BACKENDS[backend])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("n", [1, 2, 7, 40, 400])
def test_every_beginning_comes_as_often_as_its_probability_says(backend, n):
    """Exactly: of n texts floor(n * p) or ceil(n * p) have a beginning of probability p."""
    model, beginnings = model_of(backend), Counter()
    for text, p in enumerate_texts(model, PROMPT, LIMIT):
        beginnings.update({text[:k]: p for k in range(1, len(text) + 1)})
    for seed in range(5):
        drawn = texts(run(model, un.Arithmetic(n), [PROMPT], LIMIT, seed=seed)[0])
        found = Counter(text[:k] for text in drawn for k in range(1, len(text) + 1))
        assert set(found) <= set(beginnings)
        for beginning, p in beginnings.items():
            assert abs(found[beginning] - n * p) < 1 + 1e-4


@pytest.mark.parametrize("processors", ["", "temperature(0.6) | ", "top_k(2) | "])
@pytest.mark.parametrize("i", [0, 2])
def test_each_text_is_distributed_as_one_of_sample(processors, i):
    rules = {"": lambda p: p, "temperature(0.6) | ": lambda p: p ** (1 / 0.6), "top_k(2) | ": lambda p: np.where(p >= np.sort(p)[-2], p, 0)}
    model, runs = model_of(), 1500
    found = run(model, processors + "arithmetic(3)", [PROMPT] * runs, LIMIT, names=[str(k) for k in range(runs)])
    fits([texts(some)[i] for some in found], enumerate_texts(model, PROMPT, LIMIT, lambda p, prompt, new: rules[processors](p)))


def test_means_vary_less_than_those_of_sample():
    model, runs, n = model_of(), 300, 8
    truth = sum(p * len(text) for text, p in enumerate_texts(model, PROMPT, LIMIT))
    spread = {}
    for strategy in (un.Arithmetic(n), un.Sample(n)):
        found = run(model, strategy, [PROMPT] * runs, LIMIT, names=[str(k) for k in range(runs)])
        means = np.asarray([np.mean([len(text) for text in texts(some)]) for some in found])
        assert abs(means.mean() - truth) < 4.5 * means.std() / runs**0.5
        spread[strategy.name] = means.var()
    assert spread["arithmetic"] < spread["sample"] / 2


def test_long_texts_keep_their_probability():
    """Far more than 53 bits of text: every token is drawn from its distribution still, and texts of near codes part for good."""
    model = table(seed=2, vocabulary=4, end_tokens=(), sharpness=0.3)
    found = texts(run(model, un.Arithmetic(200), [PROMPT], 80)[0])
    assert len(set(found)) == 200
    excess = np.zeros(len(found))
    for t in range(50, 80):
        excess += [(text[t] == 1) - normalised(model.probabilities((*PROMPT, *text[:t])))[1] for text in found]
    assert abs(np.mean(excess)) < 4.5 * np.std(excess) / len(found) ** 0.5


def test_digits_are_renewed_below_what_is_known():
    codes, grains = np.asarray([0.3, 0.3, 0.3, 0.9]), np.asarray([2.0**-53, 2.0**-20, 0.2, 8.0])
    codes, grains = renewed(codes, grains, np.asarray([0.5, 0.5, 0.25, 0.125]))
    np.testing.assert_allclose(codes, [0.3, (np.floor(0.3 * 2**20) + 0.5) / 2**20, 0.25 + 0.25 / 4, 0.125], rtol=1e-15)
    assert (grains == 2.0**-53).all()


def test_codes_at_the_edges_stay_in_the_support():
    p = np.asarray([[0.0, 0.25, 0.75, 0.0]])
    with np.errstate(divide="ignore"):
        logprobs = np.log(p)
    for code, token in ((0.0, 1), (0.25, 2), (1 - 2.0**-53, 2)):
        found, place, length = sliced(logprobs, np.asarray([code]))
        assert (found[0], length[0]) == (token, pytest.approx(p[0, token]))
        assert 0 <= place[0] < 1


def test_what_it_is_told_wrong():
    for wrong in ("(0)", "(True)", "(1.5)", ""):
        with pytest.raises(un.UnspoolError):
            un.parse("arithmetic" + wrong)
