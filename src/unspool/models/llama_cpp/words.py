"""llama.cpp's own tokenizer, for files whose tokenizer is none that is read here."""

from __future__ import annotations

import ctypes
import hashlib
from functools import cached_property

import numpy as np

from unspool.arrays import Array
from unspool.models.llama_cpp.model import LlamaCppModel
from unspool.text import TokenizerBase

CONTROL_BIT = 1 << 3
"""The attribute of control tokens."""


class LlamaCppWords(TokenizerBase):
    """The tokens of a model in llama.cpp."""

    def __init__(self, model: LlamaCppModel) -> None:
        self.model, self.size = model, model.vocabulary
        attributes = (int(model.lib.llama_vocab_get_attr(model.words, t)) for t in range(self.size))
        self.specials = frozenset(t for t, its in enumerate(attributes) if its & CONTROL_BIT)
        self.begins = tuple(self._tokenised("", True))

    @cached_property
    def hash(self) -> str:
        """sha256 of the tokens' names."""
        return hashlib.sha256("\0".join(map(self.name_of, range(self.size))).encode()).hexdigest()

    def ids(self, text: str) -> list[int]:
        """The tokens of a text, nothing added; special tokens that it spells out are found in it."""
        return self._tokenised(text, False)

    def _tokenised(self, text: str, whole: bool) -> list[int]:
        data = text.encode()
        room: Array = np.zeros(len(data) + 8, np.int32)
        while (count := self._tokenise(data, room, whole)) < 0:          # how many there would be
            room = np.zeros(-count, np.int32)
        found: list[int] = room[:count].tolist()
        return found

    def _tokenise(self, data: bytes, room: Array, whole: bool) -> int:
        array = room.ctypes.data_as(ctypes.POINTER(ctypes.c_int32))
        return int(self.model.lib.llama_tokenize(self.model.words, data, len(data), array, len(room), whole, True))

    def name_of(self, token: int) -> str:
        """A token's own name."""
        name: bytes = self.model.lib.llama_vocab_get_text(self.model.words, int(token))
        return name.decode("utf-8", "replace")

    def spell(self, token: int) -> bytes:
        """The bytes of a token that is not special."""
        room = ctypes.create_string_buffer(64)
        while (size := self.model.lib.llama_token_to_piece(self.model.words, int(token), room, len(room), 0, True)) < 0:
            room = ctypes.create_string_buffer(-size)                    # how many bytes there would be
        return room.raw[:size]
