"""What came of a sweep, as numbers: a row for each setting, and the one to take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from unspool.lab.bootstrap import Estimate
from unspool.sweeps.axes import Axis
from unspool.sweeps.goals import Goal
from unspool.sweeps.units import Spent


@dataclass(frozen=True)
class SweepRow:
    """One setting."""

    number: int
    decoder: str
    """Its text form."""
    values: tuple[str, ...]
    """Of each axis, as text."""
    prompts: int
    """Prompts, or texts, that it ran on: in halving fewer for those that were dropped early."""
    failed: int
    """How many of them came to no text."""
    estimates: tuple[Estimate, ...]
    """Of each metric."""
    worse: tuple[Estimate, ...]
    """By how much it is worse than the best, prompt by prompt, in each metric; below 0 where it is better. nan for one dropped early."""
    front: bool
    """Whether no setting is better in one metric and not worse in the other: with one metric, the best alone."""
    within: bool
    """Whether it is within noise of the best: no interval says that it is worse."""
    dropped: bool
    """Whether halving dropped it early, so that it is not compared."""
    acting: int
    """How many of its processors do anything."""
    spent: Spent
    """What it alone cost; of texts that are read, nothing."""

    @property
    def tokens_per_new(self) -> float:
        """Tokens that went through models for each new one; 0 where none was drawn."""
        return (self.spent.tokens + self.spent.other_tokens) / self.spent.new_tokens if self.spent.new_tokens else 0.0


@dataclass(frozen=True)
class Swept:
    """A row for each setting, in their order."""

    template: str
    """The decoder's text form with its sets and ranges."""
    axes: tuple[Axis, ...]
    goals: tuple[Goal, ...]
    rows: list[SweepRow]
    best: SweepRow | None
    """The best by its values; of a trade-off the one of the front that is nearest to the best of both."""
    recommended: SweepRow | None
    """The simplest within noise of the best."""
    why: str
    needed: int | None
    """How many prompts would tell best and recommended apart, or if they are one, the best and the next; None if nobody can say."""
    needed_for: str
    """What they would tell apart, or why nobody can say."""
    prompts: int
    """Prompts, or texts, there are."""
    spent: Spent
    seconds: float
    """Of this run; what a file held already took none."""
    kept: int
    """Units that a file held already."""
    settings: dict[str, Any]
    """What was asked: model, search, seeds, limits."""

    @property
    def read(self) -> bool:
        """Whether texts were read, and none drawn."""
        return self.goals[0].read

    @property
    def reached(self) -> int:
        """Prompts, or texts, on which settings are compared; fewer than there are while the sweep is unfinished."""
        return max((row.prompts for row in self.rows if not row.dropped), default=0)

    @property
    def front(self) -> list[SweepRow]:
        """The rows that none beats in both metrics, along the first metric."""
        return sorted((row for row in self.rows if row.front), key=lambda row: row.estimates[0].value)

    @property
    def items(self) -> str:
        """What the samples are called."""
        return "texts" if self.read else "prompts"
