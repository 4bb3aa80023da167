"""Phrases that are put into the text: where, how often, and that all else stays as it is."""

import re

import numpy as np
import pytest
from helpers.tables import BACKENDS, END, PROMPTS, Letters, enumerate_texts, run, table
from laws.test_parts import Pieces

import unspool as un
from unspool.testing.worlds import Definition

MODEL = table(seed=3)


def greedy(decoder, prompt=(1, 2), limit=8, model=MODEL):
    return run(model, decoder, [list(prompt)], limit)[0][0].tokens


def test_a_phrase_comes_whole_where_its_condition_holds():
    for place in range(4):
        decoder = un.MinNewTokens(8) | un.Say((4, 4, 0), f"position >= {place}") | un.Sample(9)
        for text in (h.tokens for h in run(MODEL, decoder, PROMPTS, 8)[0]):
            assert list(text[place : place + 3]) == [4, 4, 0]
    twice = greedy(un.Say((4, 4, 0), times=2))
    assert list(twice[:6]) == [4, 4, 0, 4, 4, 0]


def test_the_rest_of_the_text_is_the_models():
    """Every probability, by enumeration: what is said costs nothing, and all else is the model's own after it."""
    phrase, limit = (2, 4), 4

    def rule(probabilities, prompt, new):
        p = np.array(probabilities)
        if 1 <= len(new) < 3:
            p[:] = 0
            p[phrase[len(new) - 1]] = 1
        return p

    expected = dict(enumerate_texts(MODEL, (1, 2), limit, rule))
    definition = Definition(MODEL, [un.Say(phrase, "position >= 1")])
    total = 0.0
    for text, mass in expected.items():
        found = 0.0
        for n, (_, processed) in enumerate(definition.along([1, 2], text)):
            if n < len(text):
                found += processed[text[n]]
        assert np.exp(found) == pytest.approx(mass, rel=1e-5)
        total += mass
    assert total == pytest.approx(1)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_phrase_comes_in_place_of_an_end(backend):
    """Greedy ends only behind the phrase; where the end is not the likeliest it cannot come before."""
    for seed in range(8):
        model = table(seed=seed, backend=BACKENDS[backend])
        plain = greedy(un.Greedy(), limit=12, model=model)
        said = greedy(un.Say((4, 1), instead=END), limit=16, model=model)
        if plain[-1] == END:
            n = len(plain) - 1
            assert list(said[: n + 2]) == [*plain[:n], 4, 1]
        for h in run(model, un.Say((4, 1), instead=END) | un.Sample(20), [[1, 2]], 16)[0]:
            if h.tokens[-1] == END:
                assert re.search(r"4, 1\b", str(list(h.tokens)))


def test_it_comes_no_oftener_than_asked():
    model = table(seed=2)
    for times in (1, 2, 3):
        part = un.Say((4,), instead=END, times=times)
        for h in run(model, part | un.Temperature(0) | un.Sample(), [[p, q] for p in range(5) for q in range(5)], 30):
            assert h[0].reason in ("end", "length")
        memory = part.begin(np.asarray([1]))
        scores = np.zeros(6, np.float32)
        scores[END] = 5
        for n in range(times):
            (memory,) = part.advance([memory], [4], [scores])
            assert memory.times == n + 1
        left = part.process(un.Rows.of(np.asarray([[1]])), scores[None], [memory])
        assert np.array_equal(left, scores[None])


def test_what_was_forced_against_the_phrase_breaks_it_off():
    part = un.Say((4, 4, 0))
    memory = part.begin(np.asarray([1]))
    (memory,) = part.advance([memory], [4], [])
    assert memory.place == 1
    (memory,) = part.advance([memory], [2], [])
    assert (memory.place, memory.times) == (0, 0)


def test_a_loop_is_closed():
    model = table(seed=2)
    found = greedy(un.Bias({3: 50.0}) | un.Say((4, 0), when="loop >= 3"), limit=6, model=model)
    assert list(found) == [3, 3, 3, 4, 0, 3]


def test_a_thinking_budget_is_the_rule_that_it_says():
    part = un.ThinkingBudget(3, "ab", "cd", "a")
    rule = un.Between("ab", "cd", un.Say("acd", when="position >= 3"), prompt=True)
    for prompt in ([0, 1], [0, 1, 2, 3], [3, 0], [4]):
        for new in ([1, 4, 4, 0, 2, 3, 4], [4, 4, 0, 2, 3, 0, 1, 4], [2, 3, 4, 4, 4, 4]):
            one, other = (Definition(MODEL, [p.resolve(Letters())]).along(prompt, new) for p in (part, rule))
            for (_, a), (_, b) in zip(one, other, strict=True):
                assert np.array_equal(a, b)


def test_thinking_is_closed_when_its_budget_is_spent():
    lm = un.LanguageModel(table(seed=6), Letters())
    limits = un.MinNewTokens(14) | un.ThinkingBudget(3, "ab", "cd", "e") | un.Sample(30)
    for sequence in lm.generate("ddab", limits, max_new_tokens=14).sequences:
        assert "cd" in sequence.text[:6]
    for sequence in lm.generate("dd", limits, max_new_tokens=14).sequences:
        for part in re.findall(r"ab((?:(?!cd).)*)", sequence.text[:8]):
            assert len(part) <= 3 + len("ecd")


def test_a_closing_phrase_is_found_however_it_is_cut():
    """A token that goes beyond the closing phrase closes it too."""
    pieces = Pieces()
    part = un.ThinkingBudget(2, "<t>", "</t>").resolve(pieces)
    memory = part.begin(np.asarray([0, 2, 3]))                           # the prompt ends in <t>
    for token in ("a", "b", "</", "t>b"):
        (memory,) = part.advance([memory], [pieces.pieces.index(token)], [])
    assert not part.then.inside(memory.met)


def test_tokens_of_the_prompt_gain():
    rows = un.Rows(np.asarray([[1, 2, 1, 3, 4, 1]]), np.asarray([6]), np.asarray([5]))
    scores = np.zeros((1, 6), np.float32)
    assert un.Cite(2.0, 0.5).process(rows, scores)[0].tolist() == [0, 2, 2.5, 2.5, 2, 0]
    assert un.Cite(0.0, 1.0).process(rows, scores)[0].tolist() == [0, 0, 1, 1, 0, 0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("say('')", "say() takes texts"),
        ("say('a', when=3)", "say(when=...) is a text"),
        ("say('a', instead=(1, 2))", "say(instead=...) is a token id or a text"),
        ("say('a', times=0)", "say(times=...)"),
        ("thinking_budget(-1)", "thinking_budget(tokens)"),
        ("thinking_budget(3, open='')", "thinking_budget(open=...) is a text"),
        ("cite('a')", "cite(amount)"),
    ],
)
def test_what_cannot_be_said_is_refused(text, said):
    with pytest.raises(un.ParameterError, match=re.escape(said)):
        un.parse(text)
