"""Drafts and their verification: several tokens of a text in one forward, and none that would not have come without.

Who proposes is a `Draft`, who accepts is `Drafting`: it looks along what was proposed and commits as much as holds.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np

from unspool.arrays import Array, Ints, host
from unspool.core.frontier import Frontier
from unspool.core.strategy import Around, Ask, Asks, Choice, Dropped, Look, Strategy, times
from unspool.errors import check, whole
from unspool.strategies.sample import Sample

ONE_SAMPLE = Sample()
"""What draftings write like if nothing is said."""


@dataclass
class Guess:
    """What may come after a row's next token: chains of tokens."""

    chains: Sequence[Sequence[int]] = ()
    drawn: Sequence[Array] = ()
    """Of the first chain's tokens the log-probabilities (1, V) by which each was drawn, where they count."""


Guesses: TypeAlias = "Generator[Ask, Frontier, Guess]"


class Draft:
    """Who proposes: one for each row, so that it may remember."""

    def guess(self, frontier: Frontier, token: int, count: int) -> Guesses:
        """Chains of at most `count` tokens after the frontier's only row and the token that comes next."""
        yield from ()
        return Guess(self.chains(np.append(frontier.tokens(0), token), count))

    def chains(self, text: Ints, count: int) -> Sequence[Sequence[int]]:
        """The same for drafts that ask no model: what may come after a text."""
        return ()

    def saw(self, chains: Sequence[Sequence[int]], held: Sequence[int], nexts: Sequence[Ints]) -> None:
        """Of each chain that was looked along, the row's next token first: how many drafted tokens held, what comes after each."""


class Drafting(Around):
    """A strategy that looks along drafts: the tokens are those of `then`, which grows each row by one token, as greedy and sample.

    A frozen dataclass with the fields `tokens`, the most that a chain holds, and `then`. A subclass says who proposes: `proposer`. What
    it proposes is kept as far as it is what `then` chooses, so the text is the same to the token, whatever the draft; `verify` of
    another may accept otherwise. The drafts of all rows are looked along in one forward.
    """

    role = "strategy"
    many = False
    tokens: int
    then: Strategy

    def __post_init__(self) -> None:
        super().__post_init__()
        whole(f"{self.name}(tokens=...)", self.tokens, 1)
        one = isinstance(self.then, Strategy) and type(self.then).run is Strategy.run and self.then.many
        check(one, f"{self.name}(then=...) takes a strategy that grows each row by one token, as greedy or sample; got {self.then}")

    def proposer(self, frontier: Frontier) -> Draft:
        """Who proposes for the only row of a frontier."""
        raise NotImplementedError

    def run(self, frontier: Frontier) -> Asks:
        """Every row that `then` begins with grows by itself."""
        rows = self.then.begin(frontier)
        yield from self.grow(rows) if len(rows) == 1 else _Row(self).run(rows)

    def rank(self, finished: list[Any]) -> list[Any]:
        return self.then.rank(finished)

    @property
    def beside(self) -> int:
        """How many chains are looked along at once."""
        return 1

    def most_texts(self) -> int | None:
        return self.then.most_texts()

    def most_rows(self) -> int | None:
        return times(self.beside, self.then.most_rows())

    def grow(self, frontier: Frontier) -> Asks:
        """Each round: the next token, the drafts after it, one look at them all, and as many commits as hold."""
        draft, coming = self.proposer(frontier), self.then.choose(frontier)
        refused: list[int] = []                                          # drafted in place of what comes
        while True:
            token = int(host(coming.tokens)[0])
            count = min(self.tokens, int(frontier.left[0]) - 1)
            dropped = rejected(frontier, refused) if refused and frontier.records else None
            if count < 1 or token in frontier.end_tokens:                # the text ends here
                yield replace(coming, parents=frontier.rows, dropped=dropped)
                return
            guess = yield from draft.guess(frontier, token, count)
            chains = [[token, *until_end(chain, frontier.end_tokens)] for chain in guess.chains] or [[token]]
            seen, stands = (yield Look(frontier if len(chains) == 1 else frontier.take([0] * len(chains)), chains)).inside()
            after, agreed = self.verify(seen, stands, chains, guess)
            best = int(np.argmax(agreed))
            for depth, at in enumerate(stands[best][: agreed[best] + 1].tolist()):
                here = slice(at, at + 1)
                frontier = yield replace(coming, parents=frontier.rows, seen=seen.take(here), drafted=depth > 0, dropped=dropped)
                if not len(frontier):
                    return
                coming, dropped = part(after, here), None
            shared = [chain for chain in chains if chain[: agreed[best] + 1] == chains[best][: agreed[best] + 1]]
            refused = list(dict.fromkeys(chain[agreed[best] + 1] for chain in shared if len(chain) > agreed[best] + 1))
            tokens = np.asarray(host(after.tokens))
            draft.saw(chains, agreed, [tokens[at] for at in stands])

    def verify(self, seen: Frontier, stands: Sequence[Ints], chains: Sequence[Sequence[int]], guess: Guess) -> tuple[Choice, list[int]]:
        """What comes after every row that was looked at, and how many drafted tokens of each chain hold.

        stands: where in `seen` the rows of each chain are; a chain's first token is certain, the others are drafted.
        """
        after = self.then.choose(seen)
        tokens = np.asarray(host(after.tokens))
        same = [tokens[at[:-1]] == chain[1:] for at, chain in zip(stands, chains, strict=True)]
        return after, [len(s) if s.all() else int(np.argmin(s)) for s in same]


@dataclass(frozen=True)
class _Row(Strategy):
    """One of several rows that a `Drafting` begins with."""

    name, many = "row", False
    drafting: Drafting = field()

    def run(self, frontier: Frontier) -> Asks:
        yield from self.drafting.grow(frontier)

    def __str__(self) -> str:
        return str(self.drafting)


def part(choice: Choice, here: slice) -> Choice:
    """The choice for some of its rows."""
    columns = {name: column[here] for name, column in choice.columns.items()}
    uniform = None if choice.uniform is None else choice.uniform[here]
    return Choice(choice.tokens[here], None, columns=columns, uniform=uniform)


def rejected(frontier: Frontier, tokens: Sequence[int]) -> Dropped:
    """Drafted tokens that did not come, for the record."""
    at, some = np.zeros(len(tokens), np.int64), np.asarray(tokens, np.int64)
    scores = frontier["score"][0] + frontier.pick(at, some)[1]
    return Dropped(some, frontier.rows[at], scores, np.full(len(some), "rejected", dtype=object))


def until_end(chain: Sequence[int], end_tokens: Sequence[int]) -> list[int]:
    """A chain up to its first end token: nothing comes after that."""
    tokens = [int(t) for t in chain]
    return tokens[: next((i + 1 for i, t in enumerate(tokens) if t in end_tokens), len(tokens))]
