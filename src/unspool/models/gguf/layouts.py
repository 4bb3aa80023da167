"""The architectures of GGUF files as families: what their keys are called in a config.json, and their tensors in a checkpoint.

What llama.cpp's converter changed in the tensors is changed back, so that weights come as Hugging Face's checkpoints have them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from unspool.errors import ModelError, is_whole
from unspool.models.gguf.container import Container
from unspool.models.gguf.vocabulary import vocabulary_of

ConfigDict = dict[str, Any]


class NotRead(ModelError):
    """A model of an architecture, or of a variant of one, that is not read here."""


@dataclass(frozen=True)
class Layout:
    """How an architecture differs from the others."""

    family: str
    """The entry of `unspool.models.families.FAMILIES`."""
    paired: bool = False
    """The rows of queries and keys stand so that the two numbers that turn together are neighbours."""
    norms_plus_one: bool = False
    """Norms are stored with the 1 that the family adds."""
    more: Callable[[Keys], ConfigDict] = lambda keys: {}
    """What else its config.json says."""


class Keys:
    """The keys of a file of an architecture, each checked where it is read."""

    def __init__(self, container: Container) -> None:
        self.container, self.values = container, container.keys
        named = self.values.get("general.architecture", "")
        if not isinstance(named, str):
            raise ModelError(f"the key general.architecture is {named!r:.40}; it is a text")
        self.architecture = named

    def whole(self, name: str, least: int = 1) -> int | None:
        """A whole number; one for each layer if they are all the same. None if the file does not say it."""
        value = self.one(name)
        if value is not None and not is_whole(value, least):
            raise self.broken(name, value, f"a whole number, {least} or more")
        return None if value is None else int(value)

    def real(self, name: str) -> float | None:
        """A number above 0."""
        value = self.one(name)
        if value is not None and (isinstance(value, str | bool) or not 0 < float(value) < math.inf):
            raise self.broken(name, value, "a number above 0")
        return None if value is None else _short(float(value))

    def flag(self, name: str) -> bool | None:
        value = self.one(name)
        if not isinstance(value, bool | None):
            raise self.broken(name, value, "true or false")
        return value

    def one(self, name: str) -> Any:
        value = self.values.get(f"{self.architecture}.{name}")
        if isinstance(value, list | np.ndarray):
            different = {v if isinstance(v, str) else v.item() for v in value}
            if len(different) != 1:
                raise NotRead(f"{self.architecture}.{name} differs between layers, which is not supported")
            return different.pop()
        return value

    def needed(self, name: str) -> int:
        value = self.whole(name)
        if value is None:
            raise ModelError(f"the file lacks the key {self.architecture}.{name}")
        return value

    def broken(self, name: str, value: Any, wanted: str) -> ModelError:
        return ModelError(f"{self.architecture}.{name} is {value!r:.40}; it is {wanted}")

    def has(self, tensor: str) -> bool:
        return tensor in self.container.tensors


def _short(value: float) -> float:
    """A float32 as the short decimal it was before: 1e-05, not 9.99999974e-06."""
    return float(f"{value:.7g}")


def window(keys: Keys) -> ConfigDict:
    """A window for every layer, where the file has one."""
    size = keys.whole("attention.sliding_window", 0)
    return {"sliding_window": size, "layer_types": ["sliding_attention"] * keys.needed("block_count")} if size else {"sliding_window": None}


def no_window(keys: Keys) -> ConfigDict:
    """Refuse a window, where its layers would differ in more than that."""
    if keys.whole("attention.sliding_window", 0):
        raise NotRead(f"{keys.architecture} with a sliding window is not supported")
    return {}


def gemma2(keys: Keys) -> ConfigDict:
    """Gemma 2 and 3: the largest of each divides its scores by the width of a head as if all together made the model's."""
    largest = {"gemma2": 46, "gemma3": 62}[keys.architecture] == keys.needed("block_count")
    size = keys.needed("embedding_length") // keys.needed("attention.head_count") if largest else keys.whole("attention.key_length")
    capped = {name: keys.real(name) for name in ("attn_logit_softcapping", "final_logit_softcapping")}
    said: ConfigDict = {"sliding_window": keys.needed("attention.sliding_window"), "query_pre_attn_scalar": size}
    return said | {name: value for name, value in capped.items() if value is not None}


