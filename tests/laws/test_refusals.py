"""Wrong kinds of values and names are refused with a message that says what to do."""

import contextlib
import math
import re
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import pytest
from helpers.tables import Letters, table
from laws.examples import processors, stops, strategies

import unspool as un
from unspool.errors import in_digits
from unspool.harness.opening import placed
from unspool.lab.asked_compare import check_pattern
from unspool.serve.ranges import TAKES
from unspool.text import TokenIds


@pytest.fixture
def lm():
    return un.LanguageModel(table(3), Letters())


@pytest.mark.parametrize(
    ("prompt", "text", "words"),
    [("a", ["b"], "two lists"), (["a", "b"], "bc", "two lists"), (["a"], ["b", "c"], "1 prompts and 2"), ("a", "", "nothing to score")],
)
def test_scores_of_mismatched_texts(lm, prompt, text, words):
    with pytest.raises(un.PromptError, match=words):
        lm.score(prompt, text)


MANY_DIGITS = "9" * 5000
"""More than Python reads as a number."""


def test_texts_become_whole_numbers_in_one_place_only():
    """Which knows that some digits are no decimals of `int`, and that there can be too many."""
    root = Path(un.__file__).parent
    asks = {str(path.relative_to(root)) for path in root.rglob("*.py") if re.search(r"\.is(digit|decimal)\(", path.read_text("utf-8"))}
    assert asks == {"errors.py"}


def test_numbers_of_any_length():
    assert [in_digits(text) for text in ("0", "12", "", "-1", "²", "٣", "1.5", " 1", MANY_DIGITS)] == [0, 12, *[None] * 7]
    with pytest.raises(un.PromptError, match="no tokenizer"):
        TokenIds(24).encode(f"3 {MANY_DIGITS}")
    with pytest.raises(un.ParameterError, match="batch_size is a whole number"):
        placed(MANY_DIGITS, None)
    assert not TAKES["logit_bias"].right({MANY_DIGITS: 1})


@pytest.mark.parametrize("pattern", ["(", "a{" + MANY_DIGITS + "}", "a{99999999999}", "(" * 5000 + ")" * 5000])
def test_patterns_that_are_none(pattern):
    for part in (
        lambda: un.Regex(pattern),
        lambda: un.StopRegex(pattern),
        lambda: un.Backtrack(un.Greedy(), patterns=pattern),
        lambda: un.Vote(un.Sample(4), answer=pattern),
        lambda: check_pattern(pattern, ["a"]),
    ):
        with pytest.raises(un.ParameterError) as error:
            part()
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("prompt", [5, ["a", 3], [None], [[1], None], b"abc", {"a": 1}, [True], [1.5], [[["a"]]], object()])
def test_prompts_of_the_wrong_kind(lm, prompt):
    with pytest.raises(un.PromptError, match="prompt"):
        lm.generate(prompt)


def test_options_of_the_wrong_kind(lm):
    for options in ({"end_tokens": 5}, {"max_length": "5"}, {"max_new_tokens": 1.5}, {"seed": None}):
        with pytest.raises(un.ParameterError):
            lm.generate("abc", **options)
    with pytest.raises(un.ParameterError, match="one prompt"):
        lm.steps(["a", "b"])


def test_values_of_the_wrong_kind_in_the_text_form():
    with pytest.raises(un.ParameterError, match="takes texts, token ids"):
        un.parse("dry(breakers=3.5)")
    with pytest.raises(un.ParameterError, match="needs a number"):
        un.parse("top_p('x')")
    with pytest.raises(un.ParameterError, match="does not fit"):
        un.parse("top_p(0.1, 2, 0.2)")


def test_a_name_that_is_taken_is_refused():
    with pytest.raises(un.DecoderError, match="'greedy' is unspool"):

        @dataclass(frozen=True)
        class Greedy(un.Strategy):
            pass

    assert isinstance(un.parse("greedy").strategy, un.Greedy)


def test_a_stop_s_reason_is_kept_whole(lm):
    @dataclass(frozen=True)
    class AtOnce(un.Stop):
        name = "at_once_in_this_test"
        reason = "after the very first token"

        def ends(self, rows, tokens, memory):
            return tokens >= 0

    try:
        assert lm.generate("abc", un.Greedy() | AtOnce(), end_tokens=()).best.reason == AtOnce.reason
    finally:
        from unspool.core.decoder import REGISTRY

        del REGISTRY["at_once_in_this_test"]


