"""The draws: uniform, told apart by everything they are keyed with, and right at the edges."""

from dataclasses import dataclass

import numpy as np
import pytest
from helpers.tables import BACKENDS, run, table
from hypothesis import given, settings, strategies as st
from scipy import stats

import unspool as un
from unspool.arrays import host
from unspool.core.frontier import order_among_siblings
from unspool.core.randomness import CDF_BLOCK, child, draw, uniform, word
from unspool.core.strategy import Choice, Strategy

LINEAGES = np.asarray([word(str(i)) for i in range(20000)], np.uint64)
ROOT = np.full(10**5, word(b"a prompt"), np.uint64)
DRAWS = {
    "lineages": uniform(0, LINEAGES, 3, "sample"),
    "children": uniform(0, child(ROOT, np.arange(10**5)), 0, "sample"),
    "steps": uniform(0, ROOT, np.arange(10**5), "sample"),
    "indices": uniform(0, ROOT, 7, "sample", np.arange(10**5)),
    "seeds": np.asarray([uniform(seed, ROOT[:1], 0, "sample")[0] for seed in range(3000)]),
    "purposes": np.asarray([uniform(0, ROOT[:1], 0, str(purpose))[0] for purpose in range(3000)]),
}


@pytest.mark.parametrize("of", DRAWS)
def test_uniforms_are_uniform_and_differ(of):
    u = DRAWS[of]
    assert ((u >= 0) & (u < 1)).all()
    assert stats.kstest(u, "uniform").pvalue > 1e-4
    assert len(np.unique(u)) > 0.999 * len(u)
    assert abs(np.corrcoef(u[:-1], u[1:])[0, 1]) < 5 / np.sqrt(len(u))


def test_lineages_do_not_collide():
    family = child(ROOT, np.arange(10**5), 0)
    assert family[0] == ROOT[0]
    generations = np.concatenate([family, child(family, 1, 1), child(family, 2, 1), child(family, 1, 2), child(child(family, 2, 1), 1, 2)])
    assert len(np.unique(generations)) == len(generations)


@given(st.lists(st.integers(0, 5), max_size=30))
def test_siblings_are_counted_in_order(parents):
    expected = [parents[:i].count(p) for i, p in enumerate(parents)]
    assert order_among_siblings(np.asarray(parents, np.int64)).tolist() == expected


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("vocabulary", [1, 5, CDF_BLOCK - 1, CDF_BLOCK, CDF_BLOCK + 1, 3 * CDF_BLOCK + 7])
def test_draw_is_the_inverse_cdf(backend, vocabulary):
    rng = np.random.default_rng(vocabulary)
    scores = rng.normal(scale=3, size=(200, vocabulary)).astype(np.float32)
    scores[::3, rng.random(vocabulary) < 0.7] = -np.inf
    scores[:, vocabulary // 2] = 0.5
    u = np.append(rng.random(198), [0.0, np.nextafter(1, 0)])
    cdf = np.cumsum(np.exp(scores - scores.max(-1, keepdims=True)), -1, dtype=np.float64)
    aim = u * cdf[:, -1]
    expected = np.minimum((cdf <= aim[:, None]).sum(-1), [np.flatnonzero(row > -np.inf)[-1] for row in scores])
    found = host(draw(BACKENDS[backend](scores), u))
    clear = np.abs(cdf - aim[:, None]).min(-1) > 1e-9 * cdf[:, -1]
    assert (found == expected)[clear].all()
    assert (scores[np.arange(200), found] > -np.inf).all()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("vocabulary", [4, 2 * CDF_BLOCK + 1])
def test_draw_from_nothing_gives_a_token_of_the_vocabulary(backend, vocabulary):
    found = host(draw(BACKENDS[backend](np.full((2, vocabulary), -np.inf, np.float32)), np.asarray([0.0, 0.9])))
    assert ((found >= 0) & (found < vocabulary)).all()


@settings(max_examples=30, deadline=None)
@given(st.integers(-(2**63), 2**65), st.permutations(range(4)))
def test_a_text_knows_its_seed_and_its_prompt_alone(seed, order):
    model, prompts = table(seed=1), [[1, 2], [2], [0, 0, 3], [4]]
    plain, mixed = (run(model, un.Sample(2), [prompts[i] for i in some], 3, seed=seed) for some in (range(4), order))
    for i, found in zip(order, mixed, strict=True):
        assert [h.tokens for h in found] == [h.tokens for h in plain[i]]


@dataclass(frozen=True)
class _Forking(Strategy):
    """Draws two children of every row at every step."""

    def run(self, frontier):
        while len(frontier):
            assert len(np.unique(frontier["lineage"])) == len(frontier)
            forked = frontier.fork(2, "side")
            u = forked.uniform("sample")
            assert len(np.unique(u)) == len(u)
            at = np.arange(len(forked))
            expected = forked.lineages[forked.reasons(at, at * 0) == ""]
            frontier = yield Choice(at * 0, forked.rows, uniform=u)
            assert np.array_equal(frontier["lineage"], expected)


def test_rows_that_fork_at_every_step_draw_apart():
    assert len(run(table(seed=1), _Forking(), [[1], [2]], 7)[0]) == 2**7
