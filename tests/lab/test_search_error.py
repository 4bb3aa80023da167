"""How far other decoders fall short of exact search: by its own measure of their texts, whatever they rank by."""

import math

import numpy as np
import pytest
from helpers.tables import Letters, table

import unspool as un
from unspool.lab.search_error import summary

MODEL = table(seed=2, vocabulary=4, end_tokens=(3,), sharpness=0.7)
LM = un.LanguageModel(MODEL, Letters(4, (3,)))
PROMPTS, LIMIT = ["a", "bc", "cab"], 5


def score_of(prompt, tokens, penalty):
    """By definition."""
    text, total = Letters().encode(prompt), 0.0
    for token in tokens:
        p = np.asarray(MODEL.probabilities(tuple(text)))
        total, text = total + np.log(p[token] / p.sum()), [*text, token]
    return total / len(tokens) ** penalty


@pytest.mark.parametrize("penalty", [0.0, 1.0])
@pytest.mark.parametrize("other", ["greedy", "beam(2)", "sample(1)", "beam(64, early_stopping='never')"])
@pytest.mark.parametrize("nodes", [0, 4])
def test_it_is_the_difference_of_scores(penalty, other, nodes):
    decoder = un.parse(f"exact(2, length_penalty={penalty}, nodes={nodes})")
    outputs = LM.generate(PROMPTS, decoder, max_new_tokens=LIMIT)
    theirs = LM.generate(PROMPTS, other, max_new_tokens=LIMIT, seed=5)
    errors = un.search_errors(LM, decoder, outputs, other, max_new_tokens=LIMIT, seed=5)
    for prompt, output, found, error in zip(PROMPTS, outputs, theirs, errors, strict=True):
        assert error.text == found.text
        assert error.score == pytest.approx(score_of(prompt, found.tokens, penalty), abs=1e-5)
        assert error.best == output.sequences[0].score
        assert error.short == pytest.approx(error.best - error.score, abs=1e-4)
        assert error.most >= error.short
        assert nodes or 0 <= error.short == error.most
        assert (error.short == 0) == (found.tokens == output.tokens)


def test_a_text_that_the_exact_search_could_not_find_is_no_match():
    decoder = un.parse("suppress(0, 1) | exact")
    outputs = LM.generate(PROMPTS, decoder, max_new_tokens=LIMIT)
    errors = un.search_errors(LM, decoder, outputs, "allowed(0) | greedy", max_new_tokens=LIMIT)
    assert [e.score for e in errors] == [-math.inf] * 3
    assert "no text that the exact search could find" in str(errors[0])
    assert summary(errors).endswith("after 0 of 3 prompts; 3 without a text that it could find")
    assert errors[0].to_dict()["score"] is None


def test_a_text_that_a_stop_broke_off_is_one_only_where_that_stop_is_the_exact_search_s_too():
    for stop, known in (("", False), (" | stop('c')", True)):
        decoder = un.parse("exact" + stop)
        outputs = LM.generate(PROMPTS, decoder, max_new_tokens=LIMIT)
        errors = un.search_errors(LM, decoder, outputs, "allowed(2) | greedy | stop('c')", max_new_tokens=LIMIT)
        assert [e.score > -math.inf for e in errors] == [known] * 3
        assert all(e.short >= 0 for e in errors)


def test_a_text_without_the_phrase_or_not_among_the_texts_is_no_match():
    for wanted, other, known in (
        ("exact(containing=(2,))", "allowed(0) | greedy", False),
        ("exact(containing=(2,))", "allowed(2) | greedy", True),
        ("exact(among=((0, 1), (2, 2, 2, 2, 2)))", "allowed(0) | greedy", False),
        ("exact(among=((0, 1), (2, 2, 2, 2, 2)))", "allowed(2) | greedy", True),
    ):
        outputs = LM.generate(PROMPTS, wanted, max_new_tokens=LIMIT)
        errors = un.search_errors(LM, un.parse(wanted), outputs, other, max_new_tokens=LIMIT)
        assert [e.score > -math.inf for e in errors] == [known] * 3
        assert all(e.short >= 0 for e in errors)


def test_only_exact_search_is_measured_against():
    outputs = LM.generate(PROMPTS, "beam(2)", max_new_tokens=2)
    with pytest.raises(un.ParameterError, match=r"measured against exact search, as exact\(nodes=1000\); got beam\(2\)"):
        un.search_errors(LM, un.parse("beam(2)"), outputs, "greedy", max_new_tokens=2)


BELOW = "greedy: below the best found after 2 of 3 prompts, by 0.75 on average and 1 at most"


@pytest.mark.parametrize(
    ("scores", "words"),
    [
        ([(-3.0, -2.5, -2.6)], "greedy: score -3, 0.5 below the best"),
        ([(-2.5, -2.5, -2.6)], "greedy: score -2.5, as good as the best"),
        ([(-3.0, -2.5, -2.0)], "greedy: score -3, 0.5 below the best found; at most 1 below the best there is"),
        ([(-2.0, -2.5, -2.0)], "greedy: score -2, 0.5 above the best"),
        ([(-3, -2.5, -9), (-3, -3, -9), (-4, -3, -9)], BELOW),
        ([(-3.0, -3.5, -1), (-3, -3, -9)], "greedy: below the best found after 0 of 2 prompts; above it after 1"),
    ],
)
def test_in_a_line(scores, words):
    assert summary([un.SearchError("greedy", "", *map(float, some)) for some in scores]) == words
