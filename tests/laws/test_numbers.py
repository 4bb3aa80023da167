"""Numbers of processors that other tests meet only through other programs."""

from types import SimpleNamespace

import numpy as np
import pytest

import unspool as un
from unspool.arrays import softmax


@pytest.mark.parametrize("t", [0.5, 0.97, 2.0])
def test_temperature_is_a_power_of_the_probabilities(t):
    p = np.asarray([[0.5, 0.3, 0.15, 0.05]])
    expected = p ** (1 / t) / (p ** (1 / t)).sum()
    np.testing.assert_allclose(softmax(un.Temperature(t).process(None, np.log(p))), expected, rtol=1e-9)


def test_top_h_of_transformers_keeps_a_hundred_tokens_at_most():
    kept = un.TopH(1.0, "transformers").process(None, np.log(np.linspace(1.0, 1.01, 300)[None]))
    assert np.isfinite(kept).sum() == 100


@pytest.mark.parametrize("rank", range(4))
def test_top_k_that_would_spare_a_token_is_the_least_that_keeps_it(rank):
    scores = np.log(np.asarray([[0.4, 0.3, 0.2, 0.1]]))
    k = un.TopK(1).sparing(SimpleNamespace(rank=rank)).k
    assert [np.isfinite(un.TopK(n).process(None, scores)[0, rank]) for n in (1, 2, 3, 4)] == [n >= k for n in (1, 2, 3, 4)]


def test_prompt_lookup_copies_from_the_shortest_match_on():
    text = np.asarray([1, 2, 9, 4, 1, 2])
    assert un.PromptLookup(longest=3, shortest=2).find(text, 2) == [9, 4]
    assert un.PromptLookup(longest=3, shortest=3).find(text, 2) == []
