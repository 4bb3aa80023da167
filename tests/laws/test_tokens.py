"""Tokens as users name them: by id, as texts; what no tokenizer knows is refused by name."""

from fractions import Fraction

import numpy as np
import pytest
from helpers.tables import Letters, run, table

import unspool as un

LM = un.LanguageModel(table(), Letters())
OUTSIDE = [
    "banned(6)", "banned((1, 9))", "bias({7: 1.0})", "allowed(1, 6)", "suppress(8)", "suppress_at_begin(6)", "forced({0: 6})",
    "forced_begin(6)", "forced_end(3, token=99)", "xtc(protect=(6,))", "dry(breakers=(6,))", "prefix_constrained(((1, 6),))", "end(6)",
    "choice((1, 6))", "exact(containing=(1, 6))", "exact(among=((1, 6),))",
    "follow((1, 6))", "follow((1, 2), then=follow((9,)))",
]  # fmt: skip


@pytest.mark.parametrize("text", OUTSIDE)
def test_an_id_outside_the_vocabulary_is_refused(text):
    with pytest.raises(un.ParameterError, match=r"no token \d+; this model's ids are 0 to 5"):
        LM.generate("ab", text, max_new_tokens=2)
    with pytest.raises(un.ParameterError, match=r"no token \d+; this model's ids are 0 to 5"):
        run(table(), text, [[0, 1]], 2)


@pytest.mark.parametrize("text", OUTSIDE)
def test_an_id_of_the_model_that_the_tokenizer_lacks_is_one(text):
    """As where an embedding is padded: such an id can be chosen, so it can be banned."""
    model = table(vocabulary=100)
    un.LanguageModel(model, Letters()).generate("ab", un.MinNewTokens(0) | un.parse(text), max_new_tokens=2, end_tokens=(5, 99))


def test_an_id_beyond_the_tokenizer_is_banned():
    lm = un.LanguageModel(table(3, vocabulary=9), Letters())
    first = lm.generate([0], un.Allowed(7, 8), max_new_tokens=1).tokens[0]
    assert lm.generate([0], un.Allowed(7, 8) | un.Suppress(first), max_new_tokens=1).tokens == [15 - first]


@pytest.mark.parametrize("ends", [[6], (5, -1), [99999], np.array([2, 7])])
def test_end_tokens_are_the_model_s(ends):
    with pytest.raises(un.ParameterError, match=r"end_tokens: there is no token -?\d+; this model's ids are 0 to 5"):
        LM.generate("ab", max_new_tokens=2, end_tokens=ends)
    with pytest.raises(un.ParameterError, match="end_tokens: there is no token"):
        run(table(), "greedy", [[0, 1]], 2, end_tokens=ends)


@pytest.mark.parametrize("ends", [["."], [True], [2.0], [None], 5, "5", np.array([1.5])])
def test_what_is_no_token_ends_nothing(ends):
    with pytest.raises(un.ParameterError, match="end_tokens is a sequence of token ids"):
        LM.generate("ab", max_new_tokens=2, end_tokens=ends)


@pytest.mark.parametrize("tokens", [[True, 2], [1.0], ["a"], [None]])
def test_what_is_no_token_is_none_in_a_search_either(tokens):
    with pytest.raises(un.ParameterError, match="token ids are whole numbers"):
        run(table(), "greedy", [tokens], 2)
    with pytest.raises(un.ParameterError, match="token ids are whole numbers"):
        run(table(), "greedy", [[0]], 2, end_tokens=tokens)


class Allows:
    """A grammar that allows what it is told."""

    def __init__(self, tokens):
        self.tokens = tokens

    def begin(self):
        return 0

    def advance(self, state, token):
        return 0

    def allowed(self, state):
        return self.tokens


@pytest.mark.parametrize("tokens", [[0, 6], [-1], [1.0], ["a"], np.array([3, 99]), [[1]]])
def test_what_a_function_allows_is_checked_too(tokens):
    for part in (un.PrefixConstrained(lambda text: tokens), un.Automaton(Allows(tokens))):
        with pytest.raises(un.PartError, match=r"there is no token .*; this model's ids are 0 to 5"):
            LM.generate("ab", part | un.Greedy(), max_new_tokens=2)


