"""Arithmetic sampling: n texts from n even points of the unit interval."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unspool.arrays import Array, Floats, Ints, host
from unspool.core.frontier import Frontier
from unspool.core.strategy import Choice, Strategy
from unspool.errors import whole
from unspool.record.step import Hypothesis
from unspool.strategies.sample import as_begun

FINEST, COARSEST = 2.0**-53, 2.0**-24
"""A code is known to so much when it is drawn; where it is known to less, digits are drawn below what is known."""


@dataclass(frozen=True)
class Arithmetic(Strategy):
    """Draw n texts that spread over the model's distribution, from n even points of the unit interval.

    Arithmetic coding gives every text a slice of [0, 1) as long as its probability, in the order of its tokens. The i-th text is the
    one whose slice holds the code (u + i / n) mod 1, with one u drawn for all (Vilnis et al. 2023, arXiv 2210.15458). So each is
    distributed as a text of sample is, and a mean over the n texts has the same expectation; but of the n texts floor(n * p) or
    ceil(n * p) begin with a beginning of probability p, so there are fewer doubles, and means over texts vary less. All texts
    are drawn in parallel, and none waits for another.

    At every step the token is the one whose slice holds the code, and the code becomes its place within the slice, in float64. Where
    fewer than 24 of its bits would be left, fresh ones are drawn below them, so texts of any length have their probability.
    """

    n: int

    def __post_init__(self) -> None:
        whole("arithmetic(n)", self.n, 1)

    def begin(self, frontier: Frontier) -> Frontier:
        """Every prompt n times, each with its code."""
        start = np.repeat(frontier.uniform("arithmetic"), self.n)
        frontier = frontier.fork(self.n, "text")
        frontier.columns["code"] = (start + frontier["text"] / self.n) % 1.0
        frontier.columns["grain"] = np.full(len(frontier), FINEST)
        return frontier

    def choose(self, frontier: Frontier) -> Choice:
        """The token whose slice holds each row's code."""
        code, grain = renewed(frontier["code"], frontier["grain"], frontier.uniform("arithmetic digits"))
        tokens, place, length = sliced(frontier.logprobs, code)
        columns = {"text": frontier["text"], "code": place, "grain": grain / length}
        return Choice(tokens, frontier.rows, columns=columns, uniform=code)

    def rank(self, finished: list[Hypothesis]) -> list[Hypothesis]:
        """In the order of their numbers."""
        return as_begun(finished)

    def most_rows(self) -> int:
        return self.n

    def most_texts(self) -> int:
        return self.n


def sliced(logprobs: Array, codes: Floats) -> tuple[Ints, Floats, Floats]:
    """The token whose slice holds each code, the code's place within the slice and the slice's length: logprobs (R, V) -> three (R,)."""
    p = np.exp(host(logprobs).astype(np.float64))
    above = np.cumsum(p, -1)
    mass, aim = np.maximum(above[:, -1], 1e-300), codes * above[:, -1]
    tokens = (above <= aim[:, None]).sum(-1)
    last = p.shape[-1] - 1 - (p[:, ::-1] > 0).argmax(-1)                 # rounding never leaves the support
    tokens, rows = np.minimum(tokens, last), np.arange(len(p))
    length = np.where(p[rows, tokens] > 0, p[rows, tokens], 1.0)
    start = np.where(tokens > 0, above[rows, tokens - 1], 0.0)
    return tokens, ((aim - start) / length).clip(0.0, 1 - FINEST), length / mass


def renewed(codes: Floats, grains: Floats, fresh: Floats) -> tuple[Floats, Floats]:
    """Codes and what they are known to, with digits from `fresh` below that where it has become coarse."""
    coarse = grains > COARSEST
    cells = np.where(coarse, 2.0 ** np.ceil(np.log2(grains)).clip(max=0.0), 1.0)
    renewal = (np.floor(codes / cells) + fresh) * cells
    return np.where(coarse, np.minimum(renewal, 1 - FINEST), codes), np.where(coarse, FINEST, grains)
