"""Diverse beam search against its definition, on lists."""

import numpy as np
import pytest
from helpers.tables import BACKENDS, run, table, texts

import unspool as un

PROMPTS, LIMIT, END = [[1], [2, 0], [3, 3, 1]], 5, 3


def plain(model, prompt, groups, each, diversity, discount, siblings, in_score):
    """Groups of beams, all of which go on to the limit: no text ends before it."""
    beams = [[((), 0.0, 0.0)] for _ in range(groups)]                    # (text, score, what ranks)
    for _ in range(LIMIT):
        taken = []
        for g in range(groups):
            found = []
            for text, score, _ in beams[g]:
                p = np.asarray(model.probabilities((*prompt, *text)), np.float64)
                logs = np.log(p / p.sum())
                loss = np.zeros(len(p))
                for token, before in taken:
                    same = sum(discount ** (len(text) - i) for i, (a, b) in enumerate(zip(text, before, strict=True)) if a == b)
                    loss[token] += diversity * (1 + same)
                if text:
                    loss[np.argsort(loss - logs, kind="stable")] += siblings * np.arange(1, len(p) + 1)
                found += [((*text, v), score + logs[v] - loss[v] * in_score, score + logs[v] - loss[v]) for v in range(len(p))]
            beams[g] = sorted(found, key=lambda one: -one[2])[:each]
            taken += [(text[-1], text[:-1]) for text, *_ in beams[g]]
    found = [one for some in beams for one in some]
    return [text for text, *_ in sorted(found, key=lambda one: -one[1])], sorted((score for _, score, _ in found), reverse=True)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("groups", "each"), [(1, 3), (3, 1), (2, 2)])
@pytest.mark.parametrize(
    ("diversity", "discount", "siblings"), [(0.8, 0.0, 0.0), (0.8, 1.0, 0.0), (0.5, 0.5, 0.0), (0.0, 0.0, 0.6), (0.7, 0.3, 0.4)]
)
@pytest.mark.parametrize("penalise", ["score", "selection"])
def test_it_is_its_definition(backend, groups, each, diversity, discount, siblings, penalise):
    decoder = un.DiverseBeam(
        groups * each, 0.0, n=groups * each, groups=groups, diversity=diversity, discount=discount, siblings=siblings, penalise=penalise
    )
    for seed in range(4):
        model = table(seed=seed, vocabulary=5, end_tokens=(), backend=BACKENDS[backend])
        for prompt, found in zip(PROMPTS, run(model, decoder, PROMPTS, LIMIT), strict=True):
            expected, scores = plain(model, prompt, groups, each, diversity, discount, siblings, penalise == "score")
            assert texts(found) == expected
            np.testing.assert_allclose([h.score for h in found], scores, atol=1e-5)


def test_one_group_without_siblings_is_beam_search():
    for seed in range(8):
        model = table(seed=seed, vocabulary=5, end_tokens=(END,))
        for options in ("early_stopping=True, n=2", "length_penalty=0.0, early_stopping='never', n=3"):
            one, other = (run(model, f"{name}(3, {options})", PROMPTS, LIMIT) for name in ("diverse_beam", "beam"))
            assert list(map(texts, one)) == list(map(texts, other))


def test_a_great_penalty_makes_first_tokens_differ():
    model = table(seed=2, vocabulary=6, end_tokens=())
    for found in run(model, "diverse_beam(4, groups=4, diversity=100, penalise='selection', n=4)", PROMPTS, LIMIT):
        assert len({text[0] for text in texts(found)}) == 4


@pytest.mark.parametrize(
    ("text", "words"),
    [("diverse_beam(5, groups=2)", "of one size"), ("diverse_beam(4, penalise='both')", "penalise"), ("diverse_beam(2, n=3)", "n=3")],
)
def test_what_cannot_be_is_refused(text, words):
    with pytest.raises(un.ParameterError, match=words):
        un.parse(text)
