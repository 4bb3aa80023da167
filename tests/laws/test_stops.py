"""Where texts end: strings across tokens, end tokens, lengths, time; and no piece of text is written too early."""

import codecs
import re
import time
from itertools import pairwise

import numpy as np
import pytest
from helpers.tables import BACKENDS, PROMPTS, Letters, run, search_of, table
from hypothesis import given, settings, strategies as st
from laws.examples import stops

import unspool as un
from unspool.core.loop import decode as decoding
from unspool.testing import check_stop
from unspool.text import Detokenizer, text_of

TEXT = st.text(alphabet=st.sampled_from("ab \n가각힣韓é🙂🏽👩‍🚀\u200d"), max_size=12)


def cut_at(text, stops):
    """A text up to the first of the stop strings in it."""
    places = [at for at in (text.find(s) for s in stops) if at >= 0]
    return text[: min(places)] if places else text


class Bytes:
    """Tokens are pieces of bytes, cut anywhere."""

    prefixes_space = False
    specials = frozenset()

    def __init__(self, pieces):
        self.pieces = pieces

    def encode_prompt(self, text):
        return self.encode(text)

    def bytes_of(self, token):
        return self.pieces[token]


def cut(data, places):
    edges = [0, *sorted(p % (len(data) + 1) for p in places), len(data)]
    return [data[a:b] for a, b in pairwise(edges)]


def collected(tokens, stops):
    """The text of a hypothesis that ends with the token by which a stop string is there."""
    texts = [b"".join(tokens[:i]).decode("utf-8", "replace") for i in range(len(tokens) + 1)]
    return next((cut_at(text, stops) for text in texts if any(stop in text for stop in stops)), texts[-1])


@settings(max_examples=200, deadline=None)
@given(TEXT, st.lists(st.integers(0, 200), max_size=12), st.lists(TEXT.filter(bool), max_size=3))
def test_pieces_join_to_the_cut_text(text, places, stops):
    tokens = cut(text.encode(), places)
    writer = Detokenizer(Bytes(tokens), stops)
    pieces = [writer.add(t) for t in range(len(tokens))]
    pieces.append(writer.finish())
    assert "".join(pieces) == collected(tokens, stops)
    for end in range(len(pieces)):
        written = "".join(pieces[: end + 1])
        assert not any(stop in written for stop in stops)
        assert "\ufffd" not in written
        assert text.startswith(written)


@settings(max_examples=100, deadline=None)
@given(TEXT)
def test_every_byte_may_be_a_token(text):
    tokens = [bytes([b]) for b in text.encode()]
    writer = Detokenizer(Bytes(tokens))
    assert "".join(writer.add(t) for t in range(len(tokens))) == text
    assert text_of(Bytes(tokens), range(len(tokens))) == text


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=12), st.lists(st.integers(0, 200), max_size=6), st.lists(TEXT.filter(bool), max_size=2))
def test_broken_bytes_are_written_as_they_are_collected(data, places, stops):
    tokens = cut(data, places)
    writer = Detokenizer(Bytes(tokens), stops)
    pieces = [writer.add(t) for t in range(len(tokens))]
    assert "".join([*pieces, writer.finish()]) == collected(tokens, stops)


class Syllables(Letters):
    """Tokens of several bytes; some are halves of a character."""

    PIECES = (b"a", b"b", b"ab", "각".encode()[:1], "각".encode()[1:], b"")

    prefixes_space = False

    def encode_prompt(self, text):
        return self.encode(text)

    def bytes_of(self, token):
        return self.PIECES[token]

    def encode(self, text):
        return [0]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("strings", [("ba",), ("ab",), ("각",), ("bab", "aa"), ("a각", "b각b"), ("aba",)])
