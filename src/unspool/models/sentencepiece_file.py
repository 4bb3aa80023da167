"""The tokenizer of a folder that has SentencePiece's own file."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from functools import cached_property

from unspool.models.pieces import BYTE, CONTROL, SPACE, UNKNOWN, PieceFile
from unspool.models.spelling import of_piece
from unspool.text import TokenizerBase, check_characters


class SentencePieceFile(TokenizerBase):
    """The tokenizer of a SentencePiece file, with the tokens that the files beside it add.

    added: texts that are one token each, and whether it is special; those that the file lacks have the next ids. begins: tokens put
    before every prompt. Control and added tokens are found in a text where they are spelled out.
    """

    def __init__(self, pieces: PieceFile, added: Sequence[tuple[str, bool]] = (), begins: Sequence[int] = ()) -> None:
        self.pieces, self.begins = pieces, tuple(begins)
        there, named = set(pieces.names), dict(added)
        names = [*pieces.names, *dict.fromkeys(text for text, _ in added if text not in there)]
        self._names, self.size = names, len(names)
        ids = {name: i for i, name in reversed([*enumerate(names)])}
        own = {i for i, kind in enumerate(pieces.kinds) if kind in (UNKNOWN, CONTROL)}
        self.specials = frozenset(own | {ids[text] for text, special in added if special})
        self._whole = {name: i for name, i in ids.items() if i in own or name in named}
        found = sorted(filter(None, self._whole), key=len, reverse=True)
        self._marks = re.compile("(" + "|".join(map(re.escape, found)) + ")" if found else "(?!)()")

    @cached_property
    def hash(self) -> str:
        """sha256 of all that it is made of."""
        what = [self._names, self.pieces, self.pieces.charmap, sorted(self.specials), self.begins]
        return hashlib.sha256(repr(what).encode()).hexdigest()

    @cached_property
    def prefixes_space(self) -> bool:
        """Whether a space is put before every text, and taken off where text begins."""
        return self.pieces.prefix

    def ids(self, text: str) -> list[int]:
        """The tokens of a text that stands at the beginning, nothing added."""
        return self._ids(text, True)

    def encode(self, text: str) -> list[int]:
        """The tokens of a text as it goes on after another, nothing added."""
        check_characters(text)
        return self._ids(text, False)

    def _ids(self, text: str, begins: bool) -> list[int]:
        found = list[int]()
        for part in filter(None, self._marks.split(text)):
            found += [self._whole[part]] if part in self._whole else self.pieces.cut(self.pieces.normal(part, begins and not found))
        return found

    def name_of(self, token: int) -> str:
        """A token's own name in the vocabulary."""
        return self._names[token] if 0 <= int(token) < self.size else f"<{int(token)}>"

    def spell(self, token: int) -> bytes:
        """The bytes of a token that is not special."""
        if not 0 <= token < self.size:
            return b""
        name = self._names[token]
        if token >= len(self.pieces.names):
            return name.encode()
        return of_piece(name) if self.pieces.kinds[token] == BYTE else name.replace(SPACE, " ").encode()
