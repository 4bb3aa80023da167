"""Metrics against answers and against people's texts: each is what it is defined by."""

import importlib.util
import math
from dataclasses import replace
from itertools import combinations, product
from types import SimpleNamespace

import numpy as np
import pytest
from helpers.tables import Letters, table
from hypothesis import given, settings, strategies as st

import unspool as un
from unspool.lab.mauve import LEAST_TEXTS, features_of
from unspool.lab.registry import TextSample, metric_named
from unspool.lab.task_metrics import pass_at

LM = un.LanguageModel(table(0), Letters(), "table 0")
WORDS = st.lists(st.sampled_from(["the", "cat", "sat", "on", "a", "mat.", "dog"]), min_size=1, max_size=8).map(" ".join)


def sample(text, *answers):
    return TextSample(text.split(), [], [], len(text), text=text, answers=answers, answer=text.strip())


def over(metric, groups):
    return float(metric.of_sums(np.sum([metric.numbers(samples) for samples in groups], axis=0)))


@pytest.mark.parametrize("n", range(1, 7))
def test_pass_at_k_is_the_share_of_all_draws_of_k_that_hold_a_right_one(n):
    for right, k in product(range(n + 1), range(1, n + 1)):
        texts = [i < right for i in range(n)]
        draws = list(combinations(texts, k))
        assert pass_at(k, n, right) == pytest.approx(sum(map(any, draws)) / len(draws))
    assert math.isnan(pass_at(n + 1, n, n))


def test_pass_at_k_has_no_bias():
    """Its mean over n texts that are right with chance q is the chance that one of k is."""
    n, k, q = 6, 3, 0.3
    mean = sum(math.comb(n, c) * q**c * (1 - q) ** (n - c) * pass_at(k, n, c) for c in range(n + 1))
    assert mean == pytest.approx(1 - (1 - q) ** k)


def test_prompts_with_too_few_texts_do_not_count_for_pass_at_k():
    groups = [[sample("yes", "yes")], [sample("yes", "yes"), sample("no", "yes"), sample("no", "yes")]]
    assert over(metric_named("pass@2"), groups) == pytest.approx(2 / 3)
    assert metric_named("pass@2").name == "pass_at_2"
    assert math.isnan(over(metric_named("pass_at_4"), groups))


def test_exact_match_is_the_share_of_texts_that_equal_an_answer():
    groups = [[sample(" 42\n", "42"), sample("42.", "42")], [sample("b", "a", "b ")], [sample("c")]]
    assert over(metric_named("exact_match"), groups) == pytest.approx(2 / 3)
    assert math.isnan(over(metric_named("exact_match"), [[sample("c")]]))


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(WORDS, st.lists(WORDS, min_size=1, max_size=3)), min_size=1, max_size=5))
def test_bleu_and_chrf_of_sums_are_those_of_the_corpus(pairs):
    metrics = pytest.importorskip("sacrebleu.metrics")
    groups = [[sample(text, *answers)] for text, answers in pairs]
    most = max(len(answers) for _, answers in pairs)
    references = [[answers[i] if i < len(answers) else None for _, answers in pairs] for i in range(most)]
    for name, theirs in (("bleu", metrics.BLEU()), ("chrf", metrics.CHRF())):
        expected = theirs.corpus_score([text for text, _ in pairs], references).score
        assert over(metric_named(name), groups) == pytest.approx(expected)


def compared(**options):
    asked = {"max_new_tokens": 4, "unit": "tokens", "seeds": 3, "metrics": ["exact_match", "pass_at_2"]} | options
    return un.compare(LM, ["abc", "c", "ee"], ["greedy", "temperature(2) | sample(2)"], **asked)


