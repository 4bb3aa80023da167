"""What comes of a call: texts with their numbers, and the record of how they were made."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from unspool.errors import DeadEnd
from unspool.record.trace import Trace
from unspool.score import Score
from unspool.shown import Shown


@dataclass(frozen=True)
class GeneratedText(Shown):
    """One generated text: its new tokens and their numbers."""

    text: str
    tokens: list[int]
    logprobs: list[float]
    """The model's own log-probability of each token."""
    processed: list[float]
    """The same after the processors."""
    score: float
    """What the strategy ranks by."""
    reason: str
    """Why it ended: end, complete, length, context, unfinished (by a limit, before a constraint was met), stop, loop, confidence, time,
    followed, interrupted, or a reason of one's own stop."""

    @property
    def logprob(self) -> float:
        """The sum of the model's log-probabilities."""
        return float(np.sum(self.logprobs))

    @property
    def perplexity(self) -> float:
        """exp of minus the mean log-probability of a token."""
        return float(np.exp(-np.mean(self.logprobs)))


@dataclass(frozen=True)
class Output(Shown):
    """What was generated after one prompt, best first, with the record of how.

    Of several prompts decoded together one may come to nothing: then it has no sequences, and `failure` says why.
    """

    prompt: str
    """The prompt as text."""
    prompt_tokens: list[int]
    """Its tokens as the model read them: under heal those that stayed."""
    sequences: list[GeneratedText]
    recipe: dict[str, Any]
    trace: Trace = field(repr=False)
    failure: str = ""
    asked: str = ""
    """Where a chat template made the prompt: what is shown in its place, the user's words in a line or what the assistant began."""
    fewer: str = ""
    """Where fewer texts came than the decoder asks for: how many were asked for, and how many came."""

    def __str__(self) -> str:
        """The prompt with each text after it, a paragraph each; where there is none, why."""
        prompt = self.asked or self.prompt
        return "\n\n".join(prompt + s.text for s in self.sequences) or f"{prompt}\nno text: {self.failure}"

    @property
    def best(self) -> GeneratedText:
        """The best sequence; an error where there is none."""
        if not self.sequences:
            raise DeadEnd(self.failure)
        return self.sequences[0]

    @property
    def text(self) -> str:
        """The best sequence's text, without the prompt."""
        return self.best.text

    @property
    def tokens(self) -> list[int]:
        """The best sequence's new tokens."""
        return self.best.tokens

    @property
    def logprob(self) -> float:
        """The best sequence's log-probability under the model."""
        return self.best.logprob

    def to_dict(self) -> dict[str, Any]:
        """All of it but the trace as plain values."""
        found = [
            {"text": s.text, "tokens": s.tokens, "logprob": s.logprob, "perplexity": s.perplexity, "score": s.score}
            | {"reason": s.reason, "logprobs": s.logprobs, "processed": s.processed}
            for s in self.sequences
        ]
        values = {"prompt": self.prompt, "prompt_tokens": self.prompt_tokens, "sequences": found, "recipe": self.recipe}
        values |= {"asked": self.asked} if self.asked else {}
        proved = [certificate.to_dict() for certificate in self.trace.certificates]
        values |= {"certificates": proved} if proved else {}
        values |= {"work": self.trace.work}
        values |= {"fewer": self.fewer} if self.fewer else {}
        return values | ({"failure": self.failure} if self.failure else {})


class Outputs(list[Output], Shown):
    """Outputs of several prompts, a list that shows itself in a notebook."""


class Scores(list[Score], Shown):
    """Scores of several texts, a list that shows itself in a notebook."""
