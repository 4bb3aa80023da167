"""Searches against the enumeration of everything that could have been said."""

from itertools import pairwise

import numpy as np
import pytest
from helpers.tables import BACKENDS, enumerate_texts, run, table, texts

import unspool as un

PROMPTS, LIMIT = [[1], [2, 0], [3, 3, 1]], 4
backends = pytest.mark.parametrize("backend", BACKENDS)


def small(seed, backend="numpy", end_tokens=(3,)):
    return table(seed=seed, vocabulary=4, end_tokens=end_tokens, backend=BACKENDS[backend])


def no_bigram_twice(probabilities, prompt, new):
    text = (*prompt, *new)
    pairs = set(pairwise(text))
    return np.asarray([0.0 if (text[-1], t) in pairs else p for t, p in enumerate(probabilities)])


def sharper(probabilities, prompt, new):
    return probabilities ** (1 / 0.7)


RULES = {"": lambda p, prompt, new: p, "no_repeat_ngram(2) | ": no_bigram_twice, "temperature(0.7) | ": sharper}


def best_first(model, prompt, rule, weight):
    found = [(np.log(mass) / weight(len(text)), text) for text, mass in enumerate_texts(model, prompt, LIMIT, rule)]
    return sorted(found, reverse=True)


@backends
@pytest.mark.parametrize("processors", RULES)
@pytest.mark.parametrize("ends", [(3,), (3, 0), ()])
@pytest.mark.parametrize(
    ("options", "weight"),
    [
        ("length_penalty=0.0", lambda n: 1),
        ("length_penalty=1.0", lambda n: n),
        ("length_penalty=2.0", lambda n: n**2),
        ("length_penalty=0.6, length='gnmt'", lambda n: ((5 + n) / 6) ** 0.6),
    ],
)
def test_full_width_beam_is_brute_force(backend, processors, ends, options, weight):
    model, width = small(8, backend, ends), 4**LIMIT
    found = run(model, f"{processors}beam({width}, n=6, early_stopping='never', {options})", PROMPTS, LIMIT)
    for prompt, hypotheses in zip(PROMPTS, found, strict=True):
        expected = best_first(model, prompt, RULES[processors], weight)[:6]
        assert texts(hypotheses) == [text for _, text in expected]
        np.testing.assert_allclose([h.score for h in hypotheses], [score for score, _ in expected], atol=1e-5)


@pytest.mark.parametrize("width", [1, 2, 3, 5])
@pytest.mark.parametrize("ends", [(3,), (3, 0)])
@pytest.mark.parametrize("early", [True, False, "never"])
@pytest.mark.parametrize("penalty", [0.0, 1.0])
def test_beam_is_its_definition(width, ends, early, penalty):
    for seed in range(4):
        model = table(seed=seed, vocabulary=5, end_tokens=ends, sharpness=1.0)
        decoder = un.Beam(width, penalty, early, n=width)
        for prompt, found in zip(PROMPTS, run(model, decoder, PROMPTS, 6), strict=True):
            assert texts(found) == plain_beam(model, prompt, 6, width, penalty, early)


def plain_beam(model, prompt, limit, width, penalty, early):
    """Beam search as told, on lists; transformers' three ways of stopping."""
    beams, finished = [((), 0.0)], []
    for length in range(1, limit + 1):
        candidates = [
            (score + float(np.float32(np.log(p))), (*text, token))
            for text, score in beams
            for token, p in enumerate(normalised(model.probabilities((*prompt, *text))))
        ]
        candidates.sort(reverse=True)
        done = [length == limit or text[-1] in model.end_tokens for _, text in candidates]
        finished += [(score / length**penalty, text) for (score, text), over in list(zip(candidates, done))[:width] if over]
        beams = [(text, score) for (score, text), over in zip(candidates, done) if not over][:width]
        finished = sorted(finished, reverse=True)[:width]
        if not beams:
            break
        reach = limit if early == "never" and penalty > 0 else length
        if len(finished) == width and (early is True or beams[0][1] / reach**penalty <= finished[-1][0]):
            break
    return [text for _, text in finished]


def normalised(p):
    return np.asarray(p) / np.sum(p)


@backends
@pytest.mark.parametrize("seed", range(3))
def test_a_wider_beam_never_loses_to_exact_search(backend, seed):
    model = small(seed, backend)
    best = run(model, un.Exact(), PROMPTS, LIMIT)
    for width in (1, 2, 4, 64):
        for exact, found in zip(best, run(model, un.Beam(width, 0.0, "never"), PROMPTS, LIMIT), strict=True):
            assert found[0].score <= exact[0].score + 1e-6
    assert texts(best[0]) == texts(found_by(model, width))


def found_by(model, width):
    return run(model, un.Beam(width, 0.0, "never"), PROMPTS[:1], LIMIT)[0]
