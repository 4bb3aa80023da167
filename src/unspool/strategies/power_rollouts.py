"""Power sampling token by token, with estimates of how good the ways on are."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np

from unspool.arrays import INF, Array, Floats, or_zero
from unspool.core.frontier import Frontier
from unspool.core.randomness import draw
from unspool.core.strategy import Ask, Asks, Choice, Look, Strategy
from unspool.errors import number, whole
from unspool.record.step import Hypothesis
from unspool.strategies.power import raised
from unspool.strategies.sample import as_begun


@dataclass(frozen=True)
class PowerRollouts(Strategy):
    """Draw texts whose probability is nearly proportional to p(text) ** alpha, token by token, by looking at ways on from each.

    The law p(text) ** alpha over whole texts gives the next token v a chance in proportion to p(v) ** alpha * z(v), z(v) the sum
    of p(rest) ** alpha over all ways on after v (Ji et al. 2026, arXiv 2601.21590). Here z is estimated, for the likeliest
    `candidates` tokens, by `rollouts` ways on of at most `horizon` tokens each: drawn from temperature(1 / alpha) and weighted by the
    product, over their steps, of the sum of p(v) ** alpha over all tokens v, so that the mean is right. As a quotient of estimates is
    not, the chances are those of the jackknife: rollouts times the chance, less rollouts - 1 times its mean without one of them; below
    0 they are 0.

    The law comes nearer to p(text) ** alpha with more of all three. p is what the processors leave. Unlike power, it streams.

    n: how many texts.
    """

    alpha: float = 4.0
    candidates: int = 8
    rollouts: int = 8
    horizon: int = 16
    n: int = 1

    def __post_init__(self) -> None:
        number("power_rollouts(alpha)", self.alpha, above=0)
        whole("power_rollouts(candidates=...)", self.candidates, 1)
        whole("power_rollouts(rollouts=...)", self.rollouts, 2)
        whole("power_rollouts(horizon=...)", self.horizon, 0)
        whole("power_rollouts(n=...)", self.n, 1)

    def run(self, frontier: Frontier) -> Asks:
        """Each round: ways on from the likeliest tokens, then one of these for each row."""
        frontier = frontier.fork(self.n, "text")
        while len(frontier):
            values, tokens = frontier.top(self.candidates)
            gains = yield from self.futures(frontier, values, tokens)
            logs = self.alpha * values[:, :, None] + gains
            top = or_zero(logs.max((1, 2), keepdims=True))
            share = sharpened(np.exp(logs - top))
            u = frontier.uniform("sample")
            below = np.cumsum(share, -1)
            pick = (below <= (u * below[:, -1])[:, None]).sum(-1).clip(max=share.shape[1] - 1)
            rows = np.arange(len(frontier))
            frontier = yield Choice(tokens[rows, pick], frontier.rows, columns={"text": frontier["text"]}, uniform=u)

    def futures(self, frontier: Frontier, values: Floats, tokens: Array) -> Generator[Ask, Frontier, Floats]:
        """(R, K, rollouts), for ways on after each candidate the logarithms of their weights."""
        at, place = np.nonzero(values > -INF)
        ended = frontier.reasons(at, tokens[at, place]) != ""
        gains = np.where(values > -INF, 0.0, -INF)[:, :, None].repeat(self.rollouts, -1)
        at, place = at[~ended], place[~ended]
        if not len(at) or not self.horizon:
            return gains
        seen = yield Look(frontier.take(at), tokens[at, place])
        seen = seen.take(np.repeat(np.arange(len(at)), self.rollouts))
        seen.columns["lineage"] = seen.lineages                          # so that rollouts of one token part
        which = np.repeat(at, self.rollouts), np.repeat(place, self.rollouts), np.tile(np.arange(self.rollouts), len(at))
        for depth in range(self.horizon):
            scores, total = raised(seen, self.alpha)
            gains[which] += total
            drawn = np.asarray(draw(scores, seen.uniform(f"power_rollouts {depth}")))
            goes_on = np.flatnonzero((total > -INF) & (seen.reasons(np.arange(len(seen)), drawn) == ""))
            if not len(goes_on) or depth + 1 == self.horizon:
                break
            which = which[0][goes_on], which[1][goes_on], which[2][goes_on]
            seen = yield Look(seen.take(goes_on), drawn[goes_on])
        return gains

    def rank(self, finished: list[Hypothesis]) -> list[Hypothesis]:
        """In the order in which they were begun."""
        return as_begun(finished)

    def most_rows(self) -> int:
        return self.n * self.candidates * self.rollouts

    def most_texts(self) -> int:
        return self.n


def sharpened(weights: Floats) -> Floats:
    """Chances in proportion to the mean weight of each candidate, less most of their bias: (R, K, M) -> (R, K)."""
    m, total = weights.shape[-1], weights.sum(-1, keepdims=True)
    whole_share = total[:, :, 0] / or_one(total.sum(1))
    without = (total - weights) / or_one((total - weights).sum(1, keepdims=True))
    found: Floats = (m * whole_share - (m - 1) * without.mean(-1)).clip(min=0.0)
    return np.asarray(np.where(found.sum(-1, keepdims=True) > 0, found, whole_share))


def or_one(x: Floats) -> Floats:
    """Where there is nothing to divide by, 1."""
    return np.asarray(np.where(x > 0, x, 1.0))
