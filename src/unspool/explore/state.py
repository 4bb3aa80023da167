"""What undo goes back to: the texts that were visited, the one that is shown, and what decodes."""

from __future__ import annotations

from dataclasses import dataclass, replace

from unspool.core.decoder import Decoder

Tokens = tuple[int, ...]


@dataclass(frozen=True)
class Visit:
    """A value: whatever changes makes another."""

    prompt: Tokens
    decoder: Decoder
    """With its strategy."""
    text: Tokens = ()
    """The new tokens of the text that is shown."""
    cursor: int = 0
    """The place whose token is in question, from 0; len(text) is the next one."""
    texts: tuple[Tokens, ...] = ()
    """All texts that were visited, the latest last; none is the beginning of another."""
    seed: int = 0
    grown: tuple[int, int] | None = None
    """Where the decoder last went on from, and by how many tokens at most."""

    def showing(self, text: Tokens, cursor: int) -> Visit:
        """With another text; where a text that was visited begins with it, the latest such."""
        text = next((t for t in reversed(self.texts) if t[: len(text)] == text), text)
        others = tuple(t for t in self.texts if text[: len(t)] != t)
        return replace(self, text=text, cursor=cursor, texts=(*others, text) if text else self.texts, grown=None)
