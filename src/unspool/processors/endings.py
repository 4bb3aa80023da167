"""Processors that decide when a text may end, and when it must."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from unspool.arrays import INF, Array, host, like, namespace
from unspool.core.decoder import Part
from unspool.core.processor import END_TOKENS, PROMPT_END, Processor, Rows
from unspool.errors import ParameterError, check, is_whole, number, whole
from unspool.processors.force import certain
from unspool.processors.penalize import edit
from unspool.processors.phrases import ids_in, ids_of


@dataclass(frozen=True)
class MinNewTokens(Processor):
    """No end token before n new tokens."""

    n: int

    def __post_init__(self) -> None:
        whole("min_new_tokens(n)", self.n, 0)

    def reads(self) -> Sequence[str]:
        return (PROMPT_END, END_TOKENS)

    def process(self, rows: Rows, scores: Array, memory: Any = None) -> Array:
        return edit(scores, _ends(rows, rows.generated < self.n, scores), -INF)


@dataclass(frozen=True)
class MinLength(Processor):
    """No end token before the text has n tokens, the prompt's included, as transformers counts them."""

    n: int

    def __post_init__(self) -> None:
        whole("min_length(n)", self.n, 0)

    def reads(self) -> Sequence[str]:
        return (END_TOKENS,)

    def process(self, rows: Rows, scores: Array, memory: Any = None) -> Array:
        return edit(scores, _ends(rows, rows.lengths < self.n, scores), -INF)


@dataclass(frozen=True)
class ExponentialDecayLength(Processor):
    """After `start` new tokens, make the end likelier with every token.

    An end's score s becomes s + |s| * (factor^(n - start) - 1) after n > start new tokens. It depends on where the scores' zero
    lies. transformers' processor.
    """

    start: int
    factor: float

    def __post_init__(self) -> None:
        whole("exponential_decay_length(start)", self.start, 0)
        number("exponential_decay_length(factor=...)", self.factor, above=0)

    def reads(self) -> Sequence[str]:
        return (PROMPT_END, END_TOKENS)

    def process(self, rows: Rows, scores: Array, memory: Any = None) -> Array:
        cells = _ends(rows, rows.generated > self.start, scores)
        if not cells:
            return scores
        where = np.asarray(cells, np.int64)
        old = scores[like(where[:, 0], scores), like(where[:, 1], scores)]
        with np.errstate(over="ignore"):
            growth = np.float64(self.factor) ** (rows.generated[where[:, 0]] - self.start) - 1
        kind = host(scores[:1, :1]).dtype
        growth = like(np.clip(growth, None, np.finfo(np.float32).max ** 0.5).astype(kind), scores)
        xp = namespace(scores)
        return edit(scores, cells, xp.where(old > -INF, old + xp.abs(xp.where(old > -INF, old, xp.zeros_like(old))) * growth, old))


@dataclass(frozen=True)
class ForcedEnd(Processor):
    """The n-th new token, if the text gets that far, is an end token: the model's, or the one given by id or as a text.

    certain: whether its score is then 0, the log-probability of what is certain, as in transformers; a search that adds up scores, as
    beam(..., renormalise=False), then takes nothing off the text for it.
    """

    n: int
    token: str | int | None = None
    certain: bool = False

    def __post_init__(self) -> None:
        whole("forced_end(n)", self.n, 1)
        ok = self.token is None or isinstance(self.token, str) or is_whole(self.token, 0)
        check(ok, f"forced_end(token=...) needs a token id >= 0 or a text; got {self.token!r}")
        check(isinstance(self.certain, bool), f"forced_end(certain=...) is True or False; got {self.certain!r}")

    def token_ids(self) -> Iterable[int]:
        return () if self.token is None else ids_in([self.token])

    def resolve(self, tokenizer: Any) -> Part:
        return self if self.token is None else replace(self, token=ids_of([self.token], tokenizer, "forced_end")[0])

    def reads(self) -> Sequence[str]:
        return (PROMPT_END, END_TOKENS) if self.token is None else (PROMPT_END,)

    def process(self, rows: Rows, scores: Array, memory: Any = None) -> Array:
        due = rows.generated == self.n - 1
        if not due.any():
            return scores
        if isinstance(self.token, str):
            raise ParameterError("forced_end: a text needs a tokenizer; decode with a LanguageModel, or give a token id")
        ends = rows.end_tokens if self.token is None else (self.token,)
        if not ends:
            raise ParameterError("forced_end: the model has no end token; name one, as in forced_end(20, token=2)")
        keep = np.ones(tuple(scores.shape), bool)
        keep[np.flatnonzero(due)] = np.isin(np.arange(scores.shape[-1]), ends)
        kept = namespace(scores).where(like(keep, scores), scores, -INF)
        return certain(kept, keep & due[:, None]) if self.certain else kept


def _ends(rows: Rows, which: Any, scores: Array) -> list[tuple[int, int]]:
    """The cells of end tokens in the rows that are marked."""
    return [(int(r), t) for r in np.flatnonzero(which) for t in rows.end_tokens if t < scores.shape[-1]]