def test_impossible_numbers_are_null_in_a_saved_trace(lm, tmp_path):
    import json

    out = lm.generate("abc", "top_k(2) | beam(2)", max_new_tokens=3, level="stages")
    out.trace.save(tmp_path / "trace.jsonl")
    for line in (tmp_path / "trace.jsonl").read_text(encoding="utf-8").splitlines():
        json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    again = un.Trace.load(tmp_path / "trace.jsonl")
    for one, other in zip(out.trace.steps, again.steps, strict=True):
        assert one.considered.processed.tolist() == other.considered.processed.tolist()
        assert one.considered.stages.logprobs.tolist() == other.considered.stages.logprobs.tolist()


def numeric_fields():
    """(an example, its field, values that are no such number) of every part."""
    wrong = {"int": (True, math.nan, 1.5), "float": (True, math.nan, math.inf)}
    for some in (strategies() | processors() | stops()).values():
        for field in fields(some[0]):
            kinds = [kind.strip() for kind in str(field.type).split("|")]
            for kind in set(kinds) & set(wrong):
                values = wrong[kind] if "float" not in kinds else wrong["float"]
                yield some[0], field.name, values if "str" in kinds else (*values, "7")


def changed(part, name, value):
    """The part with another value of a field, made anew."""
    if type(part).variadic:
        return type(part)(*getattr(part, fields(part)[0].name), **{name: value})
    return replace(part, **{name: value})


@pytest.mark.parametrize(("part", "name", "values"), [pytest.param(*c, id=f"{type(c[0]).name}-{c[1]}") for c in numeric_fields()])
def test_what_is_no_number_is_refused(part, name, values):
    for value in values:
        with pytest.raises(un.ParameterError) as said:
            changed(part, name, value)
        assert "\n" not in str(said.value)
        assert repr(value) in str(said.value)


TOKENS = [un.Allowed, un.Banned, un.End, un.Suppress, un.SuppressAtBegin, un.ForcedBegin]
TOKENS += [lambda t: un.Forced({0: t}), lambda t: un.Bias({t: 1.0})]
TOKENS += [lambda t: un.Banned((1, t)), lambda t: un.Xtc(protect=(t,)), lambda t: un.Dry(breakers=(t,)), lambda t: un.ForcedEnd(3, t)]
TOKENS += [lambda t: un.PrefixConstrained(((1, t),)), lambda t: un.WatermarkSynthid((1, t)), lambda t: un.Forced({t: 1})]


@pytest.mark.parametrize("make", TOKENS)
@pytest.mark.parametrize("token", [True, math.nan, 1.5, -(2**70)])
def test_what_is_no_token_is_refused(make, token):
    with pytest.raises(un.ParameterError) as said:
        make(token)
    assert "\n" not in str(said.value)


@pytest.mark.parametrize("amount", [True, math.nan, math.inf, "2", None])
def test_what_is_no_amount_is_refused(amount):
    with pytest.raises(un.ParameterError):
        un.Bias({1: amount})


@pytest.mark.parametrize(
    ("decoder", "says"),
    [
        ("smc(4, truncated='x')", "sequential_monte_carlo(truncated=...) is True or False"),
        ("beam(4, length='x')", "beam(length=...) is one of"),
        ("diverse_beam(4, early_stopping='x')", "diverse_beam(early_stopping=...) is True"),
        ("diverse_beam(4, penalise='x')", "diverse_beam(penalise=...) is one of"),
        ("constrained_beam(4, phrases=(1,), banks='x')", "constrained_beam(banks=...) is one of"),
        ("constrained_beam(4, phrases=(1,), ordered=2)", "constrained_beam(ordered=...) is True"),
    ],
)
def test_a_refused_setting_is_named_with_its_method(decoder, says):
    with pytest.raises(un.ParameterError) as error:
        un.parse(decoder)
    assert says in str(error.value)


def test_amounts_of_cite_together_stay_within_float32(lm, recwarn):
    lm.generate("abab", "cite(3e38, 3e38)", max_new_tokens=2)
    assert not recwarn.list


def every_example():
    return [part for some in (strategies() | processors() | stops()).values() for part in some]


def settings_of_every_part():
    """Every part with every setting, which in turn is a strategy, a processor and a decoder of two parts."""
    for part in {type(part): part for part in every_example()}.values():
        for field in fields(part):
            if field.init and not type(part).variadic:
                yield from (f"{part.name}({field.name}={value})" for value in ("greedy", "top_k(2)", "top_k(2) | greedy"))


