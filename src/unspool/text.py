"""Tokens as text, exact to the byte."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

from unspool.errors import PromptError, in_digits

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


def check_characters(text: str) -> None:
    """Refuse a string that holds a surrogate alone, half of a character: no text does, and no tokenizer reads it."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise PromptError(f"a text is made of characters, and {text[error.start]!r} is half of one: leave it out of {text!r:.60}") from None


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
        found = [in_digits(number) for number in text.split()]
        if None in found:
            raise PromptError(f"this model has no tokenizer: give token ids, as a list or as text such as '3 1 4'; got {text!r:.80}")
        return [number for number in found if number is not None]

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

    @property
    def suffixes_space(self) -> bool:
        return bool(getattr(self._tokenizer, "suffixes_space", False))

    def encode(self, text: str) -> list[int]:
        return self._tokenizer.encode(text)

    def encode_prompt(self, text: str) -> list[int]:
        return self._tokenizer.encode_prompt(text)

    def bytes_of(self, token: int) -> bytes:
        return self._tokenizer.bytes_of(token) if token < self._tokenizer.size else b""

    def name_of(self, token: int) -> str:
        return self._tokenizer.name_of(token) if token < self._tokenizer.size else f"<{int(token)}>"


@dataclass(frozen=True)
class Marks:
    """Special tokens that texts name: each is one character of its own where those texts are looked for, and is not shown.

    names: the longest first, where one begins another. The marks are surrogates, which no text has.
    """

    names: tuple[str, ...] = ()
    mark_of: Mapping[int, str] = field(default_factory=dict)

    @classmethod
    def of(cls, tokenizer: Tokenizer, texts: Iterable[str]) -> Marks:
        """Of the special tokens whose names stand in one of these texts."""
        given = list(texts)
        tokens = {tokenizer.name_of(t): t for t in sorted(tokenizer.specials, reverse=True)} if given else {}
        names = sorted((name for name in tokens if name and any(name in text for text in given)), key=lambda name: (-len(name), name))
        return cls(tuple(names), {tokens[name]: chr(0xD800 + i) for i, name in enumerate(names[:2048])})

    def write(self, text: str) -> str:
        """A text with its special tokens as marks; the same if it names none."""
        for name, mark in zip(self.names, self.mark_of.values(), strict=False):
            text = text.replace(name, mark)
        return text


def without_marks(text: str) -> str:
    """What is shown of a text."""
    return re.sub("[\ud800-\udfff]", "", text)


ReadSoFar = tuple[bytes, bool, bool]
"""How far tokens are read: the bytes of a character that is not whole yet, whether the text begins here, and whether a space is due."""
UNREAD: ReadSoFar = b"", False, False


@dataclass(frozen=True)
class TextReader:
    """Tokens read as the text that is shown, and special tokens as their marks: the same for what is matched and for what is written."""

    tokenizer: Tokenizer
    marks: Marks = field(default_factory=Marks)

    def begin(self, prompt: Sequence[int]) -> ReadSoFar:
        """Nothing is read yet. A text that begins after the prompt begins without the tokenizer's own space.

        Where words carry the space after them, it is due with the next token, so that a text does not end in it.
        """
        due = self._closes and len(prompt) > 0 and self.tokenizer.bytes_of(int(prompt[-1])).endswith(b" ")
        return b"", begins_text(self.tokenizer, prompt), due

    @property
    def _closes(self) -> bool:
        return bool(getattr(self.tokenizer, "suffixes_space", False))

    def read(self, reading: ReadSoFar, token: int) -> tuple[str, ReadSoFar]:
        """The characters that are whole after one more token; bytes that can be no character are U+FFFD."""
        if token in self.marks.mark_of:
            return self.marks.mark_of[token], reading
        return self.read_bytes(reading, self.tokenizer.bytes_of(token))

    def read_bytes(self, reading: ReadSoFar, data: bytes) -> tuple[str, ReadSoFar]:
        """The characters that are whole after these bytes."""
        begun, opening, due = reading
        data = begun + data
        if self._closes and data:
            data, due = b" " * due + data.removesuffix(b" "), data.endswith(b" ")
        text, used = codecs.utf_8_decode(data, "replace", False)
        if opening and text:                                               # the space that the tokenizer put there
            text, opening = text.removeprefix(" "), False
        return text, (data[used:], opening, due)

    def pieces(self, tokens: Iterable[int], reading: ReadSoFar = UNREAD) -> tuple[list[str], ReadSoFar]:
        """What each token adds, and how far they are read then."""
        found = []
        for token in tokens:
            text, reading = self.read(reading, token)
            found.append(text)
        return found, reading

    def rest(self, reading: ReadSoFar) -> str:
        """What is left where the text ends: a character that is not whole, as U+FFFD."""
        return reading[0].decode("utf-8", "replace")


