"""A tokenizer of the `tokenizers` library, with the bytes of its tokens."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING

from unspool.models.spelling import ByDecoding, Spelling, spelling
from unspool.text import SAMPLES, TokenizerBase

if TYPE_CHECKING:
    import tokenizers


class TokenizerFile(TokenizerBase):
    """A tokenizer as a tokenizer.json defines it. also_special: tokens that are special though they are not marked so.

    A token's bytes are what the decoder makes of its name; those of an added token under a byte-level decoder are its text.
    """

    def __init__(self, inner: tokenizers.Tokenizer, also_special: Iterable[int] = ()) -> None:
        inner.no_padding()
        inner.no_truncation()
        self.inner = inner
        self._names: dict[int, str] = {i: name for name, i in inner.get_vocab(with_added_tokens=True).items()}
        self.size = max(self._names, default=-1) + 1
        added = inner.get_added_tokens_decoder()
        self.specials = frozenset({i for i, token in added.items() if token.special} | set(also_special))
        self._added = {i: token.content for i, token in added.items()}

    @cached_property
    def hash(self) -> str:
        """sha256 of the tokenizer's definition."""
        unmarked = sorted(t for t in self.specials if t not in self._added)
        return hashlib.sha256((self.inner.to_str() + (str(unmarked) if unmarked else "")).encode()).hexdigest()

    @cached_property
    def _spelling(self) -> Spelling | None:
        decoder = self.inner.decoder
        return spelling(None if decoder is None else json.loads(decoder.__getstate__()))

    @cached_property
    def begins(self) -> tuple[int, ...]:  # type: ignore[override]
        """The tokens it puts before every text."""
        for text in ("a", *SAMPLES):
            marks = self.inner.encode(text, add_special_tokens=True).special_tokens_mask
            if 0 in marks:
                return tuple(self.inner.encode(text, add_special_tokens=True).ids[: marks.index(0)])
        return ()

    @cached_property
    def prefixes_space(self) -> bool:
        """Whether a space is put before every text, as SentencePiece does, and taken off where text begins."""
        return bool(self._spelling and self._spelling.opens) or super().prefixes_space

    @property
    def suffixes_space(self) -> bool:
        """Whether words carry the space after them, which a text does not end in."""
        return bool(self._spelling.closes if self._spelling else not self._by_decoding.after)

    def ids(self, text: str) -> list[int]:
        """The tokens of a text, nothing added."""
        ids: list[int] = self.inner.encode(text, add_special_tokens=False).ids
        return ids

    def name_of(self, token: int) -> str:
        """A token's own name in the vocabulary."""
        return self._added.get(int(token)) or self._names.get(int(token)) or f"<{int(token)}>"

    def spell(self, token: int) -> bytes:
        """The bytes of a token that is not special."""
        if token not in self._names:
            return b""
        if self._spelling is None:
            return self._by_decoding(token)
        if token not in self._added:
            return self._spelling(self._names[token])
        written = self.inner.id_to_token(token) or self._added[token]     # as its normalizer writes it, which may not be its name
        return written.encode() if self._spelling.byte_level else self._spelling(written)

    @cached_property
    def _by_decoding(self) -> ByDecoding:
        return ByDecoding.of(lambda tokens: self.inner.decode(list(tokens), skip_special_tokens=False), [*map(self.ids, SAMPLES)])
