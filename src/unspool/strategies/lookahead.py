"""Lookahead decoding: the model's own parallel guesses are its drafts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from unspool.arrays import Ints
from unspool.core.frontier import Frontier
from unspool.core.strategy import Strategy
from unspool.errors import whole
from unspool.strategies.drafting import ONE_SAMPLE, Draft, Drafting


class Ahead(Draft):
    """Guesses of the tokens ahead, `width` of them side by side, and the n-grams that were seen among them.

    Level 0 holds a guess for each of the next positions; level l + 1 what came, in a round, after the chain that ends at level l.
    A column read down the levels is an n-gram, each of whose tokens was made of those before it: so goes a Jacobi iteration.
    """

    def __init__(self, text: Ints, width: int, n: int, candidates: int) -> None:
        self.levels: list[list[int]] = [[int(text[-1 - i % len(text)]) for i in range(width)]]
        self.n, self.candidates = n, candidates
        self.pool: dict[int, list[tuple[int, ...]]] = {}

    def chains(self, text: Ints, count: int) -> Sequence[Sequence[int]]:
        """N-grams from the pool that begin with the newest token, the latest first; then every column of the window."""
        known = [list(gram[:count]) for gram in self.pool.get(int(text[-1]), [])[::-1]]
        guessed = [[*self.levels[0][: column + 1], *(level[column] for level in self.levels[1:])] for column in self.columns]
        return [*known, *(chain[:count] for chain in guessed)]

    @property
    def columns(self) -> range:
        return range(len(self.levels[0]))

    def saw(self, chains: Sequence[Sequence[int]], held: Sequence[int], nexts: Sequence[Ints]) -> None:
        """The window's next level; where there are enough levels its columns are n-grams, and the oldest level goes."""
        new = [int(after[-1]) for after in nexts[-len(self.columns) :]]
        self.levels.append(new)
        if len(self.levels) < self.n:
            return
        for column in self.columns:
            first, *rest = (level[column] for level in self.levels)
            grams = self.pool.setdefault(first, [])
            if tuple(rest) in grams:
                grams.remove(tuple(rest))
            grams.append(tuple(rest))
            del grams[: -self.candidates]
        del self.levels[0]


@dataclass(frozen=True)
class Lookahead(Drafting):
    """Write as `then` does, sample or greedy, with n-grams from the model's own parallel guesses of what lies ahead as drafts.

    In each forward the model also reads `width` chains of guesses of the next tokens, and what comes after each is the next guess
    (Jacobi iteration); guesses of `n` rounds make an n-gram. Up to `candidates` n-grams that begin with the newest token are drafts
    (Fu, Bailis, Stoica and Zhang 2024, arXiv 2402.02057). It needs no second model, and asks for width * (width / 2 + n) +
    candidates * n tokens in each forward in place of one: it pays only where those cost next to nothing, as on a large
    accelerator. There the guesses share their beginnings by a mask, here each chain has its own. The text is that of `then` to the token.
    """

    n: int = 4
    width: int = 5
    then: Strategy = ONE_SAMPLE
    candidates: int = 5

    def __post_init__(self) -> None:
        whole("lookahead(n)", self.n, 2)
        whole("lookahead(width=...)", self.width, 1)
        whole("lookahead(candidates=...)", self.candidates, 1)
        super().__post_init__()

    @property
    def tokens(self) -> int:  # type: ignore[override]
        """The most that a chain holds."""
        return self.width + self.n

    @property
    def beside(self) -> int:
        return self.width + self.candidates

    def proposer(self, frontier: Frontier) -> Draft:
        return Ahead(frontier.tokens(0), self.width, self.n, self.candidates)
