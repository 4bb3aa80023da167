"""Reranking: one model finds texts, another says which is best."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from unspool.core.frontier import Frontier
from unspool.core.model import as_model
from unspool.core.strategy import Asks
from unspool.errors import ParameterError, number
from unspool.record.step import Hypothesis
from unspool.score import score_tokens
from unspool.strategies.chooser import Chooser


@dataclass(frozen=True)
class Rerank(Chooser):
    """Of several texts return the one another model likes best, argmax of (1 - weight) * log p(text) + weight * log q(text).

    by: the other model, q, with the same vocabulary, which reads the prompt and each text once; or a function of the new text, whose number
    stands in place of log q. then: a number of samples, or a strategy. weight: [0, 1], how much it counts beside the model's own log p.
    n: how many texts to return.
    """

    by: Any
    then: Any = 8
    weight: float = 1.0
    n: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        number("rerank(weight=...)", self.weight, 0, 1)
        function = callable(self.by) and not hasattr(self.by, "session") and not hasattr(self.by, "model")
        if not function:
            object.__setattr__(self, "by", as_model(self.by, "rerank(by)"))
        object.__setattr__(self, "_function", function)

    def run(self, frontier: Frontier) -> Asks:
        """As the strategy inside; then the other model reads what was found."""
        prompt = frontier.tokens(0)[: int(frontier.prompt_lengths[0])].tolist()
        size = frontier.vocabulary
        yield from super().start(frontier)
        if not self._function:  # type: ignore[attr-defined]
            if self.by.vocabulary != size:
                other = f"the other model has {self.by.vocabulary} tokens and the model {size}"
                raise ParameterError(f"rerank: {other}; they need one vocabulary")
            found = frontier.found
            texts = list({tuple(h.tokens): None for h in found})
            told = score_tokens(self.by, [(prompt, list(text)) for text in texts])
            sums = {text: float(np.sum(logprobs)) for text, logprobs in zip(texts, told, strict=True)}
            for h in found:
                h.columns["other"] = sums[tuple(h.tokens)]

    def choose_among(self, finished: list[Hypothesis]) -> list[Hypothesis]:
        """The n best; the column `other`: what the other model or the function says."""
        texts = self.ranked(finished)
        if self._function:  # type: ignore[attr-defined]
            other = [self.asked(self.by, self.text(h)) for h in texts]
        else:
            if not all("other" in h.columns for h in texts):             # a run that was broken off
                return texts
            other = [h.columns["other"] for h in texts]
        scores = [mixed(h.logprob, o, self.weight) for h, o in zip(texts, other, strict=True)]
        return self.best(texts, scores, [{"other": o, "of": len(texts)} for o in other])


def mixed(own: float, other: float, weight: float) -> float:
    """(1 - weight) * own + weight * other; what has no weight does not count, even if it is infinite."""
    return other if weight == 1 else own if weight == 0 else (1 - weight) * own + weight * other
