"""What looks far back, against its definition in the plainest words, on long texts with many repetitions."""

import numpy as np
import pytest
from helpers.tables import BACKENDS, Letters
from hypothesis import given, settings, strategies as st

import unspool as un
from unspool.arrays import host
from unspool.processors.dry import prefix_matches, repetitions

TEXT = st.lists(st.integers(0, 2), min_size=1, max_size=40)


@settings(max_examples=150, deadline=None)
@given(TEXT)
def test_prefix_matches(text):
    for i, n in enumerate(prefix_matches(text)):
        assert text[i : i + n] == text[:n]
        assert i + n == len(text) or text[i + n] != text[n]


@settings(max_examples=150, deadline=None)
@given(TEXT, st.sets(st.integers(0, 2), max_size=1))
def test_the_longest_repetition_that_a_token_would_go_on_with(text, breakers):
    found = repetitions(np.asarray(text), np.asarray(sorted(breakers), np.int64))
    for v in range(3):
        lengths = [
            n
            for i, t in enumerate(text)
            for n in range(1, i + 1)
            if t == v and v not in breakers and text[i - n : i] == text[len(text) - n :] and not breakers & set(text[i - n : i])
        ]
        assert found.get(v, 0) == max(lengths, default=0)


@settings(max_examples=80, deadline=None)
@given(st.lists(TEXT, min_size=1, max_size=3), st.integers(1, 9), st.integers(0, 9), st.sampled_from(["all", "prompt", "generated"]))
def test_windows_of_penalties(texts, window, decay, scope):
    width = max(map(len, texts))
    tokens = np.asarray([[-1] * (width - len(t)) + t for t in texts])
    lengths = np.asarray([len(t) for t in texts])
    rows = un.Rows(tokens, lengths, np.minimum(lengths, 5))
    seen = [{"all": t, "prompt": t[:5], "generated": t[5:]}[scope] for t in texts]
    scores = np.random.default_rng(0).normal(size=(len(texts), 4))
    found = un.RepetitionPenalty(2.0, scope, window, decay).process(rows, scores)
    presence, frequency = (part(0.5, scope, window).process(rows, scores) for part in (un.PresencePenalty, un.FrequencyPenalty))
    for r, text in enumerate(seen):
        for v in range(4):
            ago = min((len(text) - i for i, t in enumerate(text) if t == v), default=10**6)
            penalty = 2.0 if ago <= window else 2.0 - (ago - window - 1) / decay if ago <= window + decay else 1.0
            s = scores[r, v]
            assert found[r, v] == pytest.approx(s * penalty if s < 0 else s / penalty)
            assert presence[r, v] == pytest.approx(s - 0.5 * (v in text[-window:]), abs=1e-6)
            assert frequency[r, v] == pytest.approx(s - 0.5 * text[-window:].count(v), abs=1e-6)


@pytest.mark.parametrize("backend", BACKENDS)
def test_dry_in_numbers(backend):
    """After abcab, c goes on with a repetition of two tokens; with a breaker between them, with one of one."""
    rows = un.Rows.of(BACKENDS[backend](np.asarray([[0, 1, 2, 0, 1]])))
    scores = BACKENDS[backend](np.zeros((1, 6), np.float32))
    assert host(un.Dry(0.8, 1.75, 1, ()).process(rows, scores))[0] == pytest.approx([0, 0, -1.4, 0, 0, 0])
    assert host(un.Dry(0.8, 1.75, 1, (0,)).process(rows, scores))[0] == pytest.approx([0, 0, -0.8, 0, 0, 0])
    assert not host(un.Dry(0.8, 1.75, 1, (1,)).process(rows, scores)).any()
    assert not host(un.Dry(0.8, 1.75, 3, ()).process(rows, scores)).any()
    assert np.isfinite(host(un.Dry(0.8, 9.0, 1, ()).process(un.Rows.of(np.zeros((1, 400), np.int64)), host(scores)))).all()


def test_breakers_are_every_token_that_contains_them():
    class Pieces(Letters):
        def bytes_of(self, token):
            return [b"a", b"b:", b": ", b"\n\n", b"c", b""][token]

    assert un.Dry(breakers=(":", 4, "\n")).resolve(Pieces()).breakers == (1, 2, 3, 4)
    with pytest.raises(un.ParameterError, match="need a tokenizer"):
        un.Dry().process(un.Rows.of(np.asarray([[1]])), np.zeros((1, 6)))


@pytest.mark.parametrize(
    "text",
    ["repetition_penalty(1.2, window=0)", "repetition_penalty(1.2, decay=3)", "repetition_penalty(0)", "dry(-1)", "dry(base=0.5)",
     "dry(allowed_length=0)", "presence_penalty(1, window=-2)", "encoder_repetition_penalty(0)", "encoder_no_repeat_ngram(0)",
     "exponential_decay_length(-1, 1.1)", "exponential_decay_length(1, 0)", "forced_end(0)", "min_length(-1)", "epsilon(2)", "eta(-1)",
     "top_h(2)", "top_h(0.5, 'mine')", "tail_free(-0.1)", "xtc(2)", "xtc(0.1, 2)", "top_a(3)", "top_n_sigma(-1)", "p_less(3)",
     "mirostat(version=3)", "adaptive_p(2)", "adaptive_p(0.5, decay=1)", "dynamic_temperature(2, 1)", "smoothing(-1)",
     "smoothing(1, curve=4)", "skew(1e9)"],
)  # fmt: skip
def test_refused_when_built_and_named(text):
    with pytest.raises(un.ParameterError, match=text.split("(")[0]):
        un.parse(text)
