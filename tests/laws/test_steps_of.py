"""Beams over segments against their definition on exact models."""

import numpy as np
import pytest
from helpers.tables import Letters, enumerate_texts, run, table, texts

import unspool as un

PROMPTS, END = [[1], [2, 0], [3, 3, 1]], 3


def small(seed=8):
    return table(seed=seed, vocabulary=4, end_tokens=(END,))


@pytest.mark.parametrize("by", ["logprob", "mean_logprob"])
@pytest.mark.parametrize("width", [1, 2, 3])
def test_greedy_steps_are_greedy(by, width):
    decoder = un.StepsOf(un.Greedy(), 2, by, width, 1)
    for one, other in zip(run(small(), decoder, PROMPTS, 6), run(small(), "greedy", PROMPTS, 6), strict=True):
        assert texts(one) == texts(other)


def test_wide_enough_it_finds_the_best_text_there_is():
    """With many draws for each segment every text is among them, and none is given up."""
    for prompt, found in zip(PROMPTS, run(small(), un.StepsOf(un.Sample(), 1, "logprob", 64, 60), PROMPTS, 3), strict=True):
        everything = dict(enumerate_texts(small(), prompt, 3))
        best = max(everything, key=everything.get)
        assert tuple(found[0].tokens) == best
        np.testing.assert_allclose(found[0].score, np.log(everything[best]), atol=1e-5)


@pytest.mark.parametrize("width", [1, 2])
def test_of_the_segments_the_best_go_on(width):
    """Read off the record: after each segment the rows that grow are the best of those that are there."""
    lm = un.LanguageModel(table(seed=1), Letters())
    for seed in range(5):
        out = lm.generate("bcd", un.StepsOf(boundary=2, by="logprob", width=width, each=3), max_new_tokens=8, seed=seed, end_tokens=())
        worth, depth, grew = {0: 0.0}, {0: 0}, set()
        for step in out.trace.steps:
            for parent, node, lp in zip(step.parents.tolist(), step.nodes.tolist(), step.processed.tolist(), strict=True):
                worth[node], depth[node] = worth[parent] + lp, depth[parent] + 1
                grew.add(parent)
        for level in (2, 4, 6):
            there = sorted((n for n in depth if depth[n] == level), key=lambda n: -worth[n])
            assert {n for n in there if n in grew} == set(there[:width])


def test_a_text_is_a_boundary_and_a_function_scores():
    lm = un.LanguageModel(table(seed=1), Letters())
    out = lm.generate("bcd", un.StepsOf(boundary="a", by=lambda text: text.count("b"), width=2, each=4, n=9), max_new_tokens=9)
    assert [s.score for s in out.sequences] == sorted((s.text.count("b") for s in out.sequences), reverse=True)


def test_particles_are_drawn_by_their_scores():
    lm = un.LanguageModel(table(seed=1), Letters())
    like = lambda text: 50.0 if text.startswith("a") else 0.0  # noqa: E731
    out = lm.generate("bcd", un.StepsOf(boundary=1, by=like, width=6, each=8, particles=True, n=99), max_new_tokens=4, end_tokens=())
    assert {s.text[0] for s in out.sequences} == {"a"}


@pytest.mark.parametrize("settings", ["boundary=''", "beam(3)", "by='x'", "width=0", "sample(2)", "particles=1"])
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(un.UnspoolError, match="steps_of"):
        un.parse(f"steps_of({settings})")
