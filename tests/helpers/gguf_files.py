"""GGUF files as llama.cpp's converter makes them: names by the official package's tables, tensors turned and ordered as that does."""

import gzip
import json
import re
from pathlib import Path

import numpy as np

DATA = Path(__file__).parents[1] / "data"
ARCHITECTURES = {
    "llama": "llama", "mistral": "llama", "qwen2": "qwen2", "qwen3": "qwen3", "gemma": "gemma", "gemma2": "gemma2", "gemma3_text": "gemma3",
    "olmo2": "olmo2", "phi3": "phi3", "gpt2": "gpt2", "gpt_neox": "gptneox", "falcon": "falcon", "bloom": "bloom",
}  # fmt: skip
"""What llama.cpp calls a type of model."""


def gpt2_words(count=None):
    """GPT-2's tokens in their order, and its merges; the first of them."""
    vocabulary = json.loads(gzip.decompress((DATA / "gpt2-vocab.json.gz").read_bytes()))
    merges = gzip.decompress((DATA / "gpt2-merges.txt.gz").read_bytes()).decode().splitlines()[1:]
    names = sorted(vocabulary, key=vocabulary.__getitem__)[:count]
    held = set(names)
    return names, [merge for merge in merges if merge.replace(" ", "") in held]


def describe_words(writer, names, merges, pre="gpt-2", kinds=None, bos=None, eos=None):
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(names)
    writer.add_token_types(kinds or [1] * len(names))
    writer.add_token_merges(merges)
    if bos is not None:
        writer.add_bos_token_id(bos)
    if eos is not None:
        writer.add_eos_token_id(eos)


def finish(writer):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_model(path, kind, config, weights, quantise=None, more=None, words=256 + 20):
    """A model of transformers as a file. quantise: the name of a format for matrices that have whole blocks of it."""
    import gguf

    architecture = ARCHITECTURES[kind]
    writer = gguf.GGUFWriter(str(path), architecture)
    describe(writer, kind, config)
    if more:
        more(writer)
    names, merges = gpt2_words(config["vocab_size"])
    describe_words(writer, names, merges, bos=config.get("bos_token_id"), eos=config.get("eos_token_id"))
    layers = config.get("num_hidden_layers") or config["n_layer"]
    table = gguf.get_tensor_name_map(gguf.MODEL_ARCH[architecture.upper()], layers)
    for name, tensor in weights.items():
        if re.search(r"\.attn\.(masked_)?bias$|attention\.(masked_)?bias$|rotary_emb|inv_freq", name):
            continue
        if name == "lm_head.weight" and config.get("tie_word_embeddings", kind in ("gpt2", "bloom", "falcon", "gemma", "gemma2")):
            continue
        called = table.get_name(name.removeprefix("transformer.") if kind == "bloom" else name, try_suffixes=(".weight", ".bias"))
        assert called, name
        add(writer, called, changed(kind, config, name, np.asarray(tensor, np.float32)), quantise)
    finish(writer)


def add(writer, name, tensor, quantise):
    import gguf

    kind = quantise and gguf.GGMLQuantizationType[quantise]
    if quantise and tensor.ndim == 2 and tensor.shape[1] % gguf.GGML_QUANT_SIZES[kind][0] == 0:
        writer.add_tensor(name, gguf.quantize(tensor, kind), raw_dtype=kind)
    else:
        writer.add_tensor(name, np.ascontiguousarray(tensor))


