"""The watermark of independent green bits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unspool.arrays import Array, Flags, Ints, host, like
from unspool.core.processor import Rows
from unspool.core.randomness import combine, uniform
from unspool.errors import number, whole
from unspool.processors.measures import limited
from unspool.processors.penalize import texts_in
from unspool.processors.watermark import Detection, Watermark, judge


@dataclass(frozen=True)
class WatermarkSbw(Watermark):
    """Add `bias` to the scores of the green tokens, where every token is green by a coin of its own.

    Token v is green if a hash of the key, the last `context_width` tokens and v, in [0, 1), is below greenlist_ratio: so no list is
    shuffled, a token's colour takes one hash in generation and in detection, and how many tokens are green is not the same after every
    context (Ceppi and Sanchez 2026, arXiv 2609.03844). Otherwise it is as watermark_kgw, whose lists have all one length. The hash
    is of unspool's own.
    """

    greenlist_ratio: float = 0.25
    bias: float = 2.0
    key: int = 15485863
    context_width: int = 1

    def __post_init__(self) -> None:
        number("watermark_sbw(greenlist_ratio)", self.greenlist_ratio, above=0, below=1)
        number("watermark_sbw(bias=...)", self.bias)
        whole("watermark_sbw(key=...)", self.key)
        whole("watermark_sbw(context_width=...)", self.context_width, 1)

    def green(self, context: Sequence[int], tokens: Ints) -> Flags:
        """(N,), which of these tokens are green after a context."""
        return uniform(self.key, combine(*context), 0, "watermark_sbw", tokens) < self.greenlist_ratio

    def process(self, rows: Rows, scores: Array, memory: Any = None) -> Array:
        if self.bias == 0:
            return scores
        amounts, tokens = np.zeros(tuple(scores.shape), host(scores[:1, :1]).dtype), np.arange(scores.shape[-1])
        for r, text in enumerate(texts_in(rows, "all")):
            if len(text) >= self.context_width:
                amounts[r, self.green(text[len(text) - self.context_width :].tolist(), tokens)] = limited(self.bias)
        return scores + like(amounts, scores)

    def detect(self, text: str | Sequence[int], model: Any) -> Detection:
        """How many of a text's tokens are green, and how likely that is without the watermark.

        text: new text without its prompt, with the LanguageModel that reads it, or token ids, with a model or the number of tokens in the
        vocabulary. If the text owes nothing to the key, every distinct (context, token) is green by an independent coin, so the p-value is
        the tail of a binomial distribution, exact over keys. Repetitions count once.
        """
        tokens, _ = self.tokens_of(text, model)
        self.enough(tokens, self.context_width + 1)
        windows = np.unique(np.lib.stride_tricks.sliding_window_view(tokens, self.context_width + 1), axis=0)
        hits = sum(int(self.green(w[:-1].tolist(), w[-1:])[0]) for w in windows)
        return judge(np.asarray([hits]), len(windows), self.greenlist_ratio, np.ones(1, np.int64))
