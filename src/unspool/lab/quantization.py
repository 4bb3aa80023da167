"""What weights of fewer bits cost: how far a model's distributions move from those of its float32 weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unspool.arrays import Floats, host, log_softmax
from unspool.core.model import ROOT, Model, no_numbers
from unspool.language_model import LanguageModel
from unspool.packaged import packaged

READ_AT_ONCE = 512
"""Tokens that are read together, or as many as the model's context holds."""
COMPARED_AT_ONCE = 128
"""Distributions that are compared at once."""


@dataclass(frozen=True)
class Price:
    """What one number format costs, over the next tokens of a text.

    KL is the divergence, in nats, of the packed model's next-token distribution q from that of float32, p: sum of p log(p / q).
    """

    dtype: str
    tokens: int
    mean_kl: float
    kl_99: float
    """The KL that one token in a hundred exceeds."""
    same_top: float
    """Of how many tokens, from 0 to 1, both find the same next token likeliest."""
    perplexity: float
    plain_perplexity: float
    """That of float32 on the same text."""
    bytes: int
    """Of the packed weights."""
    plain_bytes: int


def held_out() -> str:
    """Three public-domain tales (H. C. Andersen, Joseph Jacobs) that the bundled model was not trained on."""
    return packaged("held_out.txt")


def price(plain: LanguageModel, packed: LanguageModel, dtype: str, text: str) -> Price:
    """Compare a model with packed weights to the same model in float32, on a text."""
    divergences, same, costs = [], 0, np.zeros(2)
    start = plain.tokenizer.encode_prompt("")
    for tokens, new in _windows(plain.model, start, plain.tokenizer.encode(text)):
        pairs = zip(*(_distributions(lm.model, tokens, new) for lm in (plain, packed)), strict=True)
        for at, (p, q) in enumerate(pairs):
            probable = np.exp(p)
            divergences.append(np.where(probable > 0, probable * (p - q), 0).sum(-1))
            same += int((p.argmax(-1) == q.argmax(-1)).sum())
            following = tokens[len(tokens) - new + at * COMPARED_AT_ONCE :][: len(p)]
            costs -= [float(of[np.arange(len(following)), following].sum()) for of in (p, q)]
    every = np.maximum(np.concatenate(divergences), 0)                   # rounding can bring it below
    plain_bytes, packed_bytes = (int(lm.model.packed_bytes) for lm in (plain, packed))  # type: ignore[attr-defined]
    plain_cost, cost = np.exp(costs / len(every))
    return Price(
        dtype=dtype,
        tokens=len(every),
        mean_kl=float(every.mean()),
        kl_99=float(np.quantile(every, 0.99)),
        same_top=same / len(every),
        perplexity=float(cost),
        plain_perplexity=float(plain_cost),
        bytes=packed_bytes,
        plain_bytes=plain_bytes,
    )


def _windows(model: Model, start: Sequence[int], tokens: Sequence[int]) -> Iterator[tuple[list[int], int]]:
    """Stretches of a text, each read from its own start, and how many of its last tokens are new.

    start: what the tokenizer puts before a text; where that is nothing, the last token of a stretch is the first of the next.
    """
    size = max(2, min(READ_AT_ONCE, model.context or READ_AT_ONCE))
    step = max(1, size - max(1, len(start)))
    for first in range(0 if start else 1, len(tokens), step):
        new = tokens[first : first + step]
        yield [*(start or tokens[first - 1 : first]), *new], len(new)


def _distributions(model: Model, tokens: Sequence[int], new: int) -> Iterator[Floats]:
    """Log-probabilities (at most COMPARED_AT_ONCE, V) of each of the last `new` tokens, given those before it."""
    session: Any = model.session()
    row = session.extend([ROOT], [tokens[:-1]], every=True)
    rows = session.nodes.path(int(row[0]))[-new:]
    for first in range(0, len(rows), COMPARED_AT_ONCE):
        logits = host(session.logits(rows[first : first + COMPARED_AT_ONCE])).astype(np.float64)
        with np.errstate(invalid="ignore"):
            found = log_softmax(logits)
        if np.isnan(found).any():
            raise no_numbers(model)
        yield found