def test_what_a_function_may_allow():
    for tokens in (range(3), {1, 2}, np.array([0, 2], np.int32), (np.int64(4),)):
        for part in (un.PrefixConstrained(lambda text, tokens=tokens: tokens), un.Automaton(Allows(tokens))):
            assert LM.generate("ab", part | un.Greedy(), max_new_tokens=1).tokens[0] in tokens


NUMPY = [
    (un.Banned(np.int64(1), (np.int32(2), 3)), "banned(1, (2, 3))"),
    (un.Bias({np.int64(1): np.float32(1.5), (np.uint8(2), 3): np.float64(-2)}), "bias(((1, 1.5), ((2, 3), -2.0)))"),
    (un.Allowed(np.int64(0), np.int16(5)), "allowed(0, 5)"),
    (un.Suppress(np.int64(1)), "suppress(1)"),
    (un.Forced({np.int64(1): np.int64(3)}), "forced(((1, 3),))"),
    (un.ForcedBegin(np.int64(4)), "forced_begin(4)"),
    (un.ForcedEnd(np.int64(2), np.int64(1)), "forced_end(2, token=1)"),
    (un.PrefixConstrained([[np.int64(0), np.int64(3)], (1, np.int8(4))]), "prefix_constrained(((0, 3), (1, 4)))"),
    (un.Dry(np.float64(0.9), breakers=np.int64(4)), "dry(0.9, breakers=(4,))"),
    (un.Xtc(np.float32(0.5), protect=np.int64(1)), "xtc(0.5, protect=(1,))"),
    (un.Follow([np.int64(1), np.int64(3)]), "follow((1, 3))"),
    (un.End(np.int64(1), np.int64(4)), "end(1, 4)"),
    (un.TopK(np.int64(3)), "top_k(3)"),
    (un.TopP(np.float32(0.5)), "top_p(0.5)"),
    (un.Temperature(np.float64(0.7)), "temperature(0.7)"),
    (un.Temperature(np.int64(2)), "temperature(2)"),
    (un.Temperature(Fraction(1, 2)), "temperature(0.5)"),
    (un.Beam(np.int64(3), n=np.int64(2), length_penalty=np.float64(0.5)), "beam(3, n=2, length_penalty=0.5)"),
    (un.Sample(np.int64(2)), "sample(2)"),
    (un.Loop(np.int64(2)), "loop(2)"),
]


@pytest.mark.parametrize(("part", "text"), NUMPY, ids=[text for _, text in NUMPY])
def test_numbers_of_numpy_are_numbers(part, text):
    """They act as Python's, are written as such, and are read again."""
    assert set(map(type, flat(vars(part)))) <= {int, float, str, bool, type(None)}
    assert str(part) == str(un.parse(text).parts[0])
    assert un.parse(str(part)).parts == (part,) == un.parse(text).parts
    one, other = (LM.generate("ab", un.Decoder((p,)), max_new_tokens=3, seed=5) for p in (part, un.parse(text).parts[0]))
    assert (one.tokens, one.logprob) == (other.tokens, other.logprob)


def flat(value):
    if isinstance(value, dict | tuple | list):
        return [x for v in (value.values() if isinstance(value, dict) else value) for x in flat(v)]
    return [value]


def test_numbers_of_numpy_in_a_call(tmp_path):
    asked = {"max_new_tokens": np.int64(3), "seed": np.uint32(7), "choices": np.int8(2), "end_tokens": [np.int64(5)]}
    found = LM.generate(np.array([0, 1]), "sample(2)", **asked)
    known = LM.generate([0, 1], "sample(2)", max_new_tokens=3, seed=7, choices=2, end_tokens=[5])
    assert [s.tokens for s in found.sequences] == [s.tokens for s in known.sequences]
    found.trace.save(tmp_path / "trace.json")
    assert un.Trace.load(tmp_path / "trace.json").recipe == known.trace.recipe


