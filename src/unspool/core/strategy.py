"""Strategies: which row grows by which tokens.

A strategy is a generator over frontiers. It yields what it wants (a Choice commits, a Look peeks, a Twin asks another
model) and is sent the frontier that results. The loop that serves it is in `decode.py`, and is the only one.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

import numpy as np

from unspool.arrays import Floats, Ints
from unspool.core.decoder import Part
from unspool.core.model import Model
from unspool.record.step import Hypothesis

if TYPE_CHECKING:
    from unspool.core.frontier import Frontier


@dataclass
class Choice:
    """What one round does: N children, each a token after a row of the frontier or after a row that waited."""

    tokens: Any
    """(N,)"""
    parents: Any
    """(N,), rows."""
    scores: Any = None
    """(N,), what the strategy ranks by; the sum of processed log-probabilities if not given."""
    done: Any = None
    """(N,), why the child is a finished hypothesis, "" if it is not; `frontier.ends` if not given."""
    memory: dict[str, Any] = field(default_factory=dict)
    """Columns (N, ...) that follow the rows from here on."""
    waits: Sequence[int] = ()
    """Rows that stay without growing."""
    seen: Frontier | None = None
    """A frontier already looked at, one row for each child: committed without a forward."""
    dropped: Dropped | None = None
    uniform: Floats | None = None
    """(N,), the draw behind each child."""
    forced: bool = False
    """Whether children that the processors forbid stay, with a processed log-probability of -inf."""


@dataclass
class Dropped:
    """Candidates that were considered and not taken; arrays (D,)."""

    tokens: Ints
    parents: Ints
    scores: Floats
    why: Any
    """(D,), a few words for each."""


@dataclass
class Look:
    """Peek at what follows the rows of a frontier when each is extended by its chain; nothing is committed.

    The answer holds one row for each chain; `answer.at(j)` the rows after j + 1 of its tokens. What was looked at stays
    until the run looks again after its next choice.
    """

    frontier: Frontier
    chains: Any
    """One sequence of tokens, or one token, for each row."""


@dataclass
class Twin:
    """The same texts under another model: answers with its frontier, which can be looked from."""

    frontier: Frontier
    model: Model


Ask: TypeAlias = Choice | Look | Twin
Run: TypeAlias = "Generator[Ask, Frontier, None]"


class Strategy(Part):
    """A search over the tree of tokens; a frozen dataclass that implements `run` or `choose`."""

    role = "strategy"
    many: ClassVar[bool] = True
    """Whether one run serves the rows of all prompts; otherwise every prompt has a run of its own."""
    streams: ClassVar[bool] = True
    """Whether a prompt's only row is its text so far; not where rows compete and the best is known at the end."""
    needs: ClassVar[frozenset[str]] = frozenset()
    """What it asks of a session: "hidden"."""

    def run(self, frontier: Frontier) -> Run:
        """Choose until no row is left."""
        while len(frontier):
            frontier = yield self.choose(frontier)

    def choose(self, frontier: Frontier) -> Choice:
        """The choice of one round, for strategies that need no more."""
        raise NotImplementedError

    def rank(self, finished: list[Hypothesis]) -> list[Hypothesis]:
        """The hypotheses of one prompt to return, best first."""
        return finished


def running_count(groups: Ints) -> Ints:
    """0, 1, 2, ... within each run of equal values of a sorted array."""
    return np.arange(len(groups)) - np.searchsorted(groups, groups)
