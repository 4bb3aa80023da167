"""Decoder-only transformers in plain array code: one forward for all families, their differences as data."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from unspool.arrays import Array, Floats, namespace, plus
from unspool.core.model import NO_PLAN, Plan, layers_within
from unspool.models.products import product
from unspool.models.rope import Rope
from unspool.models.slots import Attend, Rule, SlotSession
from unspool.models.threads import most_threads


@dataclass(frozen=True, eq=False)
class Norm:
    """(x - mean) / sqrt(variance + epsilon) * weight + bias; without the mean if it is a root-mean-square norm."""

    weight: Array
    bias: Array | None
    epsilon: float
    centred: bool
    name: str = ""
    """What the checkpoint calls it."""

    def __call__(self, x: Array) -> Array:
        if isinstance(x, np.ndarray):
            return self._of_numpy(x)
        xp = namespace(x)
        if self.centred:
            x = x - xp.mean(x, axis=-1, keepdims=True)
        x = x / xp.sqrt(xp.mean(x * x, axis=-1, keepdims=True) + self.epsilon) * self.weight
        return x if self.bias is None else x + self.bias

    def _of_numpy(self, x: Array) -> Array:
        """The same in fewer passes, the last ones in place."""
        size = x.shape[-1]
        if self.centred:
            x = x - np.add.reduce(x, -1, keepdims=True) / x.dtype.type(size)
        scale = np.einsum("...i,...i->...", x, x)[..., None]
        scale /= size
        scale += self.epsilon
        x = x / np.sqrt(scale, out=scale)
        x *= self.weight
        if self.bias is not None:
            x += self.bias
        return x


@dataclass(frozen=True, eq=False)
class Linear:
    """x W^T + bias; weight (outputs, inputs)."""

    weight: Array
    bias: Array | None = None
    name: str = ""
    """What the checkpoint calls it."""

    def __call__(self, x: Array) -> Array:
        y = product(x, self.weight) if isinstance(x, np.ndarray) else x @ self.weight.T
        return y if self.bias is None else plus(y, self.bias)


@dataclass(frozen=True, eq=False)
class Block:
    """One layer. What is None is not there."""

    qkv: tuple[Linear, ...]
    """One product for queries, keys and values side by side, or three."""
    out: Linear
    up: Linear
    down: Linear
    gate: Linear | None
    before_attention: Norm | None
    after_attention: Norm | None
    before_mlp: Norm | None
    after_mlp: Norm | None
    query_norm: Norm | None
    key_norm: Norm | None
    rope: Rope | None
    query_scale: float
    """What queries are multiplied by beyond attention's own 1 / sqrt(head size)."""