@pytest.mark.parametrize(
    "make",
    [
        lambda: un.Banned(True), lambda: un.Banned((1, True)), lambda: un.Bias({True: 1.0}), lambda: un.Bias({1: True}),
        lambda: un.Allowed(np.True_), lambda: un.Forced({True: 1}), lambda: un.Forced({0: True}), lambda: un.ForcedBegin(True),
        lambda: un.ForcedEnd(2, True), lambda: un.PrefixConstrained(((True, 1),)), lambda: un.Dry(breakers=True),
        lambda: un.Xtc(protect=(True,)), lambda: un.Follow((True, 2)), lambda: un.End(True), lambda: un.TopK(True),
        lambda: un.TopK(np.True_), lambda: un.TopP(True), lambda: un.Temperature(np.False_), lambda: un.Sample(True), lambda: un.TopK(2.0),
    ],
)  # fmt: skip
def test_true_is_no_number(make):
    with pytest.raises(un.ParameterError):
        make()


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
        ("choice('abc', 'de')", "choice((0, 1, 2), (3, 4))"),
        ("choice(['abc', 'de'])", "choice((0, 1, 2), (3, 4))"),
        ("exact(among=('abc', 'de'))", "exact(among=((0, 1, 2), (3, 4)))"),
        ("exact(containing='abc')", "exact(containing=('abc',))"),
    ],
)
def test_texts_become_tokens(texts, tokens):
    assert un.parse(texts).resolve(Letters()) == un.parse(tokens)


@pytest.mark.parametrize("text", ["suppress('ab')", "forced_begin('ab')", "xtc(protect=('ab',))", "forced_end(2, token='ab')"])
def test_texts_of_several_tokens_are_refused_where_one_is_meant(text):
    with pytest.raises(un.ParameterError, match="'ab' has 2 in this tokenizer"):
        un.parse(text).resolve(Letters())


WITH_TEXTS = ["suppress('a')", "forced_begin('a')", "forced({0: 'a'})", "xtc(protect='a')", "prefix_constrained(('a',))", "choice('a')"]


@pytest.mark.parametrize("text", WITH_TEXTS)
def test_texts_without_a_tokenizer_are_refused(text):
    with pytest.raises(un.ParameterError, match="tokenizer"):
        un.parse(text).processors[0].process(un.Rows.of(np.asarray([[1]]), 1), np.zeros((1, 6)))


@pytest.mark.parametrize(
    "text",
    ["suppress()", "forced({-1: 2})", "forced(3)", "forced(((0, 1), (0, 2)))", "forced({0: (1, 2)})", "forced_begin((1, 2))",
     "prefix_constrained('abc')", "prefix_constrained(())", "prefix_constrained((3,))", "choice()", "choice(3)", "choice('')"],
)  # fmt: skip
def test_refused_when_built(text):
    with pytest.raises(un.ParameterError, match=text.split("(")[0]):
        un.parse(text)


def test_without_end_tokens_a_choice_ends_where_nothing_can_follow():
    texts = ("abc", "ad", "adda", "e")
    found = LM.generate("ab", un.OneOf(*texts) | un.Exact(9), max_new_tokens=8, end_tokens=())
    assert {(h.text, h.reason) for h in found.sequences} == {("abc", "complete"), ("adda", "complete"), ("e", "complete")}


@pytest.mark.parametrize("these", [un.PrefixConstrained, lambda texts: un.OneOf(*texts), lambda texts: un.OneOf(list(texts))])
def test_one_of_these_texts_comes_and_nothing_else(these):
    texts = ("abc", "ad", "adda", "e")
    found = LM.generate("ab", these(texts) | un.Sample(60), max_new_tokens=8)
    assert {h.text for h in found.sequences} == set(texts)
    best = LM.generate("ab", these(texts) | un.Beam(6, n=4, length_penalty=0.0), max_new_tokens=8)
    assert {h.text for h in best.sequences} == set(texts)
    assert sum(np.exp(sum(h.processed)) for h in best.sequences) == pytest.approx(1, abs=1e-5)
