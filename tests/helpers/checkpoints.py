"""Tiny GPT-2 checkpoints from a seed, the same for every library; this file needs numpy alone."""

import numpy as np


def tiny_gpt2(seed, layers=2, heads=2, width=16, vocabulary=24, positions=64, scale=0.35):
    """(config, weights) of a random GPT-2; weights are named as in Hugging Face checkpoints, without their prefix."""
    rng = np.random.default_rng(seed)

    def normal(*shape):
        return (scale * rng.standard_normal(shape)).astype(np.float32)

    weights = {"wte.weight": normal(vocabulary, width), "wpe.weight": normal(positions, width)}
    parts = {"attn.c_attn": (width, 3 * width), "attn.c_proj": (width, width)}
    parts |= {"mlp.c_fc": (width, 4 * width), "mlp.c_proj": (4 * width, width)}
    norms = [*(f"h.{layer}.{norm}" for layer in range(layers) for norm in ("ln_1", "ln_2")), "ln_f"]
    for name in norms:
        weights |= {f"{name}.weight": 1 + normal(width), f"{name}.bias": normal(width)}
    for layer in range(layers):
        for part, shape in parts.items():
            weights |= {f"h.{layer}.{part}.weight": normal(*shape), f"h.{layer}.{part}.bias": normal(shape[1])}
    config = {"n_layer": layers, "n_head": heads, "n_embd": width, "vocab_size": vocabulary, "n_positions": positions}
    return config | {"model_type": "gpt2", "bos_token_id": None, "eos_token_id": None}, weights


def in_transformers(config, weights):
    """The same checkpoint as a transformers model."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    model = GPT2LMHeadModel(GPT2Config(**{k: v for k, v in config.items() if k != "model_type"}))
    state = {f"transformer.{name}": torch.from_numpy(array) for name, array in weights.items()}
    lacking, strange = model.load_state_dict(state, strict=False)
    assert not strange, strange
    assert set(lacking) <= {"lm_head.weight"}, lacking
    model.tie_weights()
    return model.eval()
