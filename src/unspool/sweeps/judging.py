"""From the sums of every setting to which of them are best, which none beats, and which are within noise of the best."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from unspool.arrays import Flags, Floats, Ints
from unspool.lab.bootstrap import Estimate, ends, estimate, weights
from unspool.sweeps.goals import Goal

POWER = 1.959964 + 0.841621
"""Normal quantiles of an interval of 95 % and a power of 80 %."""
_NONE = Estimate(math.nan)


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
        return _NONE
    value = float(goal.metric.of_sums(some.sum(0)))
    return estimate(goal.metric, some) if math.isfinite(value) else Estimate(value)


def worse_by(goal: Goal, parts: Floats, base: Floats) -> Worse:
    """How much worse than base, item by item."""
    both = there(parts) & there(base)
    mine, theirs = parts[both], base[both]
    if not len(mine):
        return Worse(_NONE, math.nan, 0)
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


def ranked(losses: Floats) -> Ints:
    """Rows (n, m) from the best to the worst: fronts one after another, each by its distance from the best of all metrics."""
    if losses.shape[1] == 1:
        return np.argsort(losses[:, 0], kind="stable")
    order: list[int] = []
    left = np.arange(len(losses))
    while len(left):
        front = pareto_front(losses[left])
        front = front if front.any() else np.ones(len(left), bool)
        some = left[front]
        order += some[np.argsort(distances(losses[some]), kind="stable")].tolist()
        left = left[~front]
    return np.asarray(order, np.int64)


def distances(losses: Floats) -> Floats:
    """Of rows (n, m) from where the best of every metric would meet, each metric scaled to [0, 1] over these rows."""
    known = np.isfinite(losses).all(-1)
    if not known.any():
        return np.zeros(len(losses))
    low, high = losses[known].min(0), losses[known].max(0)
    scaled = (losses - low) / np.where(high > low, high - low, 1.0)
    return np.where(known, np.sqrt((scaled**2).sum(-1)), np.inf)
