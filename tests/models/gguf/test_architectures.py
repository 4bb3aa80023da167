"""Logits of models in GGUF files equal transformers' own, on random tiny checkpoints that were written as llama.cpp's converter does."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
gguf = pytest.importorskip("gguf")

from helpers.gguf_files import write_model  # noqa: E402

import unspool as un  # noqa: E402
from unspool.kernels.library import available  # noqa: E402
from unspool.models.gguf.layouts import LAYOUTS  # noqa: E402

REFERENCE = f"transformers {transformers.__version__}"
WORDS = 300
TINY = {
    "vocab_size": WORDS,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 128,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
SHORT = {"vocab_size": WORDS, "n_embd": 64, "n_layer": 3, "n_head": 4, "n_positions": 128, "bos_token_id": 1, "eos_token_id": 2}
BLOOM = {"vocab_size": WORDS, "hidden_size": 64, "n_layer": 3, "n_head": 4}
FALCON = {k: v for k, v in TINY.items() if k != "intermediate_size"}
GROUPED = {**TINY, "num_key_value_heads": 2}
OLD = {"original_max_position_embeddings": 32}
LLAMA3 = {"rope_type": "llama3", "rope_theta": 5e5, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, **OLD}
NEW = {"new_decoder_architecture": True, "num_kv_heads": 2}
HEADS_OF_16 = {**GROUPED, "head_dim": 16}

CASES = {
    "gpt2": ("gpt2", SHORT),
    "llama": ("llama", GROUPED),
    "llama tied, wide heads": ("llama", {**GROUPED, "tie_word_embeddings": True, "head_dim": 32}),
    "llama biased": ("llama", {**GROUPED, "attention_bias": True}),
    "llama 3 rope": ("llama", {**GROUPED, "rope_parameters": LLAMA3}),
    "llama linear rope": ("llama", {**GROUPED, "rope_parameters": {"rope_type": "linear", "rope_theta": 1e4, "factor": 4.0}}),
    "llama yarn": ("llama", {**GROUPED, "rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0, **OLD}}),
    "mistral": ("mistral", {**HEADS_OF_16, "sliding_window": None}),
    "mistral window": ("mistral", {**HEADS_OF_16, "sliding_window": 7}),
    "qwen2": ("qwen2", GROUPED),
    "qwen3": ("qwen3", {**GROUPED, "head_dim": 32}),
    "gemma": ("gemma", HEADS_OF_16),
    "gemma2": ("gemma2", {**HEADS_OF_16, "sliding_window": 6, "query_pre_attn_scalar": 16}),
    "gemma3": ("gemma3_text", {**HEADS_OF_16, "num_hidden_layers": 7, "sliding_window": 6, "query_pre_attn_scalar": 16}),
    "phi3": ("phi3", GROUPED),
    "phi3 window, part rope": ("phi3", {**GROUPED, "sliding_window": 6, "partial_rotary_factor": 0.5}),
    "olmo2": ("olmo2", GROUPED),
    "gpt_neox": ("gpt_neox", TINY),
    "gpt_neox in sequence": ("gpt_neox", {**TINY, "use_parallel_residual": False, "rotary_pct": 0.5}),
    "bloom": ("bloom", BLOOM),
    "falcon": ("falcon", FALCON),
    "falcon new": ("falcon", {**FALCON, **NEW}),
    "falcon new, one norm": ("falcon", {**FALCON, **NEW, "num_ln_in_parallel_attn": 1}),
}
READ_BY_TRANSFORMERS = ("llama", "mistral", "qwen2", "bloom", "falcon")
"""Of others its reading passes over the size of heads or the window, or does not read so small a vocabulary."""


def reference(kind, settings):
    torch.manual_seed(1)
    model = transformers.AutoModelForCausalLM.from_config(transformers.AutoConfig.for_model(kind, **settings)).eval().float()
    for name, weight in model.named_parameters():
        around = 1.0 if "norm" in name and name.endswith("weight") and "gemma" not in kind else 0.0
        weight.data = torch.randn_like(weight) * 0.2 + around
    model.tie_weights()
    return model


def written(path, case, **options):
    kind, settings = CASES[case]
    model = reference(kind, settings)
    weights = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    write_model(path, kind, model.config.to_dict(), weights, **options)
    return model


def tokens(size=20):
    return torch.randint(3, WORDS, (1, size), generator=torch.Generator().manual_seed(0))


def logits_of(lm):
    session, text = lm.model.session(), tokens()[0].numpy()
    row = session.extend([-1], [text])[0]
    return np.asarray(session.logits(session.nodes.path(int(row))))


def test_every_architecture_has_a_case():
    named = {"gptneox" if kind == "gpt_neox" else "gemma3" if kind == "gemma3_text" else kind for kind, _ in CASES.values()}
    assert named - {"mistral"} == {*LAYOUTS}


@pytest.mark.parametrize("case", CASES)
def test_logits_equal_those_of_transformers(case, tmp_path, tally):
    model = written(tmp_path / "model.gguf", case)
    with torch.no_grad():
        expected = model(tokens()).logits[0].numpy()
    for backend in ("numpy", "torch", *(["compiled"] if available() else [])):
        found = logits_of(un.load(tmp_path / "model.gguf", backend=backend))
        assert np.abs(found - expected).max() < 2e-4, backend
    tally(f"logits of {CASES[case][0]} in a GGUF file")


@pytest.mark.parametrize("case", READ_BY_TRANSFORMERS)
@pytest.mark.parametrize("quantise", ["Q8_0", "Q4_1"])
def test_logits_equal_those_of_transformers_own_reading(case, quantise, tmp_path, tally):
    """Of a file with weights in blocks, whose numbers both make."""
    written(tmp_path / "model.gguf", case, quantise=quantise)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file="model.gguf", dtype=torch.float32).eval()
    with torch.no_grad():
        expected = theirs(tokens()).logits[0].numpy()
    assert np.abs(logits_of(un.load(tmp_path / "model.gguf")) - expected).max() < 2e-4
    tally(f"logits of {CASES[case][0]} in a GGUF file")


@pytest.mark.parametrize("quantise", ["Q8_0", "Q5_1", "F16", "BF16"])
@pytest.mark.parametrize("case", ["llama", "gpt2", "falcon new", "phi3"])
@pytest.mark.skipif(not available(), reason="the kernels are not built")
def test_weights_that_are_widened_as_they_are_packed_give_the_same_numbers(case, quantise, tmp_path, monkeypatch):
    from unspool.models.compiled import parts

    written(tmp_path / "model.gguf", case, quantise=quantise)
    whole = logits_of(un.load(tmp_path / "model.gguf", backend="numpy"))
    monkeypatch.setattr(parts, "PACKED_AT_ONCE", 2000)
    for dtype, within in (("float32", 1e-4), ("int8", 1.0)):
        found = logits_of(un.load(tmp_path / "model.gguf", backend="compiled", dtype=dtype))
        assert np.abs(found - whole).max() < within
