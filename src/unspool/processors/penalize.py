"""Processors that push down what was said before."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from unspool.arrays import INF, Array, Ints, copy, host, like, namespace
from unspool.core.decoder import Part
from unspool.core.processor import PROMPT_END, Processor, Rows
from unspool.errors import check, is_whole, number, whole
from unspool.processors.measures import ENOUGH, limited
from unspool.processors.phrases import checked_phrases, ids_in, ids_of, several, tokens_of

SCOPES = ("all", "prompt", "generated")


def texts_in(rows: Rows, scope: str, window: int | None = None) -> list[Ints]:
    """Of each row the whole text, the prompt or the new tokens; of these the last `window`."""
    found = []
    for text, length, prompt in zip(host(rows.tokens), rows.lengths, rows.prompt_lengths, strict=True):
        text = text[len(text) - int(length) :]
        text = text[: int(prompt)] if scope == "prompt" else text[int(prompt) :] if scope == "generated" else text
        found.append(text if window is None else text[max(len(text) - window, 0) :])
    return found


def edit(scores: Array, cells: list[tuple[int, int]], values: Any) -> Array:
    """A copy of scores with values at (row, token) cells."""
    if not cells:
        return scores
    out, where = copy(scores), np.asarray(cells, np.int64)
    out[like(where[:, 0], scores), like(where[:, 1], scores)] = values
    return out


def _check_scope(name: str, scope: str, window: int | None) -> None:
    check(scope in SCOPES, f"{name}(scope=...) is one of {', '.join(SCOPES)}; got {scope!r}")
    check_window(name, window)


def check_window(name: str, window: int | None) -> None:
    """Refuse a window that is no number of tokens."""
    check(window is None or is_whole(window, 1), f"{name}(window=...) needs a whole number of tokens >= 1, or None for all; got {window!r}")


@dataclass(frozen=True)
class RepetitionPenalty(Processor):
    """Scores of tokens that occurred: divided by the penalty if positive, multiplied by it if negative.

    A penalty above 1 discourages, 1 changes nothing. The result depends on where the scores' zero lies: logits and
    log-probabilities give different distributions. Keskar et al. 2019, arXiv 1909.05858; the rule by sign is transformers'.
    scope: "all", "prompt" or "generated"; window: of these the last so many tokens. decay: before the window, so many tokens
    more, over which the penalty falls in a line from its whole towards 1, by where a token occurred last, as in exllamav2.
    """

    penalty: float
    scope: str = "all"
    window: int | None = None
    decay: int = 0

    def __post_init__(self) -> None:
        number("repetition_penalty(penalty)", self.penalty, above=0)
        _check_scope("repetition_penalty", self.scope, self.window)
        whole("repetition_penalty(decay=...)", self.decay, 0)
        check(self.decay == 0 or self.window is not None, "repetition_penalty(decay=...) begins where a window ends; give window=... too")

    def reads(self) -> Sequence[str]:
        return () if self.scope == "all" else (PROMPT_END,)

    def process(self, rows: Rows, scores: Array, memory: Any = None) -> Array:
        if self.penalty == 1:
            return scores
        cells: list[tuple[int, int]] = []
        penalties: list[Any] = []
        reach = None if self.window is None else self.window + self.decay
        for r, text in enumerate(texts_in(rows, self.scope, reach)):
            tokens, ago = np.unique(text[::-1], return_index=True)
            beyond = np.clip(ago - (self.window or len(text)), 0, None)
            cells += [(r, int(t)) for t in tokens]
            whole = max(limited(self.penalty), 1 / ENOUGH)
            penalties.append(whole + (1 - whole) * beyond / max(self.decay, 1))
        if not cells:
            return scores
        where = np.asarray(cells, np.int64)
        old = scores[like(where[:, 0], scores), like(where[:, 1], scores)]
        by = like(np.concatenate(penalties).astype(host(scores[:1, :1]).dtype), scores)
        return edit(scores, cells, namespace(scores).where(old < 0, old * by, old / by))


@dataclass(frozen=True)
class EncoderRepetitionPenalty(Processor):
    """Scores of the prompt's tokens: multiplied by the penalty if positive, divided by it if negative.

    A penalty above 1 keeps the text near its prompt, 1 changes nothing; transformers' "hallucination penalty", where for a model
    without encoder the prompt takes the encoder's place.
    """

    aliases = ("hallucination_penalty",)
    penalty: float

    def __post_init__(self) -> None:
        number("encoder_repetition_penalty(penalty)", self.penalty, above=0)

    def reads(self) -> Sequence[str]:
        return (PROMPT_END,)

    def process(self, rows: Rows, scores: Array, memory: Any = None) -> Array:
        return RepetitionPenalty(1 / max(self.penalty, 1 / ENOUGH), "prompt").process(rows, scores)


class _CountPenalty(Processor):
    """Subtract from the scores of tokens that occurred."""

    penalty: float
    scope: str
    window: int | None

    def __post_init__(self) -> None:
        number(f"{self.name}(penalty)", self.penalty)
        _check_scope(self.name, self.scope, self.window)

    def amount(self, occurrences: Ints) -> Any:
        raise NotImplementedError

    def reads(self) -> Sequence[str]:
        return () if self.scope == "all" else (PROMPT_END,)

    def process(self, rows: Rows, scores: Array, memory: Any = None) -> Array:
        if self.penalty == 0:
            return scores
        amounts = np.zeros(tuple(scores.shape), np.float32)
        for r, text in enumerate(texts_in(rows, self.scope, self.window)):
            tokens, occurrences = np.unique(text, return_counts=True)
            amounts[r, tokens] = limited(np.asarray(self.amount(occurrences), np.float64))
        return scores - namespace(scores).astype(like(amounts, scores), scores.dtype)


@dataclass(frozen=True)
class PresencePenalty(_CountPenalty):
    """scores - penalty for tokens that occurred at all; OpenAI's definition, which counts new tokens only.

    scope: "all", "prompt" or "generated"; window: of these the last so many tokens.
    """

    penalty: float
    scope: str = "generated"
    window: int | None = None

    def amount(self, occurrences: Ints) -> Any:
        return self.penalty


@dataclass(frozen=True)
class FrequencyPenalty(_CountPenalty):
    """scores - penalty * occurrences; OpenAI's definition, which counts new tokens only.

    scope: "all", "prompt" or "generated"; window: of these the last so many tokens.
    """

    penalty: float
    scope: str = "generated"
    window: int | None = None

    def amount(self, occurrences: Ints) -> Any:
        return self.penalty * occurrences


@dataclass(frozen=True)
class NoRepeatNgram(Processor):
    """Never complete an n-gram that is already in the text, prompt included.

    window: only the last so many tokens are looked at. allowed: tokens, by id or as texts of one token, that may complete one all the
    same, as the tags of a table. Paulus, Xiong and Socher 2017, arXiv 1705.04304. Where nothing is left, the hypothesis dies.
    """

    n: int
    window: int | None = None
    allowed: tuple[str | int, ...] = ()

    def __post_init__(self) -> None:
        whole("no_repeat_ngram(n)", self.n, 1)
        check_window("no_repeat_ngram", self.window)
        allowed = several(self.allowed)
        if allowed:
            checked_phrases("no_repeat_ngram", allowed, "no_repeat_ngram(3, allowed=(13,))")
        fine = all(isinstance(t, str | int) for t in allowed)
        check(fine, f"no_repeat_ngram(allowed=...) takes token ids or texts of one token; got {self.allowed!r}")
        object.__setattr__(self, "allowed", allowed)

    def token_ids(self) -> Iterable[int]:
        return ids_in(self.allowed)

    def resolve(self, tokenizer: Any) -> Part:
        return replace(self, allowed=ids_of(self.allowed, tokenizer, "no_repeat_ngram")) if self.allowed else self

    def process(self, rows: Rows, scores: Array, memory: Any = None) -> Array:
        spared = {ids[0] for ids in tokens_of(self.allowed, "no_repeat_ngram")}
        texts = texts_in(rows, "all", self.window)
        return edit(scores, [(r, t) for r, text in enumerate(texts) for t in following(text, len(text), self.n) if t not in spared], -INF)


@dataclass(frozen=True)
class EncoderNoRepeatNgram(Processor):
    """Never complete an n-gram of the prompt; the text may repeat its own.

    transformers' processor, where for a model without encoder the prompt takes the encoder's place.
    """

    n: int

    def __post_init__(self) -> None:
        whole("encoder_no_repeat_ngram(n)", self.n, 1)

    def reads(self) -> Sequence[str]:
        return (PROMPT_END,)

    def process(self, rows: Rows, scores: Array, memory: Any = None) -> Array:
        texts = zip(texts_in(rows, "all"), rows.prompt_lengths, strict=True)
        return edit(scores, [(r, t) for r, (text, p) in enumerate(texts) for t in following(text, int(p), self.n)], -INF)


def following(text: Ints, within: int, n: int) -> list[int]:
    """The tokens that follow the last n - 1 tokens of a text where these occur among its first `within`."""
    starts = within - n + 1
    if starts < 1:
        return []
    same = np.ones(starts, bool)
    for j in range(n - 1):
        same &= text[j : j + starts] == text[len(text) - n + 1 + j]
    return list(map(int, np.unique(text[np.flatnonzero(same) + n - 1])))
