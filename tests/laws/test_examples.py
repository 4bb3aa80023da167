"""Every part is tested by its laws, has a text form that parses back, and a repr that is Python."""

import re

import pytest
from hypothesis import given, settings, strategies as st
from laws.examples import named, neutral, processors, stops, strategies

import unspool as un
from unspool.core.decoder import REGISTRY

PARTS = strategies() | processors() | stops()
PLAIN = [p for some in PARTS.values() for p in some if not re.search("<[a-zA-Z]", str(p))]
LIVE = [p for some in PARTS.values() for p in some if re.search("<[a-zA-Z]", str(p))]


def test_every_registered_part_has_an_example():
    own = {cls for cls in REGISTRY.values() if cls.__module__.startswith("unspool.")}
    assert own == set(PARTS), "give the new one an example in tests/laws/examples.py"
    assert {cls for cls in own if cls.role == "processor"} == set(neutral())
    assert all(isinstance(part, cls) for cls, some in PARTS.items() for part in some)


def test_every_registered_name_and_alias_parses():
    for name, cls in REGISTRY.items():
        assert name in (cls.name, *cls.aliases)


@pytest.mark.parametrize("part", PLAIN, ids=str)
def test_text_form_parses_back_equal(part):
    reads_back(un.Decoder((part,)))
    assert eval(repr(part), vars(un)) == part


@pytest.mark.parametrize("part", LIVE, ids=str)
def test_a_live_object_says_that_it_cannot_be_parsed(part):
    with pytest.raises(un.DecoderError):
        un.parse(str(part))


@pytest.mark.parametrize("part", PLAIN, ids=str)
def test_aliases_mean_the_same(part):
    for alias in part.aliases:
        assert un.parse(str(part).replace(part.name, alias, 1)) == un.Decoder((part,))


def reads_back(decoder):
    assert un.parse(str(decoder)) == decoder
    assert eval(repr(decoder), vars(un)) == decoder
    assert str(un.parse(str(decoder))) == str(decoder)
    assert hash(un.parse(str(decoder))) == hash(decoder)


