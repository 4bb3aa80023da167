"""From the sums of every setting to which of them are best, which none beats, and which are within noise of the best."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from unspool.arrays import Flags, Floats, Ints
from unspool.lab.bootstrap import NO_ESTIMATE, Estimate, ends, estimate, weights
from unspool.sweeps.goals import Goal

POWER = 1.959964 + 0.841621
"""Normal quantiles of an interval of 95 % and a power of 80 %."""


@dataclass(frozen=True)
class Worse:
    """By how much one setting is worse than another in one metric, over the items that both have."""

    by: Estimate
    error: float
    """The standard error of that."""
    items: int

    @property
    def clearly(self) -> bool:
        """Whether other items of the same kind would hardly turn it round, or it is infinitely worse."""
        return self.by.low > 0 or self.by.value == math.inf

    @property
    def needed(self) -> int | None:
        """How many items tell the two apart in four of five such sweeps; None where they do not differ."""
        if not (math.isfinite(self.by.value) and math.isfinite(self.error)) or self.by.value == 0:
            return None
        return max(2, math.ceil(self.items * (POWER * self.error / abs(self.by.value)) ** 2))


def there(parts: Floats) -> Flags:
    """Which items (n, k) came to something."""
    return np.asarray(~np.isnan(parts).any(-1))


def estimate_of(goal: Goal, parts: Floats) -> Estimate:
    """The metric of a setting's items (n, k), those without a text left out."""
    some = parts[there(parts)]
    if not len(some):
        return NO_ESTIMATE
    value = float(goal.metric.of_sums(some.sum(0)))
    return estimate(goal.metric, some) if math.isfinite(value) else Estimate(value)


def worse_by(goal: Goal, parts: Floats, base: Floats) -> Worse:
    """How much worse than base, item by item."""
    both = there(parts) & there(base)
    mine, theirs = parts[both], base[both]
    if not len(mine):
        return Worse(NO_ESTIMATE, math.nan, 0)
    loss, other = (float(goal.loss(goal.metric.of_sums(some.sum(0)))) for some in (mine, theirs))
    if not (math.isfinite(loss) and math.isfinite(other)) or len(mine) < 2:
        return Worse(Estimate(0.0 if loss == other else loss - other), math.nan, len(mine))
    drawn = weights(len(mine))
    moved = goal.loss(goal.metric.of_sums(drawn @ mine)) - goal.loss(goal.metric.of_sums(drawn @ theirs))
    moved = moved[np.isfinite(moved)]
    return Worse(Estimate(loss - other, *ends(moved)), float(np.std(moved)) if len(moved) else math.nan, len(mine))


def losses_of(goals: Sequence[Goal], estimates: Sequence[Sequence[Estimate]]) -> Floats:
    """(settings, metrics): how bad each is; infinite where nobody knows."""
    values = np.asarray([[float(goal.loss(np.asarray(one.value))) for goal, one in zip(goals, some, strict=True)] for some in estimates])
    return np.where(np.isnan(values), np.inf, values)


def pareto_front(losses: Floats) -> Flags:
    """(n,): which rows (n, m) no other row beats: is as good in everything and better in something. What is infinite is beaten."""
    found: Flags = np.asarray(np.isfinite(losses).all(-1))
    order = np.lexsort(losses.T[::-1])
    best = np.inf
    if losses.shape[1] == 1:
        return np.asarray(found & (losses[:, 0] == losses[found, 0].min(initial=np.inf)))
    last: tuple[float, float] | None = None
    for row in order:                                                     # by the first metric, then the second
        if not found[row]:
            continue
        here = (float(losses[row, 0]), float(losses[row, 1]))
        if here == last:
            continue
        if here[1] >= best:
            found[row] = False
        else:
            best, last = here[1], here
    return found


def noise_of(estimates: Sequence[Sequence[Estimate]]) -> Floats:
    """(metrics,): half the width of a typical interval of each; 0 where there is none."""
    halves = np.asarray([[(one.high - one.low) / 2 for one in some] for some in estimates])
    return np.asarray([np.median(some[np.isfinite(some)]) if np.isfinite(some).any() else 0.0 for some in halves.T])


def ranked(losses: Floats, noise: float | Floats = 0.0) -> Ints:
    """Rows (n, m) from the best to the worst: fronts one after another, each by its distance from where the best of all metrics would meet.

    noise: of each metric, see `scaled`.
    """
    if losses.shape[1] == 1:
        return np.argsort(losses[:, 0], kind="stable")
    order: list[int] = []
    away = np.sqrt((scaled(losses, noise) ** 2).sum(-1))
    left = np.arange(len(losses))
    while len(left):
        front = pareto_front(losses[left])
        front = front if front.any() else np.ones(len(left), bool)
        some = left[front]
        order += some[np.argsort(away[some], kind="stable")].tolist()
        left = left[~front]
    return np.asarray(order, np.int64)


def scaled(losses: Floats, noise: float | Floats = 0.0) -> Floats:
    """Rows (n, m) in units that metrics share: 0 for the best row, 1 for the middle one of the others; infinite where one is unknown.

    The middle one, for a few extreme rows do not move it, as they move a range. noise: of each metric a distance that is the least to count
    as 1, so that metrics in which most rows are alike do not decide by chance.
    """
    known = np.asarray(np.isfinite(losses).all(-1))
    away = losses - losses[known].min(0, initial=np.inf)
    units = []
    for metric, least in zip(away[known].T, np.broadcast_to(noise, losses.shape[1:]), strict=True):
        others = np.sort(metric[metric > 0])
        units.append(max(others[(len(others) - 1) // 2] if len(others) else 0.0, float(least)) or 1.0)
    return np.where(known[:, None], away / np.asarray(units), np.inf)
