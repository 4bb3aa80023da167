"""Conditional Poisson beams: beam search that draws the texts it keeps, in place of taking the best."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from unspool.arrays import Floats, Ints, host, topk
from unspool.core.frontier import Frontier
from unspool.core.randomness import draw
from unspool.core.strategy import Asks, Choice, Dropped, Strategy
from unspool.errors import number, whole
from unspool.record.step import Hypothesis

NEARLY_ONE = 2.0**-52
"""What a probability lacks of 1 at least, so that odds are finite."""
COLDEST = 1e-8
"""Below this annealing rounding would decide what the chances are; the best are kept long before."""


@dataclass(frozen=True)
class ConditionalPoissonBeam(Strategy):
    """Draw n different texts by a beam search that keeps a random set of the continuations at every length, in place of the best.

    A set of n continuations is kept with a probability proportional to the product of their odds p / (1 - p), where p is the
    probability of the text so far: the conditional Poisson design (Meister, Amini, Vieira and Cotterell 2021, arXiv 2109.11034). A text
    that has ended keeps its place, and the others are drawn for those that are left. Where no more continuations are possible than
    places, all are kept.

    The chance with which a continuation was kept, given those that there were, is exact; the column log_kept holds the logarithm of
    their product along a text. Each text, weighted by p(text) over that product, makes sums without bias: `importance_weights`.
    """

    streams = False
    joins = True
    n: int
    annealing: float = 1.0

    def __post_init__(self) -> None:
        whole("conditional_poisson_beam(n)", self.n, 1)
        number("conditional_poisson_beam(annealing=...)", self.annealing, above=0)

    def run(self, frontier: Frontier) -> Asks:
        """Grow the rows of all prompts together."""
        ended: Counter[int] = Counter()                                  # of each prompt the texts that keep their place
        frontier = self.begin(frontier)
        while len(frontier):
            frontier = yield self.choose_among(frontier, ended)

    def begin(self, frontier: Frontier) -> Frontier:
        """Nothing was drawn yet."""
        frontier = frontier.take(slice(None))
        frontier.columns["log_kept"] = np.zeros(len(frontier))
        return frontier

    def choose_among(self, frontier: Frontier, ended: Counter[int]) -> Choice:
        """The children of one round; `ended` is updated."""
        totals = frontier["processed"][:, None] + host(frontier.logprobs).astype(np.float64)      # (R, V)
        at, tokens, kept = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], [np.zeros(0)]
        for prompt in dict.fromkeys(frontier["prompt"].tolist()):
            rows = np.flatnonzero(frontier["prompt"] == prompt)
            chosen, chances = self.kept(frontier.take(rows[:1]), totals[rows].ravel(), self.n - ended[prompt])
            at.append(rows[chosen // frontier.vocabulary])
            tokens.append(chosen % frontier.vocabulary)
            kept.append(chances)
        all_at, all_tokens = np.concatenate(at), np.concatenate(tokens)
        reasons = frontier.reasons(all_at, all_tokens)
        ended.update(frontier["prompt"][all_at[reasons != ""]].tolist())
        log_kept = frontier["log_kept"][all_at] + np.concatenate(kept)
        dropped = self.dropped(frontier, totals, all_at, all_tokens) if frontier.records else None
        return Choice(all_tokens, frontier.rows[all_at], totals[all_at, all_tokens], reasons, {"log_kept": log_kept}, dropped=dropped)

    def dropped(self, frontier: Frontier, totals: Floats, at: Ints, tokens: Ints) -> Dropped:
        """The likeliest continuations that were not drawn."""
        best = frontier.candidates(*topk(totals, min(2 * self.n, frontier.vocabulary)))
        taken = set(zip(frontier.rows[at].tolist(), tokens.tolist(), strict=True))
        pairs = zip(best.parents.tolist(), best.tokens.tolist(), strict=True)
        return best.dropped(np.asarray([pair not in taken for pair in pairs], bool), "not drawn")

    def kept(self, first: Frontier, totals: Floats, places: int) -> tuple[Ints, Floats]:
        """Which of a prompt's continuations are kept, and the logarithms of their chances; first: a frontier of its first row."""
        possible = np.flatnonzero(totals > -np.inf)
        log_p, places = totals[possible], min(places, len(possible))
        odds = (log_p - np.log(np.maximum(-np.expm1(log_p), NEARLY_ONE))) / max(self.annealing, COLDEST)
        uniforms = first.uniform("conditional_poisson_beam", np.arange(places * (len(possible).bit_length() + 1)))[0]
        chosen, chances = conditional_poisson(odds, places, uniforms)
        return possible[chosen], chances

    def most_rows(self) -> int:
        return self.n

    def rank(self, finished: list[Hypothesis]) -> list[Hypothesis]:
        """By log-probability."""
        return sorted(finished, key=lambda h: -h.score)


def conditional_poisson(log_weights: Floats, size: int, uniforms: Floats) -> tuple[Ints, Floats]:
    """A set of so many different items, with a probability proportional to the product of its weights.

    -> (size,) items, ascending, and (size,) the logarithms of the probabilities that each is in such a set. Every node of a binary
    tree over the items holds the sums of the products of weights over all sets of 0, 1, 2 ... of its leaves; from the root down it is
    drawn how many of the set lie on either side. uniforms: at least `size` for each level.
    """
    leaves = np.full((1 << max(len(log_weights) - 1, 0).bit_length(), 2), -np.inf)
    leaves[:, 0], leaves[: len(log_weights), 1] = 0.0, log_weights
    levels = [leaves]
    while len(levels[-1]) > 1:
        levels.append(products(levels[-1][::2], levels[-1][1::2], size))
    total = levels[-1][0, size]
    inside = [(0, size, np.zeros(1))] if size else []                    # (node, how many, sums over the leaves that are not its own)
    draws = iter(uniforms.tolist())
    for sums in levels[-2::-1]:
        below = []
        for node, many, outside in inside:
            left, right = sums[2 * node], sums[2 * node + 1]
            fits = np.arange(max(0, many - len(right) + 1), min(many, len(left) - 1) + 1)
            first = int(fits[draw((left[fits] + right[many - fits])[None], np.asarray([next(draws)]))[0]])
            for child, count, sibling in ((2 * node, first, right), (2 * node + 1, many - first, left)):
                if count:
                    below.append((child, count, products(outside[None], sibling[None], size)[0]))
        inside = below
    items = np.asarray([node for node, _, _ in inside], np.int64)
    chances = [log_weights[node] + outside[size - 1] - total for node, _, outside in inside]
    return items, np.minimum(np.asarray(chances, np.float64), 0.0)


def products(one: Floats, other: Floats, most: int) -> Floats:
    """Products of polynomials (N, D) whose coefficients are given by their logarithms, up to a degree."""
    found = np.full((len(one), min(one.shape[1] + other.shape[1] - 2, most) + 1), -np.inf)
    for k in range(min(one.shape[1], found.shape[1])):
        width = min(other.shape[1], found.shape[1] - k)
        found[:, k : k + width] = np.logaddexp(found[:, k : k + width], one[:, k : k + 1] + other[:, :width])
    return found