def test_a_comparison_scores_what_its_texts_answer():
    shown = compared(answers=["x"] * 3).generations
    greedy = {g.prompt: g.text for g in shown if g.decoder == "greedy"}
    found = compared(answers=[greedy["abc"], ["x", greedy["c"]], "x"])
    assert found["greedy"].values["exact_match"].value == pytest.approx(2 / 3)
    assert math.isnan(found["greedy"].values["pass_at_2"].value)
    right = {p: [g.text == greedy[p] for g in shown if g.decoder != "greedy" and g.prompt == p] for p in ("abc", "c")}
    expected = (sum(pass_at(2, 6, sum(right[p])) for p in right)) / 3
    assert found.rows[1].values["pass_at_2"].value == pytest.approx(expected)


def test_a_pattern_finds_the_answer():
    whole = compared(answers=["x"] * 3).generations
    first = {g.prompt: g.text[0] for g in whole if g.decoder == "greedy"}
    found = compared(answers=[first[p] for p in ("abc", "c", "ee")], answer_pattern="^(.)")
    assert found["greedy"].values["exact_match"].value == 1
    assert compared(answers=["x"] * 3, answer_pattern="no such").rows[0].values["exact_match"].value == 0


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({}, "exact_match needs answers"),
        ({"answers": ["a", "b"]}, "got 2 for 3 prompts"),
        ({"answers": ["a", [], "b"]}, "prompt 2 has no answer: 'c'"),
        ({"answers": ["a", None, "b"]}, "prompt 2 has no answer"),
        ({"answers": ["a", [1], "b"]}, "prompt 2 has"),
        ({"answers": "abc"}, "a list"),
        ({"answers": ["a"] * 3, "answer_pattern": "("}, "no regular expression"),
        ({"answer_pattern": "a", "metrics": ["length"]}, "for prompts with answers; give them by answers"),
        ({"metrics": ["mauve"]}, f"mauve needs {LEAST_TEXTS} prompts and as many reference texts.*3 prompts and 0 reference"),
    ],
)
def test_what_is_not_enough_is_said_in_one_line(wrong, said):
    with pytest.raises(un.UnspoolError, match=said) as error:
        compared(**wrong)
    assert "\n" not in str(error.value)


def test_features_are_the_last_hidden_states():
    lm = un.load()
    texts = ["The king said nothing.", "", "A wolf"]
    for text, found in zip(texts, features_of(lm, texts), strict=True):
        session = lm.model.session()
        (row,) = session.extend([un.ROOT], [lm.tokens_of("") + lm.tokenizer.encode(text)])
        np.testing.assert_allclose(found, session.hidden([row])[0], rtol=1e-5, atol=1e-6)
    with pytest.raises(un.Unsupported, match="hidden states, which bare does not give"):
        features_of(SimpleNamespace(name="bare", model=SimpleNamespace(session=lambda: SimpleNamespace(can=frozenset()))), ["a"])


@pytest.mark.skipif(importlib.util.find_spec("mauve") is None, reason="needs mauve-text")
@pytest.mark.filterwarnings("ignore")
def test_mauve_is_the_packages_own_and_sees_a_difference(capfd):
    import mauve

    lm = un.load()
    prompts = [f"{a} {b}" for a in ("The king", "A wolf", "The fox", "An old man") for b in ("said", "went", "came", "saw")]
    human = [f"There was a {a} who had a {b}." for a in ("king", "queen", "fox", "bear") for b in ("son", "hat", "horse", "house")]
    few = replace(metric_named("mauve"), least=10)
    found = un.compare(lm, prompts, ["greedy", "sample(1)"], reference=human, metrics=[few], seeds=1, max_new_tokens=8)
    assert "WARNING" not in capfd.readouterr().err
    texts = [g.text for g in found.generations if g.decoder == "greedy"]
    cut = [lm.tokenizer.encode(h)[:8] for h in human]
    q = np.asarray(features_of(lm, [b"".join(map(lm.tokenizer.bytes_of, c)).decode() for c in cut]))
    p = np.asarray(features_of(lm, texts))
    expected = mauve.compute_mauve(p_features=p, q_features=q, verbose=False).mauve
    assert found["greedy"].values["mauve"].value == pytest.approx(float(expected))
    assert math.isnan(found.reference.values["mauve"].value)
    assert math.isnan(found["greedy"].values["mauve"].low)
