"""Quantised checkpoints: what is read is scale * (q - zero), by packers that go number by number as each method's writer does."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from helpers.checkpoints import tiny_llama
from helpers.kernels import packed_as
from safetensors.numpy import load_file, save_file

import unspool as un
from unspool.kernels.library import FORMAT_CODES, available
from unspool.models.loading import read_model
from unspool.models.quantised import Grouped, dequantised, read_quantised
from unspool.models.stored import let_go
from unspool.models.transformer import Linear

INPUTS, GROUP, WORD = 64, 32, 32
AWQ_PACKS = (0, 2, 4, 6, 1, 3, 5, 7)
"""Which of eight outputs goes to the next bits of a word."""


def packed(numbers, bits, order=None):
    """Whole numbers (N,) in words of 32 bits, the first in the lowest bits."""
    each = WORD // bits
    words = []
    for first in range(0, len(numbers), each):
        some = [int(n) for n in numbers[first : first + each]] + [0] * (each - len(numbers[first : first + each]))
        some = some if order is None else [some[i] for i in order]
        words.append(sum(n << bits * i for i, n in enumerate(some)))
    return np.array(words, np.uint32).view(np.int32)


def cut(weight, bits, rng):
    """q (outputs, inputs), scales and zeros (outputs, groups), and the weight that they stand for."""
    outputs, inputs = weight.shape
    groups = inputs // GROUP
    q = rng.integers(0, 1 << bits, weight.shape)
    zeros = rng.integers(1, 1 << bits, (outputs, groups))
    scales = (0.02 + 0.02 * rng.random((outputs, groups))).astype(np.float16)
    return q, scales, zeros


def rebuilt(q, scales, zeros, group):
    return (scales.astype(np.float32)[:, group] * (q - zeros[:, group])).astype(np.float32)


def as_gptq(weight, rng, bits=4, version="gptq", act_order=False):
    q, scales, zeros = cut(weight, bits, rng)
    group = np.arange(INPUTS) // GROUP
    group = rng.permutation(group) if act_order else group
    less = 0 if version == "gptq_v2" else 1
    parts = {
        "qweight": np.stack([packed(row, bits) for row in q], axis=1),
        "qzeros": np.stack([packed(z - less, bits) for z in zeros.T]),
        "scales": np.ascontiguousarray(scales.T),
        "g_idx": group.astype(np.int32),
    }
    settings = {"quant_method": "gptq", "bits": bits, "group_size": GROUP, "desc_act": act_order, "checkpoint_format": version}
    return parts, rebuilt(q, scales, zeros, group), settings


def as_awq(weight, rng):
    q, scales, zeros = cut(weight, 4, rng)
    parts = {
        "qweight": np.stack([packed(column, 4, AWQ_PACKS) for column in q.T]),
        "qzeros": np.stack([packed(z, 4, AWQ_PACKS) for z in zeros.T]),
        "scales": np.ascontiguousarray(scales.T),
    }
    return parts, rebuilt(q, scales, zeros, np.arange(INPUTS) // GROUP), {"quant_method": "awq", "bits": 4, "version": "gemm"}


def as_bitsandbytes(weight, rng):
    q, largest = rng.integers(-127, 128, weight.shape), (1 + rng.random(len(weight))).astype(np.float32)
    parts = {"weight": q.astype(np.int8), "SCB": largest, "weight_format": np.array(0, np.uint8)}
    return parts, (q * (largest / 127)[:, None]).astype(np.float32), {"quant_method": "bitsandbytes", "load_in_8bit": True}


def as_compressed(weight, rng, bits=4, symmetric=True):
    q, scales, zeros = cut(weight, bits, rng)
    half = 1 << bits - 1
    parts = {
        "weight_packed": np.stack([packed(row, bits) for row in q]),
        "weight_scale": scales,
        "weight_shape": np.array(weight.shape, np.int64),
    }
    if not symmetric:
        parts["weight_zero_point"] = np.stack([packed(z, bits) for z in zeros.T], axis=1)
    group = {"weights": {"num_bits": bits, "type": "int", "strategy": "group", "group_size": GROUP, "symmetric": symmetric}}
    settings = {"quant_method": "compressed-tensors", "format": "pack-quantized", "config_groups": {"group_0": group}}
    zeros = np.full_like(zeros, half) if symmetric else zeros
    return parts, rebuilt(q, scales, zeros, np.arange(INPUTS) // GROUP), settings


def as_whole_bytes(weight, rng):
    q, scales = rng.integers(-128, 128, weight.shape), (0.01 * rng.random((len(weight), 1))).astype(np.float32)
    group = {"weights": {"num_bits": 8, "type": "int", "strategy": "channel", "symmetric": True}}
    settings = {"quant_method": "compressed-tensors", "format": "int-quantized", "config_groups": {"group_0": group}}
    return {"weight": q.astype(np.int8), "weight_scale": scales}, scales * q.astype(np.float32), settings


WAYS = {
    "gptq": as_gptq,
    "gptq in 8 bits": lambda w, rng: as_gptq(w, rng, 8),
    "gptq in 2 bits, version 2": lambda w, rng: as_gptq(w, rng, 2, "gptq_v2"),
    "gptq by activation order": lambda w, rng: as_gptq(w, rng, act_order=True),
    "awq": as_awq,
    "bitsandbytes": as_bitsandbytes,
    "compressed-tensors": as_compressed,
    "compressed-tensors with zeros": lambda w, rng: as_compressed(w, rng, symmetric=False),
    "compressed-tensors in 8 bits": lambda w, rng: as_compressed(w, rng, 8),
    "compressed-tensors unpacked": as_whole_bytes,
}


def folders(tmp_path, way):
    """A tiny Llama with quantised layers, and the same with the weights that they stand for."""
    config, weights = tiny_llama(3, width=INPUTS, inner=INPUTS)
    rng, plain, held, settings = np.random.default_rng(5), {}, {}, {}
    for name, weight in weights.items():
        if name.endswith("_proj.weight"):
            parts, plain[name], settings = way(weight, rng)
            held |= {f"{name.removesuffix('weight')}{part}": tensor for part, tensor in parts.items()}
        else:
            plain[name] = held[name] = weight
    for folder, tensors, more in (("plain", plain, {}), ("quantised", held, {"quantization_config": settings})):
        (tmp_path / folder).mkdir()
        save_file({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}, tmp_path / folder / "model.safetensors")
        (tmp_path / folder / "config.json").write_text(json.dumps(config | more))
    return tmp_path / "plain", tmp_path / "quantised"


def logits(folder, **how):
    model, _ = read_model(folder, **how)
    session = model.session()
    return np.asarray(session.logits(session.extend([-1], [[3, 1, 4, 1, 5, 9]])))


@pytest.mark.skipif(not available(), reason="the kernels are not built")
@pytest.mark.parametrize("way", WAYS)
def test_kernels_keep_the_whole_numbers_and_give_the_bits_of_float32(tmp_path, way):
    """But for those by activation order, whose groups are not side by side."""
    plain, quantised = folders(tmp_path, WAYS[way])
    np.testing.assert_array_equal(logits(quantised, backend="compiled"), logits(plain, backend="compiled"))
    wide, kept = (read_model(folder, backend="compiled")[0].packed_bytes for folder in (plain, quantised))
    assert kept == wide if "activation" in way else kept < 0.6 * wide


@pytest.mark.parametrize("way", WAYS)
def test_the_model_is_that_of_the_weights_it_stands_for(tmp_path, way):
    plain, quantised = folders(tmp_path, WAYS[way])
    wanted = logits(plain, backend="numpy")
    np.testing.assert_allclose(logits(quantised, backend="numpy"), wanted, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(logits(quantised), wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("way", ["gptq", "awq", "compressed-tensors"])
def test_in_torch(tmp_path, way):
    pytest.importorskip("torch")
    plain, quantised = folders(tmp_path, WAYS[way])
    np.testing.assert_allclose(logits(quantised, backend="torch"), logits(plain, backend="numpy"), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("way", WAYS)
def test_some_rows_are_those_of_all(tmp_path, way):
    _, quantised = folders(tmp_path, WAYS[way])
    settings = json.loads((quantised / "config.json").read_text())["quantization_config"]
    matrix = dequantised(load_file(quantised / "model.safetensors"), settings)["model.layers.0.self_attn.q_proj.weight"]
    whole = np.asarray(matrix)
    for which in (slice(3, 11), np.array([9, 0, 33]), slice(0, 0)):
        np.testing.assert_array_equal(np.asarray(matrix[which]), whole[which])
        np.testing.assert_array_equal(np.asarray(matrix[4:][which]), whole[4:][which])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"quant_method": "hqq"}, "quantised weights (hqq); supported are gptq, awq, bitsandbytes, compressed-tensors"),
        ({"quant_method": "gptq", "bits": 3}, "weights of 3 bits; 2, 4 and 8 are read"),
        ({"quant_method": "awq", "bits": 4, "version": "gemv"}, "of the version 'gemv'"),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "in 4 bits, of which those in 8 are read"),
        ({"quant_method": "compressed-tensors"}, "without one format for all layers"),
        (
            {"quant_method": "compressed-tensors", "format": "float-quantized", "config_groups": {"a": {"weights": {"type": "float"}}}},
            "of which whole numbers are read",
        ),
        (True, "quantised weights (quantization_config)"),
    ],
)
def test_what_is_not_read_is_refused_by_name(tmp_path, change, words):
    _, quantised = folders(tmp_path, as_gptq)
    path = quantised / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"quantization_config": change}))
    with pytest.raises(un.ModelError) as error:
        un.load(quantised)
    assert words in str(error.value)
    assert "GGUF" in str(error.value)
    assert "\n" not in str(error.value)


def test_parts_that_are_missing_or_do_not_fit(tmp_path):
    _, quantised = folders(tmp_path, as_gptq)
    tensors = load_file(quantised / "model.safetensors")
    layer = "model.layers.0.mlp.up_proj"
    for change, words in (
        ({f"{layer}.scales": None}, f"lacks {layer}.scales"),
        ({f"{layer}.g_idx": np.full(INPUTS, 7, np.int32)}, f"model.safetensors is broken: {layer}.g_idx is int32"),
        ({f"{layer}.qweight": tensors[f"{layer}.qweight"][:-1]}, layer),
    ):
        changed = {name: tensor for name, tensor in (tensors | change).items() if tensor is not None}
        save_file(changed, quantised / "model.safetensors")
        with pytest.raises(un.ModelError) as error:
            un.load(quantised)
        assert words in str(error.value)


def half(array):
    return array[..., : array.shape[-1] // 2]


BROKEN = [
    ("gptq", "scales", half),
    ("gptq", "scales", lambda a: np.concatenate([a, a], axis=1)),
    ("gptq", "scales", lambda a: a.view(np.int16)),
    ("gptq", "scales", lambda a: a[0]),
    ("gptq", "qzeros", half),
    ("gptq", "qzeros", lambda a: a[:1]),
    ("gptq", "qweight", lambda a: a.reshape(-1)),
    ("gptq", "qweight", lambda a: a.view(np.float32)),
    ("gptq", "qweight", lambda a: a.astype(np.int64)),
    ("gptq", "g_idx", lambda a: a.astype(np.float32)),
    ("awq", "scales", half),
    ("awq", "scales", lambda a: np.concatenate([a, a[:1]])),
    ("awq", "qzeros", lambda a: a[:1]),
    ("awq", "qweight", lambda a: a.view(np.float32)),
    ("bitsandbytes", "SCB", lambda a: a[:8]),
    ("bitsandbytes", "SCB", lambda a: a.astype(np.int32)),
    ("bitsandbytes", "weight", lambda a: a.astype(np.float16)),
    ("compressed-tensors", "weight_packed", half),
    ("compressed-tensors", "weight_packed", lambda a: a.view(np.float32)),
    ("compressed-tensors", "weight_scale", lambda a: a[:8]),
    ("compressed-tensors", "weight_shape", lambda a: a[:1]),
    ("compressed-tensors", "weight_shape", lambda a: -a),
    ("compressed-tensors with zeros", "weight_zero_point", half),
    ("compressed-tensors with zeros", "weight_zero_point", lambda a: a.astype(np.float32)),
    ("compressed-tensors unpacked", "weight", lambda a: a.astype(np.int16)),
    ("compressed-tensors unpacked", "weight", lambda a: a.view(np.uint8)),
    ("compressed-tensors unpacked", "weight_scale", lambda a: a[:8]),
]


@pytest.mark.parametrize("backend", ["numpy", pytest.param("compiled", marks=pytest.mark.skipif(not available(), reason="no kernels"))])
@pytest.mark.parametrize(("way", "part", "change"), BROKEN)
def test_a_part_of_another_shape_or_kind_is_named_with_its_file(tmp_path, way, part, change, backend):
    """It is refused before anything is broadcast, cut or wrapped."""
    _, quantised = folders(tmp_path, WAYS[way])
    tensors, name = load_file(quantised / "model.safetensors"), f"model.layers.0.mlp.up_proj.{part}"
    save_file(tensors | {name: np.ascontiguousarray(change(tensors[name]))}, quantised / "model.safetensors")
    with pytest.raises(un.ModelError) as error:
        un.load(quantised, backend=backend)
    assert str(error.value).startswith(f"{quantised}: model.safetensors is broken: {name.removesuffix(part)}")
    assert "\n" not in str(error.value)


def test_a_layer_without_groups(tmp_path):
    _, quantised = folders(tmp_path, as_gptq)
    tensors, layer = load_file(quantised / "model.safetensors"), "model.layers.0.mlp.up_proj"
    tensors = {name: tensor for name, tensor in tensors.items() if not name.endswith("g_idx")}
    save_file(tensors | {f"{layer}.scales": tensors[f"{layer}.scales"][:0]}, quantised / "model.safetensors")
    with pytest.raises(un.ModelError, match=r"model\.safetensors is broken: .*up_proj\.scales is float16 of the shape \(0, 64\)"):
        un.load(quantised)


def test_bytes_beyond_the_bits_that_are_said(tmp_path):
    _, quantised = folders(tmp_path, as_whole_bytes)
    path = quantised / "config.json"
    config = json.loads(path.read_text())
    config["quantization_config"]["config_groups"]["group_0"]["weights"]["num_bits"] = 4
    path.write_text(json.dumps(config))
    with pytest.raises(un.ModelError, match=r"proj\.weight is int8 .* needs numbers from -8 to 7, which 4 bits hold: it has -\d+"):
        un.load(quantised)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"scale": lambda which: np.ones((4, 3))[which]}, "scales are (4, 3)"),
        ({"scale": lambda which: np.ones((8, 2))[which]}, "scales are (8, 2)"),
        ({"zero": lambda which: np.ones((4, 1))[which]}, "zeros are (4, 1) where scales are (4, 2)"),
        ({"q": lambda which: np.ones((4, 7), np.int8)[which]}, "in rows of (7,), for 8 inputs"),
        ({"q": lambda which: np.ones((4, 8), np.int32)[which]}, "numbers are int32"),
    ],
)
def test_parts_are_compared_whatever_the_method(change, problem):
    """So a method that is added checks no less."""
    parts = {"q": lambda which: np.ones((4, 8), np.int8)[which], "scale": lambda which: np.ones((4, 2))[which]}
    Grouped(4, 8, 8, **parts)
    with pytest.raises(ValueError, match=re.escape(problem)):
        Grouped(4, 8, 8, **parts | change)


@pytest.mark.skipif(not available(), reason="the kernels are not built")
@pytest.mark.parametrize("way", ["gptq", "compressed-tensors", "bitsandbytes", "compressed-tensors unpacked"])
@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan, 3e38])
def test_scales_that_no_sum_of_products_holds_are_packed_in_float32(way, value, recwarn):
    """There 15 * scale - 8 * scale would be no number where 7 * scale is infinite. Nothing of it is said on the way."""
    rng = np.random.default_rng(5)
    parts, _, settings = WAYS[way](np.zeros((INPUTS, INPUTS), np.float32), rng)
    name = next(part for part in ("scales", "SCB", "weight_scale") if part in parts)
    parts[name] = parts[name].astype(np.float32)
    parts[name].reshape(-1)[0] = value
    (matrix,) = dequantised({f"up.{part}": tensor for part, tensor in parts.items()}, settings).values()
    packed = [packed_as([Linear(weight)], "float32") for weight in (matrix, np.asarray(matrix))]
    for rows in (1, 20):
        x = (rng.random((rows, INPUTS)) < 0.02).astype(np.float32)
        with np.errstate(invalid="raise"):
            np.testing.assert_array_equal(packed[0](x), packed[1](x))
    assert packed[0].fields.format == FORMAT_CODES["float32"]
    assert not recwarn.list


@pytest.mark.parametrize("way", WAYS)
def test_the_parts_of_a_file_are_let_go_once_they_are_used(tmp_path, way, monkeypatch):
    _, quantised = folders(tmp_path, WAYS[way])
    released = []
    name = "model.layers.0.mlp.up_proj.weight"
    matrix = read_quantised(quantised, json.loads((quantised / "config.json").read_text())["quantization_config"])[name]
    monkeypatch.setattr("unspool.models.quantised.release", released.append)
    let_go(matrix[3:9])
    assert max(tensor.nbytes for tensor in released) == matrix.shape[0] * matrix.shape[1] * matrix.bits / 8


@pytest.mark.parametrize(("shape", "value"), [((INPUTS, 1), np.int32(200)), ((INPUTS, 1), np.float32(3)), ((INPUTS, 3), np.int8(1))])
def test_zeros_that_are_none(tmp_path, shape, value):
    """Beyond the bits that are said, no whole numbers, or for other groups."""
    _, quantised = folders(tmp_path, as_whole_bytes)
    tensors = load_file(quantised / "model.safetensors")
    save_file(tensors | {"model.layers.0.mlp.up_proj.weight_zero_point": np.full(shape, value)}, quantised / "model.safetensors")
    with pytest.raises(un.ModelError, match=r"model\.safetensors is broken: model\.layers\.0\.mlp\.up_proj\.weight_zero_point is "):
        un.load(quantised)


@pytest.mark.skipif(not available() or not Path("/proc/self/smaps").exists(), reason="no kernels, or nothing says which pages are held")
def test_a_file_does_not_stay_in_memory_beside_the_packed_weights(tmp_path):
    rng, size = np.random.default_rng(1), 1024
    words = rng.integers(-(2**31), 2**31, (size // 8, size)).astype(np.int32)
    zeros, scales = words[: size // GROUP, : size // 8].copy(), np.ones((size // GROUP, size), np.float16)
    save_file({"up.qweight": words, "up.qzeros": zeros, "up.scales": scales}, tmp_path / "model.safetensors")
    weights = read_quantised(tmp_path, {"quant_method": "gptq", "bits": 4})
    packed_as([Linear(weights["up.weight"])], "float32")
    held, ours = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        ours = line.endswith(str(tmp_path / "model.safetensors")) if re.match(r"[0-9a-f]+-", line) else ours
        held += int(line.split()[1]) * 1024 if ours and line.startswith("Rss:") else 0
    assert held < words.nbytes / 4
