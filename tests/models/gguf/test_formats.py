"""Every format's numbers are those of the package gguf, bit for bit, on random blocks."""

import numpy as np
import pytest

gguf = pytest.importorskip("gguf")

from unspool.errors import MissingExtra, ModelError  # noqa: E402
from unspool.models.gguf import formats  # noqa: E402
from unspool.models.gguf.formats import GGUF_FORMATS, WEIGHTS  # noqa: E402
from unspool.models.gguf.weights import Blocks  # noqa: E402

NAMES = {form.name: form for form in GGUF_FORMATS.values()}
OF_PACKAGE = [kind.name for kind in gguf.GGMLQuantizationType if kind in gguf.quants._type_traits] + ["F32", "F16"]


def random_bytes(form, rows=7, blocks=30):
    blocks *= 1 if form.numbers > 1 else 64
    return np.random.default_rng(0).integers(0, 256, (rows, blocks * form.size), dtype=np.uint8)


def same_bits(one, other):
    nan = np.isnan(one)
    return ((one.view(np.uint32) == other.view(np.uint32)) | (nan & np.isnan(other))).all()


def test_formats_have_the_names_and_sizes_of_the_package():
    for number, form in GGUF_FORMATS.items():
        kind = gguf.GGMLQuantizationType(number)
        assert (form.name, form.numbers, form.size) == (kind.name, *gguf.GGML_QUANT_SIZES[kind])


def test_every_format_that_the_package_reads_is_read():
    assert {*OF_PACKAGE} <= {*WEIGHTS}


@pytest.mark.parametrize("name", OF_PACKAGE)
def test_numbers_equal_those_of_the_package(name, monkeypatch):
    monkeypatch.setattr(formats, "AT_ONCE", 1024)                        # so that several pieces are made
    form, data = NAMES[name], random_bytes(NAMES[name])
    with np.errstate(all="ignore"):
        expected = gguf.dequantize(data, gguf.GGMLQuantizationType[name])
    assert same_bits(form.widen(data), expected)


@pytest.mark.parametrize("name", ["Q4_0", "Q6_K", "F16", "BF16"])
def test_scales_of_zero_infinity_and_the_smallest_ones(name):
    form = NAMES[name]
    data = random_bytes(form)
    for half in (0x0000, 0x8000, 0x7C00, 0xFC00, 0x0001, 0x7BFF):
        data.reshape(-1, form.size)[:, -2:] = np.frombuffer(np.uint16(half).tobytes(), np.uint8)
        with np.errstate(all="ignore"):
            expected = gguf.dequantize(data, gguf.GGMLQuantizationType[name])
        assert same_bits(form.widen(data), expected)


def test_code_books_need_the_package(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(MissingExtra, match=r"IQ2_XS .* pip install 'unspool\[gguf\]'"):
        NAMES["IQ2_XS"].widen(random_bytes(NAMES["IQ2_XS"]))
    NAMES["IQ4_XS"].widen(random_bytes(NAMES["IQ4_XS"]))


def test_a_format_without_weights_is_refused():
    with pytest.raises(ModelError, match="Q8_1"):
        NAMES["Q8_1"].widen(random_bytes(NAMES["Q8_1"]))


@pytest.mark.parametrize("name", ["Q4_1", "Q5_K", "BF16"])
def test_rows_are_widened_as_they_are_asked_for(name):
    form, data = NAMES[name], random_bytes(NAMES[name])
    with np.errstate(all="ignore"):
        whole = form.widen(data)
    blocks = Blocks(data, form)
    assert blocks.shape == whole.shape
    order = np.array([5, 0, 3, 3, 6])
    for found, expected in (
        (blocks, whole),
        (blocks[2:5], whole[2:5]),
        (blocks[order], whole[order]),
        (blocks[order][1:4], whole[order][1:4]),
        (blocks[order][np.array([4, 1])], whole[order][np.array([4, 1])]),
        (blocks[np.array([[1, 2], [3, 4]])], whole[np.array([[1, 2], [3, 4]])]),
    ):
        assert found.shape == expected.shape
        assert same_bits(np.asarray(found), expected)
