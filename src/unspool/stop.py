"""Stops: when a hypothesis is finished. They answer for candidates, before the choice."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from unspool.arrays import Flags, Ints
from unspool.decoder import Part
from unspool.errors import ParameterError, check
from unspool.processor import Rows


class Stop(Part):
    """Says which candidates end their hypothesis. Its memory follows the rows as a processor's does."""

    role = "stop"
    reason: ClassVar[str] = "stop"
    stateful: ClassVar[bool] = False

    def ends(self, rows: Rows, tokens: Ints, memory: Sequence[Any]) -> Flags:
        """For each candidate, its row extended by its token: whether it ends."""
        raise NotImplementedError

    def begin(self, prompt: Ints) -> Any:
        """The memory of a row that holds just the prompt."""

    def advance(self, memories: Sequence[Any], tokens: Sequence[int]) -> Sequence[Any]:
        """The memories after one more token each."""
        return memories


@dataclass(frozen=True, init=False)
class StopStrings(Stop):
    """End once one of these strings appears in the new text, wherever the tokens lie; the text is cut before it."""

    name = "stop"
    aliases = ("stop_strings",)
    variadic = True
    stateful = True
    strings: tuple[str, ...]
    _bytes_of: Callable[[int], bytes] | None = field(default=None, init=False, compare=False)

    def __init__(self, *strings: str, _bytes_of: Callable[[int], bytes] | None = None) -> None:
        check(len(strings) > 0, 'stop() needs at least one string, as in stop("\\n\\n")')
        for s in strings:
            check(isinstance(s, str) and s != "", f"stop() takes strings that are not empty; got {s!r}")
        object.__setattr__(self, "strings", strings)
        object.__setattr__(self, "_bytes_of", _bytes_of)

    def resolve(self, tokenizer: Any) -> Part:
        """With the bytes of every token."""
        return StopStrings(*self.strings, _bytes_of=tokenizer.bytes_of)

    def begin(self, prompt: Ints) -> bytes:
        """The end of the new text: nothing yet."""
        return b""

    def advance(self, memories: Sequence[bytes], tokens: Sequence[int]) -> list[bytes]:
        """The end of the text, as far back as a string may begin."""
        keep = max(len(s.encode()) for s in self.strings) - 1
        return [(m + self._token(t))[-keep:] if keep else b"" for m, t in zip(memories, tokens, strict=True)]

    def ends(self, rows: Rows, tokens: Ints, memory: Sequence[bytes]) -> Flags:
        """Whether a string ends inside the token."""
        wanted = [s.encode() for s in self.strings]
        texts = [m + self._token(int(t)) for m, t in zip(memory, tokens, strict=True)]
        return np.asarray([any(s in text for s in wanted) for text in texts], bool)

    def _token(self, token: int) -> bytes:
        return _bytes(self, token)


def _bytes(stop: Any, token: int) -> bytes:
    if stop._bytes_of is None:
        raise ParameterError(f"{stop} needs a tokenizer; decode with a LanguageModel")
    return bytes(stop._bytes_of(token))


@dataclass(frozen=True)
class StopRegex(Stop):
    """End once this regular expression matches somewhere in the new text; what matched stays in the text.

    It is Python's `re.search` over all new text after every token, so a pattern that may match nothing ends at the first token.
    """

    stateful = True
    pattern: str
    _bytes_of: Callable[[int], bytes] | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check(isinstance(self.pattern, str) and self.pattern != "", f"stop_regex(pattern) needs a pattern; got {self.pattern!r}")
        try:
            re.compile(self.pattern)
        except re.error as error:
            raise ParameterError(f"stop_regex(pattern): {self.pattern!r} is no regular expression: {error}") from None

    def resolve(self, tokenizer: Any) -> Part:
        """With the bytes of every token."""
        part = StopRegex(self.pattern)
        object.__setattr__(part, "_bytes_of", tokenizer.bytes_of)
        return part

    def begin(self, prompt: Ints) -> bytes:
        """The new text: nothing yet."""
        return b""

    def advance(self, memories: Sequence[bytes], tokens: Sequence[int]) -> list[bytes]:
        """The new text."""
        return [m + _bytes(self, t) for m, t in zip(memories, tokens, strict=True)]

    def ends(self, rows: Rows, tokens: Ints, memory: Sequence[bytes]) -> Flags:
        """Whether the pattern matches with the token."""
        found, texts = re.compile(self.pattern), (m + _bytes(self, int(t)) for m, t in zip(memory, tokens, strict=True))
        return np.asarray([bool(found.search(text.decode("utf-8", "replace"))) for text in texts], bool)


