"""The pieces of a SentencePiece file, and how it cuts a text: by scores or by merges (Kudo and Richardson 2018), without the library."""

from __future__ import annotations

import heapq
import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from unspool.errors import ModelError

SPACE = "\u2581"
NORMAL, UNKNOWN, CONTROL, OWN_SYMBOL, UNUSED, BYTE = range(1, 7)
"""Kinds of pieces; OWN_SYMBOL are symbols that whoever trained it defined, which nothing cuts."""
UNIGRAM, BPE = 1, 2
Fields = dict[int, list[Any]]


def fields_of(data: bytes) -> Fields:
    """The fields of a protocol buffer by their numbers, each a list: whole numbers, floats, or bytes."""
    found: Fields = {}
    at = 0

    def number() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at, value, shift = at + 1, value | (byte & 127) << shift, shift + 7
            if byte < 128:
                return value

    while at < len(data):
        key = number()
        kind = key & 7
        value: Any
        if kind == 0:
            value = number()
        elif kind == 5:
            (value,), at = struct.unpack_from("<f", data, at), at + 4
        elif kind == 2:
            size = number()
            value, at = data[at : at + size], at + size
        else:
            raise ValueError(f"a field of kind {kind}")
        found.setdefault(key >> 3, []).append(value)
    if at > len(data):
        raise ValueError("it ends within a field")
    return found


@dataclass(frozen=True)
class Charmap:
    """What characters are replaced by: a trie of bytes as a double array, and the replacements, each ended by a zero byte."""

    units: tuple[int, ...] = ()
    texts: bytes = b""

    @classmethod
    def of(cls, data: bytes) -> Charmap:
        """As the file holds it: the trie's size in bytes, the trie, the replacements."""
        if not data:
            return cls()
        (size,) = struct.unpack_from("<I", data)
        return cls(struct.unpack_from(f"<{size // 4}I", data, 4), data[4 + size :])

    def first(self, data: bytes, at: int) -> tuple[str, int] | None:
        """What the longest prefix of the rest becomes, and how many bytes it has; None if none is replaced."""
        found, place = None, _offset(self.units[0]) if self.units else 0
        for i in range(at, len(data) if self.units else at):
            place ^= data[i]
            if place >= len(self.units) or self.units[place] & (1 << 31 | 255) != data[i]:
                break
            unit = self.units[place]
            place ^= _offset(unit)
            if unit >> 8 & 1:
                found = self.units[place] & (1 << 31) - 1, i + 1 - at
        return found and (self.texts[found[0] : self.texts.index(0, found[0])].decode(), found[1])


def _offset(unit: int) -> int:
    return unit >> 10 << ((unit & 1 << 9) >> 6)


