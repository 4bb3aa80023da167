"""The record of a run says what happened, and says it again when read aloud to the model."""

from functools import cache

import pytest
from helpers.tables import Letters, table
from laws.covering import build, over

import unspool as un
from unspool.testing import strategies as laws
from unspool.testing.strategies import Trial

PROMPTS = ["bcd", "c", "bcd", "aebcdb"]
every_kind = over("kinds")


@cache
def model_of_letters(seed=1):
    return un.LanguageModel(table(seed=seed), Letters())


@cache
def trial(name):
    letters = Letters()
    return Trial(build(name).resolve(letters), table(seed=1), [letters.encode(p) for p in PROMPTS], seed=3, tokenizer=letters)


@every_kind
def test_a_stream_is_what_is_collected(name):
    laws.a_stream_is_what_is_collected(trial(name))


@every_kind
def test_the_record_tells_the_texts(name):
    laws.the_record_tells_the_texts(trial(name))


@every_kind
def test_the_record_is_the_models(name):
    laws.the_record_is_the_models(trial(name))


def one_output(name, **settings):
    """An output for "bcd", which has no text only where a processor and a strategy exclude each other."""
    (output,) = model_of_letters().generate(["bcd"], build(name), **settings)
    assert output.sequences or "leave no token" in output.failure
    return output


@every_kind
def test_a_text_scored_again_is_itself(name):
    lm = model_of_letters()
    for best in one_output(name, max_new_tokens=5).sequences:
        plain = [t for t in best.tokens if t != 5]
        if plain == best.tokens and best.text == "".join(map(lm.tokenizer.name_of, plain)):
            assert lm.score("bcd", best.text).logprob == pytest.approx(best.logprob, abs=1e-4)


@every_kind
def test_a_saved_trace_is_read_back(name, tmp_path):
    trace = one_output(name, max_new_tokens=4, level="choices").trace
    trace.save(tmp_path / "trace.jsonl")
    found = un.Trace.load(tmp_path / "trace.jsonl")
    found.save(tmp_path / "again.jsonl")
    assert (tmp_path / "trace.jsonl").read_text() == (tmp_path / "again.jsonl").read_text()
    assert "NaN" not in (tmp_path / "trace.jsonl").read_text()
    assert [h.tokens for h in found.hypotheses[0]] == [h.tokens for h in trace.hypotheses[0]]


def test_an_interrupted_run_keeps_what_it_had():
    run = model_of_letters().stream("bcd", un.Sample(3), max_new_tokens=6, end_tokens=())
    steps = iter(run)
    next(steps), next(steps)
    steps.close()
    assert [(len(s.tokens), s.reason) for s in run.output.sequences] == [(2, "interrupted")] * 3
