"""Processors that compare the model with another model or another prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from unspool.arrays import INF, Array, Ints, log_softmax, namespace
from unspool.core.decoder import Part
from unspool.core.model import Model, as_model
from unspool.core.processor import Processor, Rows
from unspool.errors import ParameterError, check, number
from unspool.processors.measures import limited


@dataclass(frozen=True)
class Guidance(Processor):
    """Classifier-free guidance: away from what the model says without the prompt.

    log p'(v) = log q(v) + scale * (log p(v) - log q(v)), where q is the model after `negative` (text or token ids; the
    prompt's last token if not given) and the same new tokens. Tokens that p or q rules out keep what p says of them.
    Sanchez et al. 2023, arXiv 2306.17806.
    """

    aliases = ("cfg",)
    scale: float
    model: Model
    negative: str | tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        number("guidance(scale)", self.scale)
        object.__setattr__(self, "model", as_model(self.model, "guidance(model=...)"))
        check(self.negative is None or len(self.negative) > 0, "guidance(negative=...) must not be empty")

    def resolve(self, tokenizer: Any) -> Part:
        if isinstance(self.negative, str):
            return Guidance(self.scale, self.model, tuple(tokenizer.encode(self.negative)))
        return self

    def companions(self) -> Sequence[Model]:
        return (self.model,)

    def companion_prompt(self, prompt: Ints, which: int) -> Sequence[int]:
        """The negative prompt, or the prompt's last token."""
        if isinstance(self.negative, str):
            raise ParameterError("guidance: a negative text needs a tokenizer; decode with a LanguageModel, or give token ids")
        return self.negative or prompt[-1:].tolist()

    def process(self, rows: Rows, scores: Array, memory: Any = None) -> Array:
        xp, with_prompt, without = namespace(scores), log_softmax(scores), log_softmax(rows.companions[0])
        zero = xp.zeros_like(with_prompt)
        both = (with_prompt > -INF) & (without > -INF)                   # what either rules out is not moved
        return with_prompt + (limited(self.scale) - 1) * xp.where(both, with_prompt - xp.where(both, without, zero), zero)