share, whole = st.floats(0, 1), st.integers(1, 10**6)
number = st.floats(-100, 100)
window = st.one_of(st.none(), st.integers(1, 99))
scope = st.sampled_from(["all", "prompt", "generated"])
phrase = st.one_of(st.integers(0, 99), st.text(min_size=1, max_size=4), st.lists(st.integers(0, 99), min_size=1, max_size=3).map(tuple))
token = phrase.filter(lambda p: not isinstance(p, tuple))
PROCESSOR = st.one_of(
    st.builds(un.Temperature, st.floats(0, 10)),
    st.builds(un.TopK, whole),
    st.builds(un.TopP, share),
    st.builds(un.MinP, share),
    st.builds(un.Typical, share),
    *(st.builds(cut, share) for cut in (un.Epsilon, un.Eta, un.TopA)),
    st.builds(un.TopNSigma, st.floats(0, 10)),
    st.builds(un.PLess, st.booleans()),
    st.builds(un.TopH, share, st.sampled_from(["paper", "transformers"])),
    st.builds(un.TailFree, share, st.sampled_from(["centred", "llama.cpp"])),
    st.builds(un.Xtc, share, share, st.lists(st.one_of(st.integers(0, 9), st.just("\n")), max_size=2).map(tuple), st.booleans()),
    st.builds(un.LogSoftmax),
    st.builds(un.RemoveInvalid),
    st.builds(un.WatermarkKgw, st.floats(0.01, 0.99), number, whole, st.integers(1, 4), st.sampled_from(["lefthash", "selfhash"])),
    st.builds(un.WatermarkSynthid, st.one_of(whole, st.lists(whole, min_size=1, max_size=3).map(tuple)), st.integers(2, 9), whole),
    *(st.lists(token, min_size=1, max_size=3).map(lambda some, cls=cls: cls(*some)) for cls in (un.Suppress, un.SuppressAtBegin)),
    st.dictionaries(st.integers(0, 9), token, min_size=1).map(un.Forced),
    st.builds(un.ForcedBegin, token),
    st.lists(phrase.filter(lambda p: not isinstance(p, int)), min_size=1, max_size=3).map(un.PrefixConstrained),
    st.lists(phrase.filter(lambda p: not isinstance(p, int)), min_size=1, max_size=3).map(lambda some: un.OneOf(*some)),
    st.builds(un.Dry, st.floats(0, 9), st.floats(1, 9), whole, st.lists(st.one_of(st.integers(0, 9), st.just("\n"))).map(tuple), window),
    st.builds(un.EncoderRepetitionPenalty, st.floats(0.01, 9)),
    st.builds(un.ExponentialDecayLength, st.integers(0, 99), st.floats(0.1, 9)),
    st.builds(un.ForcedEnd, whole, st.one_of(st.none(), st.integers(0, 9), st.just("."))),
    st.builds(un.Mirostat, st.floats(0.1, 9), st.floats(0, 2), st.sampled_from(["original", "truncated"]), st.sampled_from([1, 2])),
    st.builds(un.AdaptiveP, share, st.floats(0, 0.99)),
    st.builds(un.DynamicTemperature, st.floats(0.1, 1), st.floats(1, 3)),
    st.builds(un.Smoothing, st.floats(0, 9), st.floats(1, 3)),
    st.builds(un.Skew, st.floats(-9, 9)),
    st.builds(un.RepetitionPenalty, st.floats(0.01, 9), scope, st.integers(1, 99), st.integers(0, 99)),
    st.builds(un.PresencePenalty, number, scope, window),
    st.builds(un.FrequencyPenalty, number, scope, window),
    st.builds(un.NoRepeatNgram, whole),
    st.builds(un.MinNewTokens, st.integers(0, 99)),
    st.lists(phrase, min_size=1, max_size=3).map(lambda some: un.Banned(*some)),
    st.lists(phrase.filter(lambda p: not isinstance(p, tuple)), min_size=1, max_size=3).map(lambda some: un.Allowed(*some)),
    st.lists(st.tuples(phrase, number), min_size=1, max_size=3).map(lambda some: un.Bias(tuple(some))),
)
STRATEGY = st.one_of(
    st.builds(un.Greedy),
    st.builds(un.Sample, whole),
    st.builds(un.Exact, whole, st.integers(0, 99), number, nodes=whole, seconds=st.floats(0, 99), renormalise=st.just(False), gain=share),
    st.builds(un.Exact, whole, containing=st.lists(phrase.filter(lambda p: not isinstance(p, int)), max_size=3).map(tuple)),
    st.builds(un.Exact, among=st.lists(phrase.filter(lambda p: not isinstance(p, int)), max_size=3)),
    st.lists(phrase.filter(lambda p: not isinstance(p, int)), min_size=1, max_size=3).map(un.Follow),
    st.builds(un.Follow, phrase.filter(lambda p: not isinstance(p, int)), st.one_of(st.none(), st.builds(un.Sample, whole))),
    st.builds(un.ContrastiveSearch, whole, share),
    st.builds(un.Beam, whole, number, st.sampled_from([True, False, "never"]), renormalise=st.booleans()),
)
STOP = st.one_of(
    st.lists(st.text(min_size=1), min_size=1, max_size=3).map(lambda some: un.StopStrings(*some)),
    st.lists(st.integers(0, 99), min_size=1, max_size=3).map(lambda some: un.End(*some)),
    st.builds(un.MaxTime, st.floats(0.01, 1e6)),
    st.sampled_from(["a+", "\\n{2}", "[.]$"]).map(un.StopRegex),
    st.builds(un.Loop, st.integers(2, 9), st.integers(5, 99), st.integers(1, 5)),
    st.builds(un.TokenBudget, whole),
    st.builds(un.Confidence, st.floats(0.01, 1), whole, st.sampled_from(["chosen", "likeliest", "deepconf"])),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(PROCESSOR, STOP), max_size=4), STRATEGY)
def test_every_decoder_parses_back_equal(parts, strategy):
    reads_back(un.Decoder((*parts, strategy)))


def test_examples_have_texts_of_their_own():
    assert len(named(PARTS)) == sum(map(len, PARTS.values()))
