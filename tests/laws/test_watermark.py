"""The watermark is found where it is, and as often as its p-value says where it is not."""

import numpy as np
import pytest
from helpers.tables import run, table
from scipy import stats

import unspool as un
from unspool.processors.watermark import _tail

VOCABULARY = 40
MARK = un.WatermarkKgw(0.25, 3.0, context_width=2)


def sampled(decoder, n=60, limit=40):
    model = table(seed=1, vocabulary=VOCABULARY, sharpness=0.5, ends=())
    return [[3, 1, *h.tokens] for h in run(model, decoder, [[3, 1]], limit)[0][:n]]


def test_a_marked_text_is_found_and_only_with_its_key():
    texts = sampled(MARK | un.Sample(20))
    found = [MARK.detect(text, VOCABULARY) for text in texts]
    assert max(f.p_value for f in found) < 1e-3
    assert all(f.z > 3 for f in found)
    other = un.WatermarkKgw(0.25, 3.0, hashing_key=1, context_width=2)
    assert np.median([other.detect(text, VOCABULARY).p_value for text in texts]) > 0.1


def test_without_the_mark_a_p_value_is_small_as_often_as_it_says():
    found = [un.WatermarkKgw(hashing_key=k).detect(text, VOCABULARY).p_value for k, text in enumerate(sampled(un.Sample(300), 300))]
    for line in (0.01, 0.05, 0.2, 0.5):
        count = sum(p <= line for p in found)
        assert stats.binomtest(count, 300, line, "greater").pvalue > 1e-3


@pytest.mark.parametrize(("green", "n", "share"), [(0, 5, 0.3), (3, 5, 0.3), (5, 5, 0.3), (300, 1000, 0.25), (900, 1000, 0.25)])
def test_the_tail_is_the_binomial(green, n, share):
    assert _tail(green, n, share) == pytest.approx(stats.binom.sf(green - 1, n, share), rel=1e-6)


def test_a_repetition_counts_once():
    assert MARK.detect([1, 2, 3] * 50, VOCABULARY).scored == 3
    with pytest.raises(un.ParameterError, match="too few"):
        MARK.detect([1, 2], VOCABULARY)


@pytest.mark.parametrize("text", ["watermark_kgw(0)", "watermark_kgw(1)", "watermark_kgw(context_width=0)", "watermark_kgw(variant='x')"])
def test_refused_when_built(text):
    with pytest.raises(un.ParameterError, match="watermark_kgw"):
        un.parse(text)
