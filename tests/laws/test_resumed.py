"""A run that is broken off after any step and gone on from its saved record comes to the texts of the whole run."""

from itertools import islice

import numpy as np
import pytest
from helpers.tables import Letters, table
from laws.covering import build, over

import unspool as un

OPTIONS = {"max_new_tokens": 6, "seed": 4}


def model_of_letters(seed=1):
    return un.LanguageModel(table(seed=seed), Letters())


def told(run):
    """What came of a run, and its steps."""
    try:
        found = [(s.tokens, s.reason, s.logprobs, s.processed, s.score) for s in run.output.sequences]
    except un.DeadEnd as error:
        return str(error)
    return found, [(s.tokens.tolist(), s.parents.tolist(), s.score.tolist()) for s in run.output.trace.steps]


def broken_off(run, after, path):
    """The record of a run of which so many steps were seen, saved and read."""
    steps = iter(run)
    for _ in islice(steps, after):
        pass
    steps.close()
    run.so_far().save(path)
    return un.Trace.load(path)


@over("kinds")
def test_a_run_gone_on_with_is_the_whole_run(name, tmp_path):
    lm, decoder = model_of_letters(), build(name)
    whole = lm.stream("bcd", decoder, **OPTIONS)
    for after in range(1 + sum(1 for _ in whole)):
        trace = broken_off(lm.stream("bcd", decoder, **OPTIONS), after, tmp_path / "trace.jsonl")
        assert told(lm.resume(trace, decoder)) == told(whole)


def test_what_is_given_out_comes_after_the_record():
    lm = model_of_letters()
    text = lm.generate("bcd", "suppress(5) | sample", max_new_tokens=6, seed=3, end_tokens=()).text
    run = lm.stream("bcd", "suppress(5) | sample", max_new_tokens=6, seed=3, end_tokens=())
    list(islice(run, 2))
    again = lm.resume(run.so_far(), end_tokens=())
    assert "".join(again.text()) == text[2:]
    assert again.output.text == text


def test_a_text_that_met_its_limit_goes_on_to_a_later_one():
    lm = model_of_letters()
    short, long = (lm.generate("bcd", "top_k(4) | sample(3)", max_new_tokens=n, seed=3, end_tokens=()) for n in (3, 7))
    again = lm.resume(short.trace, max_new_tokens=7, end_tokens=())
    assert [s.tokens for s in again.output.sequences] == [s.tokens for s in long.sequences]


def test_another_run_is_refused():
    lm = model_of_letters()
    trace = lm.generate("bcd", "sample(3)", seed=3, max_new_tokens=6, end_tokens=()).trace
    for other, options in ((model_of_letters(2), {}), (lm, {"seed": 5}), (lm, {"decoder": "greedy"})):
        with pytest.raises(un.UnspoolError, match="departs from its record at step 1 of the 6"):
            other.resume(trace, end_tokens=(), **options)
    with pytest.raises(un.UnspoolError, match="departs from its record"):
        lm.resume(trace, max_new_tokens=2, end_tokens=())
    other = un.LanguageModel(table(seed=1, vocabulary=7, end_tokens=(6,)), Letters(7, (6,)))
    with pytest.raises(un.UnspoolError, match="another tokenizer"):
        other.resume(trace)
    with pytest.raises(un.ParameterError, match="the trace of one prompt"):
        lm.resume(un.Trace([[1], [2]], [], [[], []], "tokens"))
    with pytest.raises(un.ParameterError, match="the trace of one prompt"):
        lm.resume(np.zeros(3))
