"""Weights in whole numbers are packed as their file has them, so that nothing but their inputs is rounded."""

import numpy as np
import pytest
from helpers.kernels import packed_as

import unspool as un
from unspool.kernels.library import available
from unspool.models.compiled.forms import PackedForm, form_of, whole_form
from unspool.models.gguf.container import read_container
from unspool.models.gguf.formats import GGUF_FORMATS
from unspool.models.gguf.weights import Blocks
from unspool.models.stored import Stored
from unspool.models.transformer import Linear

gguf = pytest.importorskip("gguf")
BY_NAME = {form.name: form for form in GGUF_FORMATS.values()}


def kind_of(linears, asked):
    """The format in which layers are packed as one."""
    return form_of([linear.weight for linear in linears], asked).kind


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
        ("Q4_1", "float32", "whole4", 0),
        ("Q4_K", "float32", "whole4", 0),
        ("Q6_K", "float32", "whole8", 0),
        ("Q4_1", "bfloat16", "bfloat16", 2.0**-8),
    ],
)
def test_what_is_packed_is_what_the_file_holds(name, asked, kind, error):
    one = layer(name)
    assert kind_of([one], asked) == kind
    packed = packed_as([one], asked)
    found, wanted = packed(np.eye(256, dtype=np.float32)).T, np.asarray(one.weight)  # of one input nothing is rounded
    assert np.abs(found - wanted).max() <= error * np.abs(wanted).max()


FEWER = {"Q4_0": 0.16, "Q4_1": 0.2, "Q5_0": 0.3, "Q5_1": 0.33, "Q8_0": 0.3}
"""The part of float32's bytes that a format takes, at most: 4 or 8 bits a number, 32 for each group's scale and 32 for its minimum."""


@pytest.mark.skipif(not available(), reason="the kernels are not built")
@pytest.mark.parametrize("name", FEWER)
def test_a_file_of_whole_numbers_gives_the_bits_of_float32_in_fewer_bytes(name, tmp_path, monkeypatch):
    """A Llama, whose queries and keys lie in another order in the file, and a GPT-2, whose matrices lie the other way round."""
    from helpers.checkpoints import tiny_gpt2, tiny_llama
    from helpers.gguf_files import write_model

    shape = {"width": 64, "heads": 2, "vocabulary": 300}
    for kind, (config, weights) in {"llama": tiny_llama(1, key_heads=1, inner=96, **shape), "gpt2": tiny_gpt2(1, **shape)}.items():
        write_model(tmp_path / f"{kind}.gguf", kind, {"layer_norm_epsilon": 1e-5} | config, weights, quantise=name)
        found = []
        for whole in (True, False):
            with monkeypatch.context() as patch:
                if not whole:
                    patch.setattr("unspool.models.compiled.forms.whole_form", lambda weights: None)
                lm = un.load(str(tmp_path / f"{kind}.gguf"), backend="compiled")
            session = lm.model.session()
            found.append((session.logits(session.extend([-1] * 20, [[i, 2, 7][: 1 + i % 3] for i in range(20)])), lm.model.packed_bytes))
        np.testing.assert_array_equal(found[0][0], found[1][0])
        assert found[0][1] < FEWER[name] * found[1][1]


def test_layers_in_float32_that_are_packed_as_one_take_the_bits_of_the_widest_and_the_smallest_group():
    pair = [layer("Q4_0"), layer("Q4_1")]
    assert whole_form([one.weight for one in pair]) == PackedForm("whole4", 32, True)
    assert whole_form([layer("Q4_K").weight, layer("Q6_K").weight]) == PackedForm("whole8", 16, True)
    plain = Linear(Stored(np.zeros((16, 256), np.float16)), None)
    assert whole_form([layer("Q4_0").weight, plain.weight]) is None
    assert kind_of([layer("Q4_0"), plain], "float32") == "float32"


def test_layers_that_are_packed_as_one_lose_nothing_either():
    assert kind_of([layer("Q4_0"), layer("Q4_1")], "int4") == "int4_min"
    assert kind_of([layer("Q4_0"), layer("Q6_K")], "int4") == "int8"
    plain = Linear(Stored(np.zeros((16, 32), np.float16)), None)
    assert kind_of([plain], "int4") == "int4"
    assert kind_of([layer("Q4_0"), plain], "int4") == "int4"


