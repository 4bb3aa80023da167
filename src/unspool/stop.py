"""Stops: when a hypothesis is finished. They answer for candidates, before the choice."""

from __future__ import annotations

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
        if self._bytes_of is None:
            raise ParameterError(f"{self} needs a tokenizer; decode with a LanguageModel")
        return self._bytes_of(token)


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
