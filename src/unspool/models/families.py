"""The families of transformers that can be read, as data: a new one is one entry of `FAMILIES`.

`unspool.models.reading` makes a transformer of an entry and a checkpoint, and asks no family for its name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

Config = Mapping[str, Any]


@dataclass(frozen=True)
class Family:
    """How a family differs from the others: names of weights (those of a layer come after `layer`), then what is computed.

    A name that is None stands for a part that the family does not have.
    """

    layer: str
    embedding: str
    final_norm: str
    qkv: tuple[str, ...]
    """One weight for queries, keys and values together, or one for each."""
    out: str
    up: str
    down: str
    gate: str | None = None
    """The same name as `up` if one weight holds both, the gate first."""
    positions: str | None = None
    """A learned table. A family with neither this nor `alibi` turns its queries and keys (rope)."""
    position_offset: int = 0
    """Rows of that table before position 0."""
    embedding_norm: str | None = None
    before_attention: str | None = None
    after_attention: str | None = None
    before_mlp: str | None = None
    after_mlp: str | None = None
    query_norm: str | None = None
    key_norm: str | None = None
    head: str = "lm_head"
    biased: bool = False
    """Every norm and linear layer has a bias; elsewhere there is one where the weights hold one."""
    centred: bool = False
    """LayerNorm, not a root-mean-square norm."""
    norm_plus_one: bool = False
    """Norms multiply by 1 + weight."""
    transposed: bool = False
    """Linear layers are stored (inputs, outputs)."""
    qkv_by_head: bool = False
    """A joint product holds, of each key head in turn, its queries, its key and its value; elsewhere all queries come first."""
    key_heads: int | None = None
    """How many, where num_key_value_heads does not say it."""
    interleaved: bool = False
    """Rope turns neighbours; elsewhere numbers half a width apart."""
    local_rope: bool = False
    """Layers with a window have a rope of their own."""
    windows: Callable[[Config, int], bool] = lambda config, layer: False
    """Whether a layer sees the sliding_window only, where the config has no layer_types."""
    alibi: bool = False
    alibi_scaled: bool = False
    """ALiBi is divided by sqrt(head size) as the scores are; elsewhere it is added after that."""
    parallel: bool = False
    """Attention and MLP both read what comes into the layer, and are added together."""
    whole_norms: bool = False
    """Query and key norms run over all heads together."""
    scale_embedding: bool = False
    """Embeddings are multiplied by sqrt(width)."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """Config keys that are filled in, as transformers does, where a config.json lacks them; null there means none."""
    variant: Callable[[Config], Mapping[str, Any]] = lambda config: {}
    """Fields of this entry that a config.json, with the defaults, changes."""


LLAMA = Family(
    layer="model.layers.{}.",
    embedding="model.embed_tokens",
    final_norm="model.norm",
    qkv=("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    out="self_attn.o_proj",
    up="mlp.up_proj",
    gate="mlp.gate_proj",
    down="mlp.down_proj",
    before_attention="input_layernorm",
    before_mlp="post_attention_layernorm",
    defaults={"hidden_act": "silu", "rms_norm_eps": 1e-6},
)


def like_llama(defaults: Mapping[str, Any] | None = None, /, **changes: Any) -> Family:
    """Llama with changes, and with these defaults over its own."""
    return Family(**{**vars(LLAMA), **changes, "defaults": {**LLAMA.defaults, **(defaults or {})}})


def last_layers(config: Config, layer: int) -> bool:
    """Qwen's windows."""
    return bool(config.get("use_sliding_window")) and layer >= int(config.get("max_window_layers", 28))


def all_but_every_sixth(config: Config, layer: int) -> bool:
    """Gemma 3's windows; the config may name another number."""
    return (layer + 1) % int(config.get("sliding_window_pattern") or config.get("_sliding_window_pattern") or 6) != 0