def test_a_string_across_tokens_ends_the_text_where_it_first_appears(backend, strings):
    lm = un.LanguageModel(table(seed=4, backend=BACKENDS[backend], sharpness=0.5), Syllables())
    plain = lm.generate("a", un.Sample(60), max_new_tokens=8)
    stopped = lm.generate("a", un.Sample(60) | un.StopStrings(*strings), max_new_tokens=8)
    reasons = set()
    for whole, found in zip(plain.sequences, stopped.sequences, strict=True):
        prefixes = [decode_bytes(whole.tokens[:i]) for i in range(len(whole.tokens) + 1)]
        hits = [i for i, text in enumerate(prefixes) if any(s.encode() in text for s in strings)]
        expected = whole.tokens[: hits[0]] if hits else whole.tokens
        assert found.tokens == expected
        assert found.text == cut_at(whole.text, strings)
        assert (found.reason == "stop") == bool(hits and expected[-1] != 5)
        reasons.add(found.reason)
    assert {"stop", "end"} <= reasons


def late(tokens, strings, after):
    """How many tokens there are once a string has ended behind the first `after` of them, and the text before it."""
    text = ""
    for i in range(1, len(tokens) + 1):
        before, text = len(text), codecs.utf_8_decode(decode_bytes(tokens[:i]), "replace", False)[0]
        begin = [text.find(s, max(0, before - len(s) + 1)) for s in strings] if i > after else []
        if found := [at for at in begin if at >= 0]:
            return i, text[: min(found)]
    return len(tokens), decode_bytes(tokens).decode(errors="replace")


@pytest.mark.parametrize("after", [0, 1, 2, 4, 9])
@pytest.mark.parametrize("strings", [("ba",), ("각",), ("a", "bbab"), ("a각", "b각b"), ("aba", "b")])
def test_a_string_among_the_first_tokens_does_not_count(strings, after):
    lm = un.LanguageModel(table(seed=4, sharpness=0.5), Syllables())
    plain = lm.generate("a", un.Sample(60), max_new_tokens=8)
    stopped = lm.generate("a", un.Sample(60) | un.StopStrings(*strings, after=after), max_new_tokens=8)
    early = 0
    for whole, found in zip(plain.sequences, stopped.sequences, strict=True):
        count, text = late(whole.tokens, strings, after)
        assert (found.tokens, found.text) == (whole.tokens[:count], text)
        early += count > late(whole.tokens, strings, 0)[0]
    assert early or after < 4


def test_of_two_stops_with_one_string_the_first_to_count_ends_the_text():
    lm = un.LanguageModel(table(seed=4, sharpness=0.5), Syllables())
    early, late = "stop('a', after=1)", "stop('a', 'b', after=5)"
    for order in ((early, late), (late, early)):
        for found in lm.generate("a", " | ".join(["sample(60)", *order]), max_new_tokens=8).sequences:
            if found.reason == "stop":
                assert len(found.tokens) > 1
                assert len(found.text) < len(decode_bytes(found.tokens).decode(errors="replace"))
    assert str(un.parse("stop('a', 'b', after=5)")) == "stop('a', 'b', after=5)"
    assert repr(un.StopStrings("a", after=2)) == "StopStrings('a', after=2)"
    for bad in (-1, 1.5, True, None):
        with pytest.raises(un.ParameterError, match="after"):
            un.StopStrings("a", after=bad)


def test_a_loop_counts_from_a_length_on():
    model = table(seed=5, end_tokens=())
    for after in (0, 3, 6):
        found = run(model, un.parse(f"sample(80) | loop(2, period=2, after={after})"), [[1]], 8)[0]
        whole = run(model, un.parse("sample(80)"), [[1]], 8)[0]
        for one, plain in zip(found, whole, strict=True):
            text = list(plain.tokens)
            twice = [n for n in range(2, 9) if text[n - 2] == text[n - 1] or (n > 3 and text[n - 4 : n - 2] == text[n - 2 : n])]
            ends = [n for n in twice if n > after]
            assert list(one.tokens) == text[: min(ends, default=8)]


def decode_bytes(tokens):
    return b"".join(Syllables.PIECES[t] for t in tokens)


@pytest.mark.parametrize("strategy", ["sample(30)", "beam(6, n=6, early_stopping=True)", "exact(20)"])
def test_hypotheses_end_once_and_for_a_reason(strategy):
    model = table(seed=5, end_tokens=(5, 3))
    for found in run(model, un.parse(f"{strategy} | end(1)"), [[1], [2, 2]], 4):
        assert found
        for h in found:
            assert not {1, 3, 5} & set(h.tokens[:-1])
            assert h.reason == ("end" if h.tokens[-1] in (1, 3, 5) else "length")
            assert h.reason == "end" or len(h.tokens) == 4


