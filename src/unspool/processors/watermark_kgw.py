"""The watermark of green tokens."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from unspool.arrays import Array, Flags, Ints, host, like, topk
from unspool.core.processor import Rows
from unspool.core.randomness import combine, uniform
from unspool.errors import MissingExtra, check, number, whole
from unspool.processors.measures import limited
from unspool.processors.penalize import texts_in
from unspool.processors.watermark import Detection, Watermark, judge

CANDIDATES = 40
"""With its own seeds, transformers marks among so many of the likeliest tokens."""
TABLE = 1_000_003


@dataclass(frozen=True)
class WatermarkKgw(Watermark):
    """Add `bias` to the scores of the green tokens: a share of the vocabulary that the key and the last tokens choose.

    It should be the last processor; a strategy that ranks by the processed probability, such as beam search, marks more.
    seeding_scheme: "lefthash", the last context_width tokens choose the green ones (Kirchenbauer et al. 2023a, arXiv 2301.10226);
    "selfhash", a token is green by itself and one of the context_width - 1 tokens before it, whichever gives the lowest hash, which
    survives more changes of the text (2023b, arXiv 2306.04634).
    variant: "hashed", the same everywhere and on all tokens; "transformers" gives that library's green lists, needs torch, reads
    one token of context for lefthash, marks only the 40 likeliest tokens for selfhash, where each has a list of its own, and detects
    as there: every distinct n-gram counts, and the p-value is the normal approximation.
    """

    greenlist_ratio: float = 0.25
    bias: float = 2.0
    hashing_key: int = 15485863
    context_width: int = 1
    seeding_scheme: str = "lefthash"
    variant: str = "hashed"

    def __post_init__(self) -> None:
        number("watermark_kgw(greenlist_ratio)", self.greenlist_ratio, above=0, below=1)
        number("watermark_kgw(bias=...)", self.bias)
        whole("watermark_kgw(hashing_key=...)", self.hashing_key)
        whole("watermark_kgw(context_width=...)", self.context_width, 1)
        scheme, variant = self.seeding_scheme, self.variant
        check(scheme in ("lefthash", "selfhash"), f'watermark_kgw(seeding_scheme=...) is "lefthash" or "selfhash"; got {scheme!r}')
        check(variant in ("hashed", "transformers"), f'watermark_kgw(variant=...) is "hashed" or "transformers"; got {variant!r}')
        if variant == "transformers" and scheme == "lefthash":
            one = self.context_width == 1
            check(one, f'watermark_kgw(variant="transformers") reads one token of context for lefthash; got {self.context_width!r}')

    @property
    def before(self) -> int:
        """How many tokens before a token say whether it is green."""
        return self.context_width - (self.seeding_scheme == "selfhash")

    def green(self, context: Sequence[int], tokens: Ints, vocabulary: int) -> Flags:
        """(N,), which of these tokens would be green after a context of `before` tokens."""
        if self.seeding_scheme == "selfhash" and self.variant == "hashed":
            return uniform(self.hashing_key, _anchor(context, tokens), 0, "watermark_kgw") < self.greenlist_ratio
        if self.seeding_scheme == "selfhash":
            windows = ((int(token), np.asarray([*context, token])) for token in tokens)
            return np.asarray([token in self._listed(_self_seed(self.hashing_key, window), vocabulary) for token, window in windows], bool)
        marked = np.zeros(vocabulary, bool)
        if self.variant == "transformers":
            marked[self._listed(self.hashing_key * int(context[-1]), vocabulary)] = True
        else:
            size = int(vocabulary * self.greenlist_ratio)
            hashes = uniform(self.hashing_key, combine(*context), 0, "watermark_kgw", np.arange(vocabulary))
            marked[np.argpartition(hashes, size)[:size]] = True
        return marked[tokens]

    def process(self, rows: Rows, scores: Array, memory: Any = None) -> Array:
        if self.bias == 0:
            return scores
        amounts, vocabulary = np.zeros(tuple(scores.shape), host(scores[:1, :1]).dtype), scores.shape[-1]
        few = self.seeding_scheme == "selfhash" and self.variant == "transformers"
        candidates = host(topk(scores, CANDIDATES)[1]) if few else np.broadcast_to(np.arange(vocabulary), amounts.shape)
        for r, text in enumerate(texts_in(rows, "all")):
            if len(text) >= self.context_width:
                green = self.green(text[len(text) - self.before :].tolist(), candidates[r], vocabulary)
                amounts[r, candidates[r][green]] = limited(self.bias)
        return scores + like(amounts, scores)

    def detect(self, text: str | Sequence[int], model: Any) -> Detection:
        """How many of a text's tokens are green, and how likely that is without the watermark.

        text: new text without its prompt, with the LanguageModel that reads it, or token ids, with a model or the number of tokens
        in the vocabulary. If the text owes nothing to the key, every distinct (context, token) is green by an independent draw with
        chance greenlist_ratio, so the p-value is the tail of a binomial distribution, exact over keys. Repetitions count once.
        """
        tokens, vocabulary = self.tokens_of(text, model)
        self.enough(tokens, self.before + 1)
        theirs = self.variant == "transformers"
        share = int(vocabulary * self.greenlist_ratio) / vocabulary if self.seeding_scheme == "lefthash" else self.greenlist_ratio
        check(0 < share < 1, f"watermark_kgw: a share of {self.greenlist_ratio} of {vocabulary} tokens marks none")
        found: dict[tuple[int, ...], set[int]] = {}                       # context -> tokens after it
        for i in range(self.before, len(tokens)):
            found.setdefault(tuple(tokens[i - self.before : i].tolist()), set()).add(int(tokens[i]))
        draws: dict[Any, bool] = {}
        for context, after in found.items():
            some = np.asarray(sorted(after))
            same_draw = self.seeding_scheme == "selfhash" and not theirs
            names = _anchor(context, some).tolist() if same_draw else [(*context, int(token)) for token in some]
            draws.update(zip(names, self.green(context, some, vocabulary).tolist(), strict=True))
        hits = sum(draws.values())
        if not theirs:
            return judge(np.asarray([hits]), len(draws), share, np.ones(1, np.int64))
        z = (hits - self.greenlist_ratio * len(draws)) / math.sqrt(len(draws) * self.greenlist_ratio * (1 - self.greenlist_ratio))
        return Detection(len(draws), hits / len(draws), self.greenlist_ratio, z, math.erfc(z / math.sqrt(2)) / 2)

    def _listed(self, seed: int, vocabulary: int) -> Ints:
        """transformers' green list of a seed."""
        order: Ints = _permutation(seed % (2**64 - 1), vocabulary)[: int(vocabulary * self.greenlist_ratio)]
        return order


def _anchor(context: Sequence[int], tokens: Ints) -> Any:
    """For each token the lowest hash of it and one of the tokens before it, or of it and itself."""
    return np.minimum.reduce([combine(other, tokens) for other in (*context, tokens)])


def _self_seed(key: int, window: Ints) -> int:
    """The seed that transformers gives a window of tokens that ends with the candidate."""
    hashed = _table(key)[window % TABLE] + 1
    return int((np.asarray([key], np.int64) * hashed * hashed[-1:]).min())


@lru_cache(maxsize=4)
def _table(key: int) -> Ints:
    return _permutation(key, TABLE)


def _permutation(seed: int, count: int) -> Ints:
    """0 to count - 1 in the order in which torch shuffles them from a seed, on the CPU."""
    try:
        import torch
    except ImportError:
        raise MissingExtra('watermark_kgw(variant="transformers") needs torch; pip install torch, or use variant="hashed"') from None
    generator = torch.Generator()
    generator.manual_seed(seed)
    shuffled: Ints = torch.randperm(count, generator=generator).numpy()
    return shuffled
