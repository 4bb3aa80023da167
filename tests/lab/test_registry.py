"""The metrics by name: their sums over prompts give what the functions give for all texts together."""

import math

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from unspool import ParameterError, UnknownName
from unspool.lab import metrics
from unspool.lab.registry import DEFAULT, METRICS, TextSample, metric_named
from unspool.lab.self_bleu import self_bleu

FINITE = st.floats(-9, 0, allow_subnormal=False)
SAMPLE = st.lists(st.tuples(st.integers(0, 3), FINITE), max_size=25).map(lambda pairs: sample(*map(list, zip(*pairs, strict=True))))
GROUPS = st.lists(st.lists(SAMPLE, min_size=1, max_size=4), min_size=1, max_size=4)
NAMES = [name.replace("_n", "_2") if name.endswith("_n") else name for name in METRICS]


def sample(tokens=(), logprobs=(), **more):
    return TextSample(list(tokens), list(tokens), list(logprobs), 3 * len(tokens), **more)


def over(name, groups):
    """A metric of the sums over groups."""
    metric = metric_named(name)
    return float(metric.value(np.sum([metric.parts(samples) for samples in groups], axis=0)))


@settings(deadline=None, max_examples=50)
@given(GROUPS)
def test_sums_over_prompts_are_all_texts_together(groups):
    texts = [s.units for samples in groups for s in samples]
    for n in (1, 2, 4):
        assert over(f"rep_{n}", groups) == pytest.approx(metrics.repetition(texts, n))
    assert over("diversity", groups) == pytest.approx(metrics.diversity(texts))
    assert over("loops", groups) == pytest.approx(metrics.loops(texts))
    assert over("length", groups) == pytest.approx(np.mean([len(t) for t in texts]))


@settings(deadline=None, max_examples=50)
@given(GROUPS)
def test_likelihood_is_pooled_over_tokens(groups):
    logprobs = np.concatenate([s.logprobs for samples in groups for s in samples])
    if len(logprobs):
        assert over("logprob", groups) == pytest.approx(logprobs.mean())
        assert over("perplexity", groups) == pytest.approx(math.exp(-logprobs.mean()))
        assert over("bits_per_byte", groups) == pytest.approx(-logprobs.sum() / math.log(2) / (3 * len(logprobs)))
    else:
        assert math.isnan(over("perplexity", groups))


@settings(deadline=None, max_examples=50)
@given(GROUPS)
def test_unevenness_of_information(groups):
    texts = [np.asarray(s.logprobs) for samples in groups for s in samples]
    whole, longer = [t for t in texts if len(t)], [t for t in texts if len(t) > 1]
    if longer:
        expected = [np.mean((t - t.mean()) ** 2) for t in whole]
        assert over("uid_variance", groups) == pytest.approx(np.mean(expected), abs=1e-12)
        expected = [np.mean((t[1:] - t[:-1]) ** 2) for t in longer]
        assert over("uid_local", groups) == pytest.approx(np.mean(expected), abs=1e-12)


def test_even_information():
    even, jumping = sample("abcd", [-2.0] * 4), sample("abcd", [-1.0, -3.0] * 2)
    assert metric_named("uid_variance").of([even]) == metric_named("uid_local").of([even]) == 0
    assert metric_named("uid_variance").of([jumping]) == 1
    assert metric_named("uid_local").of([jumping]) == 4


@settings(deadline=None, max_examples=50)
@given(GROUPS)
def test_self_bleu_stays_within_a_prompt(groups):
    values = [x for samples in groups if len(samples) > 1 for x in self_bleu([s.units for s in samples], 3)]
    if values:
        assert over("self_bleu_3", groups) == pytest.approx(np.mean(values))
    else:
        assert math.isnan(over("self_bleu_3", groups))


@settings(deadline=None, max_examples=50)
@given(SAMPLE)
def test_metrics_of_a_collection(one):
    texts = [one.units, one.units[::-1]]
    samples = [one, sample(one.units[::-1])]
    assert metric_named("distinct_2").of(samples) == metrics.distinct(texts, 2)
    assert metric_named("zipf").of(samples) == pytest.approx(metrics.zipf(texts), nan_ok=True)
    assert metric_named("ngram_entropy_1").of(samples) == pytest.approx(metrics.ngram_entropy(texts, 1), nan_ok=True)


def test_ngram_entropy():
    assert metrics.ngram_entropy(["abab"], 1) == pytest.approx(math.log(2))
    assert metrics.ngram_entropy(["ab", "cd"], 2) == pytest.approx(math.log(2))
    assert math.isnan(metrics.ngram_entropy(["a"], 2))


def test_entropy_judge_and_endings():
    one = sample("ab", [-1, -2], entropies=[0.5, 1.5], judged=(-6 * math.log(2), 3, 4), ended=True)
    two = sample("a", [-1], entropies=[4.0], judged=(-2 * math.log(2), 1, 4), ended=False)
    assert over("entropy", [[one], [two]]) == 2
    assert over("judge_perplexity", [[one], [two]]) == pytest.approx(2 ** (8 / 4))
    assert over("judge_bits_per_byte", [[one], [two]]) == pytest.approx(1)
    assert over("ended", [[one], [two]]) == 0.5
    assert math.isnan(over("ended", [[sample("a", [-1])]]))
    assert over("judge_bits_per_byte", [[one, sample()]]) == pytest.approx(6 / 4), "an empty text was not judged"


@pytest.mark.parametrize("name", NAMES)
def test_every_metric_is_described_and_bears_an_empty_text(name):
    metric = metric_named(name)
    assert metric.name == name
    assert (metric.parts is None) != (metric.whole is None)
    assert all((metric.definition.endswith("."), metric.unit, metric.pooling, metric.aim))
    metric.of([sample()])


def test_names():
    assert metric_named("rep_7").name == "rep_7"
    assert metric_named("self_bleu").of([sample("abcde")] * 2) == metric_named("self_bleu_4").of([sample("abcde")] * 2) == pytest.approx(1)
    assert all(metric_named(name) for name in DEFAULT)
    for wrong, said in (("perplexty", "perplexity"), ("selfbleu", "self_bleu"), ("zipf_3", "zipf"), ("rep_0", "rep_2")):
        with pytest.raises(UnknownName, match=said):
            metric_named(wrong)
    for family in ("rep", "rep_n", "distinct"):
        with pytest.raises(ParameterError, match="number"):
            metric_named(family)