def describe(writer, kind, config):
    """The keys of a model; config as transformers' to_dict gives it, all filled in."""

    def of(*names, default=None):
        return next((config[name] for name in names if config.get(name) is not None), default)

    heads, width = of("num_attention_heads", "n_head"), of("hidden_size", "n_embd")
    writer.add_context_length(of("max_position_embeddings", "n_positions", default=2048))
    writer.add_embedding_length(width)
    writer.add_block_count(of("num_hidden_layers", "n_layer"))
    writer.add_feed_forward_length(of("intermediate_size", "ffn_hidden_size", "n_inner", default=4 * width))
    writer.add_head_count(heads)
    if kind == "falcon":
        groups = config["num_kv_heads"] if config["new_decoder_architecture"] else 1 if config["multi_query"] else heads
        writer.add_head_count_kv(groups)
    elif of("num_key_value_heads"):
        writer.add_head_count_kv(of("num_key_value_heads"))
    if of("rms_norm_eps"):
        writer.add_layer_norm_rms_eps(of("rms_norm_eps"))
    else:
        writer.add_layer_norm_eps(of("layer_norm_epsilon", "layer_norm_eps"))
    if of("head_dim"):
        writer.add_key_length(of("head_dim"))
        writer.add_value_length(of("head_dim"))
    if kind in ("gpt2", "bloom"):
        return
    rope = config.get("rope_parameters") or {}
    rope = rope.get("full_attention", rope)
    base = rope.get("rope_theta", 10000.0)
    part = rope.get("partial_rotary_factor", config.get("partial_rotary_factor", config.get("rotary_pct")))
    size = of("head_dim", default=width // heads)
    writer.add_rope_dimension_count(int(size * (1 if part is None else part)))
    writer.add_rope_freq_base(base)
    describe_scaling(writer, rope, size, base)
    if kind == "gpt_neox":
        writer.add_parallel_residual(config["use_parallel_residual"])
    if of("sliding_window") and (kind != "qwen2" or config.get("use_sliding_window")):
        writer.add_sliding_window(of("sliding_window"))
    if kind == "gemma2":
        writer.add_attn_logit_softcapping(config["attn_logit_softcapping"])
        writer.add_final_logit_softcapping(config["final_logit_softcapping"])


def describe_scaling(writer, rope, size, base):
    """Scaled positions: a factor of all, YaRN's, or Llama 3's divisors as a tensor."""
    import gguf

    kind = rope.get("rope_type")
    if kind in ("linear", "yarn"):
        writer.add_rope_scaling_type(gguf.RopeScalingType(kind))
        writer.add_rope_scaling_factor(rope["factor"])
    if kind == "yarn":
        writer.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
    if kind == "llama3":
        old, low, high = rope["original_max_position_embeddings"], rope["low_freq_factor"], rope["high_freq_factor"]
        divisors = []
        for frequency in 1 / base ** (np.arange(0, size, 2) / size):
            wave = 2 * np.pi / frequency
            smooth = (old / wave - low) / (high - low)
            one = 1 if wave < old / high else rope["factor"] if wave > old / low else 1 / ((1 - smooth) / rope["factor"] + smooth)
            divisors.append(one)
        writer.add_tensor("rope_freqs.weight", np.array(divisors, np.float32))


def changed(kind, config, name, tensor):
    """A tensor as the converter lays it out."""
    heads = config.get("num_attention_heads") or config.get("n_head")
    if kind in ("llama", "mistral") and (found := re.search(r"(q|k)_proj\.", name)):
        count = heads if found[1] == "q" else config["num_key_value_heads"]
        halves = tensor.reshape(count, 2, tensor.shape[0] // count // 2, *tensor.shape[1:])
        return halves.swapaxes(1, 2).reshape(tensor.shape)
    if kind.startswith("gemma") and name.endswith("norm.weight"):
        return tensor + 1
    if kind == "gpt2" and name.endswith(("c_attn.weight", "c_proj.weight", "c_fc.weight")):
        return tensor.T
    if "query_key_value" in name:
        if kind == "falcon":
            groups = config["num_kv_heads"] if config["new_decoder_architecture"] else 1 if config["multi_query"] else heads
        else:
            groups = heads
        size = tensor.shape[0] // (heads + 2 * groups)
        rest = tensor.shape[1:]
        grouped = tensor.reshape(groups, heads // groups + 2, size, *rest)
        return np.concatenate([grouped[:, :-2].reshape(-1, *rest), grouped[:, -2].reshape(-1, *rest), grouped[:, -1].reshape(-1, *rest)])
    return tensor


def write_words(path, split, kinds=None, **more):
    """GPT-2's tokens without a model, with three special ones behind them."""
    import gguf

    names, merges = gpt2_words()
    writer = gguf.GGUFWriter(str(path), "llama")
    describe(writer, "llama", SMALLEST)
    extra = {"<|im_start|>": 3, "<|im_end|>": 3, "<tool>": 4}
    held = [*(3 if name == "<|endoftext|>" else 1 for name in names), *extra.values()]
    describe_words(writer, [*names, *extra], merges, split, held, len(names), len(names) + 1)
    finish(writer)


SMALLEST = {
    "num_attention_heads": 2, "hidden_size": 32, "max_position_embeddings": 64, "num_hidden_layers": 1, "intermediate_size": 32,
    "num_key_value_heads": 2, "rms_norm_eps": 1e-5,
}  # fmt: skip