def test_end_tokens_may_be_switched_off():
    assert all(len(h.tokens) == 6 for h in run(table(seed=5), un.Sample(20), [[1]], 6, end_tokens=())[0])


@pytest.mark.parametrize("strategy", ["sample(3)", "beam(3, n=3)", "exact(2)"])
def test_time_ends_every_hypothesis(strategy, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now.__setitem__(0, now[0] + 1) or now[0])
    found = run(table(seed=5, end_tokens=()), un.parse(f"{strategy} | max_time(8.0)"), [[1]], 10**6)[0]
    assert {h.reason for h in found} == {"time"}
    assert all(1 <= len(h.tokens) < 20 for h in found)


def test_a_context_that_is_full_ends_the_text():
    lm = un.LanguageModel(table(seed=5, end_tokens=(), context=6), Letters(specials=()))
    output = lm.generate("abc", "beam(2)", max_new_tokens=50)
    assert (len(output.tokens), output.best.reason) == (3, "context")
    assert np.isfinite(output.logprob)


def loops(tokens, count, period, shortest):
    """Whether tokens end in a phrase repeated so often."""
    phrases = [tokens[-n:] for n in range(shortest, period + 1) if n <= len(tokens)]
    return any(tokens[-len(phrase) * count :] == phrase * count for phrase in phrases)


@pytest.mark.parametrize("strategy", ["sample(60)", "beam(5, n=5, early_stopping=True)"])
@pytest.mark.parametrize("loop", [un.Loop(2), un.Loop(3, 1), un.Loop(2, 3, 2), un.Loop(2, 2, 2)], ids=str)
def test_a_loop_ends_where_it_closes(loop, strategy):
    found = run(table(seed=5, end_tokens=(), vocabulary=3), loop | un.parse(strategy), [[1], [2, 2, 2]], 9)
    reasons = set()
    for h in (h for some in found for h in some):
        closed = [i for i in range(len(h.tokens) + 1) if loops(h.tokens[:i], loop.count, loop.period, loop.shortest)]
        assert closed == ([len(h.tokens)] if h.reason == "loop" else [])
        reasons.add(h.reason)
    assert "loop" in reasons


@pytest.mark.parametrize("pattern", ["각", "(ab)+b", "^b", "a.?a", "b각|각b"])
def test_a_pattern_across_tokens_ends_the_text_with_the_token_by_which_it_matches(pattern):
    lm = un.LanguageModel(table(seed=4, sharpness=0.5), Syllables())
    plain = lm.generate("a", un.Sample(60), max_new_tokens=8)
    stopped = lm.generate("a", un.Sample(60) | un.StopRegex(pattern), max_new_tokens=8)
    for whole, found in zip(plain.sequences, stopped.sequences, strict=True):
        prefixes = [decode_bytes(whole.tokens[:i]).decode("utf-8", "replace") for i in range(len(whole.tokens) + 1)]
        hits = [i for i, text in enumerate(prefixes) if re.search(pattern, text)]
        assert found.tokens == (whole.tokens[: hits[0]] if hits else whole.tokens)
        assert (found.reason == "stop") == bool(hits and found.tokens[-1] != 5)


@pytest.mark.parametrize("strategy", ["greedy", "sample(4)", "beam(3, n=3)"])
def test_a_budget_counts_the_prompt(strategy):
    for prompt, found in zip(PROMPTS, run(table(5, end_tokens=()), un.parse(f"{strategy} | token_budget(4)"), PROMPTS, 9), strict=True):
        assert {(len(h.tokens), h.reason) for h in found} == {(max(4 - len(prompt), 1), "length")}


