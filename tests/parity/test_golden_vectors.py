"""Golden vectors against the engines that run here: every case of their files, by the engine's own code."""

import numpy as np
import pytest
from parity import llama_driver

from unspool.lab.golden.inputs import GOLDEN_INPUTS, GOLDEN_VOCABULARY
from unspool.lab.golden.vectors import golden

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def vectors():
    return golden("transformers")


@pytest.fixture(scope="module")
def model():
    shape = {"vocab_size": len(GOLDEN_VOCABULARY), "n_positions": 64, "n_embd": 8, "n_layer": 1, "n_head": 1}
    return transformers.GPT2LMHeadModel(transformers.GPT2Config(**shape, bos_token_id=None, eos_token_id=None))


def kept_there(model, settings, given, ends):
    """Tokens and probabilities after the processors that transformers makes of settings."""
    known = {**settings, "eos_token_id": ends, "max_new_tokens": 20}
    if "watermarking_config" in known:
        known["watermarking_config"] = transformers.WatermarkingConfig(**known["watermarking_config"])
    config, _ = model._prepare_generation_config(transformers.GenerationConfig(**known))
    model._prepare_special_tokens(config, True, device="cpu")
    ids = torch.tensor([[*given.prompt, *given.generated]])
    made = model._get_logits_processor(config, len(given.prompt), encoder_input_ids=ids[:, : len(given.prompt)], device="cpu")
    scores = made(ids, torch.tensor([given.logits]))
    if not config.do_sample:
        return [int(scores.argmax())], [1.0]
    shares = torch.softmax(scores.double(), -1)[0]
    kept = (shares > 0).nonzero()[:, 0].tolist()
    return kept, shares[kept].tolist()


def test_every_case_of_transformers_is_what_its_own_processors_make(model, vectors):
    wrong = []
    for case in vectors["cases"]:
        kept, shares = kept_there(model, case["settings"], GOLDEN_INPUTS[case["input"]], vectors["end_tokens"])
        if kept != case["kept"] or not np.allclose(shares, case["probabilities"], rtol=0, atol=vectors["tolerance"]):
            wrong.append((case, kept))
    assert not wrong, f"{len(wrong)} of {len(vectors['cases'])}, as {wrong[:6]}"
    assert len(vectors["cases"]) > 250


def by_llama_cpp(llama, settings, given):
    """Tokens and probabilities after llama.cpp's own samplers, in the order of its common library."""
    value = {"temperature": 0.8, "top_k": 40, "top_p": 0.95, "min_p": 0.05, "typical_p": 1.0, "top_n_sigma": -1.0, "min_keep": 0}
    value |= {"repeat_penalty": 1.0, "frequency_penalty": 0.0, "presence_penalty": 0.0, "repeat_last_n": 64, "dry_multiplier": 0.0}
    value |= {"dry_base": 1.75, "dry_allowed_length": 2, "dry_penalty_last_n": 64, "xtc_probability": 0.0, "xtc_threshold": 0.1}
    value |= {"dynatemp_range": 0.0, "dynatemp_exponent": 1.0, **settings}
    keep = max(value["min_keep"], 1)
    biases = [(token, float(amount)) for token, amount in value.get("logit_bias", [])]
    parts = [("logit_bias", biases)] if biases else []
    parts.append(("penalties", value["repeat_last_n"], value["repeat_penalty"], value["frequency_penalty"], value["presence_penalty"]))
    if value["dry_multiplier"]:
        dry = [value[f"dry_{name}"] for name in ("multiplier", "base", "allowed_length", "penalty_last_n")]
        parts.append(("dry", *dry, []))
    parts += [("top_n_sigma", value["top_n_sigma"]), ("top_k", value["top_k"]), ("typical", value["typical_p"], keep)]
    parts += [("top_p", value["top_p"], keep), ("min_p", value["min_p"], keep)]
    parts += [("xtc", value["xtc_probability"], value["xtc_threshold"], keep)]
    parts.append(("temp_ext", value["temperature"], value["dynatemp_range"], value["dynatemp_exponent"]))
    if named := settings.get("samplers"):
        names = {"temperature": "temp_ext"}
        rest = {part[0]: part for part in parts}
        parts = [part for part in parts if part[0] == "logit_bias"] + [rest[names.get(name, name)] for name in named]
    chain = llama.chain(tuple(parts), len(given.logits), (*given.prompt, *given.generated))
    scores, _ = llama_driver.applied(chain, np.asarray(given.logits, np.float32))
    llama_driver.lib.llama_sampler_free(chain)
    kept = np.flatnonzero(np.isfinite(scores))
    shares = np.exp(scores[kept].astype(np.float64) - scores.max())
    return kept.tolist(), shares / shares.sum()


@pytest.mark.skipif(llama_driver.lib is None, reason="llama-cpp-python is not installed")
def test_every_case_of_llama_cpp_is_what_its_own_samplers_make(tmp_path):
    pytest.importorskip("gguf")
    llama_driver.write_gguf(tmp_path / "model.gguf")
    llama, vectors, wrong = llama_driver.Llama(tmp_path / "model.gguf"), golden("llama.cpp"), []
    cases = [case for case in vectors["cases"] if not case["settings"].get("dry_sequence_breakers", [])]
    for case in cases:
        kept, shares = by_llama_cpp(llama, case["settings"], GOLDEN_INPUTS[case["input"]])
        if kept != case["kept"] or not np.allclose(shares, case["probabilities"], rtol=0, atol=vectors["tolerance"]):
            wrong.append((case, kept))
    assert not wrong, f"{len(wrong)} of {len(cases)}, as {wrong[:6]}"
    assert len(cases) > 200
