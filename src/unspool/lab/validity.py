"""Masked sampling beside p(text | valid): what a constraint makes of a model's distribution."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from unspool.arrays import INF, Floats, host
from unspool.core.decoder import Decoder, Part, as_decoder
from unspool.core.frontier import Frontier
from unspool.core.strategy import Asks, Choice, Strategy
from unspool.errors import DeadEnd, ParameterError, check
from unspool.language_model import LanguageModel
from unspool.output import GeneratedText
from unspool.strategies.sequential_monte_carlo import WHOLE, SequentialMonteCarlo
from unspool.text import visible

TEXTS_AT_ONCE = 64
"""Rows that are enumerated at once."""


@dataclass(frozen=True)
class Validity:
    """Valid texts, each with its probability under masked sampling, q, and the weight p / q that makes it the model's, p.

    A text here is a sequence of tokens. What masked sampling does beside is invalid: it was cut or could not go on.
    """

    texts: list[str]
    masked: Floats
    """(N,), q(text)."""
    log_weights: Floats
    """(N,), log p(text) - log q(text)."""
    exact: bool
    """Whether these are all valid texts; otherwise they were drawn by masked sampling, and q is their share of the draws."""

    @cached_property
    def valid(self) -> float:
        """p(valid), the model's probability of all valid texts together."""
        return float((self.masked * np.exp(self.log_weights)).sum())

    @property
    def given_valid(self) -> Floats:
        """(N,), p(text | valid)."""
        return np.asarray(self.masked * np.exp(self.log_weights) / self.valid)

    @property
    def invalid(self) -> float:
        """The probability that masked sampling does not come to the end of a valid text."""
        return max(0.0, round(1 - float(self.masked.sum()), 9))

    @property
    def divergence(self) -> float:
        """KL divergence of p(text | valid) from masked sampling, in nats: sum p(text | valid) log(p(text | valid) / q(text))."""
        p = self.given_valid
        return float((p[p > 0] * np.log(p[p > 0] / self.masked[p > 0])).sum())

    @property
    def total_variation(self) -> float:
        """The largest difference between the two distributions in the probability of any set of outcomes, in [0, 1]."""
        return float(np.abs(self.given_valid - self.masked).sum() + self.invalid) / 2

    @property
    def effective(self) -> float:
        """The share of masked samples that are worth as much as samples of p(text | valid): p(valid)**2 / E_q[weight**2]."""
        return self.valid**2 / float((self.masked * np.exp(2 * self.log_weights)).sum())

    def by_text(self) -> dict[str, tuple[float, float]]:
        """For each text, however its tokens are cut, (q(text), p(text | valid)); the likeliest given that it is valid first."""
        sums: dict[str, Floats] = {}
        for text, *pair in zip(self.texts, self.masked, self.given_valid, strict=True):
            sums[text] = sums.get(text, np.zeros(2)) + pair
        return {text: (float(q), float(p)) for text, (q, p) in sorted(sums.items(), key=lambda item: -item[1][1])}

    def table(self, rows: int = 10) -> str:
        """The likeliest valid texts by both distributions, and how far these are apart."""
        lines = [f"{'masked':>8} {'p(·|valid)':>10}  text"]
        pairs = self.by_text()
        lines += [f"{q:8.1%} {p:10.1%}  {visible(text.encode())!r}" for text, (q, p) in list(pairs.items())[:rows]]
        if len(pairs) > rows:
            q, p = np.sum(list(pairs.values())[rows:], axis=0)
            lines.append(f"{q:8.1%} {p:10.1%}  {len(pairs) - rows} others")
        if self.invalid > 0:
            lines.append(f"{self.invalid:8.1%} {'':10}  not valid")
        numbers = f"divergence {self.divergence:.3f} nats, total variation {self.total_variation:.3f}"
        how = "exact" if self.exact else "estimated"
        return "\n".join([*lines, f"p(valid) {self.valid:.3g}, {numbers}, effective share {self.effective:.1%} ({how})"])


def enumerate_validity(lm: LanguageModel, prompt: str, constraint: Any, *, most: int = 10_000, **options: Any) -> Validity:
    """All valid texts of a constraint that allows few, exactly.

    constraint: processors, as a Decoder without a strategy or its text form. most: how many texts there may be.
    options: those of `LanguageModel.stream`, such as max_new_tokens; a text that reaches the limit before its end is not valid.
    """
    found = lm.generate(prompt, _processors(constraint) | _All(most), level="off", **options).sequences
    whole = [s for s in found if s.reason in WHOLE]
    if not whole:
        raise DeadEnd(f"no text of {as_decoder(constraint)} is at its end within the limit on length: raise max_new_tokens")
    masked = np.exp([sum(s.processed) for s in whole])
    return _validity(whole, masked, np.asarray([s.logprob - sum(s.processed) for s in whole]), True)


def estimate_validity(lm: LanguageModel, prompt: str, constraint: Any, *, draws: int = 1000, **options: Any) -> Validity:
    """The same by `draws` texts of masked sampling, each with its importance weight.

    p(valid) is estimated without bias; the divergence comes out too low where few draws hold most of the weight.
    """
    sampler = SequentialMonteCarlo(draws, draws, resample=0)
    found = lm.generate(prompt, _processors(constraint) | sampler, level="off", **options).sequences
    log_weights = np.asarray([s.score for s in found]) + np.log(draws)
    return _validity(found, np.full(len(found), 1 / draws), log_weights, False)


def _validity(found: list[GeneratedText], masked: Floats, log_weights: Floats, exact: bool) -> Validity:
    return Validity([s.text for s in found], masked, log_weights, exact)


def _processors(constraint: Decoder | Part | str) -> Decoder:
    decoder = as_decoder(constraint)
    check(decoder.strategy is None, f"a constraint is processors and stops, without a strategy; got {decoder}")
    return decoder


@dataclass(frozen=True)
class _All(Strategy):
    """Every possible text, as long as there are not too many."""

    streams = False
    most: int

    def run(self, frontier: Frontier) -> Asks:
        """Extend rows by all tokens that are possible, the newest rows first, so that few are alive."""
        queue: list[tuple[int, int]] = []                                # (row, token)
        ended = 0
        while True:
            if len(frontier):
                at, tokens = np.nonzero(host(frontier.scores) > -INF)
                queue += zip(frontier.rows[at].tolist(), tokens.tolist(), strict=True)
            if ended + len(queue) > self.most:
                raise ParameterError(
                    f"there are more than {self.most} texts, counting each way to spell one in tokens: allow fewer, raise most=, or "
                    "use estimate_validity"
                )
            now, queue = queue[-TEXTS_AT_ONCE:], queue[:-TEXTS_AT_ONCE]
            if not now:
                return
            rows, chosen = zip(*now, strict=True)
            frontier = yield Choice(chosen, rows, waits=list(dict.fromkeys(row for row, _ in queue)))
            ended += len(now) - len(frontier)
