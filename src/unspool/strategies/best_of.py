"""Best of n: draw several texts, return the one that scores highest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from unspool.errors import check
from unspool.record.step import Hypothesis
from unspool.strategies.chooser import Chooser

TEXT_MEASURES: dict[str, Callable[[Hypothesis], float]] = {
    "logprob": lambda h: float(np.sum(h.logprobs)),
    "mean_logprob": lambda h: float(np.mean(h.logprobs)),
    "processed": lambda h: float(np.sum(h.processed)),
    "mean_processed": lambda h: float(np.mean(h.processed)),
}


@dataclass(frozen=True)
class BestOf(Chooser):
    """Draw several texts and return the best, argmax of f(text); best_of(8) draws with sample(8).

    then: how many samples, or any strategy that finds several texts. by: f. "logprob" is log p(text) under the model, "mean_logprob" that
    for each token, "processed" and "mean_processed" the same after the processors; or a function of the new text that returns a number,
    as a reward model does. n: how many texts to return. Of equals the one found first is better.
    """

    then: Any
    by: Any = "logprob"
    n: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        known = callable(self.by) or self.by in TEXT_MEASURES
        check(known, f"best_of(by=...) is a function of the text, or one of {', '.join(TEXT_MEASURES)}; got {self.by!r}")

    def choose_among(self, finished: list[Hypothesis]) -> list[Hypothesis]:
        """The n best, with how many there were in the column `of`."""
        texts = self.ranked(finished)
        scores = [self.asked(self.by, self.text(h)) if callable(self.by) else TEXT_MEASURES[self.by](h) for h in texts]
        return self.best(texts, scores, [{"of": len(texts)}] * len(texts))