@dataclass(eq=False)
class Transformer:
    """A decoder-only transformer; `unspool.models.reading` makes it from a checkpoint."""

    architecture: str
    vocabulary: int
    context: int
    end_tokens: tuple[int, ...]
    start: int | None
    heads: int
    key_heads: int
    head_size: int
    embedding: Array
    """(V, E)"""
    positions: Array | None
    """(context, E), learned."""
    embedding_scale: float
    embedding_norm: Norm | None
    blocks: list[Block]
    rules: Sequence[Rule]
    final_norm: Norm
    output: Linear
    activation: Callable[[Array], Array]
    parallel: bool = False
    """Attention and MLP read the same input and are added together."""
    whole_norms: bool = False
    """Query and key norms run over all heads together."""
    softcap: float | None = None
    """Logits x become softcap * tanh(x / softcap)."""
    slopes: Floats | None = None
    """(H,), ALiBi: scores fall by slope * distance (Press, Smith and Lewis 2022, arXiv 2108.12409)."""
    embedding_name: str = "embedding"
    positions_name: str = "positions"
    notes: tuple[str, ...] = ()
    """What its user should know of the checkpoint, a sentence each."""

    def __post_init__(self) -> None:
        self.layers, self.width, self.dtype = len(self.blocks), int(self.embedding.shape[1]), self.embedding.dtype
        self.most_threads, self.slot_size = most_threads(self.arrays()), self.head_size

    def session(self, plan: Plan = NO_PLAN) -> SlotSession:
        return SlotSession(self, plan)

    def first_layers(self, count: int) -> Transformer:
        """The model as if it ended after so many layers, under its own final norm and head; the weights are these."""
        layers_within((count,), self.layers)
        return replace(self, blocks=self.blocks[:count], rules=self.rules[:count])

    def zeros(self, shape: tuple[int, ...]) -> Array:
        """Zeros beside the weights."""
        xp, e = namespace(self.embedding), self.embedding
        return np.zeros(shape, e.dtype) if xp is np else xp.zeros(shape, dtype=e.dtype, device=e.device)

    @property
    def token_bytes(self) -> int:
        """What a session keeps of each token: keys, values and the final hidden state."""
        return (2 * self.layers * self.key_heads * self.head_size + self.width) * int(self.embedding.itemsize)

    @property
    def free_memory(self) -> int | None:
        """Bytes that are free beside the weights, if they lie on a device of its own memory."""
        if getattr(self.embedding, "is_cuda", False):
            import torch

            return int(torch.cuda.mem_get_info(self.embedding.device)[0])
        return None

    def arrays(self) -> list[Array]:
        """Every weight; one that serves twice stands there once."""
        return [array for _, array in self.named_arrays()]

    def named_arrays(self) -> Iterator[tuple[str, Array]]:
        """The same with what the checkpoint calls them."""
        parts: list[Any] = [self.embedding_norm, self.final_norm]
        for block in self.blocks:
            parts += [*block.qkv, *(v for v in vars(block).values() if isinstance(v, Linear | Norm))]
        found = [(self.embedding_name, self.embedding), (self.positions_name, self.positions)]
        for part in [*parts, self.output]:
            found += [] if part is None else [(f"{part.name}.weight", part.weight), (f"{part.name}.bias", part.bias)]
        tied = self.output.weight is self.embedding
        yield from (pair for pair in found if pair[1] is not None and not (tied and pair[0] == f"{self.output.name}.weight"))

    def broken_weights(self) -> list[str]:
        """The names of weights that hold NaN or infinity, in alphabetical order."""
        return sorted({name for name, array in self.named_arrays() if not bool(namespace(array).all(namespace(array).isfinite(array)))})

    def __repr__(self) -> str:
        return f"Transformer({self.architecture!r}, {self.vocabulary} tokens, context {self.context}, {len(self.blocks)} layers)"

    @property
    def parameters(self) -> int:
        return sum(math.prod(array.shape) for array in self.arrays())

    def forward(self, tokens: Array, positions: Array, attend: Attend, layers: Sequence[int] = ()) -> Array:
        """Hidden states of tokens (N,) at positions (N,): the final ones and those after some layers, normed alike, (1 + L, N, E)."""
        after: dict[int, Array] = {}
        x = self.embedding[tokens]
        if self.embedding_scale != 1:
            x = x * self.embedding_scale
        if self.positions is not None:
            x = x + self.positions[positions]
        if self.embedding_norm is not None:
            x = self.embedding_norm(x)
        angles = {b.rope: b.rope.angles(positions, x) for b in self.blocks if b.rope is not None}
        for layer, block in enumerate(self.blocks):
            x = self._layer(block, x, angles, partial(attend, layer))
            if layer + 1 in layers:
                after[layer + 1] = x
        states = [self.final_norm(x), *(self.final_norm(after[layer]) for layer in layers)]
        return states[0][None] if len(states) == 1 else namespace(x).stack(states)

    def _layer(self, block: Block, x: Array, angles: dict[Rope, Any], attend: Callable[[Array, Array, Array], Array]) -> Array:
        """What leaves a layer, an array of its own."""
        h = x if block.before_attention is None else block.before_attention(x)
        a = block.out(attend(*self._project(block, h, angles)))
        if block.after_attention is not None:
            a = block.after_attention(a)
        after = plus(a, x)
        if not self.parallel:
            x = h = after
        return plus(after, self._mlp(block, h if block.before_mlp is None else block.before_mlp(x)))

    def head(self, hidden: Array) -> Array:
        """Logits (N, V) of hidden states (N, E)."""
        logits = self.output(hidden)
        return logits if self.softcap is None else namespace(logits).tanh(logits / self.softcap) * self.softcap

    def _project(self, block: Block, h: Array, angles: dict[Rope, Any]) -> tuple[Array, Array, Array]:
        """Queries (N, H, D), keys and values (N, K, D)."""
        n, size, xp = h.shape[0], self.head_size, namespace(h)
        parts = [linear(h) for linear in block.qkv]
        joined = parts[0] if len(parts) == 1 else xp.concat(parts, axis=-1)
        queries, both = self.heads * size, (self.heads + self.key_heads) * size
        q, k, v = joined[:, :queries], joined[:, queries:both], joined[:, both:]
        if self.whole_norms and block.query_norm is not None and block.key_norm is not None:
            q, k = block.query_norm(q), block.key_norm(k)
        q, k, v = (xp.reshape(a, (n, -1, size)) for a in (q, k, v))
        if not self.whole_norms and block.query_norm is not None and block.key_norm is not None:
            q, k = block.query_norm(q), block.key_norm(k)
        if block.rope is not None:
            q, k = block.rope(q, *angles[block.rope]), block.rope(k, *angles[block.rope])
        return q if block.query_scale == 1 else q * block.query_scale, k, v

    def _mlp(self, block: Block, h: Array) -> Array:
        up = block.up(h)
        inner = self.activation(up) if block.gate is None else self.activation(block.gate(h)) * up
        out = block.down(inner)
        return out if block.after_mlp is None else block.after_mlp(out)


