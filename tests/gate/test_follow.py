"""Following given texts is teacher forcing: the numbers are the scorer's, whatever the processors would have allowed."""

import numpy as np
import pytest
from helpers.tables import END, Letters, run, search_of, table, texts

import unspool as un
from unspool.core.loop import decode
from unspool.score import score_tokens

PROMPT = [1, 2, 3]


@pytest.mark.parametrize("length", [1, 2, 63, 64, 65, 66, 130])
def test_its_log_probabilities_are_those_of_scoring(length):
    model, text = table(seed=3), tuple(np.random.default_rng(length).integers(0, END, length).tolist())
    (found,) = run(model, un.Follow(text), [PROMPT], limit=length + 1)[0]
    assert (tuple(found.tokens), found.reason) == (text, "followed")
    np.testing.assert_allclose(found.logprobs, score_tokens(model, [(PROMPT, list(text))])[0], atol=1e-6)
    np.testing.assert_allclose(found.score, np.sum(found.logprobs), atol=1e-6)


def test_a_text_goes_through_the_model_in_few_forwards():
    strategy = un.Follow((0, 1, 2, 3) * 30)
    search = search_of(table(), un.Decoder((strategy,)), [PROMPT], limit=200)
    assert len(list(decode(search, strategy))) == 120
    assert search.lane.session.forwards <= 5


@pytest.mark.parametrize("then", ["greedy", "sample(2)", "beam(2)", "stochastic_beam(2)", "exact"])
def test_what_goes_on_after_a_forbidden_token_counts_what_is_possible(then):
    found = run(table(seed=5), f"top_k(3) | follow((0, 4, 0, 2), then={then})", [PROMPT])[0]
    assert -np.inf in found[0].processed
    assert all(len(h.tokens) > 4 for h in found)
    assert np.isfinite([h.score for h in found]).all()


def test_forbidden_tokens_are_taken_and_recorded_as_such():
    model = table(seed=5)
    processed = run(model, "top_k(1) | follow((0, 4, 0, 2))", [PROMPT])[0][0].processed
    logprobs = run(model, un.Follow((0, 4, 0, 2)), [PROMPT])[0][0].logprobs
    likeliest = [run(model, un.Greedy(), [[*PROMPT, *(0, 4, 0, 2)[:i]]])[0][0].tokens[0] for i in range(4)]
    assert processed == [0.0 if t == best else -np.inf for t, best in zip((0, 4, 0, 2), likeliest, strict=True)]
    assert -np.inf in processed
    assert np.isfinite(logprobs).all()
    assert run(model, "top_k(1) | follow((0, 4, 0, 2))", [PROMPT])[0][0].logprobs == logprobs


def test_several_texts_come_back_in_their_order_and_share_what_they_share():
    some = ((1, 0, 4, 2), (1, 0, 3), (4,), (1, 0), (1, 0, 3))
    strategy = un.Follow(some)
    search = search_of(table(), un.Decoder((strategy,)), [PROMPT], limit=9)
    steps = list(decode(search, strategy))
    found = strategy.rank(search.found[0])
    assert texts(found) == list(dict.fromkeys(some))
    prefixes = {text[: i + 1] for text in some for i in range(len(text))}
    assert sum(len(step) for step in steps) == len(prefixes) + 1          # (1, 0) ends, and goes on
    for h in found:
        np.testing.assert_allclose(h.logprobs, score_tokens(table(), [(PROMPT, h.tokens)])[0], atol=1e-6)


def test_end_tokens_and_stops_end_only_the_last_token():
    decoder = (un.Follow((END, 0, END)) | un.StopStrings("a")).resolve(Letters())
    (found,) = run(table(), decoder, [PROMPT])[0]
    assert (found.tokens, found.reason) == ([END, 0, END], "end")
    (short,) = run(table(), decoder, [PROMPT], limit=2)[0]
    assert (short.tokens, short.reason) == ([END, 0], "stop")


@pytest.mark.parametrize("strategy", ["greedy", "sample(3)", "beam(3)", "exact", "contrastive_search"])
def test_what_goes_on_goes_on_as_if_it_had_come_this_way(strategy):
    model = table(seed=2)
    whole = run(model, strategy, [PROMPT], limit=6, seed=3, end_tokens=())[0][0]
    for count in range(1, 6):
        follow = f"follow({tuple(whole.tokens[:count])}, then={strategy})"
        found = run(model, follow, [PROMPT], limit=6, seed=3, end_tokens=())[0][0]
        assert found.tokens == whole.tokens
        np.testing.assert_allclose(found.logprobs, whole.logprobs, atol=1e-6)
        np.testing.assert_allclose(found.score, whole.score, atol=1e-6)


@pytest.mark.parametrize("strategy", ["greedy", "sample(3)", "beam(3)", "exact"])
def test_it_goes_on_after_forbidden_tokens(strategy):
    found = run(table(), f"top_k(2) | follow((0, 1, 2, 3), then={strategy})", [PROMPT], limit=7, end_tokens=())[0]
    assert found
    for h in found:
        assert len(h.tokens) == 7
        assert -np.inf in h.processed[:4]
        assert np.isfinite(h.processed[4:]).all()


def test_a_text_that_has_ended_does_not_go_on():
    (found,) = run(table(), un.Follow((0, END), un.Sample(3)), [PROMPT])[0]
    assert (found.tokens, found.reason) == ([0, END], "end")


def test_texts_are_tokenized_as_they_go_on():
    lm = un.LanguageModel(table(), Letters())
    output = lm.generate("bcd", "follow('cab')")
    assert (output.text, output.best.reason) == ("cab", "followed")
    assert [s.text for s in lm.generate("bcd", "follow(('cab', 'ca', (1,)))").sequences] == ["cab", "ca", "b"]
    with pytest.raises(un.ParameterError, match="tokenizer"):
        run(table(), "follow('cab')", [PROMPT])


@pytest.mark.parametrize("texts", ["", (), ((),), ((1,), ""), (1, "a"), 3, None, (-1,), (True,), ((1,), 2), 1.5])
def test_what_is_no_text_is_refused(texts):
    with pytest.raises(un.ParameterError, match="follow"):
        un.Follow(texts)


def test_refusals():
    with pytest.raises(un.ParameterError, match="one text"):
        un.Follow(("a", "b"), un.Greedy())
    with pytest.raises(un.ParameterError, match="strategy"):
        un.Follow("a", "greedy")
    with pytest.raises(un.ParameterError, match="no token 77"):
        un.LanguageModel(table(), Letters()).generate("bcd", un.Follow((77,)))
