"""The watermark of tournaments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unspool.arrays import Array, Ints, copy, host, like, namespace
from unspool.core.processor import Rows
from unspool.core.randomness import combine
from unspool.errors import MissingExtra, check, is_whole, whole
from unspool.processors.measures import total_of
from unspool.processors.watermark import Detection, Watermark, fresh_context, judge

LAYERS = 30
"""Layers of a tournament for which one key is given."""
MULTIPLIER = np.int64(6364136223846793005)
"""Of transformers' hash."""


@dataclass(frozen=True)
class WatermarkSynthid(Watermark):
    """Let the tokens win tournaments whose rules the keys and the last tokens choose.

    In every layer l a token v has g_l(v), 0 or 1. Two tokens drawn alike meet, the one with the higher g_l wins, and the winners
    meet in the next layer: p_l(v) = p_{l-1}(v) * (g_l(v) + sum of p_{l-1}(w) over all w with g_l(w) = 0). Over random keys a token is
    as likely as without the watermark. After a context that stood there before, of ngram_len - 1 tokens and among the last
    context_history_size, the scores are left as they are. It should be the last processor, and needs a strategy that draws.
    Dathathri et al. 2024, Nature 634, doi 10.1038/s41586-024-08025-4; the form in which two meet.

    keys: one for each layer, or one number for 30 layers. variant: "hashed", contexts of prompt and new tokens, g from one hash;
    "transformers" gives that library's scores: contexts of new tokens after zeros, g from a table, for which torch is needed.
    """

    keys: int | tuple[int, ...] = 15485863
    ngram_len: int = 5
    context_history_size: int = 1024
    variant: str = "hashed"
    sampling_table_size: int = 2**16
    sampling_table_seed: int = 0

    def __post_init__(self) -> None:
        if isinstance(self.keys, list):
            object.__setattr__(self, "keys", tuple(self.keys))
        for name, least in (("ngram_len", 2), ("context_history_size", 0), ("sampling_table_size", 2), ("sampling_table_seed", 0)):
            value = getattr(self, name)
            whole(f"watermark_synthid({name}=...)", value, least)
        keys = self.keys if isinstance(self.keys, tuple) else (self.keys,)
        fits = 1 <= len(keys) <= 64 and all(is_whole(k) and abs(k) < 2**63 for k in keys)
        check(fits, f"watermark_synthid(keys) needs a whole number of 63 bits, or a tuple of 1 to 64 of them; got {self.keys!r}")
        known = ("hashed", "transformers")
        check(self.variant in known, f'watermark_synthid(variant=...) is "hashed" or "transformers"; got {self.variant!r}')
        plain = (self.sampling_table_size, self.sampling_table_seed) == (2**16, 0)
        check(plain or self.variant == "transformers", 'watermark_synthid: a sampling table belongs to variant="transformers"')

    @property
    def layers(self) -> tuple[int, ...]:
        return self.keys if isinstance(self.keys, tuple) else _keys(self.keys)

    def g_values(self, contexts: Ints, tokens: Ints) -> NDArray[np.uint64]:
        """(N,), bit l of each is g_l of a token after a context; contexts (N, ngram_len - 1) or (1, ngram_len - 1), tokens (N,)."""
        columns = [contexts[:, j] for j in range(contexts.shape[1])]
        if self.variant == "hashed":
            return combine(_mixed(self.layers), *columns, tokens)
        table = _table(self.sampling_table_size, self.sampling_table_seed)
        with np.errstate(over="ignore"):
            hashes = np.ones(1, np.int64)
            for column in (*columns, tokens):
                hashes = (hashes + column) * MULTIPLIER + 1
            bits = np.zeros(len(tokens), np.uint64)
            for layer, key in enumerate(self.layers):
                bits |= table[((hashes + key) * MULTIPLIER + 1) % len(table)] << np.uint64(layer)
        return bits

    def process(self, rows: Rows, scores: Array, memory: Any = None) -> Array:
        contexts = [self._context(text[len(text) - int(n) :], int(new)) for text, n, new in
                    zip(host(rows.tokens), rows.lengths, rows.generated, strict=True)]  # fmt: skip
        marked = np.asarray([r for r, context in enumerate(contexts) if context is not None], np.int64)
        if not len(marked):
            return scores
        tokens = np.arange(scores.shape[-1])
        bits = np.stack([self.g_values(contexts[r][None], tokens) for r in marked]).view(np.int64)
        xp, at = namespace(scores), like(marked, scores)
        bits, some = like(bits, scores), xp.astype(scores[at], xp.float64)        # an error of the sum would grow in every layer
        p = xp.exp(some - total_of(some))
        factor = xp.ones_like(p)
        for layer in range(len(self.layers)):
            g = xp.astype((bits >> layer) & 1, xp.float64)
            factor = factor * (g + xp.sum(p * factor * (1 - g), axis=-1, keepdims=True))
        won = factor > 0
        out = copy(scores)
        out[at] = xp.astype(xp.where(won, some + xp.log(xp.where(won, factor, 1.0)), -xp.inf), scores.dtype)
        return out

    def _context(self, text: Ints, generated: int) -> Ints | None:
        """The tokens that choose the rules after a text; None where there are too few, or the same stood there before."""
        width = self.ngram_len - 1
        if self.variant == "transformers":
            text = np.concatenate([np.zeros(width, np.int64), text[len(text) - generated :]])
        return fresh_context(text, len(text), generated, width, self.context_history_size)

    def detect(self, text: str | Sequence[int], model: Any, weighted: bool = True) -> Detection:
        """The mean of the g-values of a text, and how likely it is without the watermark.

        text: new text without its prompt, with the LanguageModel that reads it, or token ids, with a model or the number of tokens
        in the vocabulary. weighted: earlier layers count more, from 10 for the first to 1 for the last, for they mark more; False:
        all alike. If the text owes nothing to the keys, the g-values of distinct n-grams are fair coins, and the p-value is the tail
        of their (weighted) sum, exact over keys; in the variant "transformers" nearly so, for all layers read one table. Only the first
        token after a context counts.
        """
        tokens, _ = self.tokens_of(text, model)
        self.enough(tokens, self.ngram_len)
        windows = np.lib.stride_tricks.sliding_window_view(tokens, self.ngram_len)
        _, first = np.unique(windows[:, :-1], axis=0, return_index=True)
        bits = self.g_values(windows[first, :-1], windows[first, -1])
        depth = len(self.layers)
        hits = np.asarray([int((bits >> np.uint64(layer) & np.uint64(1)).sum()) for layer in range(depth)])
        weights = 10 * (depth - 1) - 9 * np.arange(depth) if weighted and depth > 1 else np.ones(depth, np.int64)
        return judge(hits, len(first), 0.5, weights // np.gcd.reduce(weights))


@lru_cache(maxsize=4)
def _keys(key: int) -> tuple[int, ...]:
    return tuple((combine(key, np.arange(LAYERS)) >> np.uint64(1)).tolist())


@lru_cache(maxsize=4)
def _mixed(keys: tuple[int, ...]) -> Any:
    return combine(*keys)


@lru_cache(maxsize=4)
def _table(size: int, seed: int) -> NDArray[np.uint64]:
    """transformers' table of fair bits."""
    try:
        import torch
    except ImportError:
        raise MissingExtra('watermark_synthid(variant="transformers") needs torch; pip install torch, or use variant="hashed"') from None
    drawn = torch.randint(0, 2, (size,), generator=torch.Generator().manual_seed(seed))
    bits: NDArray[np.uint64] = drawn.numpy().astype(np.uint64)
    return bits
