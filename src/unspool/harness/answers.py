"""Answers as units that any engine does: some prompts under one decoder, each draw by the name of its request."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from unspool.core.decoder import Decoder
from unspool.language_model import LanguageModel
from unspool.record.step import Step


@dataclass(frozen=True)
class HarnessAnswer:
    """What came of a prompt: its text, or why there is none."""

    text: str
    prompt: list[int]
    """The tokens it was generated after."""
    failure: str = ""


@dataclass(frozen=True)
class AnswersUnit:
    """Some prompts. Everything in it is plain data where the decoder is its text form."""

    number: int
    requests: tuple[int, ...]
    """The places of those who asked."""
    prompts: tuple[tuple[int, ...], ...]
    names: tuple[str, ...]
    """What draws follow."""
    decoder: Decoder | str
    tokens: int
    """The most new tokens."""
    seed: int
    end_tokens: tuple[int, ...] | None
    together: int | None

    @property
    def span(self) -> str:
        """What it is, for people."""
        return f"the answers from {self.names[0]} to {self.names[-1]}"

    def make(self, lm: LanguageModel, told: Callable[[Step], None] = lambda step: None) -> list[HarnessAnswer]:
        """Generate them."""
        outputs = lm.generate(
            list(self.prompts),
            self.decoder,
            max_new_tokens=self.tokens,
            seed=self.seed,
            ids=self.names,
            level="off",
            end_tokens=self.end_tokens,
            together=self.together,
        )
        return [HarnessAnswer(o.text if o.sequences else "", o.prompt_tokens, o.failure) for o in outputs]
