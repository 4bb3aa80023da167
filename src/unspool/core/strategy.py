"""Strategies: which row grows by which tokens.

A strategy is a generator over frontiers. It yields what it wants (a Choice commits, a Look peeks, a Twin asks another model, an Each
hands rows to runs of their own) and is sent the frontier that results. The loop that serves it is in `loop.py`, and is the only one.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, TypeAlias

from unspool.arrays import Floats
from unspool.core.candidates import Dropped
from unspool.core.decoder import Part
from unspool.core.frontier import Frontier
from unspool.core.model import Model
from unspool.errors import PartError, check
from unspool.record.certificate import Certificate
from unspool.record.step import Hypothesis

__all__ = ["Around", "Ask", "Asks", "Choice", "Dropped", "Each", "Look", "Strategy", "Twin", "times"]


@dataclass
class Choice:
    """What one round does: N children, each a token after a row of the frontier or after a row that waited.

    Rows of the frontier that neither grow nor wait are forgotten.
    """

    tokens: Any
    """(N,)"""
    parents: Any
    """(N,), rows."""
    scores: Any = None
    """(N,), what the strategy ranks by; the sum of processed log-probabilities if not given."""
    reasons: Any = None
    """(N,), why the child is a finished hypothesis, "" if it is not; `frontier.reasons` if not given."""
    columns: dict[str, Any] = field(default_factory=dict)
    """Columns (N, ...) that follow the rows from here on."""
    waits: Sequence[int] = ()
    """Rows of the frontier that stay without growing, until a later choice grows and frees them."""
    frees: Sequence[int] = ()
    """Rows that wait no longer."""
    seen: Frontier | None = None
    """A frontier already looked at, one row for each child: committed without a forward."""
    dropped: Dropped | None = None
    uniform: Floats | None = None
    """(N,), the draw behind each child."""
    certificate: Certificate | None = None
    """What is proved once the choice is taken down; see `Frontier.certify` for what is proved before."""
    drafted: bool = False
    """Whether the children were proposed by a draft and confirmed; the record holds it."""
    forced: bool = False
    """Whether children that the processors forbid stay, with a processed log-probability of -inf."""


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


@dataclass
class Each:
    """Let every row of a frontier go on by a run of its own, of this strategy, which also ranks what its run finds.

    Answers, when the last of them is over, with a frontier without rows; what they found belongs to the run that asked, and stands in
    its `found`.
    """

    frontier: Frontier
    strategy: Strategy
    waits: Sequence[int] = ()
    """Rows that stay with the run that asks, handed over or not."""


Ask: TypeAlias = Choice | Look | Twin | Each
Asks: TypeAlias = "Generator[Ask, Frontier, None]"


class Strategy(Part):
    """A search over the tree of tokens; a frozen dataclass that implements `run` or `choose`."""

    role = "strategy"
    many: ClassVar[bool] = True
    """Whether `run` takes rows of any number, of several prompts; otherwise it gets one, and every row has a run of its own."""
    streams: ClassVar[bool] = True
    """Whether a prompt's only row is its text so far; not where rows compete and the best is known at the end."""
    joins: ClassVar[bool] = True
    """Whether rows of new prompts, as `begin` makes them, may come to stand beside those of a run after any of its choices: where all that
    it knows of a row is in its columns. A class with a `run` of its own says so; without one it is so."""
    needs: ClassVar[frozenset[str]] = frozenset()
    """What it asks of a session: "hidden"."""
    notes: ClassVar[frozenset[str]] = frozenset()
    """Numbers of the model's distribution at every token that its hypotheses hold as columns, lists of them: "margin", the likeliest
    token's probability less that of the next; "confidence", minus the mean log-probability of the 20 likeliest, in nats."""

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        if "run" in vars(cls) and "joins" not in vars(cls):
            cls.joins = False
        if cls.many is False and cls.run is not row_by_row:              # its own, or that of a class without rows of their own
            cls.start, cls.run = cls.run, row_by_row  # type: ignore[assignment, method-assign]

    def run(self, frontier: Frontier) -> Asks:
        """Choose until no row is left. A strategy around this one goes on with it by `yield from inner.run(frontier)`."""
        frontier = self.begin(frontier)
        while len(frontier):
            frontier = yield self.choose(frontier)

    def begin(self, frontier: Frontier) -> Frontier:
        """The rows with which prompts begin, as `frontier.fork(n, name)`, with all columns that their children have."""
        return frontier

    def start(self, frontier: Frontier) -> Asks:
        """What the loop runs: `run` as it was written, also where `many` is False."""
        return self.run(frontier)

    def choose(self, frontier: Frontier) -> Choice:
        """The choice of one round, for strategies that need no more."""
        raise PartError(f"the strategy {self} lacks a method: run(frontier), or choose(frontier)")

    def rank(self, finished: list[Hypothesis]) -> list[Hypothesis]:
        """The hypotheses of one prompt to return, best first."""
        return finished

    def most_rows(self) -> int | None:
        """How many rows of a prompt grow together at most, those that are only looked at among them; None where nobody can say."""
        return None

    def most_texts(self) -> int | None:
        """How many texts of a prompt are asked for: more never come, and that fewer came is said; None where nobody can say."""
        return None


def row_by_row(strategy: Strategy, frontier: Frontier) -> Asks:
    """The `run` of a strategy whose `many` is False, wherever it is called from: every row has a run of its own."""
    if len(frontier):
        yield Each(frontier, strategy)


def times(count: int, most: int | None) -> int | None:
    """So many times what is known; None where it is not."""
    return None if most is None else count * most


class Around(Strategy):
    """A strategy that contains one: it decides where that one begins, or which of its texts are returned.

    A frozen dataclass with a field for the strategy inside, `then` if `inside` names no other; None is none. Its `run` hands rows over
    by `yield from self.then.run(frontier)`. What it does not say is as it is with the strategy inside; a `__post_init__` of its own
    calls this one.
    """

    role = "strategy"
    inside: ClassVar[str] = "then"

    def __post_init__(self) -> None:
        place, inner = f"{self.name}({self.inside}=...)", self.inner
        check(inner is None or isinstance(inner, Strategy), f"{place} takes a strategy such as greedy; got {inner!r}")

    @property
    def inner(self) -> Strategy | None:
        """The strategy inside."""
        found: Strategy | None = getattr(self, self.inside)
        return found

    @property
    def streams(self) -> bool:  # type: ignore[override]
        """As the strategy inside."""
        return self.inner is None or self.inner.streams

    @property
    def needs(self) -> frozenset[str]:  # type: ignore[override]
        """As the strategy inside."""
        return frozenset() if self.inner is None else self.inner.needs

    @property
    def notes(self) -> frozenset[str]:  # type: ignore[override]
        """As the strategy inside."""
        return frozenset() if self.inner is None else self.inner.notes

    def token_ids(self) -> Iterable[int]:
        """Those of the strategy inside."""
        return () if self.inner is None else self.inner.token_ids()

    def resolve(self, tokenizer: Any) -> Part:
        """With the strategy inside resolved, too."""
        return self if self.inner is None else replace(self, **{self.inside: self.inner.resolve(tokenizer)})  # type: ignore[type-var]

    def run(self, frontier: Frontier) -> Asks:
        """As the strategy inside."""
        if self.inner is not None:
            yield from self.inner.run(frontier)

    def rank(self, finished: list[Hypothesis]) -> list[Hypothesis]:
        """As the strategy inside; where that had a run for each row, its runs have ranked already, and their order is that of the rows."""
        return self.inner.rank(finished) if self.inner is not None and self.inner.many else finished