def falcon(config: Config) -> Mapping[str, Any]:
    """Falcon's two generations: one key head, or as many as heads; then groups of heads, with a norm for each half of a layer."""
    new, alibi = bool(config.get("new_decoder_architecture")), bool(config.get("alibi"))
    parallel = new or bool(config.get("parallel_attn", True))
    two_norms = new and config.get("num_ln_in_parallel_attn", 2) == 2
    return {
        "key_heads": config.get("num_kv_heads") if new else 1 if config.get("multi_query", True) else None,
        "parallel": parallel,
        "before_attention": "ln_attn" if two_norms else "input_layernorm",
        "before_mlp": "ln_mlp" if two_norms else None if parallel else "post_attention_layernorm",
        "alibi": alibi,
    }


QK_NORMS = {"query_norm": "self_attn.q_norm", "key_norm": "self_attn.k_norm"}
GEMMA = {"norm_plus_one": True, "scale_embedding": True}
GEMMA_1 = {"hidden_act": "gelu_pytorch_tanh", "tie_word_embeddings": True}
WINDOWED = {**GEMMA_1, "query_pre_attn_scalar": 256, "sliding_window": 4096}
GEMMA_3 = {**WINDOWED, "rope_theta": 1e6, "rope_local_base_freq": 1e4}
GEMMA_2 = {**WINDOWED, "attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0}
FOUR_NORMS = {
    "after_attention": "post_attention_layernorm",
    "before_mlp": "pre_feedforward_layernorm",
    "after_mlp": "post_feedforward_layernorm",
}
LAST_NORMS = {"before_attention": None, "after_attention": "post_attention_layernorm", "before_mlp": None}

FAMILIES: dict[str, Family] = {
    "gpt2": Family(
        layer="transformer.h.{}.",
        embedding="transformer.wte",
        positions="transformer.wpe",
        final_norm="transformer.ln_f",
        qkv=("attn.c_attn",),
        out="attn.c_proj",
        up="mlp.c_fc",
        down="mlp.c_proj",
        before_attention="ln_1",
        before_mlp="ln_2",
        centred=True,
        transposed=True,
        biased=True,
        defaults={"activation_function": "gelu_new", "tie_word_embeddings": True, "layer_norm_epsilon": 1e-5},
    ),
    "llama": LLAMA,
    "mistral": like_llama({"sliding_window": 4096}, windows=lambda config, layer: True),
    "qwen2": like_llama(windows=last_layers),
    "qwen3": like_llama(**QK_NORMS, windows=last_layers),
    "gemma": like_llama(GEMMA_1, **GEMMA),
    "gemma2": like_llama(GEMMA_2, **GEMMA, **FOUR_NORMS, windows=lambda config, layer: layer % 2 == 0),
    "gemma3_text": like_llama(GEMMA_3, **GEMMA, **FOUR_NORMS, **QK_NORMS, windows=all_but_every_sixth, local_rope=True),
    "olmo2": like_llama({"rms_norm_eps": 1e-5}, **QK_NORMS, **LAST_NORMS, after_mlp="post_feedforward_layernorm", whole_norms=True),
    "phi3": like_llama(
        {"rms_norm_eps": 1e-5},
        qkv=("self_attn.qkv_proj",),
        gate="mlp.gate_up_proj",
        up="mlp.gate_up_proj",
        windows=lambda config, layer: True,
    ),
    "gpt_neox": Family(
        layer="gpt_neox.layers.{}.",
        embedding="gpt_neox.embed_in",
        final_norm="gpt_neox.final_layer_norm",
        head="embed_out",
        qkv=("attention.query_key_value",),
        qkv_by_head=True,
        out="attention.dense",
        up="mlp.dense_h_to_4h",
        down="mlp.dense_4h_to_h",
        before_attention="input_layernorm",
        before_mlp="post_attention_layernorm",
        centred=True,
        defaults={"partial_rotary_factor": 0.25},
        variant=lambda config: {"parallel": bool(config.get("use_parallel_residual", True))},
    ),
    "gptj": Family(
        layer="transformer.h.{}.",
        embedding="transformer.wte",
        final_norm="transformer.ln_f",
        qkv=("attn.q_proj", "attn.k_proj", "attn.v_proj"),
        out="attn.out_proj",
        up="mlp.fc_in",
        down="mlp.fc_out",
        before_attention="ln_1",
        centred=True,
        interleaved=True,
        parallel=True,
        defaults={"activation_function": "gelu_new"},
    ),
    "opt": Family(
        layer="model.decoder.layers.{}.",
        embedding="model.decoder.embed_tokens",
        positions="model.decoder.embed_positions",
        position_offset=2,
        final_norm="model.decoder.final_layer_norm",
        qkv=("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
        out="self_attn.out_proj",
        up="fc1",
        down="fc2",
        before_attention="self_attn_layer_norm",
        before_mlp="final_layer_norm",
        centred=True,
        defaults={"activation_function": "relu", "tie_word_embeddings": True},
    ),
    "bloom": Family(
        layer="transformer.h.{}.",
        embedding="transformer.word_embeddings",
        embedding_norm="transformer.word_embeddings_layernorm",
        final_norm="transformer.ln_f",
        qkv=("self_attention.query_key_value",),
        qkv_by_head=True,
        out="self_attention.dense",
        up="mlp.dense_h_to_4h",
        down="mlp.dense_4h_to_h",
        before_attention="input_layernorm",
        before_mlp="post_attention_layernorm",
        centred=True,
        alibi=True,
        defaults={"hidden_act": "gelu_new", "tie_word_embeddings": True, "max_position_embeddings": 2048},
    ),
    "falcon": Family(
        layer="transformer.h.{}.",
        embedding="transformer.word_embeddings",
        final_norm="transformer.ln_f",
        qkv=("self_attention.query_key_value",),
        qkv_by_head=True,
        out="self_attention.dense",
        up="mlp.dense_h_to_4h",
        down="mlp.dense_4h_to_h",
        alibi_scaled=True,
        centred=True,
        defaults={"tie_word_embeddings": True},
        variant=falcon,
    ),
}

KEYS: dict[str, tuple[str, ...]] = {
    "layers": ("num_hidden_layers", "n_layer"),
    "heads": ("num_attention_heads", "n_head"),
    "width": ("hidden_size", "n_embd"),
    "epsilon": ("rms_norm_eps", "layer_norm_epsilon", "layer_norm_eps"),
    "inner": ("intermediate_size", "ffn_dim", "ffn_hidden_size", "n_inner"),
    "context": ("max_position_embeddings", "n_positions"),
    "activation": ("hidden_activation", "hidden_act", "activation_function", "activation"),
}
"""What families call a setting in config.json, by its meaning."""

REFUSED: dict[str, tuple[bool, str]] = {
    "do_layer_norm_before": (False, "OPT with norms after the layers (opt-350m)"),
    "apply_residual_connection_post_layernorm": (True, "BLOOM with residuals after the norms"),
    "use_bidirectional_attention": (True, "bidirectional attention"),
}
"""Config keys with a value that asks for what is not computed here."""

GPT2_WORDS = ("codegen", "gpt2", "gpt_bigcode", "gpt_neo", "gptj", "opt", "phi", "starcoder2")
"""Types of models whose vocab.json with merges.txt is read as GPT-2's is, if no class of tokenizer is named."""


def filled(architecture: str, config: Config) -> dict[str, Any]:
    """A config.json with the family's defaults, without what it says to be none."""
    return {key: value for key, value in {**FAMILIES[architecture].defaults, **config}.items() if value is not None}


def family_of(architecture: str, config: Config) -> Family:
    """The entry of an architecture, with what a config.json changes of it."""
    family = FAMILIES[architecture]
    return replace(family, **family.variant(filled(architecture, config)))
