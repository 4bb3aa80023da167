"""Intervals: those of scipy, with the cover they promise, the same for the same numbers."""

import math

import numpy as np
import pytest

from unspool.lab.bootstrap import difference, estimate
from unspool.lab.registry import metric_named

MEAN = metric_named("length")


def parts(values):
    """Of a mean over prompts."""
    return np.stack([values, np.ones(len(values))], -1)


def draws(count, seed=0, center=0.0):
    return np.random.default_rng(seed).normal(center, 1, count)


def test_they_are_those_of_scipy():
    stats = pytest.importorskip("scipy.stats")
    values = draws(40)
    theirs = stats.bootstrap((values,), np.mean, method="percentile", n_resamples=20000, rng=np.random.default_rng(1)).confidence_interval
    mine = estimate(MEAN, parts(values))
    assert mine.value == pytest.approx(values.mean())
    assert (mine.low, mine.high) == pytest.approx((theirs.low, theirs.high), abs=0.03)
    assert mine == estimate(MEAN, parts(values))


def test_they_cover_what_they_promise():
    found = [estimate(MEAN, parts(draws(30, seed))) for seed in range(300)]
    assert 0.89 < np.mean([one.low <= 0 <= one.high for one in found]) < 0.98


def test_more_prompts_narrow_them():
    few, many = (estimate(MEAN, parts(draws(count))) for count in (25, 400))
    assert (few.high - few.low) / (many.high - many.low) == pytest.approx(4, rel=0.25)


def test_differences_are_paired():
    values = draws(30)
    same = difference(MEAN, parts(values), parts(values))
    assert (same.value, same.low, same.high, same.certain) == (0, 0, 0, False)
    shifted = difference(MEAN, parts(values + 0.1), parts(values))
    assert (shifted.low, shifted.high) == pytest.approx((0.1, 0.1))
    assert shifted.certain
    apart = difference(MEAN, parts(draws(30, 1) + 0.1), parts(values))
    assert apart.low < 0 < apart.high
    assert not apart.certain


def test_one_prompt_has_no_interval():
    for one in (estimate(MEAN, parts([2.0])), difference(MEAN, parts([2.0]), parts([1.0]))):
        assert one.value in (1, 2)
        assert math.isnan(one.low)
        assert math.isnan(one.high)
        assert not one.certain


def test_what_is_not_known_is_left_out():
    unknown = np.zeros((5, 2))
    one = estimate(metric_named("self_bleu"), unknown)
    assert math.isnan(one.value)
    assert math.isnan(one.low)
    some = np.concatenate([unknown, [[0.5, 1.0]]])
    assert estimate(metric_named("self_bleu"), some).low == 0.5
