"""Tokens as users name them: by id, as texts; what no tokenizer knows is refused by name."""

import numpy as np
import pytest
from helpers.tables import Letters, table

import unspool as un

LM = un.LanguageModel(table(), Letters())
OUTSIDE = [
    "banned(6)", "banned((1, 9))", "bias({7: 1.0})", "allowed(1, 6)", "suppress(8)", "suppress_at_begin(6)", "forced({0: 6})",
    "forced_begin(6)", "forced_end(3, token=99)", "xtc(protect=(6,))", "dry(breakers=(6,))", "prefix_constrained(((1, 6),))", "end(6)",
]  # fmt: skip


@pytest.mark.parametrize("text", OUTSIDE)
def test_an_id_outside_the_vocabulary_is_refused(text):
    with pytest.raises(un.ParameterError, match=r"no token \d+; the model's ids are 0 to 5"):
        LM.generate("ab", f"{text} | greedy", max_new_tokens=2)


@pytest.mark.parametrize(
    ("texts", "tokens"),
    [
        ("suppress('a', 'c')", "suppress(0, 2)"),
        ("suppress_at_begin('b')", "suppress_at_begin(1)"),
        ("forced({0: 'd', 2: 'a'})", "forced({0: 3, 2: 0})"),
        ("forced_begin('c')", "forced_begin(2)"),
        ("forced_end(2, token='e')", "forced_end(2, token=4)"),
        ("xtc(protect='a')", "xtc(protect=(0,))"),
        ("dry(breakers=('b', 'f'))", "dry(breakers=(1, 5))"),
        ("prefix_constrained(('abc', 'de'))", "prefix_constrained(((0, 1, 2), (3, 4)))"),
    ],
)
def test_texts_become_tokens(texts, tokens):
    assert un.parse(texts).resolve(Letters()) == un.parse(tokens)


@pytest.mark.parametrize("text", ["suppress('ab')", "forced_begin('ab')", "xtc(protect=('ab',))", "forced_end(2, token='ab')"])
def test_texts_of_several_tokens_are_refused_where_one_is_meant(text):
    with pytest.raises(un.ParameterError, match="'ab' has 2 in this tokenizer"):
        un.parse(text).resolve(Letters())


WITH_TEXTS = ["suppress('a')", "forced_begin('a')", "forced({0: 'a'})", "xtc(protect='a')", "prefix_constrained(('a',))"]


@pytest.mark.parametrize("text", WITH_TEXTS)
def test_texts_without_a_tokenizer_are_refused(text):
    with pytest.raises(un.ParameterError, match="tokenizer"):
        un.parse(text).processors[0].process(un.Rows.of(np.asarray([[1]]), 1), np.zeros((1, 6)))


@pytest.mark.parametrize(
    "text",
    ["suppress()", "forced({-1: 2})", "forced(3)", "forced(((0, 1), (0, 2)))", "forced({0: (1, 2)})", "forced_begin((1, 2))",
     "prefix_constrained('abc')", "prefix_constrained(())", "prefix_constrained((3,))"],
)  # fmt: skip
def test_refused_when_built(text):
    with pytest.raises(un.ParameterError, match=text.split("(")[0]):
        un.parse(text)


def test_one_of_these_texts_comes_and_nothing_else():
    texts = ("abc", "ad", "adda", "e")
    found = LM.generate("ab", un.PrefixConstrained(texts) | un.Sample(60), max_new_tokens=8)
    assert {h.text for h in found.sequences} == set(texts)
    best = LM.generate("ab", un.PrefixConstrained(texts) | un.Beam(6, n=4, length_penalty=0.0), max_new_tokens=8)
    assert {h.text for h in best.sequences} == set(texts)
    assert sum(np.exp(sum(h.processed)) for h in best.sequences) == pytest.approx(1, abs=1e-5)
