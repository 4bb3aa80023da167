"""A processor that now and then cuts the likeliest tokens."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from unspool.arrays import INF, Array, like, log_softmax, namespace
from unspool.core.decoder import Part
from unspool.core.processor import END_TOKENS, Processor, Rows
from unspool.errors import check, number, whole
from unspool.processors.measures import possible, rounding, total_of
from unspool.processors.phrases import checked_phrases, ids_in, ids_of, several, tokens_of


@dataclass(frozen=True)
class Xtc(Processor):
    """With a chance of `probability`, cut of all tokens of probability >= threshold every one but the least likely (XTC).

    p-e-w 2024, text-generation-webui pull request 6335. Of equals the one with the highest id stays. protect: tokens, by id or
    as texts of one token, that are never cut, such as a newline; protect_ends: nor the end tokens. variant: "tokens", or
    "text-generation-webui", which cuts nothing where a protected token would go. min_keep: nothing is cut where fewer tokens
    would be left. A row draws once a step, so several samples of one prompt share the draw of their first token.
    """

    threshold: float = 0.1
    probability: float = 0.5
    protect: tuple[str | int, ...] = ()
    protect_ends: bool = False
    variant: str = "tokens"
    min_keep: int = 1

    def __post_init__(self) -> None:
        number("xtc(threshold)", self.threshold, 0, 1)
        number("xtc(probability=...)", self.probability, 0, 1)
        object.__setattr__(self, "protect", several(self.protect))
        if self.protect:
            checked_phrases("xtc", self.protect, 'xtc(protect=(".", 13))')
        known = ("tokens", "text-generation-webui")
        check(self.variant in known, f'xtc(variant=...) is "tokens" or "text-generation-webui"; got {self.variant!r}')
        whole("xtc(min_keep=...)", self.min_keep, 1)

    def token_ids(self) -> Iterable[int]:
        return ids_in(self.protect)

    def resolve(self, tokenizer: Any) -> Part:
        return replace(self, protect=ids_of(self.protect, tokenizer, "xtc"))

    def reads(self) -> Sequence[str]:
        return (END_TOKENS,) if self.protect_ends else ()

    @property
    def by_scores(self) -> bool:  # type: ignore[override]
        """Unless some tokens are protected by their ids."""
        return not self.protect and not self.protect_ends

    def process(self, rows: Rows, scores: Array, memory: Any = None) -> Array:
        if self.probability == 0:
            return scores
        xp, vocabulary = namespace(scores), scores.shape[-1]
        logprobs = log_softmax(scores)
        likely = (xp.exp(logprobs) >= self.threshold * (1 - rounding(total_of(scores)))) & (scores > -INF)
        least = xp.min(xp.where(likely, logprobs, INF), axis=-1, keepdims=True)
        places = like(np.arange(vocabulary), scores)
        stays = xp.max(xp.where(likely & (logprobs == least), places, -1), axis=-1, keepdims=True)
        cut = likely & (places != stays)
        safe = np.zeros(vocabulary, bool)
        ids = [p[0] for p in tokens_of(self.protect, "xtc")] + list(rows.end_tokens if self.protect_ends else ())
        safe[[t for t in ids if t < vocabulary]] = True
        safe = like(safe, scores)
        chosen = like(rows.uniforms("xtc") < self.probability, scores)[:, None]
        if self.variant == "text-generation-webui":
            chosen = chosen & ~xp.any(cut & safe, axis=-1, keepdims=True)
        cut = cut & ~safe
        left = possible(scores) - xp.sum(xp.astype(cut, scores.dtype), axis=-1, keepdims=True)
        return xp.where(cut & chosen & (left >= self.min_keep), -INF, scores)