def gemma3(keys: Keys) -> ConfigDict:
    """Gemma 3: five of six layers see a window, and turn by a base of their own."""
    every = keys.values.get("gemma3.attention.sliding_window_pattern")
    kinds = {"sliding_window_pattern": every} if is_whole(every, 1) else {}
    if isinstance(every, np.ndarray):
        kinds = {"layer_types": ["sliding_attention" if windowed else "full_attention" for windowed in every.tolist()]}
    return gemma2(keys) | kinds | {"rope_local_base_freq": keys.real("rope.freq_base_swa") or 1e4}


def falcon(keys: Keys) -> ConfigDict:
    """Falcon's generations: one key head, or groups of heads with one norm or two."""
    count = keys.whole("attention.head_count_kv") or 1
    if count == 1:
        return {"multi_query": True}
    norms = 2 if keys.has("blk.0.attn_norm_2.weight") else 1
    return {"new_decoder_architecture": True, "num_kv_heads": count, "num_ln_in_parallel_attn": norms}


LAYOUTS: dict[str, Layout] = {
    "bloom": Layout("bloom"),
    "falcon": Layout("falcon", more=falcon),
    "gemma": Layout("gemma", norms_plus_one=True),
    "gemma2": Layout("gemma2", norms_plus_one=True, more=gemma2),
    "gemma3": Layout("gemma3_text", norms_plus_one=True, more=gemma3),
    "gpt2": Layout("gpt2"),
    "gptneox": Layout("gpt_neox", more=lambda keys: {"use_parallel_residual": keys.flag("use_parallel_residual") is not False}),
    "llama": Layout("llama", paired=True, more=window),
    "olmo2": Layout("olmo2", more=no_window),
    "phi3": Layout("phi3", more=window),
    "qwen2": Layout("qwen2", more=no_window),
    "qwen3": Layout("qwen3", more=no_window),
}

LAYER_PARTS = {
    "attn_q": "q", "attn_k": "k", "attn_v": "v", "attn_qkv": "qkv", "attn_output": "out", "ffn_up": "up", "ffn_gate": "gate",
    "ffn_down": "down", "attn_norm": "before_attention", "ffn_norm": "before_mlp", "post_attention_norm": "after_attention",
    "post_ffw_norm": "after_mlp", "attn_q_norm": "query_norm", "attn_k_norm": "key_norm",
}  # fmt: skip
"""What stands behind blk.N. in the name of a tensor, and which part of a family's layer it is."""
TWO_NORMS = {"attn_norm_2": "before_attention", "attn_norm": "before_mlp"}
"""The same where a layer has a norm for each half, as Falcon 40B."""
OTHER_PARTS = {
    "token_embd": "embedding", "position_embd": "positions", "token_embd_norm": "embedding_norm", "output_norm": "final_norm",
    "output": "head",
}  # fmt: skip
CONFIG_KEYS = {
    "max_position_embeddings": "context_length",
    "hidden_size": "embedding_length",
    "num_hidden_layers": "block_count",
    "num_attention_heads": "attention.head_count",
}
"""What a config.json calls the keys that every file has."""
PASSED_OVER = ("rope_freqs.weight", ".attn_rot_embd.weight", ".rope_freqs.weight")
"""Ends of names of tensors that hold no weights of a layer."""


def layout_of(architecture: str) -> Layout:
    """The layout of an architecture; what is supported if it is not."""
    if architecture not in LAYOUTS:
        raise NotRead(f"holds a model of the architecture {architecture!r:.60}; supported in GGUF are {', '.join(LAYOUTS)}")
    return LAYOUTS[architecture]


