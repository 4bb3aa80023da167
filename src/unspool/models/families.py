"""The families of transformers that can be read: where each keeps its weights, and how it differs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from unspool.arrays import Array, Floats, namespace
from unspool.errors import ModelError
from unspool.models.rope import Rope, make_rope, rope_settings
from unspool.models.slots import Rule
from unspool.models.transformer import ACTIVATIONS, Block, Linear, Norm, Transformer

Config = Mapping[str, Any]


@dataclass(frozen=True)
class Family:
    """A family as data: names of weights (of a layer after `layer`), and what is fixed for it."""

    layer: str
    embedding: str
    final_norm: str
    qkv: tuple[str, ...]
    out: str
    up: str
    down: str
    gate: str | None = None
    positions: str | None = None
    position_offset: int = 0
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
    qkv_layout: str = "blocks"
    """How a joint product is ordered: "blocks", "heads" (q, k, v of each head), or "groups" (as Falcon)."""
    rope: bool = True
    interleaved: bool = False
    parallel: bool = False
    alibi: bool = False
    whole_norms: bool = False
    scale_embedding: bool = False
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """Config keys that the family fixes or fills in."""


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
)


def like_llama(**changes: Any) -> Family:
    """Llama with changes."""
    return Family(**{**vars(LLAMA), **changes})


QK_NORMS = {"query_norm": "self_attn.q_norm", "key_norm": "self_attn.k_norm"}
GEMMA = {"norm_plus_one": True, "scale_embedding": True, "defaults": {"hidden_act": "gelu_pytorch_tanh", "tie_word_embeddings": True}}
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
        rope=False,
        biased=True,
        defaults={"activation_function": "gelu_new", "tie_word_embeddings": True, "layer_norm_epsilon": 1e-5},
    ),
    "llama": LLAMA,
    "mistral": LLAMA,
    "qwen2": LLAMA,
    "qwen3": like_llama(**QK_NORMS),
    "gemma": like_llama(**GEMMA),
    "gemma2": like_llama(**GEMMA, **FOUR_NORMS),
    "gemma3_text": like_llama(**GEMMA, **FOUR_NORMS, **QK_NORMS),
    "olmo2": like_llama(**QK_NORMS, **LAST_NORMS, after_mlp="post_feedforward_layernorm", whole_norms=True),
    "phi3": like_llama(qkv=("self_attn.qkv_proj",), gate=None, up="mlp.gate_up_proj"),
    "gpt_neox": Family(
        layer="gpt_neox.layers.{}.",
        embedding="gpt_neox.embed_in",
        final_norm="gpt_neox.final_layer_norm",
        head="embed_out",
        qkv=("attention.query_key_value",),
        qkv_layout="heads",
        out="attention.dense",
        up="mlp.dense_h_to_4h",
        down="mlp.dense_4h_to_h",
        before_attention="input_layernorm",
        before_mlp="post_attention_layernorm",
        centred=True,
        parallel=True,
        defaults={"partial_rotary_factor": 0.25},
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
        rope=False,
        defaults={"tie_word_embeddings": True},
    ),
    "bloom": Family(
        layer="transformer.h.{}.",
        embedding="transformer.word_embeddings",
        embedding_norm="transformer.word_embeddings_layernorm",
        final_norm="transformer.ln_f",
        qkv=("self_attention.query_key_value",),
        qkv_layout="heads",
        out="self_attention.dense",
        up="mlp.dense_h_to_4h",
        down="mlp.dense_4h_to_h",
        before_attention="input_layernorm",
        before_mlp="post_attention_layernorm",
        centred=True,
        rope=False,
        alibi=True,
        defaults={"hidden_act": "gelu_new", "tie_word_embeddings": True, "max_position_embeddings": 2048},
    ),
    "falcon": Family(
        layer="transformer.h.{}.",
        embedding="transformer.word_embeddings",
        final_norm="transformer.ln_f",
        qkv=("self_attention.query_key_value",),
        qkv_layout="groups",
        out="self_attention.dense",
        up="mlp.dense_h_to_4h",
        down="mlp.dense_4h_to_h",
        before_attention="input_layernorm",
        centred=True,
        parallel=True,
        defaults={"tie_word_embeddings": True},
    ),
}

KEYS: dict[str, tuple[str, ...]] = {
    "layers": ("num_hidden_layers", "n_layer"),
    "heads": ("num_attention_heads", "n_head"),
    "width": ("hidden_size", "n_embd"),
    "epsilon": ("rms_norm_eps", "layer_norm_epsilon", "layer_norm_eps"),
    "context": ("max_position_embeddings", "n_positions"),
    "activation": ("hidden_activation", "hidden_act", "activation_function", "activation"),
}


class Reader:
    """Takes a family's weights out of a checkpoint, and says what is missing or does not fit."""

    def __init__(self, kind: str, config: Config, weights: Mapping[str, Array]) -> None:
        self.kind, self.family = kind, FAMILIES[kind]
        self.config = {**self.family.defaults, **{k: v for k, v in config.items() if v is not None}}
        self.prefix = self.family.embedding.rsplit(".", 1)[0] + "."
        self.weights = dict(weights)
        if self.family.embedding + ".weight" not in self.weights:        # some checkpoints hold the trunk alone
            self.weights |= {self.prefix + name: array for name, array in weights.items()}
        self.heads, self.layers, self.width = (int(self.of(name)) for name in ("heads", "layers", "width"))
        if min(self.heads, self.layers, self.width) < 1:
            raise ModelError(f"config.json says {self.layers} layers, {self.heads} heads and width {self.width}; all are at least 1")
        beyond = self.family.layer.format(self.layers)
        if any(name.startswith(beyond) for name in self.weights):
            raise ModelError(f"config.json says {self.layers} layers but the weights have more: {beyond}*")
        self.key_heads = self._key_heads()
        self._ropes: dict[str, Rope] = {}
        if "head_dim" not in self.config and self.width % self.heads:
            raise ModelError(f"{self.heads} heads do not divide the width {self.width}; config.json is broken")
        self.head_size = int(self.config.get("head_dim") or self.width // self.heads)

    def of(self, name: str, default: Any = None) -> Any:
        """A setting by its meaning; families call it differently."""
        for key in KEYS[name]:
            if key in self.config:
                return self.config[key]
        if default is None:
            raise ModelError(f"config.json of this {self.kind} lacks {' or '.join(KEYS[name])}")
        return default

    def array(self, name: str, *shape: int) -> Array:
        """A weight, checked for its shape."""
        if name not in self.weights:
            raise ModelError(f"the weights lack {name!r}; they are not those of a {self.kind} model with {self.layers} layers")
        found = self.weights[name]
        if shape and tuple(found.shape) != shape:
            raise ModelError(f"{name} has shape {tuple(found.shape)} where config.json asks for {shape}; they do not fit")
        return found

    def norm(self, name: str | None, size: int) -> Norm | None:
        """A norm, or None for None."""
        if name is None:
            return None
        weight = self.array(f"{name}.weight", size)
        bias = self._bias(name, size)
        if self.family.norm_plus_one:
            weight = weight + 1
        return Norm(weight, bias, float(self.of("epsilon", 1e-5)), self.family.centred)

    def linear(self, name: str, inputs: int, outputs: int) -> Linear:
        """A linear layer with its bias if it has one."""
        if self.family.transposed:
            weight = self.array(f"{name}.weight", inputs, outputs).T
        else:
            weight = self.array(f"{name}.weight", outputs, inputs)
        return Linear(weight, self._bias(name, outputs))

    def _bias(self, name: str, size: int) -> Array | None:
        known = self.family.biased or f"{name}.bias" in self.weights
        return self.array(f"{name}.bias", size) if known else None

    def transformer(self) -> Transformer:
        """The whole model."""
        family = self.family
        embedding = self.array(f"{family.embedding}.weight")
        vocabulary = int(embedding.shape[0])
        if tuple(embedding.shape) != (int(self.config.get("vocab_size", vocabulary)), self.width):
            wanted = (self.config.get("vocab_size", vocabulary), self.width)
            raise ModelError(f"{family.embedding}.weight has shape {tuple(embedding.shape)} where config.json asks for {wanted}")
        self._refuse()
        positions = self._positions()
        context = int(self.of("context", 2048) if positions is None else positions.shape[0])
        if positions is not None and context != int(self.of("context", context)):
            raise ModelError(f"{family.positions} holds {context} positions where config.json says {self.of('context')}")
        activation = str(self.of("activation", "gelu"))
        if activation not in ACTIVATIONS:
            raise ModelError(f"the activation {activation!r} is not supported; supported are {', '.join(ACTIVATIONS)}")
        blocks = [self._block(layer) for layer in range(self.layers)]
        final = self.norm(family.final_norm, self.width)
        assert final is not None
        return Transformer(
            architecture=self.kind,
            vocabulary=vocabulary,
            context=context,
            end_tokens=token_ids(self.config.get("eos_token_id")),
            start=next(iter(token_ids(self.config.get("bos_token_id"))), None),
            heads=self.heads,
            key_heads=self.key_heads,
            head_size=self.head_size,
            embedding=embedding,
            positions=positions,
            embedding_scale=_rounded(math.sqrt(self.width), embedding) if family.scale_embedding else 1.0,
            embedding_norm=self.norm(family.embedding_norm, self.width),
            blocks=blocks,
            rules=[self._rule(layer) for layer in range(self.layers)],
            final_norm=final,
            output=self._output(embedding),
            activation=ACTIVATIONS[activation],
            parallel=self._parallel(),
            whole_norms=family.whole_norms,
            softcap=self.config.get("final_logit_softcapping"),
            slopes=self._slopes() if self.family.alibi or self.config.get("alibi") else None,
        )

    def _block(self, layer: int) -> Block:
        family, at = self.family, self.family.layer.format(layer)
        width, size = self.width, self.head_size
        name: Callable[[str | None], str | None] = lambda part: None if part is None else at + part  # noqa: E731
        wide = self.heads * size, self.key_heads * size
        if len(family.qkv) == 1:
            qkv: tuple[Linear, ...] = (self._ordered(self.linear(at + family.qkv[0], width, wide[0] + 2 * wide[1])),)
        else:
            qkv = tuple(self.linear(at + part, width, n) for part, n in zip(family.qkv, (wide[0], wide[1], wide[1]), strict=True))
        inner, gate = self._inner(), None
        if family.gate is not None:
            gate, up = self.linear(at + family.gate, width, inner), self.linear(at + family.up, width, inner)
        elif self.kind == "phi3":
            joint = self.linear(at + family.up, width, 2 * inner)
            gate, up = Linear(joint.weight[:inner]), Linear(joint.weight[inner:])
        else:
            up = self.linear(at + family.up, width, inner)
        norms = (wide[0], wide[1]) if family.whole_norms else (size, size)
        before = self._falcon_norms(at) if self.kind == "falcon" else (name(family.before_attention), name(family.before_mlp))
        return Block(
            qkv=qkv,
            out=self.linear(at + family.out, wide[0], width),
            up=up,
            down=self.linear(at + family.down, inner, width),
            gate=gate,
            before_attention=self.norm(before[0], width),
            after_attention=self.norm(name(family.after_attention), width),
            before_mlp=self.norm(before[1], width),
            after_mlp=self.norm(name(family.after_mlp), width),
            query_norm=self.norm(name(family.query_norm), norms[0]),
            key_norm=self.norm(name(family.key_norm), norms[1]),
            rope=self._rope(layer),
            query_scale=self._query_scale(layer),
        )

    def _ordered(self, joint: Linear) -> Linear:
        """A joint product with all queries first, then keys, then values."""
        if self.family.qkv_layout == "blocks":
            return joint
        groups = self.heads // self.key_heads + 2
        if self.family.qkv_layout == "heads" or (self.kind == "falcon" and self.heads == self.key_heads):
            groups = 3
        rows = np.arange((self.heads + 2 * self.key_heads) * self.head_size).reshape(-1, groups, self.head_size)
        order = np.concatenate([rows[:, :-2].ravel(), rows[:, -2].ravel(), rows[:, -1].ravel()])
        return Linear(joint.weight[order], None if joint.bias is None else joint.bias[order])

    def _output(self, embedding: Array) -> Linear:
        name = self.family.head if f"{self.family.head}.weight" in self.weights else "lm_head"
        tied = bool(self.config.get("tie_word_embeddings", False))
        if tied or f"{name}.weight" not in self.weights:
            if not tied:
                raise ModelError(f"the weights lack {self.family.head}.weight, and config.json does not tie it to the embedding")
            return Linear(embedding)
        # a head is stored (outputs, inputs) by every family
        return Linear(self.array(f"{name}.weight", *embedding.shape), self.weights.get(f"{name}.bias"))

    def _positions(self) -> Array | None:
        if self.family.positions is None:
            return None
        table = self.array(f"{self.family.positions}.weight")
        if tuple(table.shape[1:]) != (self.width,):
            raise ModelError(f"{self.family.positions}.weight has shape {tuple(table.shape)} where config.json asks for width {self.width}")
        return table[self.family.position_offset :]

    def _inner(self) -> int:
        for key in ("intermediate_size", "ffn_dim", "ffn_hidden_size", "n_inner"):
            if self.config.get(key):
                return int(self.config[key])
        return 4 * self.width

    def _key_heads(self) -> int:
        if self.kind == "falcon":
            if self.config.get("new_decoder_architecture"):
                return int(self.config.get("num_kv_heads") or self.heads)
            return 1 if self.config.get("multi_query", True) else self.heads
        return int(self.config.get("num_key_value_heads") or self.heads)

    def _parallel(self) -> bool:
        if self.kind == "gpt_neox":
            return bool(self.config.get("use_parallel_residual", True))
        if self.kind == "falcon":
            return bool(self.config.get("new_decoder_architecture") or self.config.get("parallel_attn", True))
        return self.family.parallel

    def _falcon_norms(self, at: str) -> tuple[str, str | None]:
        if f"{at}ln_attn.weight" in self.weights:
            return f"{at}ln_attn", f"{at}ln_mlp"
        separate = f"{at}post_attention_layernorm"
        return f"{at}input_layernorm", separate if f"{separate}.weight" in self.weights else None

    def _kind_of(self, layer: int) -> str:
        """Whether a layer sees everything or a window."""
        types = self.config.get("layer_types")
        if types:
            return str(types[layer])
        if self.kind == "gemma2":
            return "full_attention" if layer % 2 else "sliding_attention"
        if self.kind == "gemma3_text":
            pattern = int(self.config.get("sliding_window_pattern") or self.config.get("_sliding_window_pattern") or 6)
            return "full_attention" if (layer + 1) % pattern == 0 else "sliding_attention"
        if self.kind in ("qwen2", "qwen3"):
            used = self.config.get("use_sliding_window") and layer >= int(self.config.get("max_window_layers", 0))
            return "sliding_attention" if used else "full_attention"
        return "sliding_attention" if self.kind in ("mistral", "phi3") else "full_attention"

    def _rule(self, layer: int) -> Rule:
        window = self.config.get("sliding_window") if self._kind_of(layer) == "sliding_attention" else None
        return Rule(None if window is None else int(window), self.config.get("attn_logit_softcapping"))

    def _rope(self, layer: int) -> Rope | None:
        if not self.family.rope or self.config.get("alibi"):
            return None
        kind = self._kind_of(layer)
        if kind not in self._ropes:
            settings = rope_settings(self.config, kind if self.kind == "gemma3_text" else "full_attention")
            if "rotary_emb_base" in self.config:
                settings["rope_theta"] = self.config["rotary_emb_base"]
            part = settings.get("partial_rotary_factor", self.config.get("rotary_pct", self.config.get("partial_rotary_factor", 1.0)))
            size = int(self.config.get("rotary_dim") or self.head_size * float(part))
            if not 2 <= size <= self.head_size:
                raise ModelError(f"config.json turns {size} of the {self.head_size} numbers of a head; it can turn 2 to {self.head_size}")
            self._ropes[kind] = make_rope(self.config, settings, size, self.family.interleaved)
        return self._ropes[kind]

    def _query_scale(self, layer: int) -> float:
        scale = 1.0
        if self.kind in ("gemma2", "gemma3_text"):
            scale = math.sqrt(self.head_size / float(self.config.get("query_pre_attn_scalar", self.head_size)))
        if self.config.get("scale_attn_weights", True) is False:
            scale *= math.sqrt(self.head_size)
        return scale / (layer + 1) if self.config.get("scale_attn_by_inverse_layer_idx") else scale

    def _slopes(self) -> Floats:
        """ALiBi's; Falcon divides them by sqrt(D) with the scores."""
        return alibi_slopes(self.heads) * (self.head_size**-0.5 if self.kind == "falcon" else 1.0)

    def _refuse(self) -> None:
        """Variants of a family that are computed differently."""
        refused = {
            "do_layer_norm_before": (False, "OPT with norms after the layers (opt-350m)"),
            "apply_residual_connection_post_layernorm": (True, "BLOOM with residuals after the norms"),
            "use_bidirectional_attention": (True, "bidirectional attention"),
        }
        for key, (value, what) in refused.items():
            if self.config.get(key) is value:
                raise ModelError(f"config.json has {key}: {value}: {what} is not supported")
        if self.config.get("quantization_config"):
            raise ModelError("quantised checkpoints are not supported; use one in float32, float16 or bfloat16")


def read_transformer(kind: str, config: Config, weights: Mapping[str, Array]) -> Transformer:
    """A transformer of a family from a checkpoint's config.json and weights, named as Hugging Face names them."""
    return Reader(kind, config, weights).transformer()


def token_ids(value: Any) -> tuple[int, ...]:
    """One id, several, or none as a tuple."""
    return tuple(map(int, value)) if isinstance(value, list | tuple) else () if value is None else (int(value),)


def alibi_slopes(heads: int) -> Floats:
    """2^(-8 i / n) for a power of two n of heads; other numbers take every other slope of twice the power below."""
    power = 2 ** math.floor(math.log2(heads))
    slopes = 2.0 ** (-8 / power * np.arange(1, power + 1))
    more = 2.0 ** (-4 / power * np.arange(1, 2 * (heads - power) + 1, 2))
    return np.concatenate([slopes, more])


def _rounded(value: float, beside: Array) -> float:
    """A number as the weights' dtype holds it."""
    xp = namespace(beside)
    return float(xp.asarray(value, dtype=beside.dtype))