@pytest.mark.parametrize("strategy", ["sample(20)", "beam(3, n=3, early_stopping=True)"])
def test_a_function_of_the_new_tokens_ends_the_text(strategy):
    decoder = un.StopFunction(lambda tokens: sum(tokens) > 7) | un.parse(strategy)
    for h in (h for found in run(table(seed=5, end_tokens=()), decoder, PROMPTS, 9) for h in found):
        assert [sum(h.tokens[: i + 1]) > 7 for i in range(len(h.tokens))] == [False] * (len(h.tokens) - 1) + [h.reason == "stop"]


def confidences(model, prompt, tokens, stop):
    """What `stop` averages, at each of the new tokens, from the definition."""
    for i, token in enumerate(tokens):
        p = np.asarray(model.probabilities((*prompt, *tokens[:i])), np.float64)
        p = p / p.sum()
        yield {"chosen": np.log(p[token]), "likeliest": np.log(p.max()), "deepconf": -np.log(np.sort(p)[-stop.k :]).mean()}[stop.measure]


SEARCHES = ["greedy", "sample(12)", "beam(4, n=4, early_stopping=True)", "contrastive_search", "exact(6)", "speculative"]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("strategy", SEARCHES)
@pytest.mark.parametrize(
    ("measure", "window", "lines"),
    [("chosen", 1, (0.1, 0.45)), ("chosen", 3, (0.05, 0.7)), ("likeliest", 2, (0.35, 0.6)), ("deepconf", 2, (1.5, 5.0))],
)
def test_a_text_ends_with_the_token_by_which_the_model_is_unsure(measure, window, lines, strategy, backend):
    """The model's own confidence counts, whatever the processors make of it."""
    model, reasons = table(seed=5, end_tokens=(), backend=BACKENDS[backend]), set()
    search = un.Speculative(table(seed=6, end_tokens=(), backend=BACKENDS[backend])) if strategy == "speculative" else un.parse(strategy)
    for least in lines:
        stop = un.Confidence(least, window, measure, k=4 if measure == "deepconf" else 20)
        line = least if measure == "deepconf" else np.log(least)
        for prompt, found in zip(PROMPTS, run(model, un.Temperature(0.9) | stop | search, PROMPTS, 5), strict=True):
            assert found
            for h in found:
                sure = list(confidences(model, prompt, h.tokens, stop))
                below = [i for i in range(window, len(sure) + 1) if np.mean(sure[i - window : i]) < line]
                assert below == ([len(sure)] if h.reason == "confidence" else [])
                reasons.add(h.reason)
    assert reasons == {"confidence", "length"}


@pytest.mark.parametrize("strategy", SEARCHES[:4])
def test_confidence_is_read_from_distributions_that_are_known_anyway(strategy):
    def asked(decoder):
        """How many rows' logits a run asks of the session."""
        search, count = search_of(table(seed=5, end_tokens=()), decoder, PROMPTS), [0]
        logits = search.lane.session.logits
        search.lane.session.logits = lambda rows: count.__setitem__(0, count[0] + len(rows)) or logits(rows)
        assert bool(search.lane.reading) == bool(decoder.stops)
        list(decoding(search, decoder.strategy))
        return count[0]

    assert asked(un.Confidence(1e-9, 2) | un.parse(strategy)) == asked(un.parse(strategy))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("stop", [stop for some in stops().values() for stop in some], ids=str)
def test_a_stops_laws(stop, backend):
    check_stop(stop, Letters(), backend=BACKENDS[backend], seed=5, tries=2)


@pytest.mark.parametrize(
    ("text", "match"),
    [("loop(1)", "count"), ("loop(2, 0)", "period"), ("loop(2, 3, 4)", "shortest"), ("stop_regex('(')", "no regular expression"),
     ("stop_regex('')", "pattern"), ("stop('a', '\\ud800')", "surrogates"),
     ("token_budget(0)", "token_budget"), ("stop_function(3)", "call"),
     ("confidence(0)", "least"), ("confidence(1.5)", "least"), ("confidence(0.5, 0)", "window"),
     ("confidence(0.5, measure='x')", "measure"), ("confidence(0.5, k=3)", "deepconf"), ("confidence(0, measure='deepconf')", "least")],
)  # fmt: skip
def test_refused_when_built(text, match):
    with pytest.raises((un.ParameterError, un.DecoderError), match=match):
        un.parse(text)
