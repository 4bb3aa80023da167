"""Speculative decoding: a small model drafts, the large one checks several tokens in one forward."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from unspool.arrays import Array, host, log_softmax, namespace
from unspool.core.frontier import Frontier
from unspool.core.model import Model, as_model
from unspool.core.randomness import draw
from unspool.core.strategy import Asks, Choice, Look, Strategy, Twin
from unspool.errors import whole


@dataclass(frozen=True)
class Speculative(Strategy):
    """Draw as `sample(1)` does, with the draft model's guesses checked `tokens` at a time.

    A drafted token x is kept with probability min(1, p(x) / q(x)); otherwise the text goes on with a draw from the
    normalised (p - q)+ (Leviathan, Kalman and Matias 2023, arXiv 2211.17192; Chen et al. 2023, arXiv 2302.01318). Both
    distributions are processed alike, so the text is distributed exactly as without the draft, and is equal to greedy
    search's under temperature(0).
    """

    many = False
    draft: Model
    tokens: int = 4

    def __post_init__(self) -> None:
        object.__setattr__(self, "draft", as_model(self.draft, "speculative(draft)"))
        whole("speculative(tokens=...)", self.tokens, 1)

    def run(self, frontier: Frontier) -> Asks:
        """Each round: one certain token, the drafts after it, one look at them all, and as many commits as hold."""
        token = _draw(frontier.scores, frontier, "sample")
        while True:
            count = min(self.tokens, int(frontier.left[0]) - 1)
            guess = yield Twin(frontier, self.draft)
            guess = yield Look(guess, [[token]])
            chain, drafted = [token], []
            for _ in range(count):
                q = log_softmax(guess.scores)
                chain.append(_draw(q, guess, "draft"))
                drafted.append(q)
                if len(drafted) < count:
                    guess = yield Look(guess, [[chain[-1]]])
            seen = yield Look(frontier, [chain])
            for depth, token in enumerate(chain):
                frontier = yield Choice([token], frontier.rows, seen=seen.at(depth))
                if not len(frontier):
                    return
                if depth == len(drafted):
                    token = _draw(frontier.scores, frontier, "sample")
                    break
                p, q, x = log_softmax(frontier.scores), drafted[depth], chain[depth + 1]
                if frontier.uniform("accept")[0] >= np.exp(min(0.0, _at(p, x) - _at(q, x))):
                    token = _draw(_residual(p, q), frontier, "residual")
                    break


def _residual(p: Array, q: Array) -> Array:
    """log (p - q)+; p itself where rounding leaves nothing."""
    xp = namespace(p)
    rest = xp.clip(xp.exp(p) - xp.exp(q), 0, None)
    log = xp.where(rest > 0, xp.log(xp.where(rest > 0, rest, xp.ones_like(rest))), -xp.inf)
    return xp.where(xp.sum(rest) > 0, log, p)


def _draw(scores: Array, frontier: Frontier, purpose: str) -> int:
    return int(host(draw(scores, frontier.uniform(purpose)))[0])


def _at(logprobs: Array, token: int) -> Any:
    return float(logprobs[0, token])
