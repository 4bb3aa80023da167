"""Validity against sums over all texts, and estimates against what is exact."""

import re

import numpy as np
import pytest
from gate.test_grammar import Pieces, lm_of
from helpers.tables import enumerate_texts

import unspool as un
from unspool.lab.validity import Validity, enumerate_validity, estimate_validity

TOKENIZER, REGEX, LIMIT = Pieces("a", "b", "c", "ab", "bc"), "a?b{1,3}c?", 5


def spell(tokens):
    return b"".join(map(TOKENIZER.bytes_of, tokens)).decode()


def valid(text):
    return text[-1] == TOKENIZER.size - 1 and re.fullmatch(REGEX, spell(text))


def test_all_valid_texts_have_their_probabilities():
    lm = lm_of(TOKENIZER, 7, sharpness=2.0)
    exact = {text: p for text, p in enumerate_texts(lm.model, [0], LIMIT) if valid(text)}
    found = enumerate_validity(lm, "a", un.Regex(REGEX), max_new_tokens=LIMIT)
    assert found.exact
    assert found.valid == pytest.approx(sum(exact.values()), rel=1e-5)
    by_text = {}
    for text, p in exact.items():
        by_text[spell(text)] = by_text.get(spell(text), 0) + p / sum(exact.values())
    assert {text: p for text, (_, p) in found.by_text().items()} == pytest.approx(by_text, rel=1e-4)
    assert found.masked.sum() + found.invalid == pytest.approx(1)
    assert found.given_valid.sum() == pytest.approx(1)


def test_measures_are_their_definitions():
    q, p = np.asarray([0.5, 0.25]), np.asarray([0.06, 0.14])                # a quarter of masked sampling is invalid
    found = Validity(["x", "y"], q, np.log(p / q), True)
    assert found.valid == pytest.approx(0.2)
    assert found.given_valid == pytest.approx([0.3, 0.7])
    assert found.invalid == pytest.approx(0.25)
    assert found.divergence == pytest.approx(0.3 * np.log(0.3 / 0.5) + 0.7 * np.log(0.7 / 0.25))
    assert found.total_variation == pytest.approx((0.2 + 0.45 + 0.25) / 2)
    assert found.effective == pytest.approx(0.04 / (0.06**2 / 0.5 + 0.14**2 / 0.25))
    assert "not valid" in found.table()
    same = Validity(["x", "y"], q / q.sum(), np.zeros(2), True)
    assert (same.divergence, same.total_variation, same.effective) == pytest.approx((0, 0, 1))


@pytest.mark.parametrize("seed", range(3))
def test_estimates_are_close_to_what_is_exact(seed):
    lm = lm_of(TOKENIZER, seed, sharpness=1.5)
    options = {"max_new_tokens": LIMIT}
    exact = enumerate_validity(lm, "a", un.Regex(REGEX), **options)
    found = estimate_validity(lm, "a", un.Regex(REGEX), draws=1000, seed=seed, **options)
    assert not found.exact
    assert found.valid == pytest.approx(exact.valid, rel=0.25)
    assert found.divergence == pytest.approx(exact.divergence, rel=0.3, abs=0.05)
    assert found.effective == pytest.approx(exact.effective, rel=0.3)
    q, p = exact.by_text()[max(exact.by_text())], found.by_text()[max(exact.by_text())]
    assert p == pytest.approx(q, abs=0.05)


def test_what_is_too_much_or_nothing_is_told():
    lm = lm_of(TOKENIZER)
    with pytest.raises(un.ParameterError, match="more than 20 texts"):
        enumerate_validity(lm, "a", un.Regex("[abc]*"), most=20, max_new_tokens=9)
    with pytest.raises(un.DeadEnd, match="within the limit"):
        enumerate_validity(lm, "a", un.Regex("[abc]{9}"), max_new_tokens=2)
    with pytest.raises(un.ParameterError, match="without a strategy"):
        estimate_validity(lm, "a", un.Regex("a") | un.Greedy())
