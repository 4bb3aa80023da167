"""Self-BLEU: nltk's sentence_bleu of every text with the others as references, and what follows from the definition."""

import math
import time
import warnings

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from unspool import ParameterError
from unspool.lab.metrics import words
from unspool.lab.self_bleu import self_bleu

TEXTS = st.lists(st.text("abcd", max_size=9), min_size=2, max_size=6)


@settings(deadline=None, max_examples=50)
@given(TEXTS, st.integers(1, 5))
def test_it_is_that_of_nltk(texts, order):
    bleu = pytest.importorskip("nltk.translate.bleu_score")
    smooth, weights = bleu.SmoothingFunction(epsilon=0.1).method1, [1 / order] * order
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = [bleu.sentence_bleu(texts[:i] + texts[i + 1 :], text, weights, smooth) for i, text in enumerate(texts)]
    assert self_bleu(texts, order) == pytest.approx(expected, abs=1e-12)


def test_by_hand():
    first, second = self_bleu([words("the cat sat"), words("the cat sat down")], 2)
    assert first == pytest.approx(math.exp(1 - 4 / 3))
    assert second == pytest.approx(math.sqrt(3 / 4 * 2 / 3))


@settings(deadline=None, max_examples=50)
@given(TEXTS, st.integers(1, 4), st.randoms())
def test_the_order_of_texts_does_not_matter(texts, order, random):
    values = self_bleu(texts, order)
    places = list(range(len(texts)))
    random.shuffle(places)
    assert self_bleu([texts[i] for i in places], order) == pytest.approx([values[i] for i in places], abs=1e-12)
    assert all(0 <= value <= 1 + 1e-12 for value in values)


def test_copies_and_strangers():
    assert self_bleu(["abcdef"] * 3) == pytest.approx([1, 1, 1])
    assert self_bleu(["abcd", "efgh"]) == [0, 0]
    assert self_bleu(["", "abcd"]) == [0, 0]


def test_one_text_has_nothing_to_be_like():
    assert math.isnan(self_bleu(["abcd"])[0])
    assert self_bleu([]) == []
    with pytest.raises(ParameterError, match="got 0"):
        self_bleu(["ab", "ab"], 0)


def test_a_hundred_texts_take_no_time():
    draw = np.random.default_rng(0)
    texts = draw.integers(0, 300, (100, 100)).tolist()
    began = time.process_time()
    self_bleu(texts)
    assert time.process_time() - began < 2
