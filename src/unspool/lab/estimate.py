"""Means over all texts, estimated from a sample without replacement, with their intervals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from unspool.errors import UnspoolError, check, number
from unspool.output import GeneratedText, Output
from unspool.strategies.stochastic_beam import importance_weights


@dataclass(frozen=True)
class WeightedMean:
    """A mean over all texts, as a sample shows it."""

    value: float
    deviation: float
    """The standard deviation of the value over samples, estimated."""
    low: float
    """Where the interval begins."""
    high: float
    """Where it ends."""


def estimate(output: Output, f: Callable[[GeneratedText], float], normalised: bool = False, confidence: float = 0.95) -> WeightedMean:
    """The mean of f over all texts that the decoder could have drawn, from an output of stochastic_beam(n) with n of at least 2.

    With the log-probability of text i after the processors log p_i, q_i the chance that its perturbed sum exceeds the threshold (column
    log_inclusion of the record) and w_i = p_i / q_i, the value is sum(w_i * f_i), which has no bias, or normalised
    sum(w_i * f_i) / sum(w_i), which has a little bias and mostly varies less (Kool, van Hoof and Welling 2019, arXiv 1903.06059). What
    one text adds to the first is uncorrelated with what another adds, so sum(w_i ** 2 * (1 - q_i) * f_i ** 2) estimates its variance
    without bias; normalised, f_i - value takes the place of f_i, and w_i / sum(w) that of the first w_i. The interval is value -+
    z * deviation for the z of a normal distribution: from some dozens of texts on it holds as often as it says; of few texts it is too
    short, most of all where f is rarely other than 0. Where the sample holds all texts the value is exact.
    """
    number("estimate(confidence=...)", confidence, above=0, below=1)
    weights = importance_weights(output.trace)
    if not all("log_inclusion" in h.columns for h in output.trace.hypotheses[0]):
        raise UnspoolError("estimate has no intervals for conditional_poisson_beam; importance_weights(trace) give its means")
    kept = np.exp([h.columns["log_inclusion"] for h in output.trace.hypotheses[0]])
    check(len(weights) > 1 or bool((kept == 1).all()), "estimate needs stochastic_beam(n) of at least two texts: one tells no spread")
    values = np.asarray([float(f(text)) for text in output.sequences])
    if normalised:
        weights = weights / weights.sum()
    value = float(weights @ values)
    spread = values - value if normalised else values
    deviation = float(np.sqrt((weights**2 * (1 - kept)) @ spread**2))
    reach = NormalDist().inv_cdf((1 + confidence) / 2) * deviation
    return WeightedMean(value, deviation, value - reach, value + reach)
