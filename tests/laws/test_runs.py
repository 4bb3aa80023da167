"""What every decoder obeys, on models whose every answer is known."""

from functools import cache

import numpy as np
import pytest
from helpers.tables import BACKENDS, PROMPTS, Letters, run, same, search_of, table, texts
from laws.covering import DRAWING, KIND_OF, PROCESSORS, STRATEGIES, build, over

import unspool as un
from unspool.arrays import host
from unspool.core.lane import Lane
from unspool.core.loop import decode
from unspool.core.strategy import Choice, Look, Strategy

backends = pytest.mark.parametrize("backend", BACKENDS)


MODELS = {backend: table(seed=1, backend=of) for backend, of in BACKENDS.items()}
"""One for all laws; what it once answered it remembers."""


def made(backend, name):
    """A model and a decoder over one array library."""
    return MODELS[backend], build(name, BACKENDS[backend]).resolve(Letters())


@cache
def alone(backend, name):
    """What comes of every prompt in a run of its own."""
    model, decoder = made(backend, name)
    return [run(model, decoder, [p], seed=4)[0] for p in PROMPTS]


@over("pairs", backends=True)
def test_batch_is_alone(backend, name):
    model, decoder = made(backend, name)
    order = [2, 0, 3, 0, 1]
    together = run(model, decoder, [PROMPTS[i] for i in order], seed=4)
    for i, found in zip(order, together, strict=True):
        same(alone(backend, name)[i], found)
    assert any(alone(backend, name))


@over("pairs")
def test_numpy_is_torch(name):
    if "torch" not in BACKENDS:
        pytest.skip("torch is not installed")
    for one, other in zip(alone("numpy", name), run(*made("torch", name), PROMPTS, seed=4), strict=True):
        same(one, other, 1e-4)


@over("kinds")
def test_prompts_may_have_limits_of_their_own(name):
    model, decoder = made("numpy", name)
    limits = [1, 4, 2, 3]
    together = run(model, decoder, PROMPTS, limits=limits)
    for prompt, limit, found in zip(PROMPTS, limits, together, strict=True):
        same(run(model, decoder, [prompt], limit)[0], found)
        assert all(len(h.tokens) <= limit for h in found)


@over("pairs", backends=True, draws=False)
def test_cached_is_uncached_and_steps_add_up(backend, name):
    """Every number of a hypothesis is found again from its text alone, prefix by prefix, in sessions of their own."""
    model, decoder = made(backend, name)
    for prompt, found in zip(PROMPTS[:2], alone(backend, name)[:2], strict=True):
        for h in found[:2]:
            fresh = [from_scratch(model, decoder, prompt, h.tokens[:i]) for i in range(len(h.tokens))]
            np.testing.assert_allclose(h.logprobs, [raw[t] for (raw, _), t in zip(fresh, h.tokens, strict=True)], atol=1e-5)
            np.testing.assert_allclose(h.processed, [done[t] for (_, done), t in zip(fresh, h.tokens, strict=True)], atol=1e-5)
            assert h.logprob == pytest.approx(sum(h.logprobs))


def from_scratch(model, decoder, prompt, new):
    """The model's and the processed log-probabilities after a text that no session has seen."""
    lane = Lane(model, decoder.processors, end_tokens=model.end_tokens)
    rows = lane.begin([np.asarray(prompt)])
    rows = lane.session.extend(rows, [new])
    return distributions(lane, rows)


def distributions(lane, rows):
    logits = lane.session.logits(rows)
    scores = lane.process(lane.describe(rows, logits, lambda purpose: np.zeros(len(rows))), rows, logits)
    return [log_softmax(host(x)[0].astype(np.float64)) for x in (logits, scores)]


def log_softmax(x):
    return x if x.max() == -np.inf else x - np.log(np.exp(x - x.max()).sum()) - x.max()    # of a row that died all stay impossible


PROCESSED = [
    pytest.param(backend, f"{p} | greedy", id=f"{p}-{backend}")
    for backend in BACKENDS
    for some in PROCESSORS.values()
    for p in some
    if p not in DRAWING and (backend == "numpy" or KIND_OF[p] != "stateless" or p == "top_p(0.7)")
]
"""Every processor on numpy; elsewhere those with a memory and one without: a stateless one sees texts, wherever they forked."""
processed = pytest.mark.parametrize(("backend", "name"), PROCESSED)


@processed
def test_forked_is_recomputed(backend, name):
    """A tree grown in a mixed order, rows passed over, parts of it forgotten: every row answers as if alone."""
    model, decoder = made(backend, name)
    lane = Lane(model, decoder.processors, end_tokens=model.end_tokens)
    prompts = [np.asarray(p) for p in PROMPTS]
    rng, alive = np.random.default_rng(5), {}
    for prompt, row in zip(PROMPTS, lane.begin(prompts), strict=True):
        alive[int(row)] = (prompt, [])
    for _ in range(12):
        parents = rng.choice(list(alive), 3)
        chains = [rng.integers(0, 5, rng.integers(1, 4)) for _ in parents]
        for parent, chain, row in zip(parents, chains, lane.session.extend(parents, chains), strict=True):
            prompt, new = alive[int(parent)]
            alive[int(row)] = (prompt, [*new, *map(int, chain)])
        if len(alive) > 10:
            kept = rng.choice(list(alive), 6, replace=False)
            alive = {int(row): alive[int(row)] for row in kept}
            lane.keep(list(alive))
        row = int(rng.choice(list(alive)))
        for found, fresh in zip(distributions(lane, np.asarray([row])), from_scratch(model, decoder, *alive[row]), strict=True):
            np.testing.assert_allclose(found, fresh, atol=1e-5)


class _Probe(Strategy):
    """Looks two tokens ahead along every row's best two, commits with or without what was seen, and compares."""

    def __init__(self, reuse):
        self.reuse, self.compared = reuse, 0

    def run(self, frontier):
        while len(frontier):
            values, best = frontier.top(2)
            at = np.repeat(np.arange(len(frontier)), 2)
            possible = (values > -np.inf).ravel()
            seen = yield Look(frontier.take(at), [[int(t), 0] for t in best.ravel()])
            first = seen.at(0)
            expected, ends = host(first.logprobs), np.flatnonzero(possible & (frontier.reasons(at, best.ravel()) == ""))
            take = ends[: len(frontier)]
            if not len(take):
                return
            frontier = yield Choice(best.ravel()[take], frontier.rows[at[take]], seen=first.take(take) if self.reuse else None)
            np.testing.assert_allclose(host(frontier.logprobs), expected[take], atol=1e-5)
            self.compared += len(take)


@processed
@pytest.mark.parametrize("reuse", [True, False])
def test_looked_at_is_committed(backend, name, reuse):
    model, decoder = made(backend, name)
    probe = _Probe(reuse)
    list(decode(search_of(model, decoder, PROMPTS), probe))
    assert probe.compared


RANDOM = [s for cls in (un.Sample, un.Speculative) for s in STRATEGIES[cls]] + ["top_p(0.7) | sample"]


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
