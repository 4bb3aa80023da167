"""Measures have the values that their definitions give by hand."""

import math

import pytest
from hypothesis import given, settings, strategies as st

from unspool import ParameterError
from unspool.lab.metrics import (
    distinct,
    diversity,
    end_repetition,
    ends_in_circles,
    loop_period,
    loops,
    ngrams,
    repetition,
    words,
    zipf,
)

CATS = words("the cat sat on the cat mat")
DOGS = words("the dog sat")
TEXTS = st.lists(st.lists(st.integers(0, 3), max_size=30), max_size=5)


def test_ngrams_of_a_text():
    assert list(ngrams("abcd", 3)) == [("a", "b", "c"), ("b", "c", "d")]
    assert list(ngrams("ab", 3)) == []
    with pytest.raises(ParameterError, match="n = 0"):
        ngrams("ab", 0)


def test_repetition_is_pooled():
    assert repetition([CATS], 1) == pytest.approx(1 - 5 / 7)
    assert repetition([CATS], 2) == pytest.approx(1 - 5 / 6)
    assert repetition([CATS, DOGS], 2) == pytest.approx(1 - 7 / 8)
    assert repetition([], 2) == 0


def test_distinct_counts_across_texts():
    assert distinct([CATS, DOGS], 1) == pytest.approx(6 / 10)
    assert distinct([CATS, DOGS], 2) == pytest.approx(7 / 8)


def test_diversity_is_the_product():
    text = list("abcabcabc")
    expected = (1 - 5 / 8) * (1 - 4 / 7) * (1 - 3 / 6)
    assert diversity([text]) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("text", "period"),
    [
        ("the end " + "so " * 12, 3),
        ("ab" * 6, 2),
        ("ab" * 5, 0),
        ("x" * 12, 1),
        ("x" * 11, 0),
        ("0123456789" * 3, 10),
        ("0123456789" * 2, 0),
        ("", 0),
        ("so " * 12 + "end", 0),
    ],
)
def test_loops_at_the_end(text, period):
    assert loop_period(text) == period


def test_share_of_loops():
    assert loops(["ab" * 8, "abcdefghijkl"]) == 0.5
    assert loops([]) == 0


def test_zipf_of_a_perfect_law():
    texts = [[unit] * (3600 // rank) for rank, unit in enumerate("abcdef", 1)]
    assert zipf(texts) == pytest.approx(1.0, abs=1e-3)
    assert math.isnan(zipf(["aaa"]))


@settings(deadline=None)
@given(TEXTS)
def test_shares_lie_between_0_and_1(texts):
    for n in (1, 2, 3):
        assert 0 <= repetition(texts, n) <= 1
        assert 0 <= distinct(texts, n) <= 1
    assert 0 <= loops(texts) <= 1
    assert 0 <= diversity(texts) <= 1


@settings(deadline=None)
@given(st.lists(st.integers(0, 3), max_size=80), st.integers(1, 5))
def test_the_repetition_of_an_end_counts_what_came_before(text, n):
    grams = list(ngrams(text, n))
    ending = [i for i in range(len(grams)) if i + n > len(text) - min(50, len(text) // 2)]
    expected = sum(grams[i] in grams[:i] for i in ending) / len(ending) if ending else 0
    assert end_repetition(text, n) == pytest.approx(expected)


@pytest.mark.parametrize("period", [4, 8, 17, 24])
def test_a_circle_in_which_a_word_changes_is_seen(period):
    """Exactly periodic it need not be: each time round another token stands at one place."""
    text = [100 + i // period if i % period == 2 else i % period for i in range(12 * period)]
    assert loop_period(text) == 0
    assert ends_in_circles(text) == (period > 4), "in a circle of 4 the new token is in every 4-gram"
    started = list(range(1000, 1040)) + text
    assert ends_in_circles(started) == ends_in_circles(text)


@pytest.mark.parametrize("length", [12, 40, 100])
def test_what_people_write_ends_in_no_circle(length):
    import unspool as un
    from unspool.packaged import packaged

    lm = un.load()
    tokens = lm.tokenizer.encode(packaged("held_out.txt"))
    assert loops([tokens[i : i + length] for i in range(0, len(tokens) - length, length)]) == 0


def test_an_exact_loop_is_a_circle_and_a_short_text_is_none():
    for period in (1, 3, 4, 30, 90):
        text = list(range(500, 520)) + [i % period for i in range(max(12, 3 * period))]
        assert loop_period(text) == period
        assert ends_in_circles(text)
    assert not ends_in_circles([1] * 11)
    assert ends_in_circles([1] * 12)
