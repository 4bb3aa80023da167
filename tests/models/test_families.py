"""Every family's logits equal transformers', on random tiny checkpoints, read at once and token by token."""

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from safetensors.torch import save_file  # noqa: E402

from unspool.errors import ModelError  # noqa: E402
from unspool.loader import load  # noqa: E402
from unspool.models.compiled import packing, parts  # noqa: E402
from unspool.models.compiled.model import CompiledTransformer  # noqa: E402
from unspool.models.families import FAMILIES  # noqa: E402
from unspool.models.reading import read_transformer  # noqa: E402
from unspool.models.stored import read_matrices  # noqa: E402
from unspool.models.weights import read_weights  # noqa: E402

REFERENCE = f"transformers {transformers.__version__}"
TINY = {
    "vocab_size": 101,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 128,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
SHORT = {"vocab_size": 101, "n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 128, "bos_token_id": 1, "eos_token_id": 2}
BLOOM = {"vocab_size": 101, "hidden_size": 32, "n_layer": 3, "n_head": 4}
FALCON = {k: v for k, v in TINY.items() if k != "intermediate_size"}
GROUPED = {**TINY, "num_key_value_heads": 2}
LLAMA3 = {"rope_type": "llama3", "rope_theta": 5e5, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
OLD = {"original_max_position_embeddings": 32}
NEW = {"new_decoder_architecture": True, "num_kv_heads": 2}
WINDOWS = ["sliding_attention", "full_attention", "sliding_attention"]

CASES = {
    "gpt2": ("gpt2", SHORT),
    "gpt2 layer scale": ("gpt2", {**SHORT, "scale_attn_by_inverse_layer_idx": True}),
    "llama": ("llama", GROUPED),
    "llama tied, biased": ("llama", {**GROUPED, "tie_word_embeddings": True, "attention_bias": True, "mlp_bias": True, "head_dim": 16}),
    "llama 3 rope": ("llama", {**GROUPED, "rope_parameters": {**LLAMA3, **OLD}}),
    "llama linear rope": ("llama", {**GROUPED, "rope_parameters": {"rope_type": "linear", "rope_theta": 1e4, "factor": 4.0}}),
    "llama yarn": ("llama", {**GROUPED, "rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0, **OLD}}),
    "mistral": ("mistral", {**GROUPED, "head_dim": 8, "sliding_window": None}),
    "mistral window": ("mistral", {**GROUPED, "head_dim": 8, "sliding_window": 7}),
    "qwen2": ("qwen2", GROUPED),
    "qwen2 window": ("qwen2", {**GROUPED, "use_sliding_window": True, "sliding_window": 6, "max_window_layers": 1}),
    "qwen3": ("qwen3", {**GROUPED, "head_dim": 16}),
    "gemma": ("gemma", {**GROUPED, "head_dim": 16}),
    "gemma2": ("gemma2", {**GROUPED, "head_dim": 16, "sliding_window": 6, "query_pre_attn_scalar": 20}),
    "gemma3": ("gemma3_text", {**GROUPED, "head_dim": 16, "sliding_window": 6, "query_pre_attn_scalar": 20, "layer_types": WINDOWS}),
    "phi3": ("phi3", GROUPED),
    "phi3 window, part rope": ("phi3", {**GROUPED, "sliding_window": 6, "partial_rotary_factor": 0.5}),
    "olmo2": ("olmo2", GROUPED),
    "gpt_neox": ("gpt_neox", TINY),
    "gpt_neox in sequence": ("gpt_neox", {**TINY, "use_parallel_residual": False, "rotary_pct": 0.5}),
    "gptj": ("gptj", {**SHORT, "rotary_dim": 4}),
    "opt": ("opt", {**{k: v for k, v in TINY.items() if k != "intermediate_size"}, "ffn_dim": 48, "word_embed_proj_dim": 32}),
    "bloom": ("bloom", BLOOM),
    "bloom, six heads": ("bloom", {**BLOOM, "hidden_size": 36, "n_head": 6}),
    "falcon": ("falcon", FALCON),
    "falcon new": ("falcon", {**FALCON, **NEW}),
    "falcon alibi": ("falcon", {**FALCON, "alibi": True, "multi_query": False, "parallel_attn": False, "bias": True}),
}


def reference(kind, settings):
    """A random checkpoint. The default attention: transformers' eager one adds Falcon's ALiBi twice."""
    torch.manual_seed(1)
    config = transformers.AutoConfig.for_model(kind, **settings)
    model = transformers.AutoModelForCausalLM.from_config(config).eval().float()
    for name, weight in model.named_parameters():
        around = 1.0 if "norm" in name and name.endswith("weight") and "gemma" not in kind else 0.0
        weight.data = torch.randn_like(weight) * (0.3 if weight.ndim > 1 else 0.2) + around
    return model


def tokens():
    return torch.randint(3, 101, (1, 20), generator=torch.Generator().manual_seed(0))


def test_every_family_has_a_case():
    assert {kind for kind, _ in CASES.values()} == set(FAMILIES)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("backend", ["numpy", "compiled", "torch"])
def test_logits_equal_those_of_transformers(case, backend, tally):
    model = reference(*CASES[case])
    with torch.no_grad():
        expected = model(tokens()).logits[0].numpy()
    weights = {name: array if backend == "torch" else array.numpy() for name, array in model.state_dict().items()}
    ours = read_transformer(CASES[case][0], model.config.to_dict(), weights)
    ours = CompiledTransformer(ours) if backend == "compiled" else ours
    session, text = ours.session(), tokens()[0].numpy()
    row = session.extend([-1], [text])[0]
    assert np.abs(np.asarray(session.logits(session.nodes.path(int(row)))) - expected).max() < 1e-4
    row = session.extend([-1], [text[:3]])
    for token in text[3:]:
        row = session.extend(row, [[token]])
    assert np.abs(np.asarray(session.logits(row)) - expected[-1:]).max() < 1e-4
    tally(f"logits of {CASES[case][0]}")


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("stored", ["bfloat16", "float16", "float32"])
def test_weights_that_are_widened_as_they_are_packed_give_the_same_bits(case, stored, tmp_path, monkeypatch):
    """As those of a checkpoint that is widened whole before; and so do pieces of it, however small."""
    model = reference(*CASES[case])
    held = {name: tensor.to(getattr(torch, stored)).contiguous().clone() for name, tensor in model.state_dict().items()}
    save_file(held, tmp_path / "model.safetensors")
    config, text = model.config.to_dict(), tokens()[0].numpy()
    expected = CompiledTransformer(read_transformer(CASES[case][0], config, read_weights(tmp_path)), "int8")
    monkeypatch.setattr(parts, "PACKED_AT_ONCE", 1000)
    found = CompiledTransformer(read_transformer(CASES[case][0], config, read_matrices(tmp_path)), "int8")
    for one, other in zip(*([part for part in m._kept if isinstance(part, packing.Packed)] for m in (found, expected)), strict=True):
        assert all((a == b).all() for a, b in zip(one.rooms, other.rooms, strict=True))
    assert found.parameters == expected.parameters
    assert found.broken_weights() == []
    logits = [session.logits(session.extend([-1], [text])) for session in (one.session() for one in (found, expected))]
    np.testing.assert_array_equal(*logits)


@pytest.mark.parametrize("change", [{"parallel_attn": False}, {"multi_query": False}, {**NEW, "num_ln_in_parallel_attn": 1}])
def test_logits_of_falcons_generations(change):
    model = reference("falcon", {**FALCON, **change})
    with torch.no_grad():
        expected = model(tokens()).logits[0, -1:].numpy()
    weights = {name: array.numpy() for name, array in model.state_dict().items()}
    session = read_transformer("falcon", model.config.to_dict(), weights).session()
    assert np.abs(session.logits(session.extend([-1], [tokens()[0].numpy()])) - expected).max() < 1e-4


BARE = {
    "qwen2 unused window": ("qwen2", {**GROUPED, "use_sliding_window": True, "sliding_window": 6}),
    "gemma2 plain": ("gemma2", {**GROUPED, "head_dim": 16}),
    "gemma3 plain": ("gemma3_text", {**GROUPED, "head_dim": 16, "num_hidden_layers": 7, "sliding_window": 6}),
}


@pytest.mark.parametrize("case", [*CASES, *BARE])
def test_what_a_config_leaves_out_is_filled_in_as_transformers_does(case):
    kind, settings = {**CASES, **BARE}[case]
    model = reference(kind, settings)
    weights = {name: array.numpy() for name, array in model.state_dict().items()}

    def logits(config):
        session = read_transformer(kind, config, weights).session()
        return session.logits(session.extend([-1], [tokens()[0].numpy()]))

    assert np.abs(logits(settings) - logits(model.config.to_dict())).max() < 1e-4


ROPES = [
    {},
    {"rope_theta": 5e5},
    {"rope_local_base_freq": 2e4},
    {"rope_theta": 5e5, "rope_scaling": {"rope_type": "linear", "factor": 8.0}},
    {"rope_parameters": {"full_attention": {"rope_type": "linear", "factor": 8.0}}},
    {"rope_parameters": {"sliding_attention": {"rope_type": "default", "rope_theta": 3e4}}},
]


@pytest.mark.parametrize("ropes", ROPES, ids=str)
def test_gemma_3_has_two_ropes_whatever_its_config_says_of_them(ropes):
    settings = {**CASES["gemma3"][1], "head_dim": 16}
    plain = json.loads(json.dumps({**settings, **ropes}))
    model = reference("gemma3_text", {**settings, **ropes})
    with torch.no_grad():
        expected = model(tokens()).logits[0, -1:].numpy()
    session = read_transformer("gemma3_text", plain, {name: array.numpy() for name, array in model.state_dict().items()}).session()
    assert np.abs(session.logits(session.extend([-1], [tokens()[0].numpy()])) - expected).max() < 1e-4


@pytest.mark.parametrize(
    ("types", "words"),
    [
        (WINDOWS[:2], "layer_types in config.json has 2 entries for 3 layers"),
        ([*WINDOWS, "full_attention"], "has 4 entries for 3 layers"),
        ("sliding_attention", "is 'sliding_attention' for 3 layers"),
        (["full_attention", "chunked_attention", "full_attention"], "of the type 'chunked_attention'; supported are full_attention"),
        ([None, 3, {}], "a layer of the type None"),
    ],
)
def test_layer_types_that_do_not_fit_are_refused(types, words):
    kind, settings = CASES["gemma3"]
    weights = {name: array.numpy() for name, array in reference(kind, settings).state_dict().items()}
    with pytest.raises(ModelError, match=words):
        read_transformer(kind, {**settings, "layer_types": types}, weights)


def test_a_head_beside_a_tied_embedding_counts_as_in_transformers(tmp_path):
    from safetensors.numpy import load_file, save_file

    reference("llama", {**GROUPED, "tie_word_embeddings": True}).save_pretrained(tmp_path)
    write_tokenizer(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    weights["lm_head.weight"] = weights["model.embed_tokens.weight"][::-1].copy()
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path)
    with torch.no_grad():
        expected = model(tokens()).logits[0, -1:].numpy()
    for backend in ("numpy", "torch"):
        with pytest.warns(UserWarning, match=r"lm_head\.weight, which differs"):
            session = load(tmp_path, backend=backend, device="cpu").model.session()
        found = session.logits(session.extend([-1], [tokens()[0].numpy()]))
        assert np.abs(np.asarray(found) - expected).max() < 1e-4


def test_null_in_a_config_is_no_default():
    settings = {**CASES["gemma2"][1], "attn_logit_softcapping": None, "final_logit_softcapping": None, "sliding_window": None}
    weights = {name: array.numpy() for name, array in reference("gemma2", settings).state_dict().items()}
    model = read_transformer("gemma2", settings, weights)
    assert model.softcap is None
    assert {(rule.window, rule.softcap) for rule in model.rules} == {(None, None)}


@pytest.mark.parametrize("case", CASES)
def test_every_weight_is_needed(case):
    kind, settings = CASES[case]
    model = reference(kind, settings)
    config, weights = model.config.to_dict(), {name: array.numpy() for name, array in model.state_dict().items()}
    tied = {"lm_head.weight"} if FAMILIES[kind].defaults.get("tie_word_embeddings") or settings.get("tie_word_embeddings") else set()
    if tied:                                                              # either would do for both
        del weights["lm_head.weight"]
    needed = [name for name in weights if name.endswith(".weight")]
    assert len(needed) > 5 * model.config.num_hidden_layers
    for name in needed:
        with pytest.raises(ModelError, match="the weights lack"):
            read_transformer(kind, config, {other: array for other, array in weights.items() if other != name})


@pytest.mark.parametrize(
    ("kind", "windows"),
    [
        ("llama", "_______"),
        ("mistral", "wwwwwww"),
        ("phi3", "wwwwwww"),
        ("qwen2", "___wwww"),
        ("qwen3", "___wwww"),
        ("gemma2", "w_w_w_w"),
        ("gemma3_text", "wwwww_w"),
    ],
)
def test_windows_are_those_of_the_family_where_a_config_lists_none(kind, windows):
    """Older configs have no layer_types; newer ones list what transformers made of the same settings."""
    used = {"sliding_window": 6, "use_sliding_window": True, "max_window_layers": 3}
    model = reference(kind, {**GROUPED, "num_hidden_layers": 7, "head_dim": 8, **used})
    weights = {name: array.numpy() for name, array in model.state_dict().items()}
    listed = {**model.config.to_dict(), "sliding_window": 6}
    for config in (listed, {key: value for key, value in listed.items() if key != "layer_types"}):
        rules = read_transformer(kind, config, weights).rules
        assert "".join("w" if rule.window == 6 else "_" for rule in rules) == windows


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("kind", sorted(FAMILIES))
def test_sixteen_bit_checkpoints_load_as_their_rounded_weights(kind, dtype, tmp_path):
    model = reference(kind, CASES["gemma3" if kind == "gemma3_text" else kind][1]).to(getattr(torch, dtype))
    model.save_pretrained(tmp_path, max_shard_size="20KB")
    write_tokenizer(tmp_path)
    assert (tmp_path / "model.safetensors.index.json").is_file()
    widened = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32).eval()
    with torch.no_grad():
        expected = widened(tokens()).logits[0].numpy()
    session = load(tmp_path).model.session()
    row = session.extend([-1], [tokens()[0].numpy()])[0]
    assert np.abs(session.logits(session.nodes.path(int(row))) - expected).max() < 1e-4


def write_tokenizer(folder):
    from tokenizers import Tokenizer, models

    Tokenizer(models.WordLevel({f"w{i}": i for i in range(101)}, unk_token="w0")).save(str(folder / "tokenizer.json"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model_type": "bert"}, "bert"),
        ({"rope_parameters": {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}}, "dynamic"),
        ({"quantization_config": {"bits": 4}}, "quantised"),
        ({"hidden_act": "mish"}, "mish"),
        ({"num_attention_heads": 5}, "5"),
        ({"vocab_size": 99}, "99"),
    ],
)
def test_what_cannot_be_computed_is_refused_by_name(change, words, tmp_path):
    from unspool import ModelError

    reference(*CASES["llama"]).save_pretrained(tmp_path)
    write_tokenizer(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config.pop("head_dim", None)
    (tmp_path / "config.json").write_text(json.dumps({**config, **change}))
    with pytest.raises(ModelError, match=words):
        load(tmp_path)