@pytest.mark.skipif(not available(), reason="the kernels are not built")
@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("form", [form for form in GGUF_FORMATS.values() if form.blocks], ids=lambda form: form.name)
def test_what_is_infinite_in_a_file_is_that_of_float32_and_nothing_is_said(form, value, recwarn):
    """Where minima are not the file's own, 15 * scale - 8 * scale would be no number: such a layer is packed in float32."""
    rng = np.random.default_rng(3)
    data = rng.integers(0, 256, (40 * 768 // form.numbers, form.size), np.uint8)
    data[~(np.abs(form.widen(data)) < 1e4).all(1)] = 0
    data[0] = 0xFF                                                        # numbers of one sign, so that they stay infinite when summed
    if "m" in form.blocks.layout.names:
        data.view(form.blocks.layout)["m"][0] = 0
    if "d" in form.blocks.layout.names:
        data.view(form.blocks.layout)["d"][0] = value
    weight = Blocks(data.reshape(40, -1), form)
    looked = weight.look_through()
    assert looked == (weight[3:9].whole is not None) == (weight.whole is not None)
    answers = []
    for one in (weight, np.asarray(weight)):
        linears = [Linear(one)]
        packed = packed_as(linears, "float32")
        answers.append([packed(np.ones((rows, 768), np.float32)) for rows in (1, 40)])
    if "d" in form.blocks.layout.names:
        assert np.isinf(answers[0][0]).any() == np.isinf(value)
    for found, expected in zip(*answers, strict=True):
        np.testing.assert_array_equal(found, expected)
    assert not recwarn.list


@pytest.mark.skipif(not available(), reason="the kernels are not built")
def test_a_file_with_a_scale_that_is_infinite_is_packed_wider_and_kept(tmp_path, monkeypatch):
    from helpers.checkpoints import tiny_llama
    from helpers.gguf_files import write_model

    monkeypatch.setenv("UNSPOOL_CACHE", str(tmp_path))
    monkeypatch.setattr("unspool.models.compiled.cache.SMALL", 0)
    path, sizes = tmp_path / "model.gguf", []
    for name, quantise in (("whole", "Q4_0"), ("wide", None), ("infinite", "Q4_0")):
        path = tmp_path / f"{name}.gguf"
        write_model(path, "llama", *tiny_llama(1, key_heads=1, inner=96, width=64, heads=2, vocabulary=300), quantise=quantise)
        if name == "infinite":
            blocks = read_container(path).tensors["blk.0.ffn_up.weight"].bytes
            at = path.read_bytes().index(blocks[0].tobytes())
            path.write_bytes(path.read_bytes()[:at] + np.float16(np.inf).tobytes() + path.read_bytes()[at + 2 :])
        sizes.append(un.load(path, backend="compiled").model.packed_bytes)
    assert sizes[0] < sizes[2] < sizes[1]
    assert sorted(file.name.partition(".")[0] for file in (tmp_path / "packed").iterdir()) == ["infinite", "whole", "wide"]


@pytest.mark.parametrize("backend", ["numpy", pytest.param("compiled", marks=pytest.mark.skipif(not available(), reason="no kernels"))])
def test_a_tensor_that_holds_no_weights_is_named_with_its_file(tmp_path, backend):
    from helpers.checkpoints import tiny_llama
    from helpers.gguf_files import write_model

    write_model(tmp_path / "model.gguf", "llama", *tiny_llama(1, key_heads=1, inner=96, width=64, heads=2, vocabulary=300))
    name = b"blk.0.ffn_up.weight"
    data = bytearray((tmp_path / "model.gguf").read_bytes())
    at = data.index(name) + len(name)
    assert data[at : at + 4] == b"\2\0\0\0"
    data[at + 20] = 24                                                    # two dimensions, then the format: I8, which takes no more bytes
    (tmp_path / "model.gguf").write_bytes(data)
    with pytest.raises(un.ModelError, match=r"model\.gguf: blk\.0\.ffn_up\.weight is stored as I8, which holds no weights; supported"):
        un.load(tmp_path / "model.gguf", backend=backend)


def test_blocks_cannot_be_turned():
    """Nor is there an array of bytes to take for them."""
    with pytest.raises(un.ModelError, match=r"a layer's matrix is \(outputs, inputs\)"):
        _ = layer("Q8_0").weight.T
