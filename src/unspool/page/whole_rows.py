"""Whole distributions along a text: of every token of the vocabulary, for sliders that move them and for two decoders side by side."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from unspool.arrays import Floats, Ints, host, log_softmax
from unspool.core.frontier import Frontier
from unspool.core.strategy import Choice, Strategy
from unspool.language_model import LanguageModel
from unspool.strategies.follow import Follow

MOST_COMPARED = 300
"""Tokens of a text along which whole distributions are kept."""


Seen = tuple[Floats, Floats]
"""The model's logits (V,), and the log-probabilities after the processors (V,)."""


@dataclass(frozen=True)
class _Seeing(Follow):
    """Follow a text and hand out the whole distributions before each of its tokens, from a place on."""

    first: int = 0
    tell: Callable[[Seen], None] = lambda seen: None

    def _choose(self, frontier: Frontier, tree: Any, places: list[int]) -> tuple[Choice, list[int]]:
        if int(frontier["node"][0]) >= self.first:
            logits, left = host(frontier.logits)[0], host(log_softmax(frontier.scores))[0]
            self.tell((np.array(logits, np.float32), np.array(left, np.float64)))
        return super()._choose(frontier, tree, places)


def seeing(tokens: tuple[int, ...], first: int, tell: Callable[[Seen], None]) -> Strategy:
    """What follows a text and hands out the distributions before its tokens, from a place on."""
    return _Seeing(tokens, None, first, tell)


def row_told(lm: LanguageModel, logits: Floats, tokens: tuple[int, ...], prompt_length: int) -> dict[str, Any]:
    """A row of logits as the page reads it: float32, little-endian, in base64; and the text that penalties read."""
    best = np.argsort(-logits, kind="stable")[:400]
    return {
        "logits": base64.b64encode(logits.astype("<f4").tobytes()).decode(),
        "path": list(map(int, tokens)),
        "prompt": prompt_length,
        **words(lm, best),
    }


def words(lm: LanguageModel, tokens: Any) -> dict[str, Any]:
    """The bytes of tokens, and the names of special ones."""
    known = [int(t) for t in tokens]
    names = {t: lm.tokenizer.name_of(t) for t in known if t in lm.tokenizer.specials}
    return {"tokens": {t: lm.tokenizer.bytes_of(t).hex() for t in known}, "names": names}


def differences(one: list[Seen], other: list[Seen], tokens: Ints) -> list[dict[str, Any]]:
    """Of each step how two distributions differ: KL divergences in nats, null where one forbids what the other allows; the probability
    they share; their likeliest tokens; and the probability of the text's own."""
    found = []
    for (_, a), (_, b), token in zip(one, other, tokens.tolist(), strict=False):
        best = [int(np.argmax(a)), int(np.argmax(b))]
        chosen = [_finite(a[token]), _finite(b[token])]
        shared = float(np.minimum(np.exp(a), np.exp(b)).sum())
        found.append({"kl": _kl(a, b), "back": _kl(b, a), "overlap": shared, "best": best, "logprob": chosen})
    return found


def _kl(a: Floats, b: Floats) -> float | None:
    """KL(a || b) of log-probabilities."""
    there = a > -np.inf
    if (b[there] == -np.inf).any():
        return None
    return max(0.0, float((np.exp(a[there]) * (a[there] - b[there])).sum()))


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
