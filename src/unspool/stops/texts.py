"""Stops that read the new text, wherever its tokens are cut."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from unspool.arrays import Array, Flags, Ints
from unspool.core.decoder import Part
from unspool.core.processor import Rows
from unspool.core.stop import Stop
from unspool.errors import ParameterError, as_pattern, check, plain, whole
from unspool.patterns.follow import State, follower
from unspool.text import Finder, Marks, ReadSoFar, TextReader, Tokenizer

Watched = tuple[str, int, int, ReadSoFar]
"""The end of the new text, how much of it was there before the last token, how many tokens there are, how far they are read."""


@dataclass(frozen=True, init=False)
class StopStrings(Stop):
    """End once one of these strings appears in the new text, wherever the tokens lie; the text is cut before it.

    The text is what is shown: where it begins, the tokenizer's own space is not in it. The name of a special token, alone or within
    a string, is that token, though it is not shown; spelled out by other tokens it is found too.

    after: a string that ends in one of so many first tokens does not count; one that begins there does, as in vLLM.
    """

    name = "stop"
    aliases = ("stop_strings",)
    variadic = True
    stateful = True
    reads_text = True
    strings: tuple[str, ...]
    after: int = 0
    _reader: TextReader | None = field(default=None, init=False, repr=False, compare=False)
    _finder: Finder = field(init=False, repr=False, compare=False)

    def __init__(self, *strings: str, after: int = 0) -> None:
        check(len(strings) > 0, 'stop() needs at least one string, as in stop("\\n\\n")')
        for s in strings:
            check(isinstance(s, str) and s != "", f"stop() takes strings that are not empty; got {s!r}")
            check(not re.search("[\ud800-\udfff]", s), f"stop() takes strings of characters; a text never has the surrogates in {s!r}")
        whole("stop(after=...)", after, 0)
        object.__setattr__(self, "strings", strings)
        object.__setattr__(self, "after", plain(after))
        object.__setattr__(self, "_finder", Finder(self._waits, Marks()))

    @property
    def cuts(self) -> tuple[str, ...]:
        return self.strings

    @property
    def cuts_after(self) -> int:
        return self.after

    @property
    def _waits(self) -> dict[str, int]:
        return dict.fromkeys(self.strings, self.after)

    def resolve(self, tokenizer: Any) -> Part:
        part, marks = StopStrings(*self.strings, after=self.after), Marks.of(tokenizer, self.strings)
        object.__setattr__(part, "_reader", TextReader(tokenizer, marks))
        object.__setattr__(part, "_finder", Finder(self._waits, marks))
        return part

    def begin(self, prompt: Ints) -> Watched:
        """Nothing yet."""
        return "", 0, 0, _reader(self).begin(prompt.tolist())

    def advance(self, memories: Sequence[Watched], tokens: Sequence[int], logits: Sequence[Array]) -> list[Any]:
        """The last token's text, and before it what may be the beginning of a string."""
        reader, finder, after = _reader(self), self._finder, []
        for (end, _, count, read), token in zip(memories, tokens, strict=True):
            text, read = reader.read(read, int(token))
            old = finder.begun(end)
            after.append((end[len(end) - old :] + text, old, count + 1, read))
        return after

    def ends(self, rows: Rows, tokens: Ints, memory: Sequence[Watched]) -> Flags:
        place = self._finder.place
        return np.asarray([place(text, old, count) >= 0 for text, old, count, _ in memory], bool)