@dataclass(frozen=True)
class Loop(Stop):
    """End once the new text ends in a phrase that stands there `count` times in a row.

    The phrase has at least `shortest` and at most `period` tokens.
    """

    reason = "loop"
    stateful = True
    count: int = 4
    period: int = 32
    shortest: int = 1

    def __post_init__(self) -> None:
        for name, least in (("count", 2), ("period", 1), ("shortest", 1)):
            value = getattr(self, name)
            whole = isinstance(value, int) and not isinstance(value, bool) and value >= least
            check(whole, f"loop({name}=...) needs a whole number >= {least}; got {value!r}")
        check(self.shortest <= self.period, f"loop(shortest={self.shortest}) is above the longest phrase, period={self.period}")

    def begin(self, prompt: Ints) -> tuple[Ints, Ints]:
        """The last tokens, newest first, and for each distance how many tokens in a row equal the one so far before."""
        return np.full(self.period, -1, np.int64), np.zeros(self.period, np.int64)

    def advance(self, memories: Sequence[tuple[Ints, Ints]], tokens: Sequence[int]) -> list[tuple[Ints, Ints]]:
        """Both after one more token."""
        after = []
        for (last, equal), token in zip(memories, tokens, strict=True):
            after.append((np.concatenate([[token], last[:-1]]), np.where(last == token, equal + 1, 0)))
        return after

    def ends(self, rows: Rows, tokens: Ints, memory: Sequence[tuple[Ints, Ints]]) -> Flags:
        """Whether some phrase is there for the count-th time."""
        periods = np.arange(1, self.period + 1)
        enough = np.where(periods >= self.shortest, periods * (self.count - 1), np.iinfo(np.int64).max)
        runs = [np.where(last == token, equal + 1, 0) for (last, equal), token in zip(memory, tokens, strict=True)]
        return np.asarray([bool((run >= enough).any()) for run in runs], bool)


@dataclass(frozen=True, init=False)
class End(Stop):
    """End at these tokens, beside the model's own end tokens."""

    variadic = True
    reason = "end"
    tokens: tuple[int, ...]

    def __init__(self, *tokens: int) -> None:
        check(len(tokens) > 0, "end() needs at least one token id, as in end(50256)")
        for t in tokens:
            check(isinstance(t, int) and t >= 0, f"end() takes token ids >= 0; got {t!r}")
        object.__setattr__(self, "tokens", tokens)

    def resolve(self, tokenizer: Any) -> Part:
        """The same, if the tokenizer knows the tokens."""
        for t in self.tokens:
            check(t < tokenizer.size, f"end: there is no token {t}; this tokenizer's ids are 0 to {tokenizer.size - 1}")
        return self

    def ends(self, rows: Rows, tokens: Ints, memory: Sequence[Any]) -> Flags:
        """Whether the token is one of them."""
        return np.isin(tokens, self.tokens)


@dataclass(frozen=True)
class MaxTime(Stop):
    """End every hypothesis at its next token once this many seconds have passed since decoding began."""

    reason = "time"
    stateful = True
    seconds: float

    def __post_init__(self) -> None:
        check(self.seconds > 0, f"max_time(seconds) needs seconds > 0; got {self.seconds!r}")

    def begin(self, prompt: Ints) -> float:
        """The deadline."""
        return time.monotonic() + self.seconds

    def ends(self, rows: Rows, tokens: Ints, memory: Sequence[float]) -> Flags:
        """Whether the deadline has passed."""
        now = time.monotonic()
        return np.asarray([now >= deadline for deadline in memory], bool)


@dataclass(frozen=True)
class TokenBudget(Stop):
    """End once prompt and new tokens together are this many, at the first new token at the earliest."""

    aliases = ("max_length",)
    reason = "length"
    tokens: int

    def __post_init__(self) -> None:
        whole = isinstance(self.tokens, int) and not isinstance(self.tokens, bool) and self.tokens >= 1
        check(whole, f"token_budget(tokens) needs a whole number of tokens >= 1; got {self.tokens!r}")

    def ends(self, rows: Rows, tokens: Ints, memory: Sequence[Any]) -> Flags:
        """Whether the token fills the budget."""
        return np.asarray(rows.lengths + 1 >= self.tokens, bool)


@dataclass(frozen=True)
class StopFunction(Stop):
    """End where a function says so: it is called with the new tokens of a hypothesis, the newest last."""

    stateful = True
    function: Callable[[tuple[int, ...]], bool]

    def __post_init__(self) -> None:
        check(callable(self.function), f"stop_function(function) needs something to call with the new tokens; got {self.function!r}")

    def begin(self, prompt: Ints) -> tuple[int, ...]:
        """No new tokens yet."""
        return ()

    def advance(self, memories: Sequence[tuple[int, ...]], tokens: Sequence[int]) -> list[tuple[int, ...]]:
        """The new tokens."""
        return [(*m, int(t)) for m, t in zip(memories, tokens, strict=True)]

    def ends(self, rows: Rows, tokens: Ints, memory: Sequence[tuple[int, ...]]) -> Flags:
        """What the function says."""
        return np.asarray([bool(self.function((*m, int(t)))) for m, t in zip(memory, tokens, strict=True)], bool)
