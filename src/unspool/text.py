"""Tokens as text, exact to the byte."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Protocol

from unspool.errors import PromptError

SAMPLES = ("Once upon a time, there were 12 kings.", "naïve café", "옛날 옛적에", "a\tb\n  c", "👑")
"""Texts by which one finds out how a tokenizer that nobody knows spells."""


class Tokenizer(Protocol):
    """Texts to tokens and back; every token has bytes."""

    size: int
    """The highest token id + 1; ids below it may be missing."""
    specials: frozenset[int]
    """Tokens that stand for no text, as an end of text."""

    @property
    def prefixes_space(self) -> bool:
        """Whether a space is put before every text, and taken off where text begins."""

    @property
    def hash(self) -> str:
        """Tells tokenizers apart."""

    def encode(self, text: str) -> list[int]:
        """The tokens of a text as it goes on after another, nothing added."""

    def encode_prompt(self, text: str) -> list[int]:
        """The tokens of a text that stands at the beginning, with a start token if the tokenizer adds one."""

    def bytes_of(self, token: int) -> bytes:
        """The bytes a token stands for; none for a special token."""

    def name_of(self, token: int) -> str:
        """A token's own name in the vocabulary."""


def text_of(tokenizer: Tokenizer, tokens: Iterable[int]) -> str:
    """The text of tokens; bytes that are no UTF-8 become U+FFFD."""
    return b"".join(tokenizer.bytes_of(int(t)) for t in tokens).decode("utf-8", "replace")


def visible(data: bytes, pending: bytes = b"") -> str:
    """A token's bytes as text after the bytes of an unfinished character; what is still unfinished as \\xNN."""
    return (pending + data).decode("utf-8", "backslashreplace")


def unfinished(data: bytes) -> bytes:
    """The bytes at the end of data that begin a character and do not finish it."""
    decoder = codecs.getincrementaldecoder("utf-8")("ignore")
    decoder.decode(data[-3:])
    return decoder.getstate()[0]


def begins_text(tokenizer: Tokenizer, prompt: Sequence[int]) -> bool:
    """Whether text begins after these tokens, and with a space that is the tokenizer's own."""
    return tokenizer.prefixes_space and all(t in tokenizer.specials for t in prompt)


def pieces(tokenizer: Tokenizer, tokens: Iterable[int]) -> list[str]:
    """Each token as text; a character that several tokens make up appears where it is finished."""
    found, pending = list[str](), b""
    for token in tokens:
        data = pending + tokenizer.bytes_of(int(token))
        pending = unfinished(data)
        done = data[: len(data) - len(pending)]
        found.append(visible(done) if done or not pending else "")
    if pending:
        found[-1] += visible(pending)
    return found


class TokenIds:
    """A tokenizer of numbers: text is token ids with a space before each. For models without a tokenizer of their own."""

    prefixes_space = True
    specials: frozenset[int] = frozenset()

    def __init__(self, size: int) -> None:
        self.size, self.hash = size, f"token ids below {size}"

    def encode(self, text: str) -> list[int]:
        if not re.fullmatch(r"\s*(\d+\s*)*", text):
            raise PromptError(f"this model has no tokenizer: give token ids, as a list or as text such as '3 1 4'; got {text!r:.80}")
        return [int(number) for number in text.split()]

    def encode_prompt(self, text: str) -> list[int]:
        return self.encode(text)

    def bytes_of(self, token: int) -> bytes:
        return f" {int(token)}".encode()

    def name_of(self, token: int) -> str:
        return str(int(token))


class Fitted:
    """A tokenizer beside a model that has more or fewer tokens: ids are the model's, and those that no token has stand for no text."""

    def __init__(self, tokenizer: Tokenizer, size: int) -> None:
        self._tokenizer, self.size, self.hash = tokenizer, size, tokenizer.hash
        self.specials = frozenset(t for t in tokenizer.specials if t < size)
        self.begins: tuple[int, ...] = tuple(getattr(tokenizer, "begins", ()))

    @property
    def prefixes_space(self) -> bool:
        return self._tokenizer.prefixes_space

    def encode(self, text: str) -> list[int]:
        return self._tokenizer.encode(text)

    def encode_prompt(self, text: str) -> list[int]:
        return self._tokenizer.encode_prompt(text)

    def bytes_of(self, token: int) -> bytes:
        return self._tokenizer.bytes_of(token) if token < self._tokenizer.size else b""

    def name_of(self, token: int) -> str:
        return self._tokenizer.name_of(token) if token < self._tokenizer.size else f"<{int(token)}>"


class Detokenizer:
    """Text as it becomes certain: half characters, and what may be the beginning of a stop string, are held back.

    opening: whether the text begins here, so that a space put before it by the tokenizer is taken off.
    """

    def __init__(self, tokenizer: Tokenizer, stops: Sequence[str] = (), opening: bool = False) -> None:
        self._tokenizer, self._stops, self._held, self._opening = tokenizer, tuple(stops), "", opening
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.stopped = False

    def add(self, token: int) -> str:
        """The text that is certain after one more token."""
        return self._release(self._decoder.decode(self._tokenizer.bytes_of(token)))

    def finish(self) -> str:
        """What was held back."""
        text = self._release(self._decoder.decode(b"", final=True))
        held, self._held = self._held, ""
        return text + held

    def _release(self, text: str) -> str:
        if self.stopped:
            return ""
        if self._opening and text:                                       # the space that the tokenizer put there
            text, self._opening = text.removeprefix(" "), False
        self._held += text
        places = [at for at in (self._held.find(s) for s in self._stops) if at >= 0]
        if places:
            out, self._held, self.stopped = self._held[: min(places)], "", True
            return out
        hold = max((n for s in self._stops for n in range(1, len(s)) if self._held.endswith(s[:n])), default=0)
        out, self._held = self._held[: len(self._held) - hold], self._held[len(self._held) - hold :]
        return out


class TokenizerBase:
    """What tokenizers have in common, given `ids`, `begins`, `specials` and `spell`."""

    specials: frozenset[int]
    begins: tuple[int, ...]
    """The tokens it puts before every prompt."""

    def ids(self, text: str) -> list[int]:
        """The tokens of a text as the library makes them, nothing added; special tokens that it spells out are found in it."""
        raise NotImplementedError

    def spell(self, token: int) -> bytes:
        """The bytes of a token that is not special."""
        raise NotImplementedError

    def encode(self, text: str) -> list[int]:
        """The tokens of a text as it goes on after another, nothing added."""
        if not self.prefixes_space:
            return self.ids(text)
        break_, both = self.ids("\n"), self.ids("\n" + text)               # so that no space is put before the text
        return both[len(break_) :] if both[: len(break_)] == break_ else self.ids(text)

    def encode_prompt(self, text: str) -> list[int]:
        """The tokens of a text that stands at the beginning, with a start token if the tokenizer adds one."""
        return [*self.begins, *self.ids(text)]

    @cached_property
    def prefixes_space(self) -> bool:
        """Whether a space is put before every text, as SentencePiece does, and taken off where text begins."""
        first = self.ids("a")
        return bool(first) and self.bytes_of(first[0]).startswith(b" ")

    @cached_property
    def _spelled(self) -> dict[int, bytes]:
        return {}

    def bytes_of(self, token: int) -> bytes:
        """The bytes a token stands for; none for a special token."""
        token = int(token)
        if token not in self._spelled:
            self._spelled[token] = b"" if token in self.specials else self.spell(token)
        return self._spelled[token]
