"""GPT-2 in plain array code (Radford et al. 2019, "Language Models are Unsupervised Multitask Learners")."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from unspool.arrays import Array, Floats, namespace
from unspool.errors import ModelError
from unspool.models.slots import Attend, Rule, SlotSession
from unspool.models.threads import is_small


def layer_norm(x: Array, weight: Array, bias: Array, epsilon: float) -> Array:
    """(x - mean) / sqrt(variance + epsilon) * weight + bias over the last axis."""
    xp = namespace(x)
    x = x - xp.mean(x, axis=-1, keepdims=True)
    return x / xp.sqrt(xp.mean(x * x, axis=-1, keepdims=True) + epsilon) * weight + bias


def gelu_tanh(x: Array) -> Array:
    """GELU by its tanh approximation (Hendrycks and Gimpel 2016, arXiv 1606.08415)."""
    return 0.5 * x * (1 + namespace(x).tanh(0.7978845608028654 * (x + 0.044715 * (x * x * x))))


def relu(x: Array) -> Array:
    """max(x, 0)."""
    return namespace(x).clip(x, 0, None)


ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "gelu_new": gelu_tanh,
    "gelu_pytorch_tanh": gelu_tanh,
    "gelu_fast": gelu_tanh,
    "relu": relu,
}


class GPT2:
    """A GPT-2 checkpoint: learned positions, pre-norm blocks, one head tied to the embedding.

    weights: arrays named as in Hugging Face checkpoints, linear layers stored (inputs, outputs). config: the checkpoint's
    config.json. Arrays may be numpy or torch, on any device; everything is computed where they are.
    """

    architecture = "gpt2"

    def __init__(self, config: Mapping[str, Any], weights: Mapping[str, Array]) -> None:
        self.weights = {name.removeprefix("transformer."): array for name, array in weights.items()}
        self.config = dict(config)
        self.layers, heads = int(config["n_layer"]), int(config["n_head"])
        embedding = self._weight("wte.weight")
        if len(embedding.shape) != 2:
            raise ModelError(f"wte.weight has shape {tuple(embedding.shape)}; it is a matrix with a row for each token")
        self.vocabulary, self.width = map(int, embedding.shape)
        self.context = int(self._weight("wpe.weight").shape[0])
        self.dtype = embedding.dtype
        self.heads = self.key_heads = heads
        if self.layers < 1 or heads < 1:
            raise ModelError(f"config.json says n_layer {self.layers} and n_head {heads}; both are at least 1")
        if f"h.{self.layers}.ln_1.weight" in self.weights:
            raise ModelError(f"config.json says n_layer {self.layers} but the weights have more layers")
        if self.width % heads:
            raise ModelError(f"n_head {heads} does not divide the model's width {self.width}; the config does not fit the weights")
        self.head_size = self.width // heads
        self.epsilon = float(config.get("layer_norm_epsilon", 1e-5))
        name = str(config.get("activation_function", "gelu_new"))
        if name not in ACTIVATIONS:
            raise ModelError(f"activation_function {name!r} is not one of {', '.join(ACTIVATIONS)}")
        self.activation = ACTIVATIONS[name]
        self.scales = [self._query_scale(layer) for layer in range(self.layers)]
        end = config.get("eos_token_id")
        self.ends: tuple[int, ...] = tuple(map(int, end)) if isinstance(end, list) else () if end is None else (int(end),)
        start = config.get("bos_token_id")
        self.start: int | None = None if start is None else int(start)
        tied = config.get("tie_word_embeddings", True)
        self.output: Array = self.weights.get("lm_head.weight", embedding) if tied else self._weight("lm_head.weight")
        self._check_shapes()
        self.blocks = [self._block(layer) for layer in range(self.layers)]
        self.rules: Sequence[Rule] = [Rule()] * self.layers
        self.slopes: Floats | None = None
        self.small = is_small(self.weights.values())

    def session(self) -> SlotSession:
        """A new set of rows."""
        return SlotSession(self)

    def zeros(self, shape: tuple[int, ...]) -> Array:
        """Zeros beside the weights."""
        xp, like = namespace(self.output), self.output
        return np.zeros(shape, self.dtype) if xp is np else xp.zeros(shape, dtype=like.dtype, device=like.device)

    def forward(self, tokens: Array, positions: Array, attend: Attend) -> Array:
        """Final hidden states (N, E) of tokens (N,) at positions (N,)."""
        x = self.weights["wte.weight"][tokens] + self.weights["wpe.weight"][positions]
        n = x.shape[0]
        for layer, w in enumerate(self.blocks):
            h = layer_norm(x, *w["ln_1"], self.epsilon)
            h = h @ w["attn.c_attn"][0] + w["attn.c_attn"][1]                       # (N, 3 E)
            q, k, v = (h[:, i * self.width : (i + 1) * self.width].reshape(n, self.heads, self.head_size) for i in range(3))
            h = attend(layer, q * self.scales[layer], k, v)                         # (N, E)
            x = x + (h @ w["attn.c_proj"][0] + w["attn.c_proj"][1])
            h = layer_norm(x, *w["ln_2"], self.epsilon)
            h = self.activation(h @ w["mlp.c_fc"][0] + w["mlp.c_fc"][1])            # (N, 4 E)
            x = x + (h @ w["mlp.c_proj"][0] + w["mlp.c_proj"][1])
        return layer_norm(x, self.weights["ln_f.weight"], self.weights["ln_f.bias"], self.epsilon)

    def head(self, hidden: Array) -> Array:
        """Logits (N, V) of hidden states (N, E)."""
        return hidden @ self.output.T

    def _block(self, layer: int) -> dict[str, tuple[Array, Array]]:
        parts = ("ln_1", "attn.c_attn", "attn.c_proj", "ln_2", "mlp.c_fc", "mlp.c_proj")
        pairs = ((part, f"h.{layer}.{part}") for part in parts)
        return {part: (self._weight(f"{name}.weight"), self._weight(f"{name}.bias")) for part, name in pairs}

    def _query_scale(self, layer: int) -> float:
        """What the queries are multiplied by beyond attention's own 1 / sqrt(head size)."""
        scale = 1.0 if self.config.get("scale_attn_weights", True) else self.head_size**0.5
        return scale / (layer + 1) if self.config.get("scale_attn_by_inverse_layer_idx") else scale

    def _weight(self, name: str) -> Array:
        if name not in self.weights:
            raise ModelError(f"the weights lack {name!r}; they are not those of a GPT-2 with {self.config.get('n_layer')} layers")
        return self.weights[name]

    def _check_shapes(self) -> None:
        e, inner = self.width, int(self.config.get("n_inner") or 4 * self.width)
        shapes = {"ln_f.weight": (e,), "ln_f.bias": (e,), "wpe.weight": (self.context, e)}
        per_layer = {"ln_1": (e,), "ln_2": (e,), "attn.c_attn": (e, 3 * e), "attn.c_proj": (e, e)}
        per_layer |= {"mlp.c_fc": (e, inner), "mlp.c_proj": (inner, e)}
        for layer in range(self.layers):
            for part, shape in per_layer.items():
                shapes[f"h.{layer}.{part}.weight"], shapes[f"h.{layer}.{part}.bias"] = shape, shape[-1:]
        if "lm_head.weight" in self.weights:
            shapes["lm_head.weight"] = (self.vocabulary, e)
        for name, shape in shapes.items():
            found = tuple(self._weight(name).shape)
            if found != shape:
                raise ModelError(f"{name} has shape {found} where the config asks for {shape}; config.json and the weights do not fit")
        for key, size in (("vocab_size", self.vocabulary), ("n_embd", e), ("n_positions", self.context)):
            if key in self.config and int(self.config[key]) != size:
                raise ModelError(f"config.json says {key} {self.config[key]} but the weights have {size}")