@dataclass(frozen=True)
class PieceFile:
    """The vocabulary of a file and how it cuts: what its encoder needs, and nothing of what stands around a text."""

    names: tuple[str, ...]
    scores: tuple[float, ...]
    kinds: tuple[int, ...]
    merges: bool
    bytewise: bool
    """What is no piece is written byte by byte."""
    prefix: bool
    """A space is put before a text."""
    tidies: bool
    """Spaces at the ends, and all but one between words, are left out."""
    charmap: Charmap = field(repr=False)
    start: int
    end: int

    @classmethod
    def of(cls, data: bytes) -> PieceFile:
        """Read the file; a ValueError if it is none."""
        whole = fields_of(data)
        rows = [fields_of(row) for row in whole.get(1, [])]
        if not rows or UNKNOWN not in (row.get(3, [NORMAL])[-1] for row in rows):
            raise ValueError("it has no pieces, or none for what is unknown")
        trainer, normal = (fields_of(whole.get(i, [b""])[0]) for i in (2, 3))

        def said(of: Fields, i: int, default: Any) -> Any:
            return of.get(i, [default])[-1]

        kind = said(trainer, 3, UNIGRAM)
        if kind not in (UNIGRAM, BPE) or said(trainer, 24, 0) or not said(normal, 5, 1):
            raise ValueError("its pieces are words or characters, or its spaces stand otherwise than before words")
        kinds = tuple(said(row, 3, NORMAL) for row in rows)
        if any(not row[1][0] for row in rows):
            raise ValueError("it has a piece without a name")
        if said(trainer, 35, 0) and kinds.count(BYTE) != 256:
            raise ValueError(f"it writes by bytes what it does not know, and has {kinds.count(BYTE)} of 256 bytes")
        ends = [i if 0 <= i < len(rows) and kinds[i] == CONTROL else -1 for i in (said(trainer, 41, 1), said(trainer, 42, 2))]
        return cls(tuple(row[1][0].decode() for row in rows), tuple(said(row, 2, 0.0) for row in rows), kinds, kind == BPE,
                   bool(said(trainer, 35, 0)), bool(said(normal, 3, 1)), bool(said(normal, 4, 1)),
                   Charmap.of(said(normal, 2, b"")), *ends)  # fmt: skip

    @cached_property
    def known(self) -> Mapping[str, int]:
        """The pieces that a text can be cut into."""
        return {name: i for i, (name, kind) in enumerate(zip(self.names, self.kinds, strict=True)) if kind in (NORMAL, OWN_SYMBOL, UNUSED)}

    @cached_property
    def _own(self) -> re.Pattern[str]:
        own = sorted((n for n, kind in zip(self.names, self.kinds, strict=True) if kind == OWN_SYMBOL), key=len, reverse=True)
        return re.compile("|".join(map(re.escape, own)) if own else r"(?!)")

    @cached_property
    def _longest(self) -> int:
        return max(map(len, self.known), default=0)

    @cached_property
    def _least(self) -> float:
        return min((s for s, kind in zip(self.scores, self.kinds, strict=True) if kind == NORMAL), default=0.0)

    def normal(self, text: str, begins: bool) -> str:
        """A text as it is cut: characters replaced, spaces written as U+2581. begins: it stands where text begins."""
        parts = list(self._replaced(text))
        if self.tidies:
            spaced = "".join(parts)
            spaced = re.sub(" +", " ", spaced.strip(" ") if begins else spaced.rstrip(" "))
            parts = [spaced]
        written = "".join(parts).replace(" ", SPACE)
        return SPACE + written if begins and self.prefix and (written if self.tidies else text) else written

    def _replaced(self, text: str) -> Iterator[str]:
        at, data, place = 0, text.encode(), 0
        while at < len(text):
            own = self._own.match(text, at)
            found = None if own else self.charmap.first(data, place)
            size = len(own[0].encode()) if own else found[1] if found else len(text[at].encode())
            yield own[0] if own else found[0] if found else text[at]
            at, place = at + len(data[place : place + size].decode()), place + size

    def cut(self, written: str) -> list[int]:
        """The pieces of a text that is normal; what is none of them is its bytes, or unknown once in a row."""
        ids, unknown = list[int](), self.kinds.index(UNKNOWN)
        for part in self._merged(written) if self.merges else self._likeliest(written):
            if part in self.known:
                ids.append(self.known[part])
            elif self.bytewise:
                ids += [self._bytes[b] for b in part.encode()]
            elif ids[-1:] != [unknown]:
                ids.append(unknown)
        return ids

    @cached_property
    def _bytes(self) -> Mapping[int, int]:
        return {int(name[3:5], 16): i for i, (name, kind) in enumerate(zip(self.names, self.kinds, strict=True)) if kind == BYTE}

    def _likeliest(self, text: str) -> list[str]:
        """The cut with the highest sum of scores; a character that is no piece costs 10 more than the worst piece."""
        least = self._least
        best: list[tuple[float, int]] = [(0.0, 0)] + [(float("-inf"), 0)] * len(text)
        for at in range(len(text)):
            here, alone = best[at][0], False
            for end in range(at + 1, min(at + self._longest, len(text)) + 1):
                piece = text[at:end]
                token = self.known.get(piece)
                if token is None or self.kinds[token] == UNUSED:
                    continue
                score = 0.0 if self.kinds[token] == OWN_SYMBOL else self.scores[token]
                best[end] = max(best[end], (here + score, at), key=lambda found: found[0])
                alone = alone or end == at + 1
            if not alone:
                best[at + 1] = max(best[at + 1], (here + least - 10, at), key=lambda found: found[0])
        found, end = list[str](), len(text)
        while end:
            found.append(text[best[end][1] : end])
            end = best[end][1]
        return found[::-1]

    def _merged(self, text: str) -> list[str]:
        """Characters, of which the neighbours that make the best piece are joined first, the leftmost of equal ones."""
        parts, frozen, at = list[str](), list[bool](), 0
        while at < len(text):
            own = self._own.match(text, at)
            parts.append(own[0] if own else text[at])
            frozen.append(own is not None)
            at += len(parts[-1])
        after, before = [*range(1, len(parts)), -1], list(range(-1, len(parts) - 1))
        made: dict[str, tuple[str, str]] = {}
        queue: list[tuple[float, int, int, str]] = []

        def offer(left: int, right: int) -> None:
            if min(left, right) < 0 or frozen[left] or frozen[right]:
                return
            token = self.known.get(joined := parts[left] + parts[right])
            if token is not None:
                heapq.heappush(queue, (-self.scores[token], left, right, joined))
                if self.kinds[token] == UNUSED:
                    made[joined] = parts[left], parts[right]

        for left, right in enumerate(after):
            offer(left, right)
        while queue:
            _, left, right, joined = heapq.heappop(queue)
            if not parts[left] or not parts[right] or parts[left] + parts[right] != joined:
                continue                                                  # one of them has gone on since
            parts[left], parts[right], after[left] = joined, "", after[right]
            if after[right] >= 0:
                before[after[right]] = left
            offer(before[left], left)
            offer(left, after[left])

        def whole(part: str) -> list[str]:
            apart = made.get(part) if self.kinds[self.known.get(part, 0)] == UNUSED else None
            return [part] if apart is None else [*whole(apart[0]), *whole(apart[1])]

        return [one for part in parts if part for one in whole(part)]


def holds_pieces(file: Path) -> bool:
    """Whether a file is SentencePiece's: it begins with the field of a piece. Some of the same name hold text, of tiktoken."""
    if not file.is_file():
        return False
    with file.open("rb") as opened:
        return opened.read(1) in (b"", b"\x0a")                          # of an empty file the reader says what is wrong


def read_pieces(data: bytes, name: str) -> PieceFile:
    """The pieces of a file's content; an error that names it if it is none of SentencePiece's."""
    try:
        return PieceFile.of(data)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, struct.error) as error:
        raise ModelError(f"{name} is no file of SentencePiece's that can be read: {error}") from None
