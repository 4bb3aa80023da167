"""Tokenizers that the caller holds or that only transformers can make, with the bytes of their tokens."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

from unspool.errors import MissingExtra, ModelError, ParameterError
from unspool.text import Tokenizer, TokenizerBase, TokenizerFile, of_byte_level, of_piece

SAMPLES = ("Once upon a time, there were 12 kings.", "naïve café", "옛날 옛적에", "a\tb\n  c", "👑")
"""Texts that a way to read tokens as bytes has to give back."""


def of_bytes(name: str) -> bytes:
    """The bytes of a token whose every character stands for the byte of its number, as ByT5's."""
    return name.encode("latin-1")


WAYS: tuple[Callable[[str], bytes], ...] = (of_byte_level, of_piece, of_bytes, str.encode)
"""How tokens can be spelled, tried in this order."""


class TransformersTokenizer(TokenizerBase):
    """A tokenizer of transformers that is not built on the `tokenizers` library.

    How its tokens are spelled is found out by samples: byte-level, SentencePiece's pieces, a character for each byte, or plain.
    If none gives the samples back, the bytes of a token are what it adds to a decoded text.
    """

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self._names: dict[int, str] = {int(i): name for name, i in inner.get_vocab().items()}
        self.size = max(self._names, default=-1) + 1
        added = getattr(inner, "added_tokens_decoder", {})
        self._added = {int(i): str(getattr(token, "content", token)) for i, token in added.items()}
        special = {int(i) for i, token in added.items() if getattr(token, "special", False)}
        self.specials = frozenset(i for i in {*map(int, inner.all_special_ids), *special} if 0 <= i < self.size)

    @cached_property
    def hash(self) -> str:
        """sha256 of the kind of tokenizer and its vocabulary."""
        what = [type(self.inner).__name__, sorted(self._names.items()), sorted(self.specials)]
        return hashlib.sha256(json.dumps(what).encode()).hexdigest()

    @cached_property
    def begins(self) -> tuple[int, ...]:  # type: ignore[override]
        """The tokens it puts before every text."""
        plain, whole = self.ids("a"), list(map(int, self.inner.encode("a", add_special_tokens=True)))
        for first in range(len(whole) - len(plain) + 1):
            if whole[first : first + len(plain)] == plain:
                return tuple(whole[:first])
        return ()

    def ids(self, text: str) -> list[int]:
        """The tokens of a text, nothing added."""
        return list(map(int, self.inner.encode(text, add_special_tokens=False)))

    def name_of(self, token: int) -> str:
        """A token's own name in the vocabulary."""
        return self._names.get(int(token), f"<{int(token)}>")

    def spell(self, token: int) -> bytes:
        """The bytes of a token that is not special."""
        if token in self._added:
            return self._added[token].encode()
        if token not in self._names:
            return b""
        return self._by_decoding(token) if self._way is None else _spelled(self._way, self._names[token])

    @cached_property
    def _way(self) -> Callable[[str], bytes] | None:
        """The first way that gives back the most samples; None if none gives back any."""
        counts = [sum(self._gives_back(way, sample) for sample in SAMPLES) for way in WAYS]
        return WAYS[counts.index(max(counts))] if max(counts) else None

    def _gives_back(self, way: Callable[[str], bytes], sample: str) -> bool:
        tokens = self.ids(sample)
        if any(t in self.specials for t in tokens):
            return False
        try:
            found = b"".join(way(self.name_of(t)) for t in tokens)
        except (KeyError, UnicodeEncodeError):
            return False
        return sample.encode() in (found, found.removeprefix(b" "))

    def _by_decoding(self, token: int) -> bytes:
        options = {"skip_special_tokens": False, "clean_up_tokenization_spaces": False}
        anchor = self.ids("a")[-1:]
        before, after = (str(self.inner.decode(t, **options)) for t in (anchor, [*anchor, token]))
        return (after[len(before) :] if after.startswith(before) else str(self.inner.decode([token], **options))).encode()


def _spelled(way: Callable[[str], bytes], name: str) -> bytes:
    """A token by one way; itself where that way has no bytes for it."""
    try:
        return way(name)
    except (KeyError, UnicodeEncodeError):
        return name.encode()


def as_tokenizer(given: Any) -> Tokenizer:
    """A tokenizer of ours, of transformers or of the `tokenizers` library as one of ours; what is given is left as it is."""
    import tokenizers

    if hasattr(given, "bytes_of") and hasattr(given, "encode_prompt"):
        ours: Tokenizer = given
        return ours
    inner = given if isinstance(given, tokenizers.Tokenizer) else getattr(given, "backend_tokenizer", None)
    if isinstance(inner, tokenizers.Tokenizer):
        copy = tokenizers.Tokenizer.from_str(inner.to_str())
        copy.no_padding()
        copy.no_truncation()
        return TokenizerFile(copy)
    if all(hasattr(given, name) for name in ("get_vocab", "encode", "decode", "all_special_ids")):
        return TransformersTokenizer(given)
    raise ParameterError(
        f"tokenizer is a tokenizer of transformers or of the tokenizers library, or a folder that has one; got {type(given).__name__}"
    )


def read_by_transformers(folder: Path) -> Tokenizer:
    """The tokenizer in a folder that has no tokenizer.json, made by transformers."""
    from unspool.models.hf import first_line, library, quiet

    try:
        transformers = library()
    except MissingExtra as error:
        raise MissingExtra(f"the tokenizer of {folder} is in a form that only transformers reads; {error}") from None
    try:
        with quiet(transformers):
            return as_tokenizer(transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False))
    except Exception as error:                                            # each of its classes raises errors of its own
        raise ModelError(f"transformers cannot make the tokenizer of {folder}: {first_line(error)}") from None
