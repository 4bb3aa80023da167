"""A small grammar, at most three digits and then a comma, under sampling and beams, against enumeration."""

import numpy as np
import pytest
from helpers.checks import fits
from helpers.tables import BACKENDS, Letters, enumerate_texts, run, table, texts

import unspool as un

DIGITS, COMMA, END = (0, 1, 2, 3), 4, 5
PROMPTS, LIMIT = [[1], [4, 2], [5, 5, 0]], 6


class Number:
    """States are how many digits there were; -1 after the comma, when only the end may come."""

    def begin(self):
        return 0

    def advance(self, state, token):
        return -1 if token == COMMA else state + 1

    def allowed(self, state):
        if state < 0:
            return (END,)
        return ((*DIGITS,) if state < 3 else ()) + ((COMMA,) if state else ())


def grammatical(p, prompt, new):
    allowed = [END] if COMMA in new else [*(DIGITS if len(new) < 3 else ()), *((COMMA,) if new else ())]
    return np.asarray([x if t in allowed else 0.0 for t, x in enumerate(p)])


def accepted(text):
    return 3 <= len(text) <= 5 and text[-2:] == (COMMA, END) and set(text[:-2]) <= set(DIGITS)


def test_samples_have_the_masked_distribution():
    model = table(seed=21, sharpness=1.0)
    for prompt, found in zip(PROMPTS, run(model, un.Automaton(Number()) | un.Sample(700), PROMPTS, LIMIT, seed=1), strict=True):
        exact = dict(enumerate_texts(model, prompt, LIMIT, grammatical))
        assert len(exact) == 4 + 16 + 64
        assert all(accepted(text) for text in texts(found))
        fits(texts(found), exact)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("penalty", [0.0, 1.0])
def test_wide_beams_find_every_accepted_text_in_order(backend, penalty):
    model = table(seed=22, backend=BACKENDS[backend])
    decoder = un.Automaton(Number()) | un.Beam(84, penalty, "never", n=84)
    for prompt, found in zip(PROMPTS, run(model, decoder, PROMPTS, LIMIT), strict=True):
        expected = [(np.log(mass) / len(text) ** penalty, text) for text, mass in enumerate_texts(model, prompt, LIMIT, grammatical)]
        expected.sort(reverse=True)
        assert all(accepted(text) for text in texts(found))
        assert texts(found) == [text for _, text in expected]
        np.testing.assert_allclose([h.score for h in found], [score for score, _ in expected], atol=1e-5)


@pytest.mark.parametrize("strategy", ["greedy", "beam(2)", "sample(9)", "exact(4)", "contrastive_search"])
def test_every_strategy_obeys(strategy):
    lm = un.LanguageModel(table(seed=23), Letters())
    for output in lm.generate(["b", "ec"], un.Automaton(Number()) | un.parse(strategy), max_new_tokens=LIMIT):
        assert all(accepted(tuple(s.tokens)) for s in output.sequences)
