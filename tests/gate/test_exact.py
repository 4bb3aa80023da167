"""Exact search against enumeration, for prompts of several lengths at once, whose rows wait for each other."""

import numpy as np
import pytest
from helpers.tables import BACKENDS, enumerate_texts, run, table, texts
from laws.test_sampling import CASES, END, on, processors

import unspool as un

PROMPTS, LIMIT = [(1, 2), (0,), (2, 2, 1), (1, 2)], 4


def best_of(model, prompt, rule=lambda p, prompt, new: p):
    found = sorted(((mass, text) for text, mass in enumerate_texts(model, prompt, LIMIT, rule)), reverse=True)
    return [text for _, text in found], [np.log(mass) for mass, _ in found]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("ends", [(), (3,), (0, 3)])
@pytest.mark.parametrize("n", [1, 5, 30])
def test_exact_search_is_enumeration(backend, ends, n):
    for seed in range(3):
        model = table(seed=seed, vocabulary=4, end_tokens=ends, backend=BACKENDS[backend])
        for prompt, found in zip(PROMPTS, run(model, un.Exact(n), PROMPTS, LIMIT), strict=True):
            best, logprobs = best_of(model, prompt)
            assert texts(found) == best[:n]
            np.testing.assert_allclose([h.score for h in found], logprobs[:n], atol=1e-5)
            np.testing.assert_allclose([h.logprob for h in found], logprobs[:n], atol=1e-5)


@pytest.mark.parametrize("case", [case for case in CASES if "guidance" not in case])
def test_exact_search_under_processors_is_enumeration(case):
    model, other = on("numpy")
    decoder = un.Decoder((*processors(case, other), un.Exact(8)))
    for prompt, found in zip(PROMPTS, run(model, decoder, PROMPTS, LIMIT), strict=True):
        best, logprobs = best_of(model, prompt, CASES[case])
        np.testing.assert_allclose([h.score for h in found], logprobs[:8], atol=1e-5)
        assert texts(found) == best[: len(found)]


def test_it_finds_all_there_is_and_ends():
    model = table(seed=1, vocabulary=4, end_tokens=(END,))
    everything = best_of(model, (1, 2))[0]
    assert texts(run(model, un.Exact(10**6), [(1, 2)], LIMIT)[0]) == everything


@pytest.mark.parametrize(("seed", "sharpness"), [(1, 4.0), *((seed, 0.5) for seed in range(12))])
def test_it_opens_no_prefix_that_cannot_win(seed, sharpness):
    model = table(seed=seed, vocabulary=4, end_tokens=(END,), sharpness=sharpness)
    queries = []
    asked = un.models.toy.TableModel(lambda text: queries.append(text) or model.probabilities(text), 4, end_tokens=(END,))
    best = run(asked, un.Exact(), [(1,)], 5)[0][0]
    prefixes = dict(prefix_masses(model, (1,), 5))
    assert set(queries) <= {(1, *text) for text, mass in prefixes.items() if np.log(mass) >= best.score - 1e-5}


def prefix_masses(model, prompt, limit):
    walk = [((), 1.0)]
    for text, mass in walk:
        yield text, mass
        if len(text) < limit and END not in text:
            p = np.asarray(model.probabilities((*prompt, *text)))
            walk += [((*text, t), mass * share) for t, share in enumerate(p / p.sum())]
