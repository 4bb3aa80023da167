"""What a sweep is after: a metric, and which way is better."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from unspool.arrays import Floats
from unspool.errors import ParameterError, UnknownName, check, in_digits, option, unknown
from unspool.lab.bootstrap import Estimate
from unspool.lab.registry import METRICS, Metric, metric_named
from unspool.sweeps.read_metrics import READ_METRICS

BETTER_WAYS = ("min", "max", "near", "human")
SMALLER, LARGER = ("kept", "cross_entropy", "epsilon_perplexity", "js", "loops"), ("coverage", "mass", "sparsemax_score", "diversity")
"""Metrics of which one end is better whatever the task."""


@dataclass(frozen=True)
class Goal:
    """A metric, and which of its values are better."""

    metric: Metric
    way: str
    """"min", "max" or "near"."""
    target: float = math.nan
    """What it is to be near to."""
    human: bool = False
    """Whether that is what human texts have."""
    between: tuple[float, float] = (math.nan, math.nan)
    """The interval of that, over the human texts."""

    @property
    def name(self) -> str:
        return self.metric.name

    @property
    def read(self) -> bool:
        """Whether it is read off distributions over given texts; others are of texts that are drawn."""
        return self.name in READ_METRICS

    def loss(self, values: Floats) -> Floats:
        """How bad values are; the lowest is the best."""
        return np.asarray(values if self.way == "min" else -values if self.way == "max" else np.abs(values - self.target))

    def __str__(self) -> str:
        return f"{self.name}:{'human' if self.human else self.way}{f'={self.target:g}' if self.way == 'near' and not self.human else ''}"

    @property
    def end(self) -> str:
        """Which end of its values is the best, if one is."""
        return {"min": "lowest", "max": "highest"}.get(self.way, "")

    @property
    def aim(self) -> str:
        """Which way is better, for people."""
        if self.way != "near":
            return f"{self.name}, {'lower' if self.way == 'min' else 'higher'} is better"
        return f"{self.name}, best near {self.target:.{self.metric.decimals}f}{', that of human text' if self.human else ''}"

    def near(self, found: Estimate) -> Goal:
        """With what human texts have as its target."""
        return replace(self, target=found.value, between=(found.low, found.high))


def read_goals(asked: str | Sequence[str], human: bool, judged: bool) -> list[Goal]:
    """One metric, or two for a trade-off, as texts: "js", "perplexity:near=30", "diversity:max". human: whether there are human texts."""
    given = asked.split(",") if isinstance(asked, str) else list(asked)
    names = [name.strip() for name in given]
    check(bool(names) and all(names), f"give a metric, or two with a comma between; got {asked!r}")
    check(len(names) <= 2, f"a sweep is after one metric, or a trade-off of two; got {len(names)}: {', '.join(names)}")
    goals = [_goal(name, human, judged) for name in names]
    if len(goals) == 2:
        check(goals[0].name != goals[1].name, f"both metrics are {goals[0].name}; a trade-off is between two different ones")
        if goals[0].read != goals[1].read:
            read, drawn = sorted(goals, key=lambda goal: not goal.read)
            raise ParameterError(f"{read.name} is read off given texts, {drawn.name} is of texts that are drawn; sweep for each by itself")
    return goals


def _goal(text: str, human: bool, judged: bool) -> Goal:
    name, _, said = text.partition(":")
    metric = _metric(name.strip())
    parts = metric.parts is not None or metric.needs == "distributions"
    check(parts, f"{metric.name} is of a whole collection and has no interval, so no noise to be within; take diversity or rep_2")
    check(metric.needs not in ("answers", "features"), f"{metric.name} needs {metric.needs}, which a sweep does not read; take compare")
    check(metric.needs != "judged" or judged, f"{metric.name} needs a second model; give it by {option('judge')}")
    way, equals, value = (part.strip() for part in said.partition("="))
    if not way:
        return _unsaid(metric, human)
    if way not in BETTER_WAYS:
        raise unknown("way of a metric", way, BETTER_WAYS)
    if way == "human":
        drawn = f"{text}: only a metric of drawn texts can be near human text, with {option('reference')}"
        check(human and not READ_METRICS.get(metric.name), drawn)
        return Goal(metric, "near", human=True)
    if way != "near":
        check(not equals, f"{text}: {way} takes no number; did you mean {metric.name}:near={value}?")
        return Goal(metric, way)
    try:
        target = float(value)
    except ValueError:
        target = math.nan
    check(math.isfinite(target), f"{text}: near what? Give a number, as {metric.name}:near=30")
    return Goal(metric, "near", target)


def _metric(name: str) -> Metric:
    if name in READ_METRICS:
        return READ_METRICS[name]
    try:
        return metric_named(name)
    except UnknownName:
        known = [m.replace("_n", "_2") if m.endswith("_n") else m for m in METRICS]
        raise unknown("metric", name, [*READ_METRICS, *known], "unspool sweep --help lists them") from None


def _unsaid(metric: Metric, human: bool) -> Goal:
    """Which way is better where nobody says."""
    stem, _, number = metric.name.rpartition("_")
    stem = metric.name if in_digits(number) is None else stem
    if human and metric.aim.startswith("near human"):
        return Goal(metric, "near", human=True)
    if metric.name in LARGER:
        return Goal(metric, "max")
    if metric.name in SMALLER or stem in ("rep", "self_bleu"):
        return Goal(metric, "min")
    more = "" if metric.needs == "distributions" else f", or human texts ({option('reference')}) to come near to: {metric.name}:human"
    raise ParameterError(f"neither end of {metric.name} is better by itself; say {metric.name}:min, :max or :near=NUMBER{more}")