def config_of(container: Container) -> ConfigDict:
    """What a config.json would say of the model."""
    keys = Keys(container)
    if not keys.architecture:
        raise ModelError("the file lacks the key general.architecture")
    layout = layout_of(keys.architecture)
    _refuse(keys)
    size = keys.whole("attention.key_length")
    found: ConfigDict = {
        "model_type": layout.family,
        **{name: keys.needed(key) for name, key in CONFIG_KEYS.items()},
        "num_key_value_heads": keys.whole("attention.head_count_kv"),
        "intermediate_size": keys.whole("feed_forward_length"),
        "head_dim": size,
        "tie_word_embeddings": not keys.has("output.weight"),
        **_ends(container),
    }
    epsilon = keys.real("attention.layer_norm_rms_epsilon") or keys.real("attention.layer_norm_epsilon")
    if epsilon is None:
        raise ModelError(f"the file lacks the key {keys.architecture}.attention.layer_norm_rms_epsilon")
    found |= {"rms_norm_eps": epsilon, **_rope(keys), **layout.more(keys)}
    return {name: value for name, value in found.items() if value is not None or name in ("sliding_window", "bos_token_id")}


def _ends(container: Container) -> ConfigDict:
    """The tokens that begin and end a text; those alone that the file names where its tokenizer is none that is read."""
    try:
        words = vocabulary_of(container.keys)
    except ModelError:
        named = [container.keys.get(f"tokenizer.ggml.{name}_token_id") for name in ("bos", "eos")]
        return {"bos_token_id": named[0], "eos_token_id": named[1]}
    return {"bos_token_id": words.special.get("bos"), "eos_token_id": words.ends}


def _rope(keys: Keys) -> ConfigDict:
    """The settings of rotary positions."""
    said: ConfigDict = {"rope_theta": keys.real("rope.freq_base") or 10000.0, "rotary_dim": keys.whole("rope.dimension_count", 0) or None}
    kind = keys.values.get(f"{keys.architecture}.rope.scaling.type", "linear")
    factor = keys.one("rope.scaling.factor") or keys.one("rope.scale_linear")
    if keys.has("rope_freqs.weight"):
        tensor = keys.container.tensors["rope_freqs.weight"]
        said["rope_scaling"] = {"rope_type": "divided", "divisors": tensor.format.widen(tensor.bytes).ravel()}
    elif kind in ("linear", "yarn") and factor and (kind, factor) != ("linear", 1):
        old = keys.whole("rope.scaling.original_context_length")
        betas = {name: keys.real(f"rope.scaling.yarn_{name}") for name in ("beta_fast", "beta_slow")} if kind == "yarn" else {}
        scaling = {"rope_type": kind, "factor": float(factor), "original_max_position_embeddings": old, **betas}
        said["rope_scaling"] = {name: value for name, value in scaling.items() if value is not None}
    elif kind not in ("linear", "yarn", "none"):
        raise NotRead(f"{keys.architecture}.rope.scaling.type is {kind!r:.40}; supported are none, linear and yarn")
    return said


def _refuse(keys: Keys) -> None:
    """Variants of an architecture that are computed differently."""
    if keys.whole("expert_count", 0):
        raise NotRead(f"the model is a mixture of {keys.whole('expert_count')} experts, which is not supported")
    if keys.whole("attention.value_length") not in (None, keys.whole("attention.key_length")):
        raise NotRead("the keys and the values of its heads have different sizes, which is not supported")
    for name in ("attention.clamp_kqv", "logit_scale", "attention.scale", "embedding_scale", "residual_scale"):
        if keys.one(name):
            raise NotRead(f"the key {keys.architecture}.{name} is not supported")
    if any(keys.has(f"rope_factors_{name}.weight") for name in ("long", "short")):
        raise NotRead("rope scaling 'longrope' is not supported; supported are none, linear and yarn")
