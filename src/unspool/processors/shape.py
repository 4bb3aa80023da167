"""Processors that change the shape of the whole distribution."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from unspool.arrays import INF, Array, by_row, log_softmax, namespace, or_zero, put, topk
from unspool.core.processor import Processor, Rows
from unspool.errors import check, number
from unspool.processors.measures import divided, entropy, limited, possible, total_of


@dataclass(frozen=True)
class Temperature(Processor):
    """scores / t: below 1 sharper, above 1 flatter; 0 leaves only the best token, of equals the one with the lowest id.

    Ackley, Hinton and Sejnowski 1985.
    """

    by_scores = True
    t: float = 1.0

    def __post_init__(self) -> None:
        number("temperature(t)", self.t, 0)

    def process(self, rows: Rows, scores: Array, memory: Any = None) -> Array:
        if self.t == 1:
            return scores
        if self.t > 0:
            return divided(scores, self.t, self.t)
        return best_alone(scores)


def best_alone(scores: Array) -> Array:
    """The best token of each row, of equals the one with the lowest id."""
    values, best = topk(scores, 1)
    return put(scores, best, values)


@dataclass(frozen=True)
class LogSoftmax(Processor):
    """log softmax(scores): so that what follows sees log-probabilities, as transformers' beam search shows its processors."""

    by_scores = True

    def process(self, rows: Rows, scores: Array, memory: Any = None) -> Array:
        return log_softmax(scores)


@dataclass(frozen=True)
class DynamicTemperature(Processor):
    """A temperature between low, where the model is sure, and high, where it is not.

    scores / T with T = low + (high - low) * (H / log n)^exponent, where H is the entropy in nats and n the number of tokens that
    can come; so a truncation before it changes it. Where T is 0 the best token is left. kalomaze 2023, in koboldcpp and llama.cpp,
    which write a middle and a range.
    """

    by_scores = True
    aliases = ("dynatemp",)
    low: float = 0.5
    high: float = 1.5
    exponent: float = 1.0

    def __post_init__(self) -> None:
        number("dynamic_temperature(low)", self.low, 0)
        number("dynamic_temperature(high=...)", self.high, 0)
        check(self.low <= self.high, f"dynamic_temperature(low, high=...) needs low <= high; got {self.low!r}, {self.high!r}")
        number("dynamic_temperature(exponent=...)", self.exponent, above=0)

    def process(self, rows: Rows, scores: Array, memory: Any = None) -> Array:
        xp = namespace(scores)
        unsure = xp.clip(entropy(scores) / xp.log(xp.clip(possible(scores), 2, None)), 0, 1)
        t = self.low + (self.high - self.low) * unsure**self.exponent
        if self.low > 0:
            return divided(scores, t, self.low)
        below = scores - or_zero(xp.max(scores, axis=-1, keepdims=True))  # which any temperature leaves a number
        return xp.where(t > 0, below / xp.clip(t, 1e-15, None), best_alone(scores))


@dataclass(frozen=True)
class EntropyTemperature(Processor):
    """A temperature below t, the lower the surer the model: scores / T with T = t * base^(theta / H), H the entropy in nats.

    Where H is 0 the best token is left; theta = 0 is temperature(t). Zhang, Bao and Huang 2024, arXiv 2403.14541.
    """

    by_scores = True
    aliases = ("edt",)
    t: float = 1.0
    theta: float = 0.1
    base: float = 0.8

    def __post_init__(self) -> None:
        number("entropy_temperature(t)", self.t, above=0)
        number("entropy_temperature(theta=...)", self.theta, 0)
        number("entropy_temperature(base=...)", self.base, above=0, most=1)

    def process(self, rows: Rows, scores: Array, memory: Any = None) -> Array:
        if self.theta == 0 or self.base == 1:
            return Temperature(self.t).process(rows, scores)
        xp = namespace(scores)
        t = self.t * xp.exp(limited(self.theta) * math.log(self.base) / xp.clip(entropy(scores), 1e-15, None))
        below = scores - or_zero(xp.max(scores, axis=-1, keepdims=True))
        return xp.where(t > 1e-15, below / xp.clip(t, 1e-15, None), best_alone(scores))


@dataclass(frozen=True)
class Smoothing(Processor):
    """Bend the scores below the best one: a little for its rivals, the more the further down.

    With d = s(v) - max(s): s'(v) = max(s) - factor * (3 - curve) / 2 * d^2 + factor * (curve - 1) / 2 * d^3. factor = 0 changes
    nothing; curve = 1 is a parabola, and the order of tokens is kept up to curve = 3. Small factors flatten, large ones sharpen.
    kalomaze 2024, in text-generation-webui.
    """

    by_scores = True
    aliases = ("quadratic",)
    factor: float
    curve: float = 1.0

    def __post_init__(self) -> None:
        number("smoothing(factor)", self.factor, 0)
        number("smoothing(curve=...)", self.curve, 1, 3, note=", beyond which tokens change places")

    def process(self, rows: Rows, scores: Array, memory: Any = None) -> Array:
        if self.factor == 0:
            return scores
        xp = namespace(scores)
        best = or_zero(xp.max(scores, axis=-1, keepdims=True))
        below = xp.where(scores > -INF, scores - best, xp.zeros_like(scores))
        with np.errstate(over="ignore"):                                 # far below the best is -inf
            bent = best + limited(self.factor) * below**2 * ((self.curve - 1) / 2 * below - (3 - self.curve) / 2)
        return xp.where(scores > -INF, bent, -INF)


@dataclass(frozen=True)
class Skew(Processor):
    """Move mass down the ranks (skew > 0) or up (skew < 0), as if the uniform number u that is drawn were u^exp(-skew).

    With C(i) the mass of the i likeliest tokens, p'(i) = C(i)^b - C(i-1)^b, where b = exp(skew). turboderp 2024, in exllamav2.
    """

    by_scores = True
    skew: float

    def __post_init__(self) -> None:
        number("skew(skew)", self.skew, -20, 20)

    def process(self, rows: Rows, scores: Array, memory: Any = None) -> Array:
        return scores if self.skew == 0 else by_row(self._moved, scores)

    def _moved(self, scores: Array) -> Array:
        xp = namespace(scores)
        values, columns = topk(scores, scores.shape[-1])
        p = xp.exp(xp.astype(values, xp.float64) - total_of(xp.astype(values, xp.float64)))
        below = xp.flip(xp.cumulative_sum(xp.flip(p, axis=-1), axis=-1), axis=-1)
        left = xp.log1p(-xp.clip(below, None, 1 - 2.0**-53)) * math.exp(self.skew)
        left[:, :1] = -INF                                               # above the first there is no mass
        spent = -xp.expm1(left)                                          # what lies at or below each rank, small numbers exact
        moved = spent - xp.concat([spent[:, 1:], xp.zeros_like(spent[:, :1])], axis=-1)
        logs = xp.where(p > 0, xp.log(xp.clip(moved, 1e-300, None)), -INF)
        return put(scores, columns, xp.astype(logs, scores.dtype))