def refusal_of(text):
    """What is wrong with a text form; nothing if it is right."""
    try:
        un.parse(text)
    except un.UnspoolError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("text", list(settings_of_every_part()))
def test_what_is_wrong_with_a_text_form_is_said_in_its_own_spelling(text):
    assert not re.search(r"Greedy|TopK|Decoder|\n", refusal_of(text))
    assert repr(un.Greedy()) == "Greedy()"


def empty_settings():
    """Every part with every setting empty, and one that is variadic with nothing."""
    parts = {type(part): part for part in every_example()}.values()
    for part in parts:
        yield from (f"{part.name}({some})" for some in ("", "()", "''", "0.5", "(0.5,)", "([],)"))
        names = [field.name for field in fields(part) if field.init and not type(part).variadic]
        others = {"width": "3", "n": "3", "amateur": "3", "then": "greedy"}
        for name in names:
            first = ", ".join(f"{other}={others[other]}" for other in names if other in others and other != name)
            yield from (f"{part.name}({', '.join(filter(None, [first, f'{name}={value}']))})" for value in ("()", "''", "([],)", "0.5"))


def test_what_an_error_advises_is_not_refused():
    advised = set()
    for text in empty_settings():
        said = refusal_of(text)
        advised.update(re.findall(r"(?:as in|as|such as) ([a-z_]+\(.*?\))(?=;| and |, or |$)", said))
    assert len(advised) > 8
    assert {call: refusal_of(call) for call in advised if refusal_of(call)} == {}


NAMING = ["contrastive_decoding('it')", "context_aware(0.5, 'it', 'a')", "expert('it', 'it')", "ensemble('it')"]
NAMING += ["guidance(2, 'it')", "speculative('it')"]


@pytest.mark.parametrize("text", NAMING)
def test_a_model_that_is_only_named_is_refused_and_the_way_said(text):
    """The text form evaluates and loads nothing."""
    said = refusal_of(text)
    assert said.startswith(text.partition("(")[0])
    assert "needs a model" in said
    assert "unspool.load('it')" in said


def test_a_resolved_part_is_called_what_its_user_called_it():
    some = 0
    for part in every_example():
        resolved = part.resolve(Letters())
        assert str(resolved) == str(part)
        some += resolved != part
    assert some > 5


ASKED = {
    "sequential_monte_carlo(potential": lambda f: un.SequentialMonteCarlo(3, truncated=True, potential=f),
    "sequential_monte_carlo(condition": lambda f: un.SequentialMonteCarlo(3, truncated=True, condition=f),
    "steps_of": lambda f: un.StepsOf(boundary=2, by=f),
    "steps_of(particles=True)": lambda f: un.StepsOf(boundary=2, by=f, particles=True),
    "best_of": lambda f: un.BestOf(3, f),
    "mbr": lambda f: un.Mbr(3, f),
    "rerank": lambda f: un.Rerank(f, 3),
    "vote": lambda f: un.Vote(3, f),
    "cot": lambda f: un.Cot(3, f),
    "guide": lambda f: un.Guide(f),
    "stop_function": lambda f: un.Greedy() | un.StopFunction(f),
    "prefix_constrained": lambda f: un.PrefixConstrained(f),
}
"""Every part that asks a function of its user's, by what its errors begin with."""
ANSWERS = ["x", None, math.nan, math.inf, -math.inf, -1, np.asarray([1.0, 2.0]), [1], 1 + 2j, {}]
NO_NUMBERS, WEIGHED = ("x", None, [1], 1 + 2j, {}), ("potential", "steps_of", "best_of", "mbr", "rerank")


@pytest.mark.parametrize("answer", ANSWERS, ids=repr)
@pytest.mark.parametrize("place", ASKED)
def test_what_a_function_answers_wrongly_is_said_with_its_part(lm, place, answer):
    """An answer that can be used is used; of any other the error names the part, and what is no number is never taken for one."""
    decoder = ASKED[place](lambda *_: answer)
    unusable = isinstance(answer, np.ndarray) or (any(name in place for name in WEIGHED) and (answer in NO_NUMBERS or math.isnan(answer)))
    unusable = unusable or (place in ("mbr", "steps_of(particles=True)") and answer in (math.inf, -math.inf))
    if unusable:
        with pytest.raises(un.PartError, match=f"^{re.escape(place.partition('(particles')[0])}"):
            lm.generate("bcd", decoder, max_new_tokens=4)
        return
    with contextlib.suppress(un.DeadEnd, un.PartError):
        lm.generate("bcd", decoder, max_new_tokens=4)
