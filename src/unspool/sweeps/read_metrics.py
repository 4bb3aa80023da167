"""Metrics of next-token distributions along a given text: what the processors leave of them, and how well that fits the text.

Each is a value of sums over positions, so texts can be resampled, as with `lab.registry`. q is the distribution that the processors leave
before a token, y the token that came.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from functools import cached_property

import numpy as np

from unspool.arrays import INF, Array, Floats, Ints, host, logsumexp, or_zero, summed
from unspool.core.few import Few, FewOrWhole
from unspool.lab.registry import Metric, ratio

SMOOTHED = 0.01
"""The probability that epsilon_perplexity spreads over the whole vocabulary."""
PER_TOKEN = "pooled: sums over all tokens of all texts are added, then divided"


class Positions:
    """What the processors leave before R tokens of a text, number by number, each computed when it is first read: (R,), float64."""

    def __init__(self, left: FewOrWhole, logits: Array, total: Array, tokens: Ints, vocabulary: int) -> None:
        """left: the scores after the processors; logits (R, V), total (R, 1): the model's own; tokens (R,): those that came."""
        self.few = left if isinstance(left, Few) else None
        self.scores = host(self.few.scores if self.few else left)
        self.logits, self.model_total, self.tokens, self.vocabulary = logits, host(total), tokens, vocabulary

    @cached_property
    def one(self) -> Floats:
        return np.ones(len(self.tokens))

    @cached_property
    def own(self) -> Floats:
        """log q(y)."""
        at = np.arange(len(self.tokens))
        scores = self.few.at(at, self.tokens) if self.few else self.scores[at, self.tokens]
        return np.asarray(scores.astype(np.float64) - self.total[:, 0])

    @cached_property
    def total(self) -> Floats:
        return np.asarray(or_zero(logsumexp(self.scores)).astype(np.float64))

    @cached_property
    def possible(self) -> Floats:
        """1 where y can come."""
        return np.asarray(self.own > -INF, np.float64)

    @cached_property
    def cut(self) -> Floats:
        """1 where it cannot."""
        return 1 - self.possible

    @cached_property
    def logprob(self) -> Floats:
        """log q(y); 0 where y cannot come, which is counted by `cut`."""
        return np.where(self.possible > 0, self.own, 0.0)

    @cached_property
    def probability(self) -> Floats:
        """q(y)."""
        return np.asarray(np.exp(self.own))

    @cached_property
    def kept(self) -> Floats:
        """How many tokens can come."""
        return np.asarray((self.scores > -INF).sum(-1), np.float64)

    @cached_property
    def all(self) -> Floats:
        """log q of every token that is looked at, (R, K)."""
        return np.asarray(self.scores.astype(np.float64) - self.total)

    @cached_property
    def entropy(self) -> Floats:
        """-sum q log q, in nats."""
        return np.asarray(-summed(np.exp(self.all) * np.where(self.all > -INF, self.all, 0.0))[:, 0])

    @cached_property
    def mass(self) -> Floats:
        """The probability under the model of what can come."""
        logits = host(self.logits)
        some = np.take_along_axis(logits, self.few.tokens, -1) if self.few else logits
        shares = np.exp(some.astype(np.float64) - self.model_total)
        return np.asarray(summed(np.where(self.scores > -INF, shares, 0.0))[:, 0])

    @cached_property
    def smoothed(self) -> Floats:
        """log of q(y), mixed with a share of the uniform distribution."""
        return np.asarray(np.log((1 - SMOOTHED) * self.probability + SMOOTHED / self.vocabulary))

    @cached_property
    def js(self) -> Floats:
        """The Jensen-Shannon divergence of q and of the distribution that has y alone, in nats."""
        q = self.probability
        with np.errstate(divide="ignore", invalid="ignore"):
            shared = np.where(q > 0, q * np.log(2 * q / (1 + q)), 0.0)
        return np.asarray((np.log(2 / (1 + q)) + shared + (1 - q) * math.log(2)) / 2)

    @cached_property
    def sparsemax(self) -> Floats:
        """q(y) + (1 - sum q^2) / 2."""
        return np.asarray(self.probability + (1 - summed(np.exp(2 * self.all))[:, 0]) / 2)


def _exp_of_minus(sums: Floats) -> Floats:
    return np.asarray(np.exp(-ratio(sums)))


def _cross_entropy(sums: Floats) -> Floats:
    return np.where(sums[..., 2] > 0, INF, -ratio(sums))


def _metric(name: str, definition: str, unit: str, aim: str, value: Callable[[Floats], Floats] = ratio, decimals: int = 3) -> Metric:
    return Metric(name, definition, unit, PER_TOKEN, aim, value=value, decimals=decimals, needs="distributions")


READ_METRICS = {
    metric.name: metric
    for metric in (
        _metric("coverage", "The share of the text's tokens that the processors let come.", "tokens", "higher"),
        _metric("kept", "How many tokens the processors let come, in the mean.", "tokens of the vocabulary", "lower", decimals=1),
        _metric("mass", "The probability, under the model, of the tokens that the processors let come, in the mean.", "share", "higher"),
        _metric(
            "cross_entropy",
            "The mean of -log q(y); infinite as soon as one token of the texts cannot come.",
            "nats per token",
            "lower",
            _cross_entropy,
        ),
        _metric(
            "epsilon_perplexity",
            f"exp of the mean of -log q'(y), where q' is {1 - SMOOTHED:g} q and {SMOOTHED:g} of the uniform distribution, so that what is "
            "cut costs much and not everything (after Martins et al. 2020, arXiv 2004.02644).",
            "per token",
            "lower",
            _exp_of_minus,
        ),
        _metric(
            "js",
            "The mean Jensen-Shannon divergence of q and the distribution that has y alone (Martins et al. 2020), from 0 to log 2. It "
            "falls as q(y) grows, and a token that is cut costs log 2 and no more.",
            "nats",
            "lower",
        ),
        _metric("sparsemax_score", "The mean of q(y) + (1 - sum q^2) / 2 (Martins et al. 2020): from 0 to 1.", "score", "higher"),
        _metric("spread", "The mean entropy of q, -sum q log q.", "nats", "near what is wanted"),
    )
}
"""Those of distributions; a text's tokens are read, none is drawn."""
METRIC_SUMS = {
    "coverage": ("possible", "one"),
    "kept": ("kept", "one"),
    "mass": ("mass", "one"),
    "cross_entropy": ("logprob", "one", "cut"),
    "epsilon_perplexity": ("smoothed", "one"),
    "js": ("js", "one"),
    "sparsemax_score": ("sparsemax", "one"),
    "spread": ("entropy", "one"),
}
"""The sums over positions that each metric is a value of."""


def columns_of(metrics: Collection[str]) -> tuple[str, ...]:
    """The numbers of a position that metrics need, each once."""
    return tuple(dict.fromkeys(column for name in metrics for column in METRIC_SUMS[name]))
