"""The models that are measured, made once into a folder.

Speed does not depend on the values of weights, so two have the shape of a known model and random weights; the third is the bundled one.
A draft for speculative search holds the first layers of its model.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

Tensors = dict[str, np.ndarray[Any, Any]]
END = "<|endoftext|>"
PARTIAL = ".part"


@dataclass(frozen=True)
class Kind:
    """A model of the tables: what the page says of it, and what makes its folder."""

    says: str
    make: Callable[[Path], None]


def cache_folder() -> Path:
    """Where models and what engines convert them to are kept if no folder is given."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "unspool" / "benchmarks"


def made(name: str, cache: Path) -> Path:
    """The folder of a model, made if it is not there; one that was left half made is made anew."""
    folder = cache / name
    if not folder.is_dir():
        part = folder.with_name(folder.name + PARTIAL)
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        MODELS[name].make(part)
        part.rename(folder)
    return folder


def draft_of(folder: Path) -> Path:
    """The folder of a model's draft."""
    return folder / "draft"


def bytes_read(folder: Path, bits: int) -> float:
    """Bytes of weights that one forward reads, of so many bits each; learned positions are looked up, and left out."""
    from safetensors import safe_open

    with safe_open(folder / "model.safetensors", "np") as file:
        shapes = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118 (it is no mapping)
    return sum(float(np.prod(shape)) for name, shape in shapes.items() if "wpe" not in name) * bits / 8


def gpt2_shaped(width: int, layers: int, heads: int, vocabulary: int, context: int, draft_layers: int) -> Callable[[Path], None]:
    """What makes a folder with a random model of GPT-2's form."""
    shapes: dict[str, tuple[int, ...]] = {
        "ln_1.weight": (width,),
        "ln_1.bias": (width,),
        "attn.c_attn.weight": (width, 3 * width),
        "attn.c_attn.bias": (3 * width,),
        "attn.c_proj.weight": (width, width),
        "attn.c_proj.bias": (width,),
        "ln_2.weight": (width,),
        "ln_2.bias": (width,),
        "mlp.c_fc.weight": (width, 4 * width),
        "mlp.c_fc.bias": (4 * width,),
        "mlp.c_proj.weight": (4 * width, width),
        "mlp.c_proj.bias": (width,),
    }
    ends: dict[str, tuple[int, ...]] = {"wte.weight": (vocabulary, width), "wpe.weight": (context, width)}
    ends |= {"ln_f.weight": (width,), "ln_f.bias": (width,)}
    config = {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "vocab_size": vocabulary,
        "n_positions": context,
        "n_embd": width,
        "n_head": heads,
        "activation_function": "gelu_new",
        "layer_norm_epsilon": 1e-5,
        "tie_word_embeddings": True,
    }

    def make(folder: Path) -> None:
        tensors = random_tensors({f"transformer.{n}": s for n, s in ends.items()}, shapes, "transformer.h", layers)
        write_both(folder, tensors, config, "n_layer", "transformer.h", layers, draft_layers)

    return make


def llama_shaped(
    width: int, inner: int, layers: int, heads: int, shared: int, vocabulary: int, context: int, draft_layers: int
) -> Callable[[Path], None]:
    """What makes a folder with a random model of Llama's form, its output tied to its embedding."""
    keys = width // heads * shared
    shapes: dict[str, tuple[int, ...]] = {
        "input_layernorm.weight": (width,),
        "self_attn.q_proj.weight": (width, width),
        "self_attn.k_proj.weight": (keys, width),
        "self_attn.v_proj.weight": (keys, width),
        "self_attn.o_proj.weight": (width, width),
        "post_attention_layernorm.weight": (width,),
        "mlp.gate_proj.weight": (inner, width),
        "mlp.up_proj.weight": (inner, width),
        "mlp.down_proj.weight": (width, inner),
    }
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": vocabulary,
        "max_position_embeddings": context,
        "hidden_size": width,
        "intermediate_size": inner,
        "num_attention_heads": heads,
        "num_key_value_heads": shared,
        "head_dim": width // heads,
        "hidden_act": "silu",
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": True,
    }

    def make(folder: Path) -> None:
        ends: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (vocabulary, width), "model.norm.weight": (width,)}
        tensors = random_tensors(ends, shapes, "model.layers", layers)
        write_both(folder, tensors, config, "num_hidden_layers", "model.layers", layers, draft_layers)

    return make


