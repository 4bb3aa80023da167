"""Intervals by the percentile bootstrap: what would have come out with other prompts of the same kind."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from unspool.arrays import Floats
from unspool.lab.text_metric import Metric

TIMES = 2000
"""Resamples."""
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A value and the ends of its interval; they are nan where there is none."""

    value: float
    low: float = math.nan
    high: float = math.nan

    @property
    def certain(self) -> bool:
        """Whether the interval leaves out 0: a difference that other prompts would hardly turn round."""
        return self.low > 0 or self.high < 0


NO_ESTIMATE = Estimate(math.nan)


@lru_cache(4)
def weights(prompts: int) -> Floats:
    """How often each prompt is drawn in each resample, (TIMES, prompts); always the same."""
    return np.random.default_rng(0).multinomial(prompts, np.full(prompts, 1 / prompts), TIMES).astype(np.float64)


def estimate(metric: Metric, parts: Floats) -> Estimate:
    """The metric of parts (prompts, k), with an interval over the prompts."""
    value = float(metric.of_sums(parts.sum(0)))
    return Estimate(value) if len(parts) < 2 else Estimate(value, *ends(metric.of_sums(weights(len(parts)) @ parts)))


def difference(metric: Metric, parts: Floats, base: Floats) -> Estimate:
    """The metric of parts minus that of base, both (prompts, k) of the same prompts: every resample draws them together."""
    value = float(metric.of_sums(parts.sum(0)) - metric.of_sums(base.sum(0)))
    if len(parts) < 2:
        return Estimate(value)
    drawn = weights(len(parts))
    return Estimate(value, *ends(metric.of_sums(drawn @ parts) - metric.of_sums(drawn @ base)))


def ends(values: Floats) -> list[float]:
    """Of an interval: the percentiles that hold the middle; resamples without a value do not count."""
    values, tail = values[~np.isnan(values)], 50 * (1 - CONFIDENCE)
    return [float(x) for x in np.percentile(values, [tail, 100 - tail])] if len(values) else [math.nan, math.nan]
