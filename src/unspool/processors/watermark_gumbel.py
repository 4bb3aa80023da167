"""The watermark of Gumbel noise: a draw whose randomness is a key's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unspool.arrays import INF, Array, Floats, Ints, host, like
from unspool.core.processor import Rows
from unspool.core.randomness import combine, uniform
from unspool.errors import number, whole
from unspool.processors.watermark import Detection, Watermark, fresh_context

HALF_STEP = 2.0**-54
"""So that a uniform is neither 0 nor 1."""


@dataclass(frozen=True)
class WatermarkGumbel(Watermark):
    """Let a key and the last tokens draw the next token: of all tokens the one with the greatest u_v ** (1 / p_v).

    u_v in (0, 1) is a hash of the key, the last `context_width` tokens and v. Over random keys a token v comes with its probability p_v,
    as in any draw, and a text is as likely as without the watermark (Aaronson 2023; Kuditipudi et al. 2023, arXiv 2307.15593). All
    other tokens are ruled out, so it should be the last processor, before a strategy that draws. After a context that stood there before,
    among the last context_history_size of the text, or after fewer tokens than a context has, nothing is marked: the strategy draws.

    With one key all texts of a prompt are the same as long as their contexts are; with a second they part again (Sander et al. 2026,
    arXiv 2605.12456). Under speculative decoding draft and model draw by the same hashes, so a marked token is the one that comes
    without a draft, and every agreement counts.

    second: the share of tokens, chosen at random, that are drawn by a second key, which is made of the first.
    """

    key: int = 15485863
    context_width: int = 4
    second: float = 0.0
    context_history_size: int = 1024

    def __post_init__(self) -> None:
        whole("watermark_gumbel(key)", self.key)
        whole("watermark_gumbel(context_width=...)", self.context_width, 1)
        number("watermark_gumbel(second=...)", self.second, 0, 1)
        whole("watermark_gumbel(context_history_size=...)", self.context_history_size, 0)

    def hashes(self, context: Sequence[int], tokens: Ints, which: int = 0) -> Floats:
        """(N,), u of these tokens after a context, by the first key or the second."""
        return uniform(self.key, combine(*context), which, "watermark_gumbel", tokens) + HALF_STEP

    def process(self, rows: Rows, scores: Array, memory: Any = None) -> Array:
        contexts = [fresh_context(text, int(n), int(new), self.context_width, self.context_history_size) for text, n, new in
                    zip(host(rows.tokens), rows.lengths, rows.generated, strict=True)]  # fmt: skip
        marked = {r: context.tolist() for r, context in enumerate(contexts) if context is not None}
        if not marked:
            return scores
        other = rows.uniforms("watermark_gumbel key") < self.second if 0 < self.second < 1 else np.full(len(contexts), self.second == 1)
        tokens, barred = np.arange(scores.shape[-1]), np.zeros(tuple(scores.shape), bool)
        for r, context in marked.items():
            own = host(scores[r]).astype(np.float64)
            noise = -np.log(-np.log(self.hashes(context, tokens, int(other[r]))))
            barred[r] = tokens != int((own + noise).argmax())            # log p - log(-log u) is greatest where u ** (1 / p) is
        out = np.where(barred, -INF, host(scores))
        return like(out.astype(host(scores[:1, :1]).dtype), scores)

    def detect(self, text: str | Sequence[int], model: Any) -> Detection:
        """How high the hashes of a text's tokens are, and how likely that is without the watermark.

        text: new text without its prompt, with the LanguageModel that reads it, or token ids, with a model or the number of tokens in the
        vocabulary. Every first token after a context adds -log(1 - u). If the text owes nothing to the key, these are independent
        exponential numbers of mean 1, so that the sum of n has the distribution Gamma(n, 1), whose tail is the p-value, exact over keys.
        With two keys u is max(u_1, u_2) ** 2, which is as uniform.
        """
        tokens, _ = self.tokens_of(text, model)
        self.enough(tokens, self.context_width + 1)
        windows = np.lib.stride_tricks.sliding_window_view(tokens, self.context_width + 1)
        _, first = np.unique(windows[:, :-1], axis=0, return_index=True)
        keys = [w for w, share in enumerate((1 - self.second, self.second)) if share]
        u = [max(float(self.hashes(w[:-1].tolist(), w[-1:], k)[0]) for k in keys) ** len(keys) for w in windows[np.sort(first)]]
        found, n = -np.log1p(-np.asarray(u)), len(u)
        return Detection(n, float(found.mean()), 1.0, float(found.mean() - 1) * math.sqrt(n), gamma_tail(float(found.sum()), n))


def gamma_tail(total: float, n: int) -> float:
    """The chance that a sum of n independent exponential numbers of mean 1 is at least `total`: exp(-t) * sum of t ** k / k! for k < n."""
    if total <= 0:
        return 1.0
    k = np.arange(n)
    terms = k * math.log(total) - total - np.concatenate([[0.0], np.cumsum(np.log(k[1:]))])
    return min(math.exp(float(np.logaddexp.reduce(terms))), 1.0)
