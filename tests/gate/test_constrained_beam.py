"""Constrained beam search against enumeration, on tables."""

import numpy as np
import pytest
from helpers.tables import BACKENDS, Letters, enumerate_texts, run, table, texts

import unspool as un
from unspool.strategies.progress import Progress

PROMPTS, LIMIT, END = [[1], [2, 0], [3, 3, 1]], 4, 3
APART = [[((0, 1),)], [((2,),), ((0,),)], [((1, 0), (2,))], [((0, 0),), ((2, 1), (1, 2))]]
SETS = [*APART, [((0, 1),), ((1, 0),)]]
"""The last are phrases that may share a token."""


def holds(text, sets, ordered=False, start=0):
    """Whether a text holds a phrase of every set, by its definition."""
    ends = [[i + len(p) for p in some for i in range(start, len(text)) if text[i : i + len(p)] == p] for some in sets]
    if not ordered:
        return all(ends)
    return not sets or any(holds(text, sets[1:], True, end) for end in ends[0])


def phrases(sets):
    return tuple(list(some) for some in sets)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("ends", [(), (END,)])
@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize("sets", APART, ids=str)
def test_with_beams_for_all_it_is_enumeration(backend, ends, ordered, sets):
    for seed in range(2):
        model = table(seed=seed, vocabulary=4, end_tokens=ends, backend=BACKENDS[backend])
        options = {"n": 5, "early_stopping": "never", "phrases": phrases(sets), "ordered": ordered, "banks": "each"}
        for prompt, found in zip(PROMPTS, run(model, un.ConstrainedBeam(300, **options), PROMPTS, LIMIT), strict=True):
            valid = [(np.log(m) / len(t), t) for t, m in enumerate_texts(model, prompt, LIMIT) if holds(t, sets, ordered)]
            best = sorted(valid, reverse=True)[:5]
            assert texts(found) == [t for _, t in best]
            np.testing.assert_allclose([h.score for h in found], [score for score, _ in best], atol=1e-5)


@pytest.mark.parametrize("width", [1, 2, 4])
@pytest.mark.parametrize("banks", ["shared", "each"])
@pytest.mark.parametrize("early", [True, False, "never"])
def test_every_text_holds_every_phrase(width, banks, early):
    for seed, sets in enumerate(SETS * 4):
        model = table(seed=seed, vocabulary=5, end_tokens=(END,), sharpness=3.0)
        for ordered in (False, True):
            options = {"n": width, "early_stopping": early, "phrases": phrases(sets), "ordered": ordered, "banks": banks}
            for found in run(model, un.ConstrainedBeam(width, **options), PROMPTS, 6):
                assert found
                assert all(holds(text, sets, ordered) for text in texts(found))


@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize("sets", SETS, ids=str)
def test_progress_is_what_has_been_said(ordered, sets):
    for number in range(3**7):
        text = tuple(number // 3**i % 3 for i in range(7))
        progress, state = Progress(sets, ordered), 0
        for i, token in enumerate(text):
            needed, state = progress.need(state), progress.step(state, token)
            assert (progress.need(state) == 0) == holds(text[: i + 1], sets, ordered)
            assert progress.need(state) >= needed - 1 or ordered is False        # one token cannot say two, unless phrases overlap
            assert all(progress.need(progress.step(state, t)) < progress.need(state) for t in progress.nearer(state))
            assert progress.need(state) == 0 or progress.nearer(state)


def test_phrases_may_share_tokens_where_there_is_room_for_them_apart():
    model = table(seed=1, vocabulary=4, end_tokens=())
    found = run(model, un.ConstrainedBeam(300, n=300, phrases=((0, 1), (1, 0)), banks="each"), [[1]], 5)[0]
    assert {(0, 1, 0, t, u) for t in range(4) for u in range(4)} <= set(texts(found))
    assert run(model, un.ConstrainedBeam(3, phrases=((0, 1), (1, 0))), [[1]], 4)[0]


def test_what_the_prompt_says_does_not_count():
    (found,) = run(table(seed=1, vocabulary=5, end_tokens=()), "constrained_beam(2, phrases=(4, 2))", [[4, 2, 4, 2]], 3)
    assert {4, 2} <= set(found[0].tokens)


def test_where_there_is_no_room_for_them_there_is_no_text():
    model = table(seed=1, vocabulary=5, end_tokens=(END,))
    with pytest.raises(un.DeadEnd, match="no hypothesis is left"):
        un.LanguageModel(model).generate([1], "constrained_beam(2, phrases=((0, 1, 2),))", max_new_tokens=2)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("constrained_beam(2)", "needs phrases"),
        ("constrained_beam(2, phrases=([],))", "at least one"),
        ("constrained_beam(2, phrases=(1,), banks='no')", "banks"),
    ],
)
def test_what_cannot_be_is_refused(text, words):
    with pytest.raises(un.ParameterError, match=words):
        un.parse(text)


@pytest.mark.parametrize("limit", [1, 2])
def test_phrases_that_have_no_room_are_a_dead_end_that_says_so(limit):
    lm = un.LanguageModel(table(seed=1), Letters())
    decoder = "constrained_beam(3, phrases=((0, 1), 2))"
    with pytest.raises(un.DeadEnd, match=f"need 3 tokens and no more than {limit} may come"):
        lm.generate("bcd", decoder, max_new_tokens=limit)
    short, long = lm.generate(["b", "bcd"], decoder, max_length=4)
    assert "c" in short.text
    assert f"no more than {4 - 3} may come" in long.failure
