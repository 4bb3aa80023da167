"""What processors leave is the same, bit for bit, computed on whole rows and on the few tokens that can come."""

from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from laws.examples import processors

import unspool as un
from unspool.arrays import logsumexp
from unspool.core import few
from unspool.core.decoder import as_decoder
from unspool.core.distributions import Distributions
from unspool.core.frontier import Frontier
from unspool.core.lane import Lane
from unspool.core.tree import TokenForest
from unspool.errors import PartError

SIZES = (2, 3, 5, 17, 64, 300, 1000, 1025, 5000)
MADE = (
    *("temperature(0.7)", "temperature(0.0)", "temperature(1.9)", "top_k(1)", "top_k(7)", "top_k(50)", "top_k(1200)", "top_p(0.95)"),
    *("top_p(0.5, min_keep=4)", "top_p(0.0)", "min_p(0.05)", "min_p(0.3, min_keep=3)", "typical(0.9)", "typical(0.2, min_keep=6)"),
    *("epsilon(0.01)", "eta(0.01)", "top_n_sigma(1.0)", "top_n_sigma(0.4, min_keep=2)", "tail_free(0.9)"),
    *('tail_free(0.5, variant="llama.cpp")', "top_h(0.4)", 'top_h(0.4, variant="transformers")', "top_a(0.2)", "p_less()"),
    *("p_less(normalised=True)", "p_less(order=1.0)", "p_less(order=3.0, min_keep=5)", "log_softmax()", "smoothing(0.3)"),
    *("dynamic_temperature(0.0, 1.5)", "skew(0.5)", "xtc(0.05, 0.6)", "mirostat(2.0)", "mirostat(2.0, version=1)", "adaptive_p(0.4)"),
    *("min_k(3.0)", "min_k(0.0, min_keep=4)", "factual_nucleus(0.9, reset=())", "entropy_temperature(0.9, theta=0.5)"),
    *('after("", top_p(0.8))', "until(1, temperature(0.5))", "between(1, 2, top_k(3), prompt=True)", 'when("entropy > 1", top_p(0.5))'),
    *('when("varentropy > 1 or top_probability < 0.2", min_p(0.1))', "when('loop >= 1', mirostat(2.0))"),
    *('mirostat(2.0, surprise="truncated", version=1)', "bias({0: 2.0})", "banned(1)", "repetition_penalty(1.3)"),
)


class Given:
    """A model whose logits are rows of an array: after n tokens the n-th."""

    context, end_tokens, start = 1 << 20, (), None

    def __init__(self, logits):
        self.logits, self.vocabulary = logits, logits.shape[-1]

    def session(self, plan=un.NO_PLAN):
        nodes, logits = TokenForest(self.vocabulary), self.logits

        def extend(parents, chains, every=False):
            return np.asarray([rows[-1] for rows in nodes.grow(parents, chains)], np.int64)

        def of(rows, layer=None):
            return logits[[nodes.length(int(row)) - 1 for row in rows]]

        return SimpleNamespace(nodes=nodes, can=frozenset(), extend=extend, keep=nodes.keep, logits=of)


