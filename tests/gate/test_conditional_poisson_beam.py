"""Conditional Poisson beams against the exact law: every set, every chance, every estimate; trees of small tables, all sets enumerated."""

from itertools import combinations

import numpy as np
import pytest
from helpers.checks import fits
from helpers.tables import BACKENDS, Letters, enumerate_texts, normalised, run, table, texts

import unspool as un
from unspool.record.trace import Trace
from unspool.strategies.conditional_poisson_beam import conditional_poisson, products
from unspool.strategies.stochastic_beam import importance_weights

PROMPT, LIMIT, DRAWS = (1, 2), 3, 1500


def design(weights, size):
    """Every set of a size, with its probability."""
    sets = {some: np.prod([weights[i] for i in some]) for some in combinations(range(len(weights)), size)}
    return {some: mass / sum(sets.values()) for some, mass in sets.items()}


def after(model, text, heat=1.0):
    """The distribution of the next token."""
    return normalised(np.asarray(model.probabilities((*PROMPT, *text)), np.float64) ** (1 / heat))


def laws(model, n, annealing=1.0, heat=1.0, live=((),), done=(), mass=1.0, chances=None):
    """Every outcome of the search: (the texts with the chances that they were kept, its probability)."""
    chances = chances or {(): 1.0}
    grown = [(*text, v) for text in live for v, p in enumerate(after(model, text, heat)) if p > 0]
    of = {text: np.prod([after(model, text[:i], heat)[v] for i, v in enumerate(text)]) for text in grown}
    names, odds = list(of), [(p / (1 - p)) ** (1 / annealing) for p in of.values()]
    sets = design(odds, min(n - len(done), len(names)))
    kept = {text: sum(p for some, p in sets.items() if i in some) for i, text in enumerate(names)}
    for some, p in sets.items():
        chosen = [names[i] for i in some]
        now = chances | {text: chances[text[:-1]] * kept[text] for text in chosen}
        over = [text for text in chosen if text[-1] in model.end_tokens or len(text) == LIMIT]
        goes_on = [text for text in chosen if text not in over]
        if goes_on:
            yield from laws(model, n, annealing, heat, goes_on, (*done, *over), mass * p, now)
        else:
            yield {text: now[text] for text in (*done, *over)}, mass * p


def samples(model, decoder, seed=5, draws=DRAWS, before=()):
    names = [f"draw {i}" for i in range(draws)]
    return run(model, un.Decoder((*before, decoder)), [PROMPT] * draws, LIMIT, names=names, seed=seed)


def weights(found):
    return importance_weights(Trace([list(PROMPT)], [], [found], "tokens"))


@pytest.mark.parametrize("size", [0, 1, 2, 4, 7])
def test_sets_are_drawn_by_the_product_of_their_weights(size):
    rng = np.random.default_rng(0)
    odds = rng.gamma(0.5, size=7)
    exact = design(odds, size)
    drawn = [conditional_poisson(np.log(odds), size, rng.random(4 * size)) for _ in range(3000)]
    fits([tuple(items.tolist()) for items, _ in drawn], exact.items())
    for items, chances in drawn:
        np.testing.assert_allclose(np.exp(chances), [sum(p for some, p in exact.items() if i in some) for i in items], rtol=1e-9)


def test_of_weights_that_no_float_holds():
    """Weights from exp(-900) to exp(900): the largest are taken, and their chances are 1 but for nothing."""
    items, chances = conditional_poisson(np.linspace(-900, 900, 19), 3, np.full(15, 0.5))
    assert items.tolist() == [16, 17, 18]
    np.testing.assert_allclose(chances, 0, atol=1e-12)


def test_products_are_cut_at_a_degree():
    one, other = np.log([[1.0, 2.0, 3.0]]), np.log([[4.0, 5.0]])
    np.testing.assert_allclose(np.exp(products(one, other, 3)), [[4, 13, 22, 15]])
    np.testing.assert_allclose(np.exp(products(one, other, 1)), [[4, 13]])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("n", "annealing"), [(1, 1.0), (2, 1.0), (2, 0.5), (3, 2.0)])
