"""A penalty on going on with a repetition, the longer the harder."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from unspool.arrays import Array, Ints, host, like
from unspool.core.decoder import Part
from unspool.core.processor import Processor, Rows
from unspool.errors import number, whole
from unspool.processors.measures import limited
from unspool.processors.penalize import check_window, texts_in
from unspool.processors.phrases import checked_phrases, ids_in, several, tokens_of
from unspool.text import Marks


@dataclass(frozen=True)
class Dry(Processor):
    """Do not repeat yourself: s(v) - multiplier * base^(n - allowed_length), where n tokens before v already stand before an earlier v.

    n is the longest such match, prompt included, of at least allowed_length tokens; it does not reach over a breaker, and a breaker
    is not pushed down. breakers: token ids, or texts. A text stands for every token that contains it, and the name of a special token
    for that token; where several tokens together make up a text, the match begins after the last of them. window: only the last so
    many tokens are read. p-e-w 2024, text-generation-webui pull request 5677.
    """

    multiplier: float = 0.8
    base: float = 1.75
    allowed_length: int = 2
    breakers: tuple[str | int, ...] = ("\n", ":", '"', "*")
    window: int | None = None
    _over: tuple[Callable[[int], bytes], tuple[bytes, ...]] | None = field(default=None, init=False, repr=False, compare=False)
    """The bytes of tokens, and the texts that several of them may make up."""

    def __post_init__(self) -> None:
        number("dry(multiplier)", self.multiplier, 0)
        number("dry(base=...)", self.base, 1)
        whole("dry(allowed_length=...)", self.allowed_length, 1)
        object.__setattr__(self, "breakers", several(self.breakers))
        if self.breakers:
            checked_phrases("dry", self.breakers, 'dry(breakers=(".", 13))')
        check_window("dry", self.window)

    def token_ids(self) -> Iterable[int]:
        return ids_in(self.breakers)

    def resolve(self, tokenizer: Any) -> Part:
        ids = {t for t in self.breakers if isinstance(t, int)}
        given = [t for t in self.breakers if isinstance(t, str)]
        marks = Marks.of(tokenizer, given)
        texts = tuple(t.encode("utf-8", "surrogatepass") for t in dict.fromkeys((*given, *map(marks.write, given))))

        def spell(token: int) -> bytes:
            return marks.mark_of[token].encode("utf-8", "surrogatepass") if token in marks.mark_of else tokenizer.bytes_of(token)

        if texts:
            ids |= {t for t in range(tokenizer.size) if any(text in spell(t) for text in texts)}
        part = Dry(self.multiplier, self.base, self.allowed_length, tuple(sorted(ids)), self.window)
        if long := tuple(text for text in texts if len(text) > 1):
            object.__setattr__(part, "_over", (spell, long))
        return part

    def process(self, rows: Rows, scores: Array, memory: Any = None) -> Array:
        if self.multiplier == 0:
            return scores
        breakers = np.asarray([p[0] for p in tokens_of(self.breakers, "dry")], np.int64)
        amounts = np.zeros(tuple(scores.shape), np.float64)
        for r, text in enumerate(texts_in(rows, "all", self.window)):
            since = None if self._over is None else since_text(text, *self._over)
            for token, n in repetitions(text, breakers, since).items():
                if n >= self.allowed_length and token < amounts.shape[1]:
                    amounts[r, token] = self.multiplier * math.exp(min((n - self.allowed_length) * math.log(self.base), 60.0))
        return scores - like(limited(amounts).astype(host(scores[:1, :1]).dtype), scores)


def since_text(text: Ints, spell: Callable[[int], bytes], texts: Sequence[bytes]) -> int:
    """How many tokens stand after the last of those that make up one of the texts; all, if none is there."""
    data, ends = bytearray(), list[int]()
    for token in text.tolist():
        data += spell(token)
        ends.append(len(data))
    last = max((at + len(one) for one in texts if (at := data.rfind(one)) >= 0), default=0)
    return len(ends) - 1 - bisect_left(ends, last) if last else len(ends)


def repetitions(text: Ints, breakers: Ints, since: int | None = None) -> dict[int, int]:
    """For each token that would go on with a repetition: how many tokens before it would be repeated, `since` of them at most."""
    breaks = np.isin(text, breakers)
    free = int(np.argmax(breaks[::-1])) if breaks.any() else len(text)   # tokens since the last breaker
    free = free if since is None else min(free, since)
    found: dict[int, int] = {}
    if free:
        backwards = text[::-1].tolist()
        for ago, length in enumerate(prefix_matches(backwards)):
            if ago and length and not breaks[len(text) - ago]:
                token = backwards[ago - 1]
                found[token] = max(found.get(token, 0), min(length, free))
    return found


def prefix_matches(text: list[int]) -> list[int]:
    """For each place, how many tokens from there on equal the text's beginning (Gusfield's Z algorithm)."""
    matches, left, right = [len(text)] + [0] * (len(text) - 1), 0, 0
    for i in range(1, len(text)):
        n = min(right - i, matches[i - left]) if i < right else 0
        while i + n < len(text) and text[n] == text[i + n]:
            n += 1
        matches[i] = n
        if i + n > right:
            left, right = i, i + n
    return matches