def rows_of(size, seed, dtype=np.float32):
    """Rows of every kind: sharp and flat, of equals, with -inf, with few that can come, and with none."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(9, size)) * rng.choice([0.1, 1.0, 3.0, 8.0], (9, 1))
    rows[1] = np.round(rows[1])
    rows[2] = 0.5
    rows[3, rng.random(size) < 0.5] = -np.inf
    rows[4, rng.random(size) < 0.9] = -np.inf
    rows[5, rng.permutation(size)[: size - 2]] = -np.inf
    rows[6] = np.where(rng.random(size) < 0.2, -np.inf, np.round(rows[6] * 2) / 2)
    rows[7] *= 30
    rows[8] = -np.inf
    return rows.astype(dtype)


def frontier_of(processors, logits, seed=0):
    """A frontier of prompts of one token, two tokens, ...: each finds a row of the logits."""
    lane = Lane(Given(logits), processors)
    rows = lane.begin([np.arange(n + 1) % logits.shape[-1] for n in range(len(logits))])
    source = Distributions(lane, rows)
    source.draw = lambda purpose: np.random.default_rng(seed).random(len(rows))
    return Frontier(None, source, None, rows, np.arange(len(rows)) + 1, {})


def answers(frontier, seed):
    """All that a strategy may ask of processed scores, and what they look like after every processor."""
    rng, stages = np.random.default_rng(seed), []
    frontier.source.process(lambda scores: stages.append(np.array(scores)))
    count, size = frontier.logits.shape
    forked = frontier.take(rng.integers(count, size=12))
    best = [numbers for k in (1, 2, 5, 40) for part in (frontier, forked) for numbers in part.top(k)]
    pick = frontier.pick(rng.integers(count, size=40), rng.integers(size, size=40))
    drawn = [frontier.draw(u) for u in [*rng.random((8, count)), np.zeros(count), np.full(count, 1 - 2.0**-53)]]
    drawn.append(forked.draw(rng.random(12)))
    return {"total": [frontier.processed_total], "draws": drawn, "best": best, "pick": pick, "scores": [frontier.scores], "stages": stages}


def same_bits(found, expected):
    for name in expected:
        assert len(found[name]) == len(expected[name])
        for a, b in zip(found[name], expected[name], strict=True):
            assert (a.dtype, a.shape) == (b.dtype, b.shape), name
            equal = np.array_equal(a, b, equal_nan=name == "pick")       # of a model that allows nothing the log-probabilities are none
            assert equal, (name, np.argwhere(a != b)[:5])                # 0 and -0 are equal: which of them is a maximum, numpy leaves open


def chain_of(texts):
    return as_decoder(" | ".join([*texts, "greedy()"])).processors


def both_ways(chain, logits, seed):
    """Whether few were found, once the answers are known to be the same on them and on whole rows."""
    with pytest.MonkeyPatch.context() as patch, np.errstate(invalid="ignore"):
        patch.setattr(few, "LARGE_VOCABULARY", 1 << 30)
        some = chain_of(chain)
        on_whole = frontier_of(some, logits)
        expected = answers(on_whole, seed)
        assert on_whole.source.few is None
        patch.setattr(few, "LARGE_VOCABULARY", 2)
        patch.setattr(few, "SPARSE", 1)
        on_few = frontier_of(some, logits)
        same_bits(answers(on_few, seed), expected)
        return on_few.source.few is not None


@pytest.mark.parametrize("size", SIZES)
def test_each_processor_alone_and_after_a_cut(size):
    logits = rows_of(size, seed=size)
    for text in MADE:
        both_ways([text], logits, 1)
        assert both_ways(["top_k(9)", text], logits, 2), text


def test_every_processor_that_says_it_goes_by_scores_is_tried():
    tried = {type(chain_of([text])[0]) for text in MADE}
    assert {type(p) for some in processors().values() for p in some if p.by_scores} <= tried


@dataclass(frozen=True)
class _ReturnsNan(un.Processor):
    by_scores = True

    def __str__(self):
        return "returns_nan"

    def process(self, rows, scores, memory=None):
        return np.where(scores == scores.max(-1, keepdims=True), np.float32("nan"), scores)


@pytest.mark.parametrize("chain", [("top_k(5)", "then"), ("then", "top_k(5)"), ("top_k(5)", "then", "temperature(0.5)")])
def test_no_number_is_found_among_few(chain):
    some = [_ReturnsNan() if text == "then" else chain_of([text])[0] for text in chain]
    source = frontier_of(some, rows_of(5000, 0)[:1]).source
    with pytest.raises(PartError, match="returns_nan returned NaN"):
        _ = source.processed_total


class _NoEvenTokens(un.TopK):
    def process(self, rows, scores, memory=None):
        return np.where(np.arange(scores.shape[-1]) % 2, super().process(rows, scores, memory), np.float32("-inf"))


def test_a_class_made_of_one_that_tells_few_is_asked_by_its_own_process():
    logits = rows_of(5000, 0)[:1]
    with np.errstate(invalid="ignore"):
        found = frontier_of([_NoEvenTokens(50)], logits).scores
    kept = np.flatnonzero(found[0] > -np.inf)
    assert len(kept)
    assert (kept % 2 == 1).all()


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(MADE), min_size=2, max_size=4), st.sampled_from(SIZES), st.integers(0, 10**6), st.booleans())
def test_random_chains(chain, size, seed, double):
    both_ways(chain, rows_of(size, seed, np.float64 if double else np.float32), seed)


def test_no_row_of_a_sum_depends_on_its_neighbours():
    rng = np.random.default_rng(0)
    for vocabulary in (1500, 5000, 50257):
        for _ in range(6):
            x = rng.standard_normal((4, vocabulary)).astype(np.float32) * 3
            x[1, 5:] = -np.inf                                            # a row of few beside rows of many
            x[3] = -np.inf
            alone = np.concatenate([logsumexp(x[r : r + 1]) for r in range(len(x))])
            assert (logsumexp(x) == alone).all()
