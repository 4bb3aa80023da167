"""Differences of decoders: the test of one against all its swaps, and Holm's correction against what it is defined by."""

import math
from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from unspool.lab import significance
from unspool.lab.registry import metric_named
from unspool.lab.significance import ALL_SWAPS, SWAPS, holm, paired_p

P = st.lists(st.floats(0, 1), min_size=1, max_size=6)
PERPLEXITY, LENGTH = metric_named("perplexity"), metric_named("length")


@settings(deadline=None, max_examples=200)
@given(P)
def test_holm_is_the_closed_test_over_every_family_of_hypotheses(values):
    """A hypothesis falls if every set that contains it does, each by Bonferroni."""
    m = len(values)
    families = [set(f) for size in range(1, m + 1) for f in combinations(range(m), size)]
    for i, found in enumerate(holm(values)):
        assert found == pytest.approx(max(min(1, len(f) * min(values[j] for j in f)) for f in families if i in f))


@settings(deadline=None, max_examples=100)
@given(P)
def test_holm_lies_between_none_and_bonferroni_and_counts_no_nan(values):
    found = holm(values)
    assert all(p <= one <= min(1, len(values) * p) + 1e-12 for p, one in zip(values, found, strict=True))
    more = holm([math.nan, *values, math.nan])
    assert more[1:-1] == found
    assert math.isnan(more[0])


def pooled(parts):
    return math.exp(-parts[:, 0].sum() / parts[:, 1].sum())


@pytest.mark.parametrize("seed", range(6))
def test_p_is_the_share_of_all_swaps_of_few_prompts(seed):
    rng = np.random.default_rng(seed)
    n = 2 + seed
    mine, theirs = (np.stack([-rng.exponential(20, n), rng.integers(3, 20, n)], 1).astype(float) for _ in range(2))
    there = abs(pooled(mine) - pooled(theirs))
    count = 0
    for flips in product((False, True), repeat=n):
        keep = np.asarray(flips)[:, None]
        count += abs(pooled(np.where(keep, mine, theirs)) - pooled(np.where(keep, theirs, mine))) >= there - 1e-9
    assert paired_p(PERPLEXITY, mine, theirs) == pytest.approx(count / 2**n)
    assert paired_p(PERPLEXITY, theirs, mine) == paired_p(PERPLEXITY, mine, theirs)


def test_drawn_swaps_say_about_the_same_as_all(monkeypatch):
    rng = np.random.default_rng(1)
    mine = np.stack([rng.normal(5, 1, 10), np.ones(10)], 1)
    theirs = np.stack([rng.normal(5.6, 1, 10), np.ones(10)], 1)
    whole = paired_p(LENGTH, mine, theirs)
    significance.swaps.cache_clear()
    monkeypatch.setattr(significance, "ALL_SWAPS", 2)
    try:
        assert paired_p(LENGTH, mine, theirs) == pytest.approx(whole, abs=4 * math.sqrt(whole / SWAPS))
    finally:
        significance.swaps.cache_clear()


def test_the_test_holds_where_there_is_no_difference_and_sees_one_where_there_is():
    """Of 300 comparisons without a difference about 5 % have a p below 0.05, and no more."""
    rng = np.random.default_rng(2)
    n = ALL_SWAPS + 8

    def p(shift):
        mine, theirs = rng.exponential(1, n), rng.exponential(1, n) + shift
        return paired_p(LENGTH, np.stack([mine, np.ones(n)], 1), np.stack([theirs, np.ones(n)], 1))

    assert sum(p(0) < 0.05 for _ in range(300)) <= 300 * 0.05 + 3 * math.sqrt(300 * 0.05)
    assert p(4) < 0.001


def test_without_prompts_or_values_there_is_no_p():
    one = np.asarray([[1.0, 1.0]])
    assert math.isnan(paired_p(LENGTH, one, one))
    nothing = np.zeros((5, 2))
    assert math.isnan(paired_p(LENGTH, nothing, nothing))
    assert paired_p(LENGTH, np.repeat(one, 5, 0), np.repeat(one, 5, 0)) == 1
