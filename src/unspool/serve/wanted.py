"""A request as it is understood, and the run that it asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from unspool.core.decoder import Decoder
from unspool.errors import PromptError, UnspoolError
from unspool.language_model import LanguageModel
from unspool.serve.errors import refused
from unspool.serve.fields import CHATS
from unspool.stream import Stream


@dataclass(frozen=True)
class Limits:
    """What a request may ask for at most."""

    tokens: int
    """New tokens of a text."""
    rows: int
    """Rows that grow together."""
    prompts: int = 2048


@dataclass(frozen=True)
class Wanted:
    """A request as it is understood."""

    endpoint: str
    prompts: list[Any]
    """Texts or token ids; none of a chat."""
    messages: Any
    decoder: Decoder
    tokens: int
    """The most new tokens of a text."""
    seed: int
    end_tokens: tuple[int, ...] | None = None
    notes: tuple[str, ...] = ()
    """What of the settings is to be known."""
    template: Mapping[str, Any] = field(default_factory=dict)
    likeliest: int | None = None
    """How many alternatives of every token; None where no log-probabilities are told."""
    echo: bool = False
    stream: bool = False
    usage: bool = False
    """Whether a stream ends with its usage."""
    trace: bool = False
    ids: bool = False
    """Whether token ids are told."""
    written: bool = False
    """Whether the request wrote its decoder as a text."""

    @property
    def texts(self) -> int:
        """How many texts of a prompt, one if nobody can say."""
        return (self.decoder.strategy.most_texts() or 1) if self.decoder.strategy else 1

    @property
    def asking(self) -> str:
        """The field that the texts go on from."""
        return "messages" if self.endpoint == CHATS else "prompt"

    def run(self, lm: LanguageModel) -> Stream:
        """The run that it asks for; what of it cannot be run is refused by its field."""
        how: Any = {"max_new_tokens": self.tokens, "seed": self.seed, "end_tokens": self.end_tokens}
        how |= {"level": "tokens" if self.likeliest is None and not self.trace else "choices"}
        how |= {"choices": max(self.likeliest or 1, 5 if self.trace else 1)}
        try:
            if self.endpoint == CHATS:
                return lm.stream(None, self.decoder, messages=self.messages, template=self.template or None, **how)
            return lm.stream(self.prompts, self.decoder, **how)
        except PromptError as error:
            raise refused(error, self.asking) from None
        except UnspoolError as error:
            raise refused(error, "decoder" if self.written else None) from None

    def read(self, lm: LanguageModel) -> list[list[int]]:
        """The tokens of its prompts."""
        try:
            return [lm.tokens_of(prompt) for prompt in self.prompts]
        except PromptError as error:
            raise refused(error, self.asking) from None
