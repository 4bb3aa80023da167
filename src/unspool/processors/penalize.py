"""Processors that push down what was said before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from unspool.arrays import INF, Array, Ints, copy, host, like, namespace
from unspool.errors import check
from unspool.processor import Processor, Rows

SCOPES = ("all", "prompt", "generated")


def counts(rows: Rows, scope: str) -> list[tuple[Ints, Ints]]:
    """For each row its distinct tokens and how often each occurs in the whole text, the prompt or the new tokens."""
    tokens, found = host(rows.tokens), []
    for text, length, prompt in zip(tokens, rows.lengths, rows.prompt_lengths, strict=True):
        text = text[len(text) - int(length) :]
        text = text[: int(prompt)] if scope == "prompt" else text[int(prompt) :] if scope == "generated" else text
        found.append(np.unique(text, return_counts=True))
    return found


def edit(scores: Array, cells: list[tuple[int, int]], values: Any) -> Array:
    """A copy of scores with values at (row, token) cells."""
    if not cells:
        return scores
    out, where = copy(scores), np.asarray(cells, np.int64)
    out[like(where[:, 0], scores), like(where[:, 1], scores)] = values
    return out


def _check_scope(name: str, scope: str) -> None:
    check(scope in SCOPES, f"{name}(scope=...) is one of {', '.join(SCOPES)}; got {scope!r}")


@dataclass(frozen=True)
class RepetitionPenalty(Processor):
    """Scores of tokens that occurred: divided by the penalty if positive, multiplied by it if negative.

    A penalty above 1 discourages, 1 changes nothing. The result depends on where the scores' zero lies: logits and
    log-probabilities give different distributions. Keskar et al. 2019, arXiv 1909.05858; the rule by sign is transformers'.
    scope: "all", "prompt" or "generated".
    """

    penalty: float
    scope: str = "all"

    def __post_init__(self) -> None:
        check(0 < self.penalty < INF, f"repetition_penalty(penalty) needs a penalty > 0; got {self.penalty!r}")
        _check_scope("repetition_penalty", self.scope)

    def process(self, rows: Rows, scores: Array, memory: Any = None) -> Array:
        """Once for each distinct token."""
        if self.penalty == 1:
            return scores
        cells = [(r, int(t)) for r, (tokens, _) in enumerate(counts(rows, self.scope)) for t in tokens]
        if not cells:
            return scores
        where = np.asarray(cells, np.int64)
        old = scores[like(where[:, 0], scores), like(where[:, 1], scores)]
        return edit(scores, cells, namespace(scores).where(old < 0, old * self.penalty, old / self.penalty))


class _CountPenalty(Processor):
    """Subtract from the scores of tokens that occurred."""

    penalty: float
    scope: str

    def __post_init__(self) -> None:
        check(-INF < self.penalty < INF, f"{self.name}(penalty) needs a finite number; got {self.penalty!r}")
        _check_scope(self.name, self.scope)

    def amount(self, occurrences: Ints) -> Any:
        """What is subtracted."""
        raise NotImplementedError

    def process(self, rows: Rows, scores: Array, memory: Any = None) -> Array:
        """Subtract."""
        if self.penalty == 0:
            return scores
        amounts = np.zeros(tuple(scores.shape), np.float32)
        for r, (tokens, occurrences) in enumerate(counts(rows, self.scope)):
            amounts[r, tokens] = self.amount(occurrences)
        return scores - namespace(scores).astype(like(amounts, scores), scores.dtype)


@dataclass(frozen=True)
class PresencePenalty(_CountPenalty):
    """scores - penalty for tokens that occurred at all; OpenAI's definition, which counts new tokens only."""

    penalty: float
    scope: str = "generated"

    def amount(self, occurrences: Ints) -> Any:
        """The penalty, once."""
        return self.penalty


@dataclass(frozen=True)
class FrequencyPenalty(_CountPenalty):
    """scores - penalty * occurrences; OpenAI's definition, which counts new tokens only."""

    penalty: float
    scope: str = "generated"

    def amount(self, occurrences: Ints) -> Any:
        """The penalty, as often as the token occurred."""
        return self.penalty * occurrences


@dataclass(frozen=True)
class NoRepeatNgram(Processor):
    """Never complete an n-gram that is already in the text, prompt included.

    Paulus, Xiong and Socher 2017, arXiv 1705.04304. Where nothing is left, the hypothesis dies.
    """

    n: int

    def __post_init__(self) -> None:
        check(isinstance(self.n, int) and self.n >= 1, f"no_repeat_ngram(n) needs a whole number n >= 1; got {self.n!r}")

    def process(self, rows: Rows, scores: Array, memory: Any = None) -> Array:
        """Block what followed the last n - 1 tokens before."""
        cells = []
        for r, (text, length) in enumerate(zip(host(rows.tokens), rows.lengths, strict=True)):
            text = text[len(text) - int(length) :]
            starts = len(text) - self.n + 1
            if starts < 1:
                continue
            same = np.ones(starts, bool)
            for j in range(self.n - 1):
                same &= text[j : j + starts] == text[starts + j]
            cells += [(r, int(t)) for t in np.unique(text[np.flatnonzero(same) + self.n - 1])]
        return edit(scores, cells, -INF)


