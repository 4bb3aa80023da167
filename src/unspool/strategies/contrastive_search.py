"""Contrastive search: likely, but unlike what was said before."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unspool.arrays import Array, Floats, namespace
from unspool.core.frontier import Frontier
from unspool.core.strategy import Asks, Choice, Look, Strategy
from unspool.errors import number, whole


@dataclass(frozen=True)
class ContrastiveSearch(Strategy):
    """Of the k likeliest tokens v take argmax (1 - alpha) p(v) - alpha max_j cos(h_v, h_j).

    h_v is the final hidden state at v, h_j those of all tokens before it, prompt included (Su et al. 2022, arXiv 2202.06417).
    """

    needs = frozenset({"hidden"})
    k: int = 4
    alpha: float = 0.6

    def __post_init__(self) -> None:
        whole("contrastive_search(k)", self.k, 1)
        number("contrastive_search(alpha=...)", self.alpha, 0, 1)

    def run(self, frontier: Frontier) -> Asks:
        """Look at k tokens of every row, keep one."""
        while len(frontier):
            values, tokens = frontier.top(self.k)
            k = tokens.shape[1]
            seen = yield Look(frontier.take(np.repeat(np.arange(len(frontier)), k)), tokens.ravel())
            near = likeness(frontier, seen.hidden(), k)
            score = np.where(values > -np.inf, (1 - self.alpha) * np.exp(values) - self.alpha * near, -np.inf)
            best = score.argmax(-1)
            pick = np.arange(len(frontier)) * k + best
            rows = np.arange(len(frontier))
            frontier = yield Choice(tokens[rows, best], frontier.rows, score[rows, best], seen=seen.take(pick))

    def most_rows(self) -> int:
        return self.k

    def most_texts(self) -> int:
        return 1


def likeness(frontier: Frontier, states: Array, k: int) -> Floats:
    """(R, k), for each of k states after a row the largest cosine with those of the row's tokens; states (R * k, E)."""
    contexts = [frontier.hidden_before(i) for i in range(len(frontier))]
    return np.asarray([[_cosine(states[i * k + j], context) for j in range(k)] for i, context in enumerate(contexts)])


def _cosine(state: Array, context: Array) -> float:
    xp = namespace(state)
    norms = xp.sqrt(xp.sum(context * context, axis=-1)) * xp.sqrt(xp.sum(state * state))
    return float(xp.max(context @ state / norms))