class Finder:
    """Where texts are in what was read. One that names special tokens is found where they are, and where it is spelled out."""

    def __init__(self, texts: Mapping[str, int] | Sequence[str], marks: Marks) -> None:
        """texts: with a mapping, each with the number of tokens at the beginning in which it may end without being found."""
        self.shown = tuple(texts)
        waits = texts if isinstance(texts, Mapping) else dict.fromkeys(texts, 0)
        self._waits = {m: n for text, n in waits.items() for m in (text, marks.write(text))}
        self.marked = tuple(m for m in map(marks.write, texts) if m not in texts)
        self.longest = max(map(len, (*self.shown, *self.marked)), default=0)

    def place(self, text: str, old: int, tokens: int) -> int:
        """Before how many shown characters the first one begins that ends behind `old` characters; -1 if there is none.

        tokens: how many there are so far, the one whose text is behind `old` among them.
        """
        shown, before = (without_marks(text), len(without_marks(text[:old]))) if self.marked else (text, old)
        waits = self._waits
        places = [shown.find(s, max(0, before - len(s) + 1)) for s in self.shown if waits[s] < tokens]
        marked = [text.find(m, max(0, old - len(m) + 1)) for m in self.marked if waits[m] < tokens]
        places += [len(without_marks(text[:at])) if at > 0 else at for at in marked]
        return min((at for at in places if at >= 0), default=-1)

    def begun(self, text: str) -> int:
        """How many characters at the end of a text, marks among them, may be the beginning of one."""
        for n in range(len(text) if self.marked else min(len(text), self.longest), 0, -1):
            end, shown = text[-n:], without_marks(text[-n:]) if self.marked else text[-n:]
            if any(m.startswith(end) and m != end for m in self.marked):
                return n
            if shown and any(s.startswith(shown) and s != shown for s in self.shown):
                return n
        return 0


class Detokenizer:
    """Text as it becomes certain: half characters, and what may be the beginning of a stop string, are held back.

    prompt: the tokens before it, which say whether the text begins here, without the tokenizer's own space. A stop string that names
    a special token ends the text before that token. stops: with a mapping, see `Finder`.
    """

    def __init__(self, tokenizer: Tokenizer, stops: Mapping[str, int] | Sequence[str] = (), prompt: Sequence[int] | None = None) -> None:
        marks = Marks.of(tokenizer, stops)
        self._reader, self._finder, self._held = TextReader(tokenizer, marks), Finder(stops, marks), ""
        self._reading = UNREAD if prompt is None else self._reader.begin(prompt)
        self._tokens, self.stopped = 0, False

    def add(self, token: int) -> str:
        """The text that is certain after one more token."""
        text, self._reading = self._reader.read(self._reading, int(token))
        self._tokens += 1
        return self._release(text)

    def finish(self) -> str:
        """What was held back."""
        text = self._release(self._reader.rest(self._reading))
        held, self._held = without_marks(self._held), ""
        return text + held

    def _release(self, text: str) -> str:
        if self.stopped:
            return ""
        old, self._held = len(self._held), self._held + text
        place = self._finder.place(self._held, old, self._tokens)
        if place >= 0:
            out, self._held, self.stopped = without_marks(self._held)[:place], "", True
            return out
        hold = self._finder.begun(self._held)
        out, self._held = self._held[: len(self._held) - hold], self._held[len(self._held) - hold :]
        return without_marks(out)


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
        check_characters(text)
        if not self.prefixes_space:
            return self.ids(text)
        break_, both = self.ids("\n"), self.ids("\n" + text)               # so that no space is put before the text
        return both[len(break_) :] if both[: len(break_)] == break_ else self.ids(text)

    def encode_prompt(self, text: str) -> list[int]:
        """The tokens of a text that stands at the beginning, with a start token if the tokenizer adds one."""
        check_characters(text)
        return [*self.begins, *self.ids(text)]

    @cached_property
    def prefixes_space(self) -> bool:
        """Whether a space is put before every text, as SentencePiece does, and taken off where text begins."""
        first = self.ids("a")
        return bool(first) and self.bytes_of(first[0]).startswith(b" ")

    @property
    def suffixes_space(self) -> bool:
        """Whether words carry the space after them, which a text does not end in."""
        return False

    @cached_property
    def _spelled(self) -> dict[int, bytes]:
        return {}

    def bytes_of(self, token: int) -> bytes:
        """The bytes a token stands for; none for a special token."""
        token = int(token)
        if token not in self._spelled:
            self._spelled[token] = b"" if token in self.specials else self.spell(token)
        return self._spelled[token]
