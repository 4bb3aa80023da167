"""A run: a strategy at work on some rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from unspool.arrays import Ints
from unspool.core.frontier import Frontier, Places
from unspool.core.lane import Lane
from unspool.core.strategy import Around, Ask, Strategy
from unspool.errors import PartError
from unspool.record.step import Hypothesis


class Over:
    """The end of a run."""


OVER = Over()


@dataclass(eq=False)
class Run:
    """A strategy at work: its generator, its rows, and what it has found."""

    strategy: Strategy
    frontier: Frontier
    lane: Lane
    parent: Run | None = None
    places: Places = field(default_factory=dict)
    """Where its living rows stand, the waiting ones too."""
    found: list[Hypothesis] = field(default_factory=list)
    looked: list[tuple[Lane, Ints]] = field(default_factory=list)
    """Rows that were only looked at: they stay until the run looks again after its next choice."""
    held: int = 0
    """How many rows that is."""
    chose: bool = False
    """Whether it chose since it last looked."""
    inner: list[Run] = field(default_factory=list)
    """Runs it handed rows to, in the order of those."""
    going: int = 0
    """How many of them are not over."""
    notes: tuple[str, ...] = ()
    """What of every token's distribution its hypotheses tell."""
    began: int = -1
    """The node of its row, if it began with one."""

    def __post_init__(self) -> None:
        self.began = int(self.frontier["node"][0]) if len(self.frontier) == 1 else -1
        self.notes = tuple(sorted({*self.strategy.notes, *(self.parent.notes if self.parent else ())}))
        self.generator = self.strategy.start(self.frontier)
        if not hasattr(self.generator, "send"):
            raise misfit(self, f"runs to {self.generator!r:.40}; its run is a generator, which yields choices")
        self.prompts = sorted(set(self.frontier["prompt"].tolist()))
        self.own(self.frontier)

    def own(self, frontier: Frontier) -> None:
        """Take the rows of a frontier for its own."""
        self.frontier = frontier
        frontier.places, frontier.found = self.places, self.found
        self.places.update((row, (frontier, i)) for i, row in enumerate(frontier.rows.tolist()))


def resume(run: Run, answer: Frontier | None) -> Ask | Over:
    """What a run asks for next, or that it is over."""
    try:
        return next(run.generator) if answer is None else run.generator.send(answer)
    except StopIteration:
        return OVER


def ranked_by(run: Run, found: list[Hypothesis]) -> list[Hypothesis]:
    """Hypotheses as the run's strategy ranks them."""
    ranked = run.strategy.rank(found)
    if not isinstance(ranked, list):
        ranking = run.strategy
        while isinstance(ranking, Around) and type(ranking).rank is Around.rank and ranking.inner is not None and ranking.inner.many:
            ranking = ranking.inner                                      # which only hands on what that one says
        said = f"ranks to {ranked!r:.40}; rank returns a list of hypotheses, as sorted(finished, key=...) does"
        raise PartError(f"the strategy {ranking} {said}")
    return ranked


def misfit(run: Run, what: str) -> PartError:
    """The error for a strategy that asks for what cannot be."""
    return PartError(f"the strategy {asking(run)} {what}")


def asking(run: Run) -> Strategy:
    """The strategy that spoke last: that of the run, or one inside it to which it gave the word by `yield from`."""
    found: Strategy = run.strategy
    generator: Any = run.generator
    while (frame := getattr(generator, "gi_frame", None)) is not None:
        speaker = frame.f_locals.get(next(iter(frame.f_code.co_varnames), ""))          # the first argument, `self` of a method
        found = speaker if isinstance(speaker, Strategy) else found
        generator = generator.gi_yieldfrom
    return found
