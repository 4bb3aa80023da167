"""Stops that read the new text, wherever its tokens are cut."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from unspool.arrays import Array, Flags, Ints
from unspool.core.decoder import Part
from unspool.core.processor import Rows
from unspool.core.stop import Stop
from unspool.errors import ParameterError, check
from unspool.patterns.follow import State, follower

BytesOf = Callable[[int], bytes]
"""The bytes of a token."""


@dataclass(frozen=True, init=False)
class StopStrings(Stop):
    """End once one of these strings appears in the new text, wherever the tokens lie; the text is cut before it."""

    name = "stop"
    aliases = ("stop_strings",)
    variadic = True
    stateful = True
    strings: tuple[str, ...]
    _bytes_of: BytesOf | None = field(default=None, init=False, compare=False)

    def __init__(self, *strings: str, _bytes_of: BytesOf | None = None) -> None:
        check(len(strings) > 0, 'stop() needs at least one string, as in stop("\\n\\n")')
        for s in strings:
            check(isinstance(s, str) and s != "", f"stop() takes strings that are not empty; got {s!r}")
            check(not re.search("[\ud800-\udfff]", s), f"stop() takes strings of characters; a text never has the surrogates in {s!r}")
        object.__setattr__(self, "strings", strings)
        object.__setattr__(self, "_bytes_of", _bytes_of)

    @property
    def cuts(self) -> tuple[str, ...]:
        return self.strings

    def resolve(self, tokenizer: Any) -> Part:
        return StopStrings(*self.strings, _bytes_of=tokenizer.bytes_of)

    def begin(self, prompt: Ints) -> bytes:
        """The end of the new text: nothing yet."""
        return b""

    def advance(self, memories: Sequence[bytes], tokens: Sequence[int], logits: Sequence[Array]) -> list[bytes]:
        """The last token, and before it as much as a string may begin in."""
        keep = max(len(s.encode()) for s in self.strings) - 1
        return [m[max(len(m) - keep, 0) :] + _bytes(self, t) for m, t in zip(memories, tokens, strict=True)]

    def ends(self, rows: Rows, tokens: Ints, memory: Sequence[bytes]) -> Flags:
        wanted = [s.encode() for s in self.strings]
        return np.asarray([any(s in text for s in wanted) for text in memory], bool)


@dataclass(frozen=True)
class StopRegex(Stop):
    """End once this regular expression matches somewhere in the new text; what matched stays in the text.

    It is Python's `re.search` over all new text after every token, so a pattern that may match nothing ends at the first token, and
    `$` matches where the text stops for now. A character of which only some bytes are there is no part of the text yet; bytes that
    can be no character are U+FFFD. Every character is read once, however long the text becomes. But where a pattern asks for what an
    earlier group matched, as `(.)\\1` and `(?(1)a)`, repeats in an atomic or possessive part what may be empty, or counts high, as
    `.{500}`, the end of the text is searched again after every token, as far back as a match can reach: all of it if that has no bound.
    """

    stateful = True
    pattern: str
    _bytes_of: BytesOf | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check(isinstance(self.pattern, str) and self.pattern != "", f"stop_regex(pattern) needs a pattern; got {self.pattern!r}")
        try:
            re.compile(self.pattern)
        except re.error as error:
            raise ParameterError(f"stop_regex(pattern): {self.pattern!r} is no regular expression: {error}") from None

    def resolve(self, tokenizer: Any) -> Part:
        part = StopRegex(self.pattern)
        object.__setattr__(part, "_bytes_of", tokenizer.bytes_of)
        return part

    def begin(self, prompt: Ints) -> tuple[State, bytes]:
        """What follows the new text, and the bytes of a character that is not whole yet: nothing so far."""
        return follower(self.pattern).start, b""

    def advance(self, memories: Sequence[tuple[State, bytes]], tokens: Sequence[int], logits: Sequence[Array]) -> list[tuple[State, bytes]]:
        """Both after one more token each."""
        follow, after = follower(self.pattern), []
        for (state, begun), token in zip(memories, tokens, strict=True):
            data = begun + _bytes(self, token)
            text, read = codecs.utf_8_decode(data, "replace", False)
            after.append((follow.advance(state, text), data[read:]))
        return after

    def ends(self, rows: Rows, tokens: Ints, memory: Sequence[tuple[State, bytes]]) -> Flags:
        """Whether the pattern matches by now."""
        matches = follower(self.pattern).matches
        return np.asarray([matches(state) for state, _ in memory], bool)


def _bytes(stop: StopStrings | StopRegex, token: int) -> bytes:
    if stop._bytes_of is None:
        raise ParameterError(f"{stop} needs a tokenizer; decode with a LanguageModel")
    return bytes(stop._bytes_of(int(token)))
