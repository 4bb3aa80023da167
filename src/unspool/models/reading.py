"""A transformer out of a checkpoint: weights are taken by the names of their family, checked, and put together."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from unspool.arrays import Array, Floats, namespace
from unspool.errors import ModelError, is_whole
from unspool.models.families import KEYS, REFUSED, Config, family_of, filled
from unspool.models.rope import Rope, make_rope, rope_settings
from unspool.models.slots import Rule
from unspool.models.stored import in_memory, let_go
from unspool.models.transformer import ACTIVATIONS, Block, Linear, Norm, Transformer

ROWS_COMPARED = 1024
"""Rows of a matrix that are compared at once."""
LAYER_TYPES = ("full_attention", "sliding_attention")


class Reader:
    """Takes a family's weights out of a checkpoint, and says what is missing or does not fit."""

    def __init__(self, architecture: str, config: Config, weights: Mapping[str, Array]) -> None:
        self.architecture = architecture
        self.config, self.family = filled(architecture, config), family_of(architecture, config)
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
        self._check_layer_types()
        self.key_heads = int(self.family.key_heads or self.config.get("num_key_value_heads") or self.heads)
        self.inner = int(self.of("inner", 4 * self.width))
        self._ropes: dict[bool, Rope] = {}
        self.notes: tuple[str, ...] = ()
        if "head_dim" not in self.config and self.width % self.heads:
            raise ModelError(f"{self.heads} heads do not divide the width {self.width}; config.json is broken")
        self.head_size = int(self.config.get("head_dim") or self.width // self.heads)

    def _check_layer_types(self) -> None:
        """Refuse layer_types that are not one of two kinds for each layer."""
        types = self.config.get("layer_types", ())
        if not isinstance(types, list | tuple) or (len(types) and len(types) != self.layers):
            said = f"has {len(types)} entries" if isinstance(types, list | tuple) else f"is {types!r:.40}"
            raise ModelError(f"layer_types in config.json {said} for {self.layers} layers; it has one for each, or is left out")
        strange = [kind for kind in types if kind not in LAYER_TYPES]
        if strange:
            raise ModelError(f"config.json has a layer of the type {strange[0]!r:.40}; supported are {' and '.join(LAYER_TYPES)}")

    def of(self, name: str, default: Any = None) -> Any:
        """A setting by its meaning; families call it differently."""
        for key in KEYS[name]:
            if key in self.config:
                return self.config[key]
        if default is None:
            raise ModelError(f"config.json of this {self.architecture} lacks {' or '.join(KEYS[name])}")
        return default

    def array(self, name: str, *shape: int) -> Array:
        """A weight, checked for its shape."""
        if name not in self.weights:
            raise ModelError(f"the weights lack {name!r}; they are not those of a {self.architecture} model with {self.layers} layers")
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
        return Norm(weight, bias, float(self.of("epsilon", 1e-5)), self.family.centred, name)

    def linear(self, name: str, inputs: int, outputs: int) -> Linear:
        """A linear layer with its bias if it has one."""
        if self.family.transposed:
            weight = self.array(f"{name}.weight", inputs, outputs).T
        else:
            weight = self.array(f"{name}.weight", outputs, inputs)
        return Linear(weight, self._bias(name, outputs), name)

    def _bias(self, name: str, size: int) -> Array | None:
        known = self.family.biased or f"{name}.bias" in self.weights
        return self.array(f"{name}.bias", size) if known else None

    def transformer(self) -> Transformer:
        """The whole model."""
        family = self.family
        embedding = self._embedding()
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
        output = self._output(embedding)
        return Transformer(
            architecture=self.architecture,
            vocabulary=vocabulary,
            context=context,
            end_tokens=token_ids(self.config.get("eos_token_id"), vocabulary),
            start=next(iter(token_ids(self.config.get("bos_token_id"), vocabulary)), None),
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
            output=output,
            embedding_name=f"{family.embedding}.weight",
            positions_name=f"{family.positions}.weight",
            notes=self.notes,
            activation=ACTIVATIONS[activation],
            parallel=family.parallel,
            whole_norms=family.whole_norms,
            softcap=self.config.get("final_logit_softcapping"),
            slopes=self._slopes() if family.alibi else None,
        )

    def _block(self, layer: int) -> Block:
        family, at = self.family, self.family.layer.format(layer)
        width, size = self.width, self.head_size
        name: Callable[[str | None], str | None] = lambda part: None if part is None else at + part  # noqa: E731
        wide = self.heads * size, self.key_heads * size
        if len(family.qkv) == 1:
            joint = self.linear(at + family.qkv[0], width, wide[0] + 2 * wide[1])
            qkv: tuple[Linear, ...] = (self._queries_first(joint) if family.qkv_by_head else joint,)
        else:
            qkv = tuple(self.linear(at + part, width, n) for part, n in zip(family.qkv, (wide[0], wide[1], wide[1]), strict=True))
        gate: Linear | None = None
        if family.gate == family.up:
            both = self.linear(at + family.up, width, 2 * self.inner)
            gate, up = rows(both, slice(self.inner)), rows(both, slice(self.inner, None))
        else:
            up = self.linear(at + family.up, width, self.inner)
            if family.gate is not None:
                gate = self.linear(at + family.gate, width, self.inner)
        norms = (wide[0], wide[1]) if family.whole_norms else (size, size)
        return Block(
            qkv=qkv,
            out=self.linear(at + family.out, wide[0], width),
            up=up,
            down=self.linear(at + family.down, self.inner, width),
            gate=gate,
            before_attention=self.norm(name(family.before_attention), width),
            after_attention=self.norm(name(family.after_attention), width),
            before_mlp=self.norm(name(family.before_mlp), width),
            after_mlp=self.norm(name(family.after_mlp), width),
            query_norm=self.norm(name(family.query_norm), norms[0]),
            key_norm=self.norm(name(family.key_norm), norms[1]),
            rope=self._rope(layer),
            query_scale=self._query_scale(layer),
        )

    def _queries_first(self, joint: Linear) -> Linear:
        """A product that is stored by head, with all queries first, then keys, then values."""
        groups = np.arange((self.heads + 2 * self.key_heads) * self.head_size).reshape(self.key_heads, -1, self.head_size)
        return rows(joint, np.concatenate([groups[:, :-2].ravel(), groups[:, -2].ravel(), groups[:, -1].ravel()]))

    def _embedding(self) -> Array:
        """The embedding; where the config ties them and the weights hold the head alone, that."""
        name, head = f"{self.family.embedding}.weight", f"{self.family.head}.weight"
        alone = self.config.get("tie_word_embeddings") and name not in self.weights and head in self.weights
        return self.array(head if alone else name)

    def _output(self, embedding: Array) -> Linear:
        """The head: one of its own counts even where the config ties it, as in transformers; of equal ones one is kept."""
        name = self.family.head if f"{self.family.head}.weight" in self.weights else "lm_head"
        tied, bias = bool(self.config.get("tie_word_embeddings", False)), self.weights.get(f"{name}.bias")
        if f"{name}.weight" not in self.weights:
            if not tied:
                raise ModelError(f"the weights lack {self.family.head}.weight, and config.json does not tie it to the embedding")
            return Linear(embedding, bias, name)
        # a head is stored (outputs, inputs) by every family
        own = self.array(f"{name}.weight", *embedding.shape)
        if tied and _equal(own, embedding):
            return Linear(embedding, bias, name)
        if tied:
            self.notes += (
                f"config.json says tie_word_embeddings: true, but the weights hold {name}.weight, which differs from "
                f"{self.family.embedding}.weight; it counts, as in transformers",
            )
        return Linear(own, bias, name)

    def _positions(self) -> Array | None:
        if self.family.positions is None:
            return None
        table = self.array(f"{self.family.positions}.weight")
        if tuple(table.shape[1:]) != (self.width,):
            raise ModelError(f"{self.family.positions}.weight has shape {tuple(table.shape)} where config.json asks for width {self.width}")
        return table[self.family.position_offset :]

    def _windowed(self, layer: int) -> bool:
        """Whether a layer sees a window only."""
        types = self.config.get("layer_types")
        return bool(types[layer] == "sliding_attention") if types else self.family.windows(self.config, layer)

    def _rule(self, layer: int) -> Rule:
        window = self.config.get("sliding_window") if self._windowed(layer) else None
        return Rule(None if window is None else int(window), self.config.get("attn_logit_softcapping"))

    def _rope(self, layer: int) -> Rope | None:
        if self.family.alibi or self.family.positions is not None:
            return None
        local = self.family.local_rope and self._windowed(layer)
        if local not in self._ropes:
            settings = rope_settings(self.config, "sliding_attention" if local else "full_attention")
            if "rotary_emb_base" in self.config:
                settings["rope_theta"] = self.config["rotary_emb_base"]
            part = settings.get("partial_rotary_factor", self.config.get("rotary_pct", self.config.get("partial_rotary_factor", 1.0)))
            size = int(self.config.get("rotary_dim") or self.head_size * float(part))
            if not 2 <= size <= self.head_size:
                raise ModelError(f"config.json turns {size} of the {self.head_size} numbers of a head; it can turn 2 to {self.head_size}")
            self._ropes[local] = make_rope(self.config, settings, size, self.family.interleaved)
        return self._ropes[local]

    def _query_scale(self, layer: int) -> float:
        scale = math.sqrt(self.head_size / float(self.config.get("query_pre_attn_scalar", self.head_size)))
        if self.config.get("scale_attn_weights", True) is False:
            scale *= math.sqrt(self.head_size)
        return scale / (layer + 1) if self.config.get("scale_attn_by_inverse_layer_idx") else scale

    def _slopes(self) -> Floats:
        return alibi_slopes(self.heads) * (self.head_size**-0.5 if self.family.alibi_scaled else 1.0)

    def _refuse(self) -> None:
        """Variants of a family that are computed differently."""
        for key, (value, what) in REFUSED.items():
            if self.config.get(key) is value:
                raise ModelError(f"config.json has {key}: {value}: {what} is not supported")


def read_transformer(architecture: str, config: Config, weights: Mapping[str, Array]) -> Transformer:
    """A transformer of a family from a checkpoint's config.json and weights, named as Hugging Face names them."""
    return Reader(architecture, config, weights).transformer()


def rows(linear: Linear, which: Any) -> Linear:
    """Some of a linear layer's outputs."""
    return Linear(linear.weight[which], None if linear.bias is None else linear.bias[which], linear.name)


def _equal(one: Array, other: Array) -> bool:
    """Whether two arrays hold the same numbers; NaN, which is none, is the same too."""
    if one is other:
        return True
    for first in range(0, len(one), ROWS_COMPARED):
        parts = [array[first : first + ROWS_COMPARED] for array in (one, other)]
        a, b = map(in_memory, parts)
        if not bool(namespace(a).all((a == b) | ((a != a) & (b != b)))):
            return False
        for part in parts:
            let_go(part)
    return True


def token_ids(value: Any, vocabulary: int) -> tuple[int, ...]:
    """One id, several, or none as a tuple; those that the model does not have left out, as they cannot come."""
    given = value if isinstance(value, list | tuple) else [] if value is None else [value]
    for t in given:
        if not is_whole(t):
            raise ModelError(f"config.json has {t!r:.60}, a {type(t).__name__}, where a token id belongs")
    return tuple(int(t) for t in given if 0 <= t < vocabulary)


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