def random_tensors(ends: dict[str, tuple[int, ...]], layer: dict[str, tuple[int, ...]], prefix: str, layers: int) -> Tensors:
    """Weights as such models start: normal with deviation 0.02, norms one, biases zero."""
    chance = np.random.default_rng(0)
    shapes = ends | {f"{prefix}.{i}.{name}": shape for i in range(layers) for name, shape in layer.items()}

    def values(name: str, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
        if name.endswith("bias"):
            return np.zeros(shape, np.float32)
        return np.ones(shape, np.float32) if len(shape) == 1 else chance.standard_normal(shape, np.float32) * np.float32(0.02)

    return {name: values(name, shape) for name, shape in shapes.items()}


def write_both(folder: Path, tensors: Tensors, config: dict[str, Any], count: str, prefix: str, layers: int, draft_layers: int) -> None:
    """Write a model and its draft, each with a tokenizer."""
    ids = {"bos_token_id": config["vocab_size"] - 1, "eos_token_id": config["vocab_size"] - 1, "torch_dtype": "float32"}
    later = tuple(f"{prefix}.{i}." for i in range(draft_layers, layers))
    first = {name: tensor for name, tensor in tensors.items() if not name.startswith(later)}
    draft_of(folder).mkdir()
    for place, held, depth in ((folder, tensors, layers), (draft_of(folder), first, draft_layers)):
        write_model(place, held, config | ids | {count: depth})
        write_tokenizer(place, config["vocab_size"])


def write_model(folder: Path, tensors: Tensors, config: dict[str, Any]) -> None:
    from safetensors.numpy import save_file

    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config, indent=1))


def write_tokenizer(folder: Path, size: int) -> None:
    """A byte-level BPE with exactly `size` entries, since some engines open no model without one: bytes, pairs of letters, fillers, END."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    letters = "abcdefghijklmnopqrstuvwxyz"
    merges = [(a, b) for a in letters for b in letters][: max(size - 257, 0)]
    entries = [*sorted(pre_tokenizers.ByteLevel.alphabet()), *(a + b for a, b in merges)]
    entries += [f"<filler {i}>" for i in range(len(entries), size - 1)]
    vocabulary = {entry: i for i, entry in enumerate([*entries, END])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([END])
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "GPT2TokenizerFast", "bos_token": END, "eos_token": END, "unk_token": END, "add_prefix_space": False}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=1))


def copy_bundled(folder: Path) -> None:
    """The model that comes with unspool, its weights as float32: engines read half precision in ways of their own."""
    from safetensors.numpy import load_file

    import unspool.models

    source = Path(unspool.models.__path__[0]) / "bundled"
    tensors: Tensors = {name: tensor.astype(np.float32) for name, tensor in load_file(source / "model.safetensors").items()}
    config = json.loads((source / "config.json").read_text()) | {"torch_dtype": "float32"}
    first = {name: tensor for name, tensor in tensors.items() if ".h." not in f".{name}" or int(name.split("h.")[1].split(".")[0]) < 2}
    draft_of(folder).mkdir()
    for place, held, depth in ((folder, tensors, config["n_layer"]), (draft_of(folder), first, 2)):
        write_model(place, held, config | {"n_layer": depth})
        for name in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copy(source / name, place / name)


MODELS = {
    "gpt2": Kind(
        "GPT-2's shape, 124 million random weights: 12 layers of 768, 12 heads, 50,257 tokens, context 1,024",
        gpt2_shaped(width=768, layers=12, heads=12, vocabulary=50257, context=1024, draft_layers=2),
    ),
    "llama": Kind(
        "a small Llama's shape, 135 million random weights: 30 layers of 576, 9 heads that share 3, 49,152 tokens, context 2,048",
        llama_shaped(width=576, inner=1536, layers=30, heads=9, shared=3, vocabulary=49152, context=2048, draft_layers=4),
    ),
    "bundled": Kind("the model that comes with unspool: 6 layers of 256, 4 heads, 4,096 tokens, context 512", copy_bundled),
    "tiny": Kind(
        "a model for tests of the benchmark itself: 2 layers of 64, 2 heads, 512 tokens, context 1,024",
        gpt2_shaped(width=64, layers=2, heads=2, vocabulary=512, context=1024, draft_layers=1),
    ),
    "tiny-llama": Kind(
        "another: 2 layers of 64, 2 heads that share 1, 512 tokens, context 1,024",
        llama_shaped(width=64, inner=128, layers=2, heads=2, shared=1, vocabulary=512, context=1024, draft_layers=1),
    ),
}
