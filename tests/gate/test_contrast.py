"""Everything that is logit arithmetic between models and prompts, against its formula over all texts of table models."""

import numpy as np
import pytest
from helpers.tables import BACKENDS, END, PROMPTS, VOCABULARY, enumerate_texts, normalised, run, table

import unspool as un

MODELS = [table(seed=s) for s in (5, 6, 7)]


def p_after(model, tokens, power=1.0):
    return normalised(np.asarray(model.probabilities(tuple(tokens)), np.float64) ** power)


def odd(texts):
    return [0.9 if sum(text) % 2 else 0.2 for text in texts]


def plausible(values, p, alpha):
    return np.where(p >= alpha * p.max(), values, 0)


def contrastive(alpha, beta, temperature, context):
    def rule(p, prompt, new):
        q = p_after(MODELS[1], (*prompt[-context:], *new), 1 / temperature)
        return plausible(p / q if beta is None else p ** (1 + beta) / q**beta, p, alpha)

    return rule


def expert(p, prompt, new):
    return p * (p_after(MODELS[1], (*prompt, *new)) / p_after(MODELS[2], (*prompt, *new))) ** 0.7


def mixture(p, prompt, new):
    return 0.5 * p + 0.2 * p_after(MODELS[1], (*prompt, *new)) + 0.3 * p_after(MODELS[2], (*prompt, *new))


def product(p, prompt, new):
    return (p * p_after(MODELS[1], (*prompt, *new)) * p_after(MODELS[2], (*prompt, *new))) ** (1 / 3)


def aware(question):
    def rule(p, prompt, new):
        return p**1.8 / p_after(MODELS[1], (*prompt[-question:], *new)) ** 0.8

    return rule


def guided(p, prompt, new):
    q = p * np.asarray(odd([(*prompt, *new, v) for v in range(VOCABULARY)])) ** 2
    return np.where(p >= np.sort(p)[-4], q, 0)


def cases(one, two):
    return {
        "contrastive": (un.ContrastiveDecoding(one), contrastive(0.1, None, 1, 0)),
        "contrastive, beta": (un.ContrastiveDecoding(one, 0.3, 0.5, 0.6, 2), contrastive(0.3, 0.5, 0.6, 2)),
        "contrastive, all tokens": (un.ContrastiveDecoding(one, 0, context=1), contrastive(0, None, 1, 1)),
        "expert": (un.Expert(one, two, 0.7), expert),
        "mixture": (un.Ensemble((one, two), (0.5, 0.2, 0.3), "mixture"), mixture),
        "product": (un.Ensemble((one, two)), product),
        "context aware": (un.ContextAware(0.8, one, 1), aware(1)),
        "guide": (un.Guide(odd, 2.0, 4), guided),
    }


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("case", cases(*MODELS[1:]))
def test_every_text_has_the_probability_of_the_formula(case, backend):
    base, one, two = (table(seed=s, backend=BACKENDS[backend]) for s in (5, 6, 7))
    part, rule = cases(one, two)[case]
    for prompt, found in zip(PROMPTS, run(base, part | un.Exact(5), PROMPTS, 3), strict=True):
        expected = sorted(enumerate_texts(MODELS[0], prompt, 3, rule), key=lambda pair: -pair[1])[:5]
        assert [tuple(h.tokens) for h in found] == [text for text, _ in expected]
        np.testing.assert_allclose([h.score for h in found], np.log([mass for _, mass in expected]), atol=1e-4)


def test_they_stand_beside_each_other_and_what_went_before_stays_ruled_out():
    part = un.TopK(3) | un.Expert(MODELS[1], MODELS[2], 0.7) | un.Ensemble((MODELS[1], MODELS[2]), (0.5, 0.2, 0.3), "mixture")

    def rule(p, prompt, new):
        kept = np.where(p >= np.sort(p)[-3], p, 0)
        return np.where(kept > 0, mixture(normalised(expert(normalised(kept), prompt, new)), prompt, new), 0)

    for prompt, found in zip(PROMPTS, run(MODELS[0], part | un.Exact(4), PROMPTS, 3), strict=True):
        expected = sorted(enumerate_texts(MODELS[0], prompt, 3, rule), key=lambda pair: -pair[1])[:4]
        assert [tuple(h.tokens) for h in found] == [text for text, _ in expected]
        np.testing.assert_allclose([h.score for h in found], np.log([mass for _, mass in expected]), atol=1e-4)


def test_proxy_tuning_of_the_untuned_model_is_the_tuned_one():
    beam, part = un.Beam(3, n=3), un.Expert(MODELS[1], MODELS[2])
    for one, other in zip(run(MODELS[2], part | beam, PROMPTS, 4), run(MODELS[1], beam, PROMPTS, 4), strict=True):
        assert [h.tokens for h in one] == [h.tokens for h in other]
        np.testing.assert_allclose([h.score for h in one], [h.score for h in other], atol=1e-4)


def test_context_is_what_stands_before_the_last_question():
    part = un.ContextAware(0.8, MODELS[1], (1, 2))
    assert tuple(part.companion_prompt(np.asarray([0, 1, 2, 4, 1, 2, 3]), 0)) == (1, 2, 3)
    with pytest.raises(un.ParameterError, match=r"the question \(1, 2\) is not in the prompt"):
        run(MODELS[0], part | un.Greedy(), [[1, 3]], 2)
    with pytest.raises(un.ParameterError, match="needs a tokenizer"):
        run(MODELS[0], un.ContextAware(0.8, MODELS[1], "Question:") | un.Greedy(), [[1, 3]], 2)


REFUSED = {
    "alpha": (lambda: un.ContrastiveDecoding(MODELS[1], 1.5), r"contrastive_decoding\(alpha=...\) needs a number in \[0, 1\]"),
    "beta": (lambda: un.ContrastiveDecoding(MODELS[1], beta=-1), r"beta=...\) needs a finite number >= 0"),
    "no model": (lambda: un.Expert(MODELS[1], 3), r"expert\(anti\)"),
    "weights": (lambda: un.Ensemble((MODELS[1],), (0.5, 0.6)), "sum to 1"),
    "too many weights": (lambda: un.Ensemble((MODELS[1],), (0.5, 0.3, 0.2)), "has 2 numbers"),
    "how": (lambda: un.Ensemble((MODELS[1],), how="sum"), '"product" or "mixture"'),
    "nobody": (lambda: un.Ensemble(()), "at least one other model"),
    "function": (lambda: un.Guide(3), "needs something to call"),
    "question": (lambda: un.ContextAware(1.0, MODELS[1], 0), "whole number >= 1"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_settings_that_mean_nothing_are_refused(case):
    make, told = REFUSED[case]
    with pytest.raises(un.ParameterError, match=told):
        make()


@pytest.mark.parametrize("said", [lambda texts: [0.5], lambda texts: [2.0] * len(texts), lambda texts: [float("nan")] * len(texts)])
def test_a_guide_that_gives_no_probabilities_is_named(said):
    with pytest.raises(un.PartError, match="guide: the function gave"):
        run(MODELS[0], un.Guide(said, k=3) | un.Greedy(), [[1]], 2)


def test_a_guide_may_forbid():
    for found in run(MODELS[0], un.Guide(lambda texts: [float(t[-1] != END) for t in texts], k=VOCABULARY) | un.Sample(5), PROMPTS, 4):
        assert all(END not in h.tokens and len(h.tokens) == 4 for h in found)
