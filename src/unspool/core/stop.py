"""The base of stops: when a hypothesis is finished. They answer for candidates, before the choice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from unspool.arrays import Array, Flags, Ints
from unspool.core.decoder import Part
from unspool.core.processor import Rows
from unspool.errors import PartError


class Stop(Part):
    """Says which candidates end their hypothesis: a frozen dataclass that implements `ends`.

    One with a memory sets `stateful` and implements `begin` and `advance` too: a memory is an immutable value that follows the text
    wherever it forks, and `ends` asks what it holds after the candidate's token.
    """

    role = "stop"
    reason: ClassVar[str] = "stop"
    stateful: ClassVar[bool] = False
    reads_text: ClassVar[bool] = False
    """Whether its memory follows the text, however it is cut into tokens: see Processor."""
    reads_logits: ClassVar[bool] = False
    """Whether `advance` needs the model's logits that a token was chosen from."""

    @property
    def end_tokens(self) -> tuple[int, ...]:
        """Tokens that are end tokens beside the model's own."""
        return ()

    @property
    def cuts(self) -> tuple[str, ...]:
        """Strings before which the text is cut."""
        return ()

    @property
    def cuts_after(self) -> int:
        """In how many tokens at the beginning a string may end without a cut."""
        return 0

    def ends(self, rows: Rows, tokens: Ints, memory: Sequence[Any]) -> Flags:
        """For each candidate, its row extended by its token: whether it ends; memory: the candidates', with their tokens."""
        raise PartError(f"the stop {self} lacks a method: ends(rows, tokens, memory)")

    def begin(self, prompt: Ints) -> Any:
        """The memory of a row that holds just the prompt."""

    def advance(self, memories: Sequence[Any], tokens: Sequence[int], logits: Sequence[Array]) -> Sequence[Any]:
        """The memories after one more token each; logits: the model's before it, each (V,), where `reads_logits`."""
        return memories
