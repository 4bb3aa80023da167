"""Drafts that are looked up: what came the last time the text stood as it stands now, in itself or in past outputs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from unspool.arrays import Ints
from unspool.core.decoder import Part
from unspool.core.frontier import Frontier
from unspool.core.strategy import Strategy
from unspool.errors import ParameterError, check, number, whole
from unspool.processors.phrases import ids_in
from unspool.strategies.drafting import ONE_SAMPLE, Draft, Drafting

NO_TOKEN = -1
"""Between texts."""


class Lookup(Draft):
    """What a function finds: find(text, count) -> the tokens that may come.

    Never more than twice as many as held of the last draft, and one: where nothing is found that holds, looking costs little.
    """

    def __init__(self, find: Callable[[Ints, int], Sequence[int]], most: int) -> None:
        self.find, self.most = find, most

    def chains(self, text: Ints, count: int) -> Sequence[Sequence[int]]:
        found = self.find(text, min(count, self.most))
        return [found] if len(found) else []

    def saw(self, chains: Sequence[Sequence[int]], held: Sequence[int], nexts: Sequence[Ints]) -> None:
        if len(chains[0]) > 1:
            self.most = 2 * held[0] + 1


def matches(text: Ints, longest: int) -> tuple[Ints, int]:
    """Where the text's longest ending of at most so many tokens stands before, and its length: the places behind it, ascending.

    These places are what a node of a suffix tree stands for.
    """
    last = len(text) - 1
    places, length = np.flatnonzero(text[:-1] == text[-1]), 1
    while len(places) and length < longest:
        more = places[places >= length]
        more = more[text[more - length] == text[last - length]]
        if not len(more):
            break
        places, length = more, length + 1
    return places + 1, length if len(places) else 0


def copied(text: Ints, place: int, count: int) -> list[int]:
    """So many tokens from a place on; at the end of the text it goes on with what was copied, so that a loop is drafted to any length."""
    found: list[int] = text[place + np.arange(count) % (len(text) - place)].tolist()
    return found


@dataclass(frozen=True)
class PromptLookup(Drafting):
    """Write as `then` does, sample or greedy, with drafts copied from the text so far: prompt lookup, or n-gram speculation.

    The last n tokens, `longest` at most and `shortest` at least, are looked for earlier in the prompt and the new text, the longest
    first; what came after them the last time is the draft (Saxena 2023; Yang et al. 2023, arXiv 2304.04487): at most `tokens`, and at most
    twice as many as held of the last draft, and one. It needs no second model and pays where text repeats: summaries, code, edits,
    extraction. The text is that of `then` to the token.
    """

    aliases = ("ngram_lookup",)
    tokens: int = 10
    then: Strategy = ONE_SAMPLE
    longest: int = 3
    shortest: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        whole("prompt_lookup(shortest=...)", self.shortest, 1)
        whole("prompt_lookup(longest=...)", self.longest, 1)
        check(self.shortest <= self.longest, f"prompt_lookup(shortest={self.shortest}) is more than longest={self.longest}")

    def proposer(self, frontier: Frontier) -> Draft:
        return Lookup(self.find, self.tokens)

    def find(self, text: Ints, count: int) -> list[int]:
        """The copy of what came after the last tokens the last time."""
        places, length = matches(text, self.longest)
        return copied(text, int(places[-1]), count) if length >= self.shortest else []


@dataclass(frozen=True)
class SuffixLookup(Drafting):
    """Write as `then` does, sample or greedy, with drafts from what came after the text's longest known ending: suffix decoding.

    Known are the text so far and `past`: earlier outputs, texts or tuples of token ids. Among all places where the longest ending, of at
    most `depth` tokens, stands, the most frequent next token is drafted, then the most frequent after that, and so on, as on a path
    down a suffix tree; the product of their shares must not fall below `share`, nor the draft be longer than `factor` times the
    ending, or than twice what held of the last one, and one (Oliaro et al. 2024, arXiv 2411.04975). The text is that of `then` to the
    token.
    """

    past: Any = ()
    tokens: int = 16
    then: Strategy = ONE_SAMPLE
    depth: int = 24
    share: float = 0.1
    factor: float = 2.0

    def __post_init__(self) -> None:
        past = (self.past,) if isinstance(self.past, str) else self.past
        good = isinstance(past, list | tuple) and all(isinstance(text, str | list | tuple) for text in past)
        check(good, f"suffix_lookup(past) takes texts, or tuples of token ids; got {self.past!r:.60}")
        object.__setattr__(self, "past", tuple(text if isinstance(text, str) else tuple(text) for text in past))
        super().__post_init__()
        whole("suffix_lookup(depth=...)", self.depth, 1)
        number("suffix_lookup(share=...)", self.share, 0, 1)
        number("suffix_lookup(factor=...)", self.factor, above=0)

    def token_ids(self) -> Iterable[int]:
        """Those of the past outputs and of the strategy inside."""
        return [*ids_in(self.past), *super().token_ids()]

    def resolve(self, tokenizer: Any) -> Part:
        """With tokens in place of texts."""
        past = tuple(tuple(tokenizer.encode(text)) if isinstance(text, str) else text for text in self.past)
        return replace(self, past=past, then=self.then.resolve(tokenizer))  # type: ignore[arg-type]

    @cached_property
    def known(self) -> Ints:
        """The past outputs one behind the other, each with `NO_TOKEN` behind it."""
        if any(isinstance(text, str) for text in self.past):
            raise ParameterError("suffix_lookup: texts need a tokenizer; decode with a LanguageModel, or give token ids")
        return np.asarray([token for text in self.past for token in (*text, NO_TOKEN)], np.int64)

    def proposer(self, frontier: Frontier) -> Draft:
        return Lookup(self.find, self.tokens)

    def find(self, text: Ints, count: int) -> list[int]:
        """The most frequent path from the places where the longest ending stands."""
        text = np.concatenate([self.known, text]) if len(self.known) else text
        places, length = matches(text, self.depth)
        share, most, size = 1.0, min(count, int(self.factor * length)), len(text)
        text = np.concatenate([text, np.full(most, NO_TOKEN)])           # what is drafted comes after it, so that a loop goes on
        for drafted in range(size, size + most):
            nexts = text[places]
            tokens, counts = np.unique(nexts[nexts != NO_TOKEN], return_counts=True)
            best = int(np.argmax(counts)) if len(counts) else 0
            share *= counts[best] / len(places) if len(counts) else 0.0
            if not len(counts) or share < self.share:
                return list(map(int, text[size:drafted]))
            text[drafted] = tokens[best]
            places = places[nexts == tokens[best]] + 1
        return list(map(int, text[size:]))
