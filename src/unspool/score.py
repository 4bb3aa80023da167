"""The log-probability of a given text."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unspool.arrays import Array, Floats, Ints, host, like, log_probs_from_logits
from unspool.core.model import ROOT, Model, Plan, no_numbers
from unspool.errors import PromptError, check
from unspool.shown import Shown

ROWS = 64
"""Positions whose logits are held at once."""
TOKENS_AT_ONCE = 2048
"""Tokens of several texts that go through the model at once."""
Measure = Callable[[Array, Array], Array]
"""(logits (R, V), the tokens that came (R,)) -> a number for each, (R,)"""
ScoredWindow = tuple[int, int, int, int]
"""(text, its first token in the window, the first that is scored, the one after the last)"""


@dataclass(frozen=True)
class Score(Shown):
    """Log-probabilities of a continuation's tokens, in nats, given what stands before each.

    Sums of logarithms do not underflow as products of probabilities do: 0.5 ** 1024 is 5.56e-309, near the least number
    a float holds, its logarithm a harmless -709.78.
    """

    prompt: str
    text: str
    tokens: list[int]
    logprobs: list[float]
    pieces: list[str]
    """Each token as text."""

    @property
    def logprob(self) -> float:
        """The sum, log p(text | prompt)."""
        return math.fsum(self.logprobs)

    @property
    def per_token(self) -> float:
        """Mean log-probability of a token."""
        return self.logprob / len(self.tokens)

    @property
    def per_byte(self) -> float:
        """Log-probability per byte of the text in UTF-8."""
        return self.logprob / len(self.text.encode())

    @property
    def per_character(self) -> float:
        """Log-probability per character of the text."""
        return self.logprob / len(self.text)

    @property
    def bits_per_byte(self) -> float:
        """-log2 p per byte."""
        return -self.per_byte / math.log(2)

    @property
    def perplexity(self) -> float:
        """exp of minus the mean log-probability of a token."""
        return math.exp(-self.per_token)

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain values."""
        names = ("logprob", "per_token", "per_byte", "per_character", "bits_per_byte", "perplexity")
        fields = {"prompt": self.prompt, "text": self.text, "tokens": self.tokens, "pieces": self.pieces, "logprobs": self.logprobs}
        return fields | {name: getattr(self, name) for name in names}


def score_tokens(
    model: Model, texts: Sequence[tuple[Sequence[int], Sequence[int]]], stride: int | None = None, measure: Measure = log_probs_from_logits
) -> list[Floats]:
    """For each (prompt, continuation) the log-probability of every token of the continuation, float64; or another measure of it.

    A text longer than the context is read in windows: each begins `stride` tokens after the last (half the context if not
    given) and scores what the last did not, so every token is predicted once, by at least context - stride tokens where
    there are that many. Short texts go through the model together.
    """
    stride = max(1, model.context // 2) if stride is None else stride
    check(1 <= stride < model.context, f"stride must lie in [1, context) = [1, {model.context}); got {stride}")
    out = [np.zeros(len(continuation)) for _, continuation in texts]
    whole = [np.asarray([*prompt, *continuation], np.int64) for prompt, continuation in texts]
    work: list[ScoredWindow] = []
    for i, ((prompt, continuation), tokens) in enumerate(zip(texts, whole, strict=True)):
        if not len(prompt):
            raise PromptError("scoring needs at least one token before the text; this model has no start token, so give a prompt")
        if not len(continuation):
            raise PromptError("there is nothing to score: the continuation is empty")
        scored = len(prompt)
        while scored < len(tokens):
            first = 0 if scored < model.context else scored - (model.context - stride)
            last = min(len(tokens), first + model.context)
            work.append((i, first, scored, last))
            scored = last
    for batch in _batches(work):
        found = _read(model, [(whole[i][first:last], scored - first) for i, first, scored, last in batch], measure)
        for (i, _, scored, last), logprobs in zip(batch, found, strict=True):
            begin = len(texts[i][0])
            out[i][scored - begin : last - begin] = logprobs
    return out


def _batches(work: list[ScoredWindow]) -> Iterator[list[ScoredWindow]]:
    """Windows in order, together as long as they have at most TOKENS_AT_ONCE tokens."""
    batch: list[ScoredWindow] = []
    for window in work:
        if batch and sum(last - first for _, first, _, last in [*batch, window]) > TOKENS_AT_ONCE:
            yield batch
            batch = []
        batch.append(window)
    if batch:
        yield batch


def _read(model: Model, windows: list[tuple[Ints, int]], measure: Measure) -> list[Floats]:
    """For each (tokens, how many are not scored) the measure of the others, in one forward."""
    session = model.session(Plan(len(windows), max(len(tokens) for tokens, _ in windows)))
    rows = session.extend([ROOT] * len(windows), [tokens[:-1] for tokens, _ in windows], every=True)
    paths = [session.nodes.path(int(row))[skip - 1 :] for row, (_, skip) in zip(rows, windows, strict=True)]
    labels = np.concatenate([tokens[skip:] for tokens, skip in windows])
    places, parts = np.concatenate(paths), []
    for start in range(0, len(places), ROWS):
        logits = session.logits(places[start : start + ROWS])
        parts.append(host(measure(logits, like(labels[start : start + ROWS], logits))).astype(np.float64))
        if np.isnan(parts[-1]).any():
            raise no_numbers(model)
    return np.split(np.concatenate(parts), np.cumsum([len(p) for p in paths])[:-1])
