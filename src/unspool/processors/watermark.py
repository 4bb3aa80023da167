"""A watermark that can be found again in a text by who knows its key."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unspool.arrays import INF, Array, Flags, host, like
from unspool.errors import MissingExtra, ParameterError, check
from unspool.processor import Processor, Rows
from unspool.processors.penalize import parts
from unspool.randomness import combine, uniform


@dataclass(frozen=True)
class Detection:
    """What a detector found in a text."""

    scored: int
    """Distinct pairs of a context and the token after it."""
    green: int
    """How many of these tokens are green."""
    z: float
    """Standard deviations above what a text without the watermark has on average."""
    p_value: float
    """The chance that a text without the watermark has as many green tokens: the binomial tail, exact."""


@dataclass(frozen=True)
class WatermarkKgw(Processor):
    """Add `bias` to the scores of the green tokens: a share of the vocabulary that the key and the last tokens choose.

    `detect` finds the watermark in tokens. It should be the last processor; a strategy that ranks by the processed probability,
    such as beam search, marks more. Kirchenbauer et al. 2023, arXiv 2301.10226. variant: "hashed" chooses the tokens of the lowest
    hashes, the same everywhere; "transformers" those of its "lefthash", which needs torch and reads one token of context.
    """

    greenlist_ratio: float = 0.25
    bias: float = 2.0
    hashing_key: int = 15485863
    context_width: int = 1
    variant: str = "hashed"

    def __post_init__(self) -> None:
        check(0 < self.greenlist_ratio < 1, f"watermark_kgw(greenlist_ratio) needs a ratio in (0, 1); got {self.greenlist_ratio!r}")
        check(-INF < self.bias < INF, f"watermark_kgw(bias=...) needs a finite number; got {self.bias!r}")
        check(isinstance(self.hashing_key, int), f"watermark_kgw(hashing_key=...) needs a whole number; got {self.hashing_key!r}")
        whole = isinstance(self.context_width, int) and self.context_width >= 1
        check(whole, f"watermark_kgw(context_width=...) needs a whole number >= 1; got {self.context_width!r}")
        known = ("hashed", "transformers")
        check(self.variant in known, f'watermark_kgw(variant=...) is "hashed" or "transformers"; got {self.variant!r}')
        one = self.variant == "hashed" or self.context_width == 1
        check(one, f'watermark_kgw(variant="transformers") reads one token of context; got context_width={self.context_width!r}')

    def green(self, context: Sequence[int], vocabulary: int) -> Flags:
        """(V,), which tokens are green after these."""
        size, marked = int(vocabulary * self.greenlist_ratio), np.zeros(vocabulary, bool)
        if self.variant == "transformers":
            marked[_permutation(self.hashing_key * int(context[-1]), vocabulary)[:size]] = True
        else:
            hashes = uniform(self.hashing_key, combine(*context), 0, "watermark_kgw", np.arange(vocabulary))
            marked[np.argpartition(hashes, size)[:size]] = True
        return marked

    def process(self, rows: Rows, scores: Array, memory: Any = None) -> Array:
        """Add the bias in rows that have a context."""
        if self.bias == 0:
            return scores
        amounts = np.zeros(tuple(scores.shape), host(scores[:1, :1]).dtype)
        for r, text in enumerate(parts(rows, "all")):
            if len(text) >= self.context_width:
                amounts[r, self.green(text[-self.context_width :].tolist(), scores.shape[-1])] = self.bias
        return scores + like(amounts, scores)

    def detect(self, tokens: Sequence[int], vocabulary: int) -> Detection:
        """How many of a text's tokens are green, and how likely that is without the watermark.

        vocabulary: how many tokens the model has. A token counts once after the same context, so that a text that repeats itself
        proves no more than it says. Leave the prompt away, but for its last context_width tokens.
        """
        width, share = self.context_width, int(vocabulary * self.greenlist_ratio) / vocabulary
        check(0 < share < 1, f"watermark_kgw: a share of {self.greenlist_ratio} of {vocabulary} tokens marks none")
        pairs = {(tuple(tokens[i - width : i]), int(tokens[i])) for i in range(width, len(tokens))}
        if not pairs:
            raise ParameterError(f"watermark_kgw: {len(tokens)} tokens are too few to look for it; give more than {width}")
        lists = {context: self.green(context, vocabulary) for context, _ in pairs}
        green, n = sum(bool(lists[context][token]) for context, token in pairs), len(pairs)
        z = (green - share * n) / math.sqrt(n * share * (1 - share))
        return Detection(n, green, z, _tail(green, n, share))


def _permutation(seed: int, vocabulary: int) -> Any:
    """The tokens in the order in which torch shuffles them from a seed, on the CPU."""
    try:
        import torch
    except ImportError:
        raise MissingExtra('watermark_kgw(variant="transformers") needs torch; pip install torch, or use variant="hashed"') from None
    generator = torch.Generator()
    generator.manual_seed(seed % (2**64 - 1))
    return torch.randperm(vocabulary, generator=generator).numpy()


def _tail(green: int, n: int, share: float) -> float:
    """The chance of at least so many successes in n draws."""
    ways = [math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) for k in range(green, n + 1)]
    logs = [way + k * math.log(share) + (n - k) * math.log(1 - share) for k, way in zip(range(green, n + 1), ways, strict=True)]
    return min(math.fsum(map(math.exp, logs)), 1.0)
