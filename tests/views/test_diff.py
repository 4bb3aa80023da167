"""The distance of two recorded distributions is at most that of the whole ones, and is that where all is recorded."""

import numpy as np
import pytest
from helpers.tables import Letters, table

import unspool as un
from unspool.views.parting import distance


def likeliest(p, n):
    return {int(t): float(p[t]) for t in np.argsort(-p)[:n]}


@pytest.mark.parametrize("n", [1, 3, 8, 20])
def test_a_distance_is_a_bound_and_exact_where_all_is_recorded(n):
    rng = np.random.default_rng(n)
    for _ in range(50):
        p, q = rng.dirichlet(np.ones(20)), rng.dirichlet(np.ones(20))
        found = distance(likeliest(p, n), likeliest(q, n))
        kl, tv = float(np.sum(p * np.log(p / q))), float(np.abs(p - q).sum() / 2)
        assert 0 <= found.kl <= kl + 1e-5
        assert 0 <= found.total_variation <= tv + 1e-5
        if n == 20:
            assert (found.kl, found.total_variation) == (pytest.approx(kl, abs=1e-4), pytest.approx(tv, abs=1e-5))


def test_what_the_second_rules_out_is_infinitely_far():
    assert distance({0: 0.5, 1: 0.5}, {0: 1.0, 1: 0.0}).kl == float("inf")
    assert distance({0: 1.0, 1: 0.0}, {0: 0.5, 1: 0.5}).kl == pytest.approx(np.log(2))


def test_a_token_that_cannot_come_is_shared_by_nobody():
    five, three = dict.fromkeys(range(5), 0.2), {0: 0.4, 1: 0.3, 2: 0.3, 3: 0.0, 4: 0.0}
    assert distance(five, three).top_in_common == 3 / 5
    assert distance(three, three).top_in_common == 1
    assert distance({0: 1.0}, {1: 1.0}).top_in_common == 0


def test_that_distributions_are_not_recorded_is_said():
    lm = un.LanguageModel(table(seed=1), Letters())
    bare, whole = (lm.generate("bcd", "greedy", max_new_tokens=4, level=level).trace for level in ("tokens", "choices"))
    paint = lambda text, style: text  # noqa: E731
    said = 'the same texts; distributions were not recorded everywhere, as level="choices" does\n'
    assert un.diff(bare, bare).draw(80, paint).endswith(said)
    assert un.diff(whole, whole).draw(80, paint).endswith("\nthe same\n")


def test_texts_are_matched_by_prompt_and_rank():
    lm = un.LanguageModel(table(seed=1), Letters())
    first, second = (lm.generate("bcd", un.Beam(3, n=n), max_new_tokens=4, level="choices").trace for n in (3, 2))
    found = un.diff(first, second)
    assert [(t.rank, t.parts_at) for t in found.texts] == [(1, None), (2, None)]
    assert found.counts == [(3, 2)]
    assert not found.equal
    assert un.diff(first, first).equal
    assert ("beam n", 3, 2) in found.settings
