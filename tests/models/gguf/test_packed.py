"""Weights in whole numbers are packed as their file has them, so that nothing but their inputs is rounded."""

import numpy as np
import pytest

from unspool.kernels.library import available
from unspool.models.compiled.cache import PackedStore
from unspool.models.compiled.packing import pack, packed_kind, size_of
from unspool.models.gguf.formats import GGUF_FORMATS
from unspool.models.gguf.weights import Blocks
from unspool.models.stored import Stored
from unspool.models.transformer import Linear

gguf = pytest.importorskip("gguf")
BY_NAME = {form.name: form for form in GGUF_FORMATS.values()}


def layer(name):
    """A layer of 48 outputs and 256 inputs in a format."""
    numbers = np.random.default_rng(7).standard_normal((48, 256)).astype(np.float32)
    form = BY_NAME[name]
    if name in ("Q4_K", "Q5_K", "Q6_K"):                                 # which the package only reads
        data = np.random.default_rng(7).integers(0, 256, (48, form.size), np.uint8)
        fields = {"Q4_K": (0, 2), "Q5_K": (0, 2), "Q6_K": (208,)}[name]
        for at in fields:
            data[:, at : at + 2] = np.full((48, 1), 0.01, np.float16).view(np.uint8)
    else:
        data = gguf.quantize(numbers, gguf.GGMLQuantizationType[name])
    return Linear(Blocks(data, form), None)


@pytest.mark.skipif(not available(), reason="the kernels are not built")
@pytest.mark.parametrize(
    ("name", "asked", "kind", "error"),
    [
        ("Q4_0", "int4", "int4", 1e-6),
        ("Q4_1", "int4", "int4_min", 1e-4),
        ("Q4_K", "int4", "int4_min", 1e-3),
        ("Q8_0", "int4", "int8", 1e-6),
        ("Q8_0", "int8", "int8", 1e-6),
        ("Q5_0", "int4", "int8", 4e-3),
        ("Q5_K", "int4", "int8", 4e-3),
        ("Q6_K", "int4", "int8", 4e-3),
        ("Q4_1", "float32", "float32", 0),
    ],
)
def test_what_is_packed_is_what_the_file_holds(name, asked, kind, error):
    one = layer(name)
    assert packed_kind([one], asked) == kind
    packed = pack([one], asked, PackedStore(size_of([one], asked), None, asked))
    found, wanted = packed(np.eye(256, dtype=np.float32)).T, np.asarray(one.weight)  # of one input nothing is rounded
    assert np.abs(found - wanted).max() <= error * np.abs(wanted).max()


def test_layers_that_are_packed_as_one_lose_nothing_either():
    assert packed_kind([layer("Q4_0"), layer("Q4_1")], "int4") == "int4_min"
    assert packed_kind([layer("Q4_0"), layer("Q6_K")], "int4") == "int8"
    plain = Linear(Stored(np.zeros((16, 32), np.float16)), None)
    assert packed_kind([plain], "int4") == "int4"
    assert packed_kind([layer("Q4_0"), plain], "int4") == "int4"
