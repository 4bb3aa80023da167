"""Stochastic beam search: n different texts, drawn without replacement."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace

import numpy as np

from unspool.arrays import Floats, host, topk
from unspool.core.frontier import Frontier
from unspool.core.randomness import gumbel
from unspool.core.strategy import Asks, Choice, Strategy
from unspool.errors import UnspoolError, whole
from unspool.record.step import Hypothesis
from unspool.record.trace import Trace


@dataclass(frozen=True)
class StochasticBeam(Strategy):
    """Draw n different texts without replacement: as if texts were sampled one by one and each were ruled out once drawn.

    Every text's log-probability is perturbed by a Gumbel number of its own, and the n largest sums are the sample, in the
    order of drawing. The sums are drawn from the top of the tree down: those of a row's children have the row's own as their
    maximum, so a beam search that ranks by them finds the largest (Kool, van Hoof and Welling 2019, arXiv 1903.06059). One
    text more than n is searched: its sum is the threshold of `importance_weights`.

    The texts are drawn from the distribution that the processors leave. The sample for a smaller n is the beginning of it.
    """

    streams = False
    joins = True
    n: int

    def __post_init__(self) -> None:
        whole("stochastic_beam(n)", self.n, 1)

    def run(self, frontier: Frontier) -> Asks:
        """Grow the rows of all prompts together, each prompt's largest sums at a time."""
        best: dict[int, list[float]] = defaultdict(list)                 # of each prompt the largest sums that finished
        frontier = self.begin(frontier)
        while len(frontier):
            frontier = yield self.choose_among(frontier, best)

    def begin(self, frontier: Frontier) -> Frontier:
        """The root's sum is drawn; it is the score of its row, as those of all rows are theirs."""
        frontier = frontier.take(slice(None))
        frontier.columns["score"] = gumbel(frontier.uniform("stochastic_beam root"))
        return frontier

    def choose_among(self, frontier: Frontier, best: dict[int, list[float]]) -> Choice:
        """The children of one round; `best` is updated."""
        many = self.n + 1
        found = frontier.candidates(*topk(perturbed(frontier, frontier["score"]), many))
        larger = np.zeros(len(found), np.int64)                          # finished texts of larger sums
        for group in np.unique(found.group):
            mine, known = found.group == group, np.sort(best[group])
            larger[mine] = len(known) - np.searchsorted(known, found.score[mine], side="right")
        taken = found.rank + larger < many
        dropped = found.dropped(~taken) if frontier.records else None
        found = found.take(taken)
        reasons = frontier.reasons(found.at, found.tokens)
        for group, score in zip(found.group[reasons != ""], found.score[reasons != ""], strict=True):
            best[group] = sorted([*best[group], score], reverse=True)[:many]
        return Choice(found.tokens, found.parents, found.score, reasons, dropped=dropped)

    def most_rows(self) -> int:
        return self.n + 1

    def most_texts(self) -> int:
        return self.n

    def rank(self, finished: list[Hypothesis]) -> list[Hypothesis]:
        """The n of the largest sums, each with the log-probability that its own exceeds the threshold."""
        found = sorted(finished, key=lambda h: -h.score)
        threshold = found[self.n].score if len(found) > self.n else -np.inf
        return [replace(h, columns=h.columns | {"log_inclusion": log_inclusion(sum(h.processed) - threshold)}) for h in found[: self.n]]


def perturbed(frontier: Frontier, top: Floats) -> Floats:
    """(R, V), for every child its log-probability plus Gumbel noise, given that the largest of a row's is `top` (R,)."""
    u = frontier.uniform("stochastic_beam", np.arange(frontier.vocabulary))
    noisy = frontier["processed"][:, None] + host(frontier.logprobs).astype(np.float64) + gumbel(u)
    possible = noisy > -np.inf
    gap = np.where(possible, noisy.max(-1, keepdims=True, initial=-np.inf), 0.0) - np.where(possible, noisy, 0.0)
    with np.errstate(divide="ignore"):
        below = top[:, None] - np.where(possible, noisy, 0.0) + np.log(-np.expm1(-gap))
    return np.where(possible, top[:, None] - np.logaddexp(0.0, below), -np.inf)


def log_inclusion(excess: float) -> float:
    """log(1 - exp(-exp(excess))): of the event that a text's sum exceeds the threshold, its log-probability less the threshold."""
    return excess if excess < -40 else float(np.log(-np.expm1(-np.exp(min(excess, 40.0)))))


def importance_weights(trace: Trace) -> Floats:
    """The weights under which a sample without replacement estimates a mean: p(text) / q(text), (n,).

    Of `stochastic_beam` q is the probability that a text's sum exceeds the threshold (column log_inclusion; Kool et al. 2019, arXiv
    1903.06059), of `conditional_poisson_beam` the product of the chances with which its beginnings were kept (column log_kept). Of both
    sum(weights * f) estimates the expectation of f over all texts without bias; sum(weights * f) / sum(weights) is biased a
    little and varies less.
    """
    found = trace.hypotheses[0]
    name = next((name for name in ("log_inclusion", "log_kept") if all(name in h.columns for h in found)), None)
    if name is None:
        decoder = trace.recipe.get("decoder", "another decoder")
        raise UnspoolError(f"importance weights need a trace of stochastic_beam or conditional_poisson_beam; this one is of {decoder}")
    return np.exp([sum(h.processed) - h.columns[name] for h in found])
