"""Numbers of processors that other tests meet only through other programs."""

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
