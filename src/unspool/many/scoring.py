"""Texts that are scored, as units that any engine does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from unspool.errors import PromptError
from unspool.language_model import LanguageModel
from unspool.many.executors.choose import check_engine, executor_of
from unspool.many.executors.opening import ModelOpening
from unspool.record.step import Step
from unspool.score import Score

PAIRS_AT_ONCE = 16
"""Texts of a unit, which are scored in one call."""


@dataclass(frozen=True)
class ScoringUnit:
    """Some pairs of prompt and text."""

    number: int
    """Its place among all units, from 0."""
    pairs: tuple[tuple[str, str], ...]
    stride: int | None = None

    @property
    def span(self) -> str:
        """What it is, for people."""
        first = self.number * PAIRS_AT_ONCE
        return f"texts {first + 1} to {first + len(self.pairs)}"

    def make(self, lm: LanguageModel, told: Callable[[Step], None] = lambda step: None) -> list[Score]:
        """The scores of its texts."""
        return list(lm.score([prompt for prompt, _ in self.pairs], [text for _, text in self.pairs], stride=self.stride))


def score_many(
    lm: LanguageModel | ModelOpening,
    pairs: Sequence[tuple[str, str]],
    stride: int | None = None,
    *,
    engine: str = "inline",
    workers: int | None = None,
    address: str | None = None,
) -> Iterator[list[Score]]:
    """The scores of pairs of prompt and text, in their order, PAIRS_AT_ONCE at a time; engine, workers, address: as for `unspool.run`."""
    check_engine(engine, workers, address)
    if any(not text for _, text in pairs):
        raise PromptError("there is nothing to score: the continuation is empty")
    executor = executor_of(lm, engine, workers, address)
    try:
        starts = range(0, len(pairs), PAIRS_AT_ONCE)
        units = (ScoringUnit(i, tuple(pairs[first : first + PAIRS_AT_ONCE]), stride) for i, first in enumerate(starts))
        executor.model()
        for _, scores in executor.run(units, lambda step: None):
            yield scores
    finally:
        executor.close()
