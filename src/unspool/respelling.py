"""Bytes that tokens are to spell anew: which tokens may come, and the text beyond those bytes."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence

import numpy as np

from unspool.arrays import Ints
from unspool.text import UNREAD, Detokenizer, Tokenizer


class Respelling:
    """The tokens of a tokenizer by their bytes; special tokens and those without bytes spell nothing."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        every = ((tokenizer.bytes_of(t), t) for t in range(tokenizer.size) if t not in tokenizer.specials)
        self._sorted = sorted((data, token) for data, token in every if data)
        self._first = dict(reversed(self._sorted))                        # of several tokens with the same bytes the lowest
        self._known: dict[bytes, Ints] = {}
        self.tokenizer = tokenizer

    def covering(self, owed: bytes) -> list[int]:
        """The tokens that begin with these bytes."""
        first, found = bisect_left(self._sorted, (owed, -1)), list[int]()
        while first < len(self._sorted) and self._sorted[first][0].startswith(owed):
            found.append(self._sorted[first][1])
            first += 1
        return found

    def _beginning(self, owed: bytes) -> list[int]:
        """The tokens that spell a part of these bytes, behind which tokens can spell the rest."""
        found = list[int]()
        for n in range(1, len(owed)):
            at = bisect_left(self._sorted, (owed[:n], -1))
            some = list[int]()
            while at < len(self._sorted) and self._sorted[at][0] == owed[:n]:
                some.append(self._sorted[at][1])
                at += 1
            if some and len(self.allowed(owed[n:])):
                found += some
        return found

    def allowed(self, owed: bytes) -> Ints:
        """The tokens that may come where these bytes are to be spelled, in ascending order."""
        if owed not in self._known:
            self._known[owed] = np.asarray(sorted([*self.covering(owed), *self._beginning(owed)]), np.int64)
        return self._known[owed]

    def of(self, data: bytes) -> list[int]:
        """Tokens that spell bytes, the longest first; where there are none, the tokenizer's own of the text."""
        found, left = list[int](), data
        while left:
            n = next((n for n in range(len(left), 0, -1) if left[:n] in self._first), 0)
            if not n:
                return self.tokenizer.encode(data.decode("utf-8", "replace"))
            found.append(self._first[left[:n]])
            left = left[n:]
        return found


def beyond(owed: bytes, data: bytes) -> tuple[bytes, bytes]:
    """What is still owed after a token of these bytes, and what the token says beyond it."""
    return owed[len(data) :], data[len(owed) :]


class RespellingDetokenizer(Detokenizer):
    """Text as it becomes certain, behind bytes that the first tokens spell anew and that are not shown."""

    def __init__(self, spelling: Respelling, stops: Mapping[str, int], prompt: Sequence[int], owed: bytes) -> None:
        super().__init__(spelling.tokenizer, stops, prompt)
        self._spelling, self._owed = spelling, owed
        self._reading = UNREAD if owed else self._reading

    def add(self, token: int) -> str:
        if not self._owed:
            return super().add(token)
        self._owed, rest = beyond(self._owed, self._spelling.tokenizer.bytes_of(int(token)))
        if not rest:
            return ""
        self._tokens += len(self._spelling.of(rest))
        text, self._reading = self._reader.read_bytes(self._reading, rest)
        return self._release(text)