def test_texts_and_chances_are_those_of_the_design(backend, n, annealing):
    model = table(seed=3, vocabulary=3, end_tokens=(2,), backend=BACKENDS[backend])
    found = samples(model, un.ConditionalPoissonBeam(n, annealing))
    exact = {}
    for outcome, mass in laws(model, n, annealing):
        key = tuple(sorted((text, round(float(chance), 3)) for text, chance in outcome.items()))
        exact[key] = exact.get(key, 0) + mass
    assert sum(exact.values()) == pytest.approx(1)
    fits([tuple(sorted((tuple(h.tokens), round(float(np.exp(h.columns["log_kept"])), 3)) for h in some)) for some in found], exact.items())


@pytest.mark.parametrize(("n", "annealing"), [(1, 1.0), (2, 1.0), (3, 0.7)])
def test_weighted_sums_have_no_bias(n, annealing):
    model = table(seed=3, vocabulary=3, end_tokens=(2,))
    of = dict(enumerate_texts(model, PROMPT, LIMIT))
    expected = dict.fromkeys(of, 0.0)
    for outcome, mass in laws(model, n, annealing):
        for text, chance in outcome.items():
            expected[text] += mass * of[text] / chance
    for text, p in of.items():
        assert expected[text] == pytest.approx(p)
    found = samples(model, un.ConditionalPoissonBeam(n, annealing))
    estimates = [np.sum(weights(some) * [len(text) for text in texts(some)]) for some in found]
    truth = sum(p * len(text) for text, p in of.items())
    assert abs(np.mean(estimates) - truth) < 4.5 * np.std(estimates) / np.sqrt(DRAWS) + 1e-9


def test_they_are_drawn_from_what_the_processors_leave():
    model = table(seed=3, vocabulary=3, end_tokens=(2,))
    found = samples(model, un.ConditionalPoissonBeam(2), before=[un.Temperature(0.6)])
    exact = {}
    for outcome, mass in laws(model, 2, heat=0.6):
        exact[tuple(sorted(outcome))] = exact.get(tuple(sorted(outcome)), 0) + mass
    fits([tuple(sorted(texts(some))) for some in found], exact.items())


def test_all_texts_with_their_probabilities_where_n_is_enough():
    model = table(seed=3, vocabulary=3, end_tokens=(2,))
    exact = dict(enumerate_texts(model, PROMPT, LIMIT))
    found = samples(model, un.ConditionalPoissonBeam(len(exact) + 2), draws=1)[0]
    assert sorted(texts(found)) == sorted(exact)
    np.testing.assert_allclose(weights(found), [exact[text] for text in texts(found)], atol=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_without_heat_the_best_are_kept(seed):
    """Beam search in which ended texts keep their places."""
    model, n = table(seed=seed, vocabulary=6, end_tokens=(5,)), 4
    live, done = {(): 1.0}, {}
    while live:
        grown = {(*text, v): p * q for text, p in live.items() for v, q in enumerate(after(model, text))}
        best = dict(sorted(grown.items(), key=lambda item: -item[1])[: n - len(done)])
        over = {text: p for text, p in best.items() if text[-1] == 5 or len(text) == LIMIT}
        live, done = {text: p for text, p in best.items() if text not in over}, done | over
    (found,) = samples(model, un.ConditionalPoissonBeam(n, annealing=1e-4), draws=1)
    assert texts(found) == sorted(done, key=lambda text: -done[text])


def test_what_estimate_cannot_say():
    model = table(seed=3, vocabulary=3, end_tokens=(2,))
    output = un.LanguageModel(model, Letters(3, (2,))).generate([list(PROMPT)], un.ConditionalPoissonBeam(2), max_new_tokens=LIMIT)[0]
    assert len(un.importance_weights(output.trace)) == 2
    with pytest.raises(un.UnspoolError, match="has no intervals"):
        un.estimate(output, lambda text: 1.0)
