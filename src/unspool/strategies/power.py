"""Power sampling: texts in proportion to a power of their probability."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace

import numpy as np

from unspool.arrays import INF, Floats, host, logsumexp
from unspool.core.frontier import Frontier
from unspool.core.randomness import draw
from unspool.core.strategy import Ask, Asks, Choice, Each, Look, Strategy
from unspool.errors import number, whole
from unspool.stops.limits import MaxTime

OUT_OF_TIME = MaxTime.reason
"""Why a text ends when there is no time for more moves either."""


@dataclass
class ChainText:
    """A text of the chain, of tokens that are only looked at."""

    tokens: list[int]
    places: list[Frontier]
    """The frontier before each token, and the one after the last if the text goes on."""
    sums: list[float]
    """Before each token, log of the sum over tokens of p(token) ** alpha."""
    reason: str = ""
    """Why it has ended, if it has."""
    dead: bool = False
    """Whether the processors left nothing to go on with."""


@dataclass(frozen=True)
class Power(Strategy):
    """Draw texts whose probability is proportional to p(text) ** alpha, over whole texts, by a Markov chain over their endings.

    temperature(1 / alpha) sharpens every step by itself, and so prefers many fair ways on to one very good one; p(text) ** alpha
    over all texts weighs how likely the whole text is. The chain holds one text. A move takes it back to one of its tokens, each as
    likely, and draws a new ending from temperature(1 / alpha); the new text x' takes the place of x with the chance min(1, r), the
    rule of Metropolis and Hastings, where r = (Z(x') / Z(x)) * (len(x) / len(x')), Z the product, over the tokens of the ending, of the
    sums of p(v) ** alpha over all tokens v (Karan and Du 2025, arXiv 2510.14901). p is what the processors leave.

    The text grows by `block` tokens at a time, with `moves` moves each time; once it has ended, or reached the limit, the last moves
    may be of any length. The law comes nearer to p(text) ** alpha with every move, and is that of temperature(1 / alpha) at moves=0.
    Texts are known when their chain is over, which is after the move at which max_time ends a text; the share of moves that were taken
    is the column `taken` of the record, and `work` counts them.

    n: how many texts, each of a chain of its own.
    """

    many = False
    streams = False
    alpha: float = 4.0
    moves: int = 10
    block: int = 32
    n: int = 1

    def __post_init__(self) -> None:
        number("power(alpha)", self.alpha, above=0)
        whole("power(moves=...)", self.moves, 0)
        whole("power(block=...)", self.block, 1)
        whole("power(n=...)", self.n, 1)

    def run(self, frontier: Frontier) -> Asks:
        """A chain for each text, all at once; then its last text is committed."""
        if self.n > 1:
            yield Each(frontier.take(np.zeros(self.n, np.int64)), replace(self, n=1))
            return
        limit, taken, made, late = int(frontier.left[0]), 0, 0, ""
        text, bound = ChainText([], [frontier], []), 0
        while True:
            bound = limit if text.reason else min(bound + self.block, limit)
            whole_text = text.reason or bound == limit
            if not text.reason:
                text = yield from self.grown(text, len(text.tokens), bound, 0)
            if text.dead:
                return
            for _ in range(self.moves):
                if OUT_OF_TIME in (text.reason, late):
                    break
                made += 1
                where, chance = frontier.uniform("power move", np.asarray([2 * made, 2 * made + 1]))[0]
                at = int(where * len(text.tokens))
                other = yield from self.grown(text, at, bound, made)
                late = other.reason
                frontier.count("moves")
                if not other.dead and chance < np.exp(min(0.0, ratio(text, other, at))):
                    text, taken = other, taken + 1
                    frontier.count("moves taken")
            if whole_text and text.reason:
                break
        share, last = np.asarray([taken / max(made, 1)]), len(text.tokens) - 1
        for i, token in enumerate(text.tokens):
            seen = text.places[i + 1] if i + 1 < len(text.tokens) else None
            reason = [text.reason if i == last else ""]                  # as it was when the token was drawn
            frontier = yield Choice([token], frontier.rows, reasons=reason, seen=seen, columns={"taken": share})

    def most_rows(self) -> int:
        return self.n

    def most_texts(self) -> int:
        return self.n

    def grown(self, text: ChainText, at: int, bound: int, move: int) -> Generator[Ask, Frontier, ChainText]:
        """The text with new tokens from position `at` on, until it ends or has `bound` tokens."""
        new = ChainText(text.tokens[:at], text.places[: at + 1], text.sums[:at])
        while len(new.tokens) < bound:
            here = new.places[-1]
            scores, (total,) = raised(here, self.alpha)
            if not total > -INF:
                return replace(new, dead=True)
            token = int(draw(scores, here.uniform("power", np.asarray([move]))[:, 0])[0])
            new.tokens.append(token)
            new.sums.append(float(total))
            if reason := str(here.reasons(np.zeros(1, np.int64), np.asarray([token]))[0]):
                return replace(new, reason=reason)
            new.places.append((yield Look(here, [[token]])))
        return new


def ratio(old: ChainText, new: ChainText, at: int) -> float:
    """log r of a move that draws the tokens from position `at` on anew."""
    lengths = np.log(len(old.tokens)) - np.log(len(new.tokens))
    return float(sum(new.sums[at:]) - sum(old.sums[at:]) + lengths)


def raised(frontier: Frontier, alpha: float) -> tuple[Floats, Floats]:
    """alpha * log p(v) after each row, (R, V), and log of the sum of p(v) ** alpha, (R,)."""
    scores = host(frontier.logprobs).astype(np.float64) * alpha
    return scores, logsumexp(scores)[:, 0]
