"""Writes a folder's model as a GGUF file: in float32 from its tensors, in other formats by llama.cpp's own quantiser."""

from __future__ import annotations

import ctypes
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

Array = Any
GPT2 = {
    "ln_1": "attn_norm",
    "ln_2": "ffn_norm",
    "attn.c_attn": "attn_qkv",
    "attn.c_proj": "attn_output",
    "mlp.c_fc": "ffn_up",
    "mlp.c_proj": "ffn_down",
}
LLAMA = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
ENDS = {
    "transformer.wte": "token_embd",
    "transformer.wpe": "position_embd",
    "transformer.ln_f": "output_norm",
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
}


def write(folder: Path, number: str, out: Path) -> None:
    """The file `out`, in one of llama.cpp's formats."""
    if number == "f32":
        return write_float32(folder, out)
    import llama_cpp

    whole = out.with_suffix(".f32")
    write_float32(folder, whole)
    settings = llama_cpp.llama_model_quantize_default_params()
    kinds = {"bf16": "MOSTLY_BF16", "q8_0": "MOSTLY_Q8_0", "q4_0": "MOSTLY_Q4_0"}
    settings.ftype = getattr(llama_cpp, f"LLAMA_FTYPE_{kinds[number]}")
    failed = llama_cpp.llama_model_quantize(str(whole).encode(), str(out).encode(), ctypes.byref(settings))
    whole.unlink()
    if failed:
        raise RuntimeError(f"llama.cpp could not make {number} of {folder}")


def write_float32(folder: Path, out: Path) -> None:
    import gguf

    config = json.loads((folder / "config.json").read_text())
    family = config["model_type"]
    writer = gguf.GGUFWriter(str(out), family)
    (describe_gpt2 if family == "gpt2" else describe_llama)(writer, config)
    describe_tokenizer(writer, json.loads((folder / "tokenizer.json").read_text()), config)
    for name, tensor in tensors(folder, config):
        writer.add_tensor(name, np.ascontiguousarray(tensor, np.float32))
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def describe_gpt2(writer: Any, config: dict[str, Any]) -> None:
    writer.add_context_length(config["n_positions"])
    writer.add_embedding_length(config["n_embd"])
    writer.add_block_count(config["n_layer"])
    writer.add_feed_forward_length(4 * config["n_embd"])
    writer.add_head_count(config["n_head"])
    writer.add_layer_norm_eps(config["layer_norm_epsilon"])


def describe_llama(writer: Any, config: dict[str, Any]) -> None:
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_dimension_count(config["head_dim"])
    writer.add_rope_freq_base(config["rope_theta"])
    writer.add_vocab_size(config["vocab_size"])


def describe_tokenizer(writer: Any, tokenizer: dict[str, Any], config: dict[str, Any]) -> None:
    """The byte-level BPE of a tokenizer.json; the model's end token is its only special one."""
    vocabulary = tokenizer["model"]["vocab"] | {added["content"]: added["id"] for added in tokenizer["added_tokens"]}
    end = config["eos_token_id"]
    names = sorted(vocabulary, key=vocabulary.__getitem__)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(names)
    writer.add_token_types([3 if i == end else 1 for i in range(len(names))])
    writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in tokenizer["model"]["merges"]])
    writer.add_bos_token_id(end)
    writer.add_eos_token_id(end)


def tensors(folder: Path, config: dict[str, Any]) -> Iterator[tuple[str, Array]]:
    """Every tensor with its name there; GPT-2's matrices are turned, and rotary dimensions paired as the format has them."""
    from safetensors import safe_open

    heads = {"q_proj": config.get("num_attention_heads"), "k_proj": config.get("num_key_value_heads")}
    with safe_open(folder / "model.safetensors", "np") as file:
        for name in file.keys():  # noqa: SIM118 (it is no mapping)
            stem, kind = name.rsplit(".", 1)
            tensor = file.get_tensor(name)
            if stem in ENDS:
                yield f"{ENDS[stem]}.{kind}", tensor
                continue
            _, _, layer, part = stem.split(".", 3)
            if config["model_type"] == "gpt2":
                yield f"blk.{layer}.{GPT2[part]}.{kind}", tensor.T
            else:
                count = heads.get(part.rpartition(".")[2])
                yield f"blk.{layer}.{LLAMA[part]}.{kind}", paired(tensor, count) if count else tensor


def paired(matrix: Array, heads: int) -> Array:
    """Rows of each head so that the two dimensions that turn together are neighbours."""
    halves = matrix.reshape(heads, 2, matrix.shape[0] // heads // 2, matrix.shape[1])
    return halves.swapaxes(1, 2).reshape(matrix.shape)
