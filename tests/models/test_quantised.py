"""Quantised checkpoints: what is read is scale * (q - zero), by packers that go number by number as each method's writer does."""

import json

import numpy as np
import pytest
from helpers.checkpoints import tiny_llama
from safetensors.numpy import load_file, save_file

import unspool as un
from unspool.kernels.library import available
from unspool.models.loading import read_model
from unspool.models.quantised import dequantised

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
        ({f"{layer}.g_idx": np.full(INPUTS, 7, np.int32)}, f"{layer} whose parts do not fit together"),
        ({f"{layer}.qweight": tensors[f"{layer}.qweight"][:-1]}, layer),
    ):
        changed = {name: tensor for name, tensor in (tensors | change).items() if tensor is not None}
        save_file(changed, quantised / "model.safetensors")
        with pytest.raises(un.ModelError) as error:
            un.load(quantised)
        assert words in str(error.value)