def gelu_tanh(x: Array) -> Array:
    """GELU by its tanh approximation (Hendrycks and Gimpel 2016, arXiv 1606.08415)."""
    if not isinstance(x, np.ndarray):
        return 0.5 * x * (1 + namespace(x).tanh(0.7978845608028654 * (x + 0.044715 * (x * x * x))))
    y = x * x
    y *= 0.7978845608028654 * 0.044715
    y += 0.7978845608028654
    y *= x
    return _half_of(x, np.tanh(y, out=y))


def gelu(x: Array) -> Array:
    """x times the normal distribution function at x."""
    if not isinstance(x, np.ndarray):
        return 0.5 * x * (1 + erf(x * 2**-0.5))
    return _half_of(x, erf(x * 2**-0.5))


def silu(x: Array) -> Array:
    """x times the logistic function of x."""
    if not isinstance(x, np.ndarray):
        return 0.5 * x * (1 + namespace(x).tanh(0.5 * x))
    y = x * 0.5
    return _half_of(x, np.tanh(y, out=y))


def _half_of(x: Array, y: Array) -> Array:
    """x (1 + y) / 2 of numpy arrays, written over y."""
    y += 1
    y *= x
    y *= 0.5
    return y


def relu(x: Array) -> Array:
    """max(x, 0)."""
    return namespace(x).clip(x, 0, None)


def erf(x: Array) -> Array:
    """The error function, within 2e-7 in numpy (Abramowitz and Stegun 1964, 7.1.26)."""
    if not isinstance(x, np.ndarray):
        return x.erf()
    t = np.abs(x)
    t *= 0.3275911
    t += 1
    np.reciprocal(t, out=t)
    tail = t * 1.061405429
    for factor in (-1.453152027, 1.421413741, -0.284496736, 0.254829592):
        tail += factor
        tail *= t
    np.multiply(x, x, out=t)
    np.exp(np.negative(t, out=t), out=t)
    tail *= t
    np.subtract(1, tail, out=tail)
    return np.copysign(tail, x, out=tail)


ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "gelu": gelu,
    "gelu_fast": gelu_tanh,
    "gelu_new": gelu_tanh,
    "gelu_pytorch_tanh": gelu_tanh,
    "relu": relu,
    "silu": silu,
    "swish": silu,
}