@dataclass(frozen=True)
class StopRegex(Stop):
    """End once this regular expression matches somewhere in the new text; what matched stays in the text.

    It is Python's `re.search` over all new text after every token, so a pattern that may match nothing ends at the first token, and
    `$` matches where the text stops for now. A character of which only some bytes are there is no part of the text yet; bytes that
    can be no character are U+FFFD. The text is what is shown: where it begins, the tokenizer's own space is not in it. The name of a
    special token, with a backslash before signs that mean something else, as in `<\\|im_end\\|>`, is that token too.

    Every character is read once, however long the text becomes. But where a pattern asks for what an earlier group matched, as
    `(.)\\1` and `(?(1)a)`, repeats in an atomic or possessive part what may be empty, or counts high, as `.{500}`, the end of the text
    is searched again after every token, as far back as a match can reach: all of it if that has no bound.
    """

    stateful = True
    reads_text = True
    pattern: str
    _reader: TextReader | None = field(default=None, init=False, repr=False, compare=False)
    _sought: str = field(default="", init=False, repr=False, compare=False)
    """The pattern with special tokens as their marks."""

    def __post_init__(self) -> None:
        check(isinstance(self.pattern, str) and self.pattern != "", f"stop_regex(pattern) needs a pattern; got {self.pattern!r}")
        as_pattern("stop_regex(pattern)", self.pattern)

    def resolve(self, tokenizer: Any) -> Part:
        part, (sought, marks) = StopRegex(self.pattern), marked_pattern(self.pattern, tokenizer)
        object.__setattr__(part, "_reader", TextReader(tokenizer, marks))
        object.__setattr__(part, "_sought", sought)
        return part

    def begin(self, prompt: Ints) -> tuple[State, ReadSoFar]:
        """What follows the new text, nothing so far, and how far its tokens are read."""
        return follower(self._sought or self.pattern).start, _reader(self).begin(prompt.tolist())

    def advance(self, memories: Sequence[tuple[State, ReadSoFar]], tokens: Sequence[int], logits: Sequence[Array]) -> list[Any]:
        """Both after one more token each."""
        follow, reader, after = follower(self._sought or self.pattern), _reader(self), []
        for (state, read), token in zip(memories, tokens, strict=True):
            text, read = reader.read(read, int(token))
            after.append((follow.advance(state, text), read))
        return after

    def ends(self, rows: Rows, tokens: Ints, memory: Sequence[tuple[State, ReadSoFar]]) -> Flags:
        """Whether the pattern matches by now."""
        matches = follower(self._sought or self.pattern).matches
        return np.asarray([matches(state) for state, _ in memory], bool)


def _reader(stop: StopStrings | StopRegex) -> TextReader:
    if stop._reader is None:
        raise ParameterError(f"{stop} needs a tokenizer; decode with a LanguageModel")
    return stop._reader


def marked_pattern(pattern: str, tokenizer: Tokenizer) -> tuple[str, Marks]:
    """A pattern with the special tokens that it spells as marks or as text, and those marks.

    A name whose signs mean something else in a pattern is refused: it has to be written with backslashes.
    """
    plain, places = _literals(pattern)
    marks = Marks.of(tokenizer, [plain])
    for token in tokenizer.specials:
        name = tokenizer.name_of(token)
        if len(name) > 1 and name in pattern and re.escape(name) != name and name not in plain:
            told = f"in a pattern {name} means something else than the special token of that name; write {re.escape(name)} for it"
            raise ParameterError(f"stop_regex({pattern!r}): {told}")
    found, at = list[str](), 0
    for match in re.finditer("|".join(map(re.escape, marks.names)) or "(?!)", plain):
        begin, end = places[match.start()][0], places[match.end() - 1][1]
        found += [pattern[at:begin], f"(?:{marks.write(match[0])}|{re.escape(match[0])})"]
        at = end
    return "".join([*found, pattern[at:]]), marks


def _literals(pattern: str) -> tuple[str, list[tuple[int, int]]]:
    """The characters that stand for themselves one after another, everything else as NUL, and where each is written."""
    plain, places = list[str](), list[tuple[int, int]]()
    for match in re.finditer(r"\\(.)|(\[\^?\]?(?:\\.|[^\]\\])*\])|(.)", pattern, re.S):
        escaped, several, single = match.groups()
        stands = (escaped and not escaped.isalnum()) or (single and single not in ".^$*+?{}[]|()")
        plain.append((escaped or single) if stands and not several else "\0")
        places.append(match.span())
    return "".join(plain), places
