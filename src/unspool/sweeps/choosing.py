"""Which setting to take: the simplest within noise of the best, why, and how many prompts would settle it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from unspool.arrays import Floats
from unspool.lab.bootstrap import NO_ESTIMATE, Estimate
from unspool.sweeps.goals import Goal
from unspool.sweeps.judging import Worse, estimate_of, losses_of, noise_of, pareto_front, ranked, worse_by
from unspool.sweeps.rows import SweepRow
from unspool.sweeps.settings import SweepSetting
from unspool.sweeps.simplicity import acting
from unspool.sweeps.units import Spent

TOO_MANY = 1_000_000
"""Prompts beyond which nothing is settled by more of them."""


@dataclass(frozen=True)
class RanSetting:
    """What one setting came to: of each metric its items' sums (n, k), nan where an item came to no text."""

    setting: SweepSetting
    parts: tuple[Floats, ...]
    spent: Spent
    last: bool
    """Whether no rung has dropped it: it ran on all items that the others did."""


@dataclass(frozen=True)
class Chosen:
    """What was found."""

    rows: list[SweepRow]
    best: SweepRow | None
    recommended: SweepRow | None
    why: str
    needed: int | None
    needed_for: str


def choose(goals: Sequence[Goal], ran: Sequence[RanSetting], items: str) -> Chosen:
    """Judge the settings; items: what the samples are called, for the words."""
    estimates = [tuple(estimate_of(goal, parts) for goal, parts in zip(goals, one.parts, strict=True)) for one in ran]
    failed = [int(np.isnan(one.parts[0]).any(-1).sum()) for one in ran]
    losses = losses_of(goals, estimates)
    whole = np.asarray([one.last for one in ran])
    sound = whole & (np.asarray(failed) == 0) if (whole & (np.asarray(failed) == 0)).any() else whole
    losses[~sound] = np.inf
    front = pareto_front(losses)
    places = ranked(losses, noise_of(estimates)).tolist()
    best = places[0]
    if not front[best]:
        return Chosen([_row(one, e, f, goals, [], False, False) for one, e, f in zip(ran, estimates, failed, strict=True)],
                      None, None, _hopeless(goals), None, "")  # fmt: skip
    worse = [[worse_by(goal, mine, base) for goal, mine, base in zip(goals, one.parts, ran[best].parts, strict=True)] if ok else []
             for one, ok in zip(ran, whole, strict=True)]  # fmt: skip
    within = [bool(ok and np.isfinite(losses[i]).all() and not any(w.clearly for w in worse[i])) for i, ok in enumerate(sound)]
    rows = [_row(one, estimates[i], failed[i], goals, worse[i], bool(front[i]), within[i]) for i, one in enumerate(ran)]
    rivals = [i for i, near in enumerate(within) if near]
    order = {i: place for place, i in enumerate(places)}
    taken = min(rivals, key=lambda i: (rows[i].acting, round(rows[i].tokens_per_new, 2), order[i]))
    why = _why(rows, rivals, best, taken, goals)
    others = [i for i in order if i != best and worse[i]]                 # the best first
    other = taken if taken != best else next(iter(others), None)
    needed, needed_for = _needed(worse[other] if other is not None else [], taken != best, items)
    return Chosen(rows, rows[best], rows[taken], why, needed, needed_for)


def _row(
    one: RanSetting, estimates: tuple[Estimate, ...], failed: int, goals: Sequence[Goal], worse: Sequence[Worse], front: bool, within: bool
) -> SweepRow:
    by = tuple(w.by for w in worse) or tuple(NO_ESTIMATE for _ in goals)
    s = one.setting
    items = len(one.parts[0])
    return SweepRow(s.number, s.text, s.values, items, failed, estimates, by, front, within, not one.last, acting(s.decoder), one.spent)


def _why(rows: Sequence[SweepRow], rivals: Sequence[int], best: int, taken: int, goals: Sequence[Goal]) -> str:
    """Why this setting is taken, in a sentence or two."""
    what = "best" if len(goals) == 1 else "best balance of both"
    if len(rivals) == 1:
        return f"It is the {what}, and every other is clearly worse{' in one of them, at least' * (len(goals) - 1)}."
    row, others = rows[taken], [rows[i] for i in rivals if i != taken]
    acts = f"{row.acting} processor{'s' * (row.acting != 1)} that do{'es' * (row.acting == 1)} anything"
    more = f"{len(others)} other{'s are' if len(others) > 1 else ' is'} within noise of it"
    if taken == best:
        return f"It is the {what}; {more}, and none of them is simpler ({acts}) or as simple and cheaper."
    noise = f"{len(rivals)} settings are within noise of the {what}, itself among them"
    if all(row.acting < other.acting for other in others):
        return f"{noise}; this one is the simplest of them, with {acts}."
    alike = [other for other in others if other.acting == row.acting]
    if row.tokens_per_new and all(round(row.tokens_per_new, 2) < round(other.tokens_per_new, 2) for other in alike):
        return f"{noise}; none has fewer than {acts}, and of those this one is the cheapest: {row.tokens_per_new:.2f} tokens for a new one."
    return f"{noise}; none is simpler than this one, with {acts}, and of the {len(alike) + 1} as simple it comes nearest to the {what}."


def _hopeless(goals: Sequence[Goal]) -> str:
    cut = next((goal.name for goal in goals if goal.name == "cross_entropy"), None)
    if cut:
        return "Every setting cuts a token of the texts, so cross_entropy is infinite: epsilon_perplexity and js are not."
    few = next((goal.name for goal in goals if goal.name.startswith("self_bleu")), None)
    if few:
        return f"{few} compares the texts of one prompt, and there is one of each: draw several, by more seeds or sample(3)."
    return "No setting came to a value of every metric."


def _needed(worse: Sequence[Worse], taken: bool, items: str) -> tuple[int | None, str]:
    pair = "the best and the recommended one" if taken else "the best and the next best"
    if not worse:
        return None, "There is no other setting to tell the best from."
    some = [w.needed for w in worse if w.needed is not None]
    if not some:
        return None, f"Nobody can say how many {items} tell {pair} apart: they do not differ here."
    if min(some) > TOO_MANY:
        return None, f"More than {TOO_MANY:,} {items} would be needed to tell {pair} apart: take them as equal."
    known = max((w.items for w in worse), default=0)
    verb = "tell" if min(some) <= known else "would tell"
    return min(some), f"About {min(some):,} {items} {verb} {pair} apart (95 % intervals, power 80 %); here are {known:,}."


