"""Tiny checkpoints of GPT-2 and Llama from a seed, the same for every library; this file needs numpy alone."""

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


def tiny_llama(seed, layers=2, heads=4, key_heads=2, width=16, inner=24, vocabulary=24, positions=64, scale=0.35):
    """(config, weights) of a random Llama, its head apart from its embedding."""
    rng, size = np.random.default_rng(seed), width // heads
    block = {"self_attn.q_proj": (width, width), "self_attn.o_proj": (width, width), "mlp.down_proj": (width, inner)}
    block |= {f"self_attn.{name}_proj": (key_heads * size, width) for name in "kv"}
    block |= {f"mlp.{name}_proj": (inner, width) for name in ("gate", "up")}
    block |= {"input_layernorm": (width,), "post_attention_layernorm": (width,)}
    shapes = {f"model.layers.{layer}.{name}.weight": shape for layer in range(layers) for name, shape in block.items()}
    shapes |= {"model.embed_tokens.weight": (vocabulary, width), "lm_head.weight": (vocabulary, width), "model.norm.weight": (width,)}
    weights = {name: (scale * rng.standard_normal(shape) + ("norm" in name)).astype(np.float32) for name, shape in shapes.items()}
    config = {"num_hidden_layers": layers, "num_attention_heads": heads, "num_key_value_heads": key_heads, "hidden_size": width}
    config |= {"intermediate_size": inner, "vocab_size": vocabulary, "max_position_embeddings": positions, "rms_norm_eps": 1e-5}
    return config | {"model_type": "llama", "bos_token_id": None, "eos_token_id": None}, weights


def in_transformers(config, weights):
    """The same checkpoint as a transformers model."""
    import torch
    import transformers

    shape = {k: v for k, v in config.items() if k != "model_type"}
    if config["model_type"] == "llama":
        model, prefix = transformers.LlamaForCausalLM(transformers.LlamaConfig(**shape)), ""
    else:
        model, prefix = transformers.GPT2LMHeadModel(transformers.GPT2Config(**shape)), "transformer."
    state = {f"{prefix}{name}": torch.from_numpy(array) for name, array in weights.items()}
    lacking, strange = model.load_state_dict(state, strict=False)
    assert not strange, strange
    assert set(lacking) <= {"lm_head.weight"}, lacking
    model.tie_weights()
    return model.eval()
