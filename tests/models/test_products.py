"""Products of a few rows, and what numpy writes over: the same numbers, whatever the shape, and no input changed."""

import numpy as np
import pytest

from unspool.models import products
from unspool.models.products import product
from unspool.models.transformer import ACTIVATIONS, Linear, Norm, erf


@pytest.fixture
def pieces(monkeypatch):
    monkeypatch.setattr(products, "PIECE", 60)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("lies", ["by outputs", "by inputs", "apart"])
@pytest.mark.parametrize(("inputs", "outputs"), [(7, 9), (13, 41), (64, 32), (200, 3)])
def test_a_product_is_the_sum_over_inputs(pieces, dtype, lies, inputs, outputs):
    random = np.random.default_rng(0)
    wide = random.standard_normal((2 * outputs, inputs)).astype(dtype)
    weight = {"by outputs": wide[:outputs], "by inputs": np.ascontiguousarray(wide[:outputs].T).T, "apart": wide[::2]}[lies]
    for rows in range(1, 6):
        x = random.standard_normal((rows, inputs)).astype(dtype)
        found = product(x, weight)
        assert found.dtype == dtype
        assert found.shape == (rows, outputs)
        assert np.allclose(found, np.einsum("ni,oi->no", x.astype(np.float64), weight), atol=1e-4)


@pytest.mark.parametrize("lies", ["by outputs", "by inputs"])
def test_a_row_is_the_same_beside_others(pieces, lies):
    weight, x = np.random.default_rng(1).standard_normal((50, 40)), np.random.default_rng(2).standard_normal((products.BY_PIECES, 40))
    weight = weight if lies == "by outputs" else np.asfortranarray(weight)
    assert np.array_equal(product(x, weight)[:2], product(x[:2], weight))


ONES = np.ones(8)
PARTS = [*ACTIVATIONS.values(), erf, Norm(ONES, ONES, 1e-5, True), Norm(ONES, None, 1e-5, False), Linear(np.eye(8), ONES)]


@pytest.mark.parametrize("part", PARTS)
def test_no_part_writes_over_what_it_is_given(part):
    x = np.random.default_rng(3).standard_normal((5, 8))
    before = x.copy()
    part(x)
    assert np.array_equal(x, before)


@pytest.mark.parametrize("centred", [True, False])
def test_a_norm_divides_by_the_root_of_the_mean_square(centred):
    x, weight = np.random.default_rng(4).standard_normal((2, 5, 6, 8))[0], np.arange(8.0)
    moved = x - x.mean(-1, keepdims=True) if centred else x
    wanted = moved / np.sqrt((moved**2).mean(-1, keepdims=True) + 0.1) * weight + 1
    assert np.allclose(Norm(weight, np.ones(8), 0.1, centred)(x), wanted)
