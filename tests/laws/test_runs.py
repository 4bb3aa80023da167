"""What every decoder obeys, on models whose every answer is known."""

from functools import cache

import pytest
from helpers.tables import BACKENDS, PROMPTS, Letters, run, same, table, texts
from laws.covering import STRATEGIES, build, over

import unspool as un
from unspool.testing import strategies as laws
from unspool.testing.strategies import Trial

backends = pytest.mark.parametrize("backend", BACKENDS)


MODELS = {backend: table(seed=1, backend=of) for backend, of in BACKENDS.items()}
"""One for all laws; what it once answered it remembers."""


def made(backend, name):
    """A model and a decoder over one array library."""
    return MODELS[backend], build(name, BACKENDS[backend]).resolve(Letters())


@cache
def trial(backend, name):
    """A decoder over one array library, with a table; what comes of each prompt alone is kept."""
    model, decoder = made(backend, name)
    return Trial(decoder, model, PROMPTS, seed=4, tokenizer=Letters())


@over("pairs", backends=True)
def test_batch_is_alone(backend, name):
    laws.batch_is_alone(trial(backend, name))
    assert any(ran.found[0] for ran in trial(backend, name).alone)


@over("pairs")
def test_numpy_is_torch(name):
    if "torch" not in BACKENDS:
        pytest.skip("torch is not installed")
    for one, other in zip(trial("numpy", name).alone, run(*made("torch", name), PROMPTS, seed=4), strict=True):
        same(one.found[0], other, 1e-4)


@over("pairs")
def test_no_text_depends_on_how_many_run_at_once(name):
    laws.no_text_depends_on_how_many_run_at_once(trial("numpy", name))


@over("kinds")
def test_prompts_may_have_limits_of_their_own(name):
    laws.limits_are_ones_own(trial("numpy", name))


@over("pairs", backends=True, draws=False)
def test_cached_is_uncached_and_steps_add_up(backend, name):
    laws.steps_add_up(trial(backend, name))


RANDOM = [s for cls in (un.Sample, un.Speculative) for s in STRATEGIES[cls] if "greedy" not in s] + ["top_p(0.7) | sample"]


@pytest.mark.parametrize("name", RANDOM)
def test_seeds_differ_and_repeat(name):
    model, decoder = made("numpy", name)
    runs = [tuple(map(tuple, map(texts, run(model, decoder, PROMPTS, seed=seed)))) for seed in (0, 1, 2, 3, 0, 2**70 + 3, -1)]
    assert runs[0] == runs[4]
    assert len(set(runs)) >= 5


def test_names_tell_equal_prompts_apart():
    model = table(seed=1)
    one, other = run(model, un.Sample(8), [[1], [1]], names=["one", "other"])
    assert texts(one) != texts(other)
    same(run(model, un.Sample(8), [[1]], names=["other"])[0], other)


@backends
def test_a_samples_text_is_the_same_for_every_n(backend):
    model = table(seed=1, backend=BACKENDS[backend])
    many = run(model, un.Sample(9), PROMPTS)
    for n in (1, 2, 5):
        for few, all_of_them in zip(run(model, un.Sample(n), PROMPTS), many, strict=True):
            same(few, all_of_them[:n])


@backends
@pytest.mark.parametrize("seed", range(5))
def test_the_likeliest_by_many_names(backend, seed):
    model = table(seed=seed, backend=BACKENDS[backend])
    expected = [texts(found) for found in run(model, un.Greedy(), PROMPTS)]
    ways = ["top_k(1) | sample", "temperature(0) | sample", "top_p(0) | sample", "min_p(1) | sample", "contrastive_search(1)"]
    ways += ["contrastive_search(4, alpha=0.0)", "beam(1)", "beam(1, early_stopping=True)", "exact(expand=1)"]
    ways += [f"beam(1, length_penalty={penalty}, early_stopping={early})" for penalty in (0.0, -1.0) for early in (True, False, "'never'")]
    for way in ways:
        assert [texts(found) for found in run(model, way, PROMPTS)] == expected, way
