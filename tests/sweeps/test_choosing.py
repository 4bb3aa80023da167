"""What is best, what none beats, what is within noise, and which of it is taken: by brute force, and on cases whose answer is known."""

import itertools
import math
import random

import numpy as np
import pytest

import unspool as un
from unspool.lab.bootstrap import Estimate, difference
from unspool.lab.registry import metric_named
from unspool.sweeps.choosing import RanSetting, choose
from unspool.sweeps.goals import Goal, read_goals
from unspool.sweeps.halving import afforded, rungs_of, runs_of
from unspool.sweeps.judging import losses_of, noise_of, pareto_front, ranked, scaled, worse_by
from unspool.sweeps.settings import SweepSetting
from unspool.sweeps.units import Spent

JS, COVERAGE, KEPT = (read_goals(name, False, False)[0] for name in ("js", "coverage", "kept"))


# --- the front --------------------------------------------------------------------------------------------------------


def beaten(one, rows):
    return any(all(a <= b for a, b in zip(other, one, strict=True)) and tuple(other) != tuple(one) for other in rows)


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("metrics", [1, 2])
def test_the_front_is_what_nothing_beats(seed, metrics):
    draw = random.Random(seed)
    rows = np.asarray([[draw.choice([0, 1, 2, 3, 4, math.inf]) for _ in range(metrics)] for _ in range(draw.randrange(1, 30))], np.float64)
    known = [row for row in rows.tolist() if all(map(math.isfinite, row))]
    wanted = [all(map(math.isfinite, row)) and not beaten(row, known) for row in rows.tolist()]
    assert pareto_front(rows).tolist() == wanted


@pytest.mark.parametrize("seed", range(20))
def test_ranks_go_front_by_front(seed):
    draw = random.Random(seed)
    rows = np.asarray([[draw.random(), draw.random()] for _ in range(25)])
    order = ranked(rows).tolist()
    assert sorted(order) == list(range(25))
    left, at = set(range(25)), 0
    while left:
        front = {i for i in left if not beaten(rows[i].tolist(), [rows[j].tolist() for j in left])}
        assert set(order[at : at + len(front)]) == front
        left -= front
        at += len(front)


EXTREME = np.asarray([[0.00, 42.9], [0.02, 1.8], [0.08, 5.0], [0.30, 7.0], [0.50, 8.0], [0.01, 175.0]])
"""How far six settings are from human text in diversity and in perplexity: two of them are far too hot."""


def test_one_extreme_setting_does_not_make_the_others_look_alike():
    assert ranked(EXTREME)[0] == 1
    for more in ([[0.4, 1e6]], [[0.4, 1e6], [9.0, 400.0]]):
        assert ranked(np.concatenate([EXTREME, more]))[0] == 1


@pytest.mark.parametrize("seed", range(20))
def test_the_order_is_the_same_in_other_units(seed):
    draw = np.random.default_rng(seed)
    rows, noise = draw.random((12, 2)), draw.random(2) / 10
    units = np.asarray([1000.0, 0.001])
    assert ranked(rows, noise).tolist() == ranked(rows * units, noise * units).tolist()
    assert (np.sort(scaled(rows)[:, 0])[[0, 6]] == [0, 1]).all()          # the middle one of eleven others


def test_what_is_noise_counts_for_little():
    """Of the first metric nearly all settings are alike but for chance."""
    rows = np.asarray([[0.0004, 1.0], [0.0, 4.0], [0.0001, 3.0], [0.0002, 9.0], [0.5, 0.9]])
    assert ranked(rows)[0] == 2
    assert ranked(rows, np.asarray([0.01, 0.1]))[0] == 0


def test_noise_is_half_of_a_typical_interval():
    some = [[Estimate(1, 0, 2), Estimate(1)], [Estimate(1, 0.5, 1.5), Estimate(1)], [Estimate(1, 0, 10), Estimate(math.inf)]]
    assert noise_of(some).tolist() == [1, 0]


def test_what_nobody_knows_is_the_worst():
    assert ranked(np.asarray([[math.inf], [2.0], [1.0]])).tolist() == [2, 1, 0]
    assert ranked(np.asarray([[math.inf, 0.0], [2.0, 2.0]])).tolist() == [1, 0]
    assert losses_of([JS], [[difference(JS.metric, np.ones((3, 2)) * math.nan, np.ones((3, 2)))]]).tolist() == [[math.inf]]


# --- noise ------------------------------------------------------------------------------------------------------------


def parts(rates, seed=0, items=60, spread=0.05):
    """Settings whose items have these rates, give or take what all of them share and what each has alone."""
    draw = np.random.default_rng(seed)
    shared, size = draw.normal(0, 0.03, items), np.full(items, 100.0)
    return [np.stack([size * (rate + shared + draw.normal(0, spread, items)), size], 1) for rate in rates]


def ran(texts, given, goals=1, spent=None):
    made = []
    for i, (text, some) in enumerate(zip(texts, given, strict=True)):
        setting = SweepSetting(i, (str(i),), text, un.parse(text))
        made.append(RanSetting(setting, some if goals == 2 else (some,), (spent or [Spent()] * len(texts))[i], True))
    return made


def test_worse_by_is_compares_paired_difference():
    one, other = parts([0.5, 0.4])
    for metric in ("length", "perplexity"):
        goal = Goal(metric_named(metric), "min")
        known = difference(goal.metric, one, other)
        assert worse_by(goal, one, other).by == known
    flipped = worse_by(Goal(metric_named("length"), "max"), one, other).by
    known = difference(metric_named("length"), one, other)
    assert (flipped.value, flipped.low, flipped.high) == pytest.approx((-known.value, -known.high, -known.low))


