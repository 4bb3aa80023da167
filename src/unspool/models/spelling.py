"""The bytes that a token's name stands for, as the decoder of a tokenizer.json says it.

A decoder of the `tokenizers` library turns names into text one after another, so nearly every one is a rule for a single name. What
depends on neighbours is a space where a text begins, which is the tokenizer's own and is taken off (`opens`), and the space after the
last word of a text (`closes`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Written = str | bytes
"""A name on its way: text, or bytes that are no longer changed."""
Rewriting = Callable[[Written], Written]


def byte_alphabet() -> dict[str, int]:
    """The byte that each character of a byte-level vocabulary stands for (Radford et al. 2019).

    Printable bytes stand for themselves; the others, in order, have the characters from U+0100 on.
    """
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("\u00a1"), ord("\u00ac") + 1), *range(ord("\u00ae"), ord("\u00ff") + 1)]
    others = [b for b in range(256) if b not in printable]
    return {chr(b): b for b in printable} | {chr(256 + i): b for i, b in enumerate(others)}


BYTE_OF = byte_alphabet()
CLEANED = {" .": ".", " ?": "?", " !": "!", " ,": ",", " ' ": "'", " n't": "n't", " 'm": "'m", " do not": " don't"}
CLEANED |= {" 's": "'s", " 've": "'ve", " 're": "'re"}
"""What the WordPiece decoder's cleanup writes for what, in this order."""


@dataclass(frozen=True)
class Spelling:
    """How names are read: rules in their order, and whether a space where the text begins is taken off."""

    rules: tuple[Rewriting, ...]
    opens: bool
    closes: bool
    """A space where a text ends is taken off, as words carry the space after them."""
    byte_level: bool
    """Names are bytes written as characters; an added token's name is then text already."""

    def __call__(self, name: str) -> bytes:
        """The bytes of a name inside a text."""
        part: Written = name
        for rule in self.rules:
            part = rule(part)
        return part if isinstance(part, bytes) else part.encode()


def spelling(decoder: Mapping[str, Any] | None) -> Spelling | None:
    """The spelling of a decoder's definition, None if it is none that is a rule for single names."""
    if decoder is None:                                                   # the library joins names with spaces
        return Spelling((lambda part: _on_text(part, lambda text: " " + text),), True, False, False)
    chain = _chain(decoder)
    fused = next((i for i, one in enumerate(chain) if one["type"] == "Fuse"), len(chain))
    rules, opens, closes = list[Rewriting](), False, False
    for i, one in enumerate(chain):
        kind = one["type"]
        if kind == "Strip" and i > fused:                                 # of the whole text
            opens = opens or (one["content"] == " " and one["start"] > 0)
            closes = closes or (one["content"] == " " and one["stop"] > 0)
        elif kind in RULES:
            try:
                rules.append(RULES[kind](one))
            except (re.error, KeyError):
                return None
            opens = opens or kind == "WordPiece" or (kind == "Metaspace" and one.get("prepend_scheme", "always") != "never")
        elif kind != "Fuse":
            return None
    kinds = {one["type"] for one in chain}
    return Spelling(tuple(rules), opens, closes or "BPEDecoder" in kinds, "ByteLevel" in kinds)


