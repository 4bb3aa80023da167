"""What others compute under the same names, against values of their own code (see tests/data/README.md)."""

import json
from pathlib import Path

import numpy as np
import pytest

from unspool.lab import variants
from unspool.lab.metrics import distinct, diversity, repetition, words, zipf
from unspool.lab.self_bleu import self_bleu

SAVED = json.loads((Path(__file__).parents[1] / "data/metrics-references.json").read_text(encoding="utf-8"))
TEXTS = [words(text) for text in SAVED["texts"]]


def test_simctg():
    *shares, product = SAVED["simctg"]
    for n, share in zip((2, 3, 4), shares, strict=True):
        assert variants.repetition_simctg(TEXTS, n) == pytest.approx(share / 100, abs=1e-12)
        assert repetition(TEXTS, n) != pytest.approx(share / 100, abs=1e-4)
    assert variants.diversity_simctg(TEXTS) == pytest.approx(product, abs=1e-12)
    assert diversity(TEXTS) != pytest.approx(product, abs=1e-4)


def test_distinct_once():
    for n, value in SAVED["degen"]["distinct"].items():
        assert variants.distinct_once(TEXTS, int(n)) == pytest.approx(value, abs=1e-12)
        assert variants.distinct_once(TEXTS, int(n)) < distinct(TEXTS, int(n))


def test_distinct_per_text():
    assert variants.distinct_per_text([list("ab"), list("aaab")], 1) == pytest.approx((1 + 1 / 2) / 2)


def test_loops_of_holtzman():
    assert [variants.loops_holtzman([text]) for text in TEXTS] == SAVED["degen"]["repeated_each"]
    assert variants.loops_holtzman(TEXTS) == SAVED["degen"]["repeated"] / len(TEXTS)
    assert variants.loops_holtzman([[]]) == 0


def test_zipf_of_the_frequent():
    assert zipf(TEXTS) == pytest.approx(SAVED["degen"]["zipf"], abs=1e-9)
    assert variants.zipf_of_frequent(TEXTS, 5) == pytest.approx(SAVED["degen"]["zipf_5"], abs=1e-9)


def test_perplexity_per_text():
    assert variants.perplexity_per_text(SAVED["logprobs"]) == pytest.approx(SAVED["evaluate_mean_perplexity"], abs=1e-9)
    pooled = np.exp(-np.mean(np.concatenate(SAVED["logprobs"])))
    assert variants.perplexity_per_text(SAVED["logprobs"]) > pooled


@pytest.mark.parametrize("order", [2, 3, 4, 5])
def test_self_bleu_is_that_of_nltk(order):
    assert self_bleu(TEXTS, order) == pytest.approx(SAVED["nltk_self_bleu"][str(order)], abs=1e-12)