def test_near_is_a_distance():
    goal = Goal(metric_named("length"), "near", 0.45)
    one, other = parts([0.6, 0.4], spread=1e-6)
    assert worse_by(goal, one, other).by.value == pytest.approx(abs(one[:, 0].sum() / 6000 - 0.45) - abs(other[:, 0].sum() / 6000 - 0.45))


@pytest.mark.parametrize("rates", list(itertools.permutations([0.50, 0.5001, 0.5002, 0.9])))
def test_the_simplest_within_noise_is_taken(rates):
    texts = ["temperature(0.7) | top_p(0.9) | min_p(0.1)", "temperature(0.7) | top_p(0.9)", "top_p(0.9) | temperature(1)"]
    texts.append("top_k(5) | top_p(0.5)")
    found = choose([JS], ran(texts, parts(rates)), "texts")
    near = [row for row in found.rows if row.estimates[0].value < 0.7]
    assert found.best.number == int(np.argmin([row.estimates[0].value for row in found.rows]))
    assert {row.number for row in found.rows if row.within} == {row.number for row in near}
    simplest = min(near, key=lambda row: (row.acting, row.estimates[0].value))
    assert found.recommended is simplest
    assert [row.acting for row in found.rows] == [3, 2, 1, 2]
    if simplest.number == 2 and simplest is not found.best:
        assert found.why.startswith("3 settings are within noise of the best, itself among them; this one is the simplest of them")


def test_one_that_is_clearly_best_is_taken_however_many_parts_it_has():
    found = choose([JS], ran(["temperature(0.7) | top_p(0.9) | min_p(0.1)", "greedy"], parts([0.4, 0.5], spread=0.01)), "texts")
    assert found.recommended is found.best is found.rows[0]
    assert "every other is clearly worse" in found.why
    assert found.needed < 60


def test_of_equals_the_cheaper_is_taken():
    spent = [Spent(10, 400, 100), Spent(10, 150, 100)]
    given = sorted(parts([0.5, 0.5]), key=lambda some: some[:, 0].sum())  # the dear one is a little better
    found = choose([JS], ran(["best_of(4)", "sample"], given, spent=spent), "prompts")
    assert found.best is found.rows[0]
    assert found.recommended is found.rows[1]
    assert "cheapest: 1.50 tokens" in found.why


@pytest.mark.parametrize("seed", range(3))
def test_so_many_prompts_would_settle_it(seed):
    """Drawn again with that many items, the two are told apart about four times in five."""
    rates = [0.50, 0.51]
    found = choose([JS], ran(["greedy", "beam(2)"], parts(rates, seed, items=400, spread=0.05)), "texts")
    assert 150 < found.needed < 900                                       # the truth: 2 * 0.05^2 * 2.8^2 / 0.01^2 = 392
    told = 0
    for again in range(60):
        one, other = parts(rates, 1000 * (seed + 1) + again, items=found.needed, spread=0.05)
        told += worse_by(JS, other, one).by.low > 0
    assert 30 < told < 59


def test_what_is_equal_no_prompts_settle():
    same = parts([0.5])[0]
    found = choose([JS], ran(["greedy", "beam(2)"], [same, same]), "texts")
    assert found.needed is None
    assert "they do not differ" in found.needed_for


def test_a_trade_off_takes_what_is_near_both():
    rates = [(0.0, 1.0), (0.2, 0.2), (1.0, 0.0), (0.9, 0.9)]
    given = [tuple(parts([0.5 + r], spread=0.001)[0] for r in pair) for pair in rates]
    goals = [JS, Goal(metric_named("length"), "min")]
    found = choose(goals, ran(["top_k(1)", "top_k(2)", "top_k(3)", "top_k(4)"], given, 2), "texts")
    assert [row.front for row in found.rows] == [True, True, True, False]
    assert found.best is found.recommended is found.rows[1]


def test_a_setting_without_a_text_is_not_taken_while_others_have_all():
    good, bad = parts([0.5, 0.1])
    bad[3] = math.nan
    found = choose([JS], ran(["greedy", "beam(2)"], [good, bad]), "prompts")
    assert [row.failed for row in found.rows] == [0, 1]
    assert found.recommended is found.rows[0]
    assert choose([JS], ran(["greedy", "beam(2)"], [bad, bad + 0.1]), "prompts").recommended is not None


# --- halving ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [2, 3, 4, 9, 10, 60, 500])
@pytest.mark.parametrize("prompts", [10, 47, 1000])
@pytest.mark.parametrize("keep", [2, 3, 10])
def test_rungs_grow_in_prompts_as_they_shrink_in_settings(settings, prompts, keep):
    rungs = rungs_of(settings, prompts, keep)
    assert rungs[0].settings == settings
    assert rungs[-1].prompts == prompts
    assert rungs[-1].settings >= 2
    for one, other in itertools.pairwise(rungs):
        assert other.settings == math.ceil(settings / keep ** (rungs.index(other)))
        assert one.prompts < other.prompts <= keep * one.prompts
    assert rungs[0].prompts >= 5
    assert runs_of(rungs) <= settings * prompts


@pytest.mark.parametrize("budget", [200, 777, 5000])
def test_a_budget_is_spent_and_not_overspent(budget):
    count = afforded(budget, 60, 3)
    assert runs_of(rungs_of(count, 60, 3)) <= budget < runs_of(rungs_of(count + 1, 60, 3))
    assert afforded(budget, 60, None) == budget // 60
    with pytest.raises(un.UnspoolError, match="pays for"):
        afforded(60, 60, None)