def _chain(decoder: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The decoders of a sequence, however it is nested."""
    if decoder["type"] == "Sequence":
        return [one for part in decoder["decoders"] for one in _chain(part)]
    return [decoder]


def _on_text(part: Written, change: Callable[[str], Written]) -> Written:
    return change(part) if isinstance(part, str) else part


def of_byte_level(name: str) -> bytes:
    """The bytes of a byte-level name; one with another character is text already."""
    return bytes(BYTE_OF[c] for c in name) if all(c in BYTE_OF for c in name) else name.encode()


def of_byte_name(name: str) -> Written:
    """The byte of a name such as <0x0A>; another name as it is."""
    return bytes([int(name[3:5], 16)]) if re.fullmatch("<0x[0-9A-Fa-f]{2}>", name) else name


def of_piece(name: str) -> bytes:
    """The bytes of a SentencePiece token."""
    part = of_byte_name(name)
    return part if isinstance(part, bytes) else part.replace("\u2581", " ").encode()


def _byte_level(one: Mapping[str, Any]) -> Rewriting:
    return lambda part: _on_text(part, of_byte_level)


def _byte_fallback(one: Mapping[str, Any]) -> Rewriting:
    return lambda part: _on_text(part, of_byte_name)


def _replace(one: Mapping[str, Any]) -> Rewriting:
    content, pattern = one["content"], one["pattern"]
    if "String" in pattern:
        return lambda part: _on_text(part, lambda text: text.replace(pattern["String"], content))
    found = re.compile(pattern["Regex"])
    return lambda part: _on_text(part, lambda text: found.sub(lambda match: content, text))


def _metaspace(one: Mapping[str, Any]) -> Rewriting:
    return lambda part: _on_text(part, lambda text: text.replace(one["replacement"], " "))


def _strip(one: Mapping[str, Any]) -> Rewriting:
    """Of every name: `start` times its content at the front, `stop` times at the end, at most."""

    def rule(text: str) -> str:
        for _ in range(one["start"]):
            text = text.removeprefix(one["content"])
        for _ in range(one["stop"]):
            text = text.removesuffix(one["content"])
        return text

    return lambda part: _on_text(part, rule)


def _word_piece(one: Mapping[str, Any]) -> Rewriting:
    def rule(text: str) -> str:
        text = text[len(one["prefix"]) :] if text.startswith(one["prefix"]) else " " + text
        for old, new in CLEANED.items() if one["cleanup"] else ():
            text = text.replace(old, new)
        return text

    return lambda part: _on_text(part, rule)


def _word_end(one: Mapping[str, Any]) -> Rewriting:
    return lambda part: _on_text(part, lambda text: text.replace(one["suffix"], " "))


RULES: dict[str, Callable[[Mapping[str, Any]], Rewriting]] = {
    "ByteLevel": _byte_level,
    "ByteFallback": _byte_fallback,
    "Replace": _replace,
    "Metaspace": _metaspace,
    "Strip": _strip,
    "WordPiece": _word_piece,
    "BPEDecoder": _word_end,
}


@dataclass(frozen=True)
class ByDecoding:
    """The bytes of tokens that no rule spells: what they add to a decoded text, at its end or before what follows.

    Which of the two is found out on samples: words that carry the space before them add it at the end, words that carry the space
    after them put it before what follows.
    """

    decode: Callable[[Sequence[int]], str]
    anchor: tuple[int, ...]
    after: bool
    """The token is read after the anchor, not before it."""

    @classmethod
    def of(cls, decode: Callable[[Sequence[int]], str], samples: Sequence[Sequence[int]]) -> ByDecoding:
        """The way that gives back more of the samples' decoded texts."""
        anchors = [tuple(sample[-1:]) for sample in samples if len(sample)] or [()]
        ways = [cls(decode, anchor, after) for anchor in dict.fromkeys(anchors) for after in (True, False)]
        return max(ways, key=lambda way: sum(way.gives_back(sample) for sample in samples))

    def __call__(self, token: int) -> bytes:
        """The bytes of a token inside a text."""
        alone, whole = self.decode(self.anchor), self.decode([*self.anchor, token] if self.after else [token, *self.anchor])
        if self.after:
            return (whole[len(alone) :] if whole.startswith(alone) else self.decode([token])).encode()
        return (whole[: len(whole) - len(alone)] if whole.endswith(alone) else self.decode([token])).encode()

    def gives_back(self, sample: Sequence[int]) -> bool:
        """Whether the tokens' bytes are the sample's text but for a space at its beginning or end."""
        return b"".join(map(self, sample)).decode("utf-8", "replace").strip(" ") == self.decode(sample).strip(" ")
