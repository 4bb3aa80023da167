"""The record of a run says what happened, and says it again when read aloud to the model."""

from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from helpers.tables import Letters, same, table
from laws.covering import build, over

import unspool as un
from unspool.score import score_tokens

PROMPTS = ["bcd", "c", "bcd", "aebcdb"]
every_kind = over("kinds")


@cache
def model_of_letters(seed=1):
    return un.LanguageModel(table(seed=seed), Letters())


@every_kind
def test_stream_is_collect(name):
    lm, options = model_of_letters(), {"max_new_tokens": 5, "seed": 3}
    run = lm.stream(PROMPTS, build(name), **options)
    steps = list(run)
    collected = lm.generate(PROMPTS, build(name), **options)
    assert [o.text for o in run.outputs] == [o.text for o in collected]
    for prompt, (live, output) in enumerate(zip(run.outputs, collected, strict=True)):
        same(*(o.trace.hypotheses[0] for o in (live, output)))
        retold(steps, prompt, live)
        retold(output.trace.steps, None, output)


def retold(steps, prompt, output):
    """The steps alone hold every hypothesis, its numbers and its end."""
    nodes = {}
    for step in steps:
        mine = np.ones(len(step), bool) if prompt is None else step.prompt == prompt
        for i in np.flatnonzero(mine):
            nodes[int(step.nodes[i])] = (int(step.parents[i]), int(step.tokens[i]), step.logprob[i], step.processed[i], step.reason[i])
    for h in output.trace.hypotheses[0]:
        found = [nodes[n] for n in h.nodes[1:]]
        assert [parent for parent, *_ in found] == h.nodes[:-1]
        assert [token for _, token, *_ in found] == h.tokens
        assert [x for _, _, x, _, _ in found] == h.logprobs
        assert [x for _, _, _, x, _ in found] == h.processed
        assert [done for *_, done in found] == [""] * (len(found) - 1) + [h.reason]


@every_kind
@pytest.mark.parametrize("prompt", PROMPTS[:2])
def test_text_as_it_streams_is_the_text(name, prompt):
    lm = model_of_letters()
    expected = lm.generate(prompt, build(name), max_new_tokens=5, end_tokens=()).text
    assert "".join(lm.stream(prompt, build(name), max_new_tokens=5, end_tokens=()).text()) == expected


@every_kind
def test_a_record_scored_again_is_itself(name):
    lm = model_of_letters()
    output = lm.generate("bcd", build(name), max_new_tokens=5, level="choices")
    trace = output.trace
    again = score_tokens(lm.model, [(trace.prompts[0], h.tokens) for h in trace.hypotheses[0]])
    for h, logprobs in zip(trace.hypotheses[0], again, strict=True):
        np.testing.assert_allclose(h.logprobs, logprobs, atol=1e-5)
        assert h.logprob == pytest.approx(float(np.sum(logprobs)), abs=1e-4)
    for best in output.sequences:
        plain = [t for t in best.tokens if t != 5]
        if plain == best.tokens and best.text == "".join(map(lm.tokenizer.name_of, plain)):
            assert lm.score("bcd", best.text).logprob == pytest.approx(best.logprob, abs=1e-4)


@every_kind
def test_a_saved_trace_is_read_back(name, tmp_path):
    trace = model_of_letters().generate("bcd", build(name), max_new_tokens=4, level="choices").trace
    trace.save(tmp_path / "trace.jsonl")
    found = un.Trace.load(tmp_path / "trace.jsonl")
    found.save(tmp_path / "again.jsonl")
    assert (tmp_path / "trace.jsonl").read_text() == (tmp_path / "again.jsonl").read_text()
    assert "NaN" not in (tmp_path / "trace.jsonl").read_text()
    assert [h.tokens for h in found.hypotheses[0]] == [h.tokens for h in trace.hypotheses[0]]


@every_kind
def test_nodes_are_born_in_order_and_the_considered_were_alive(name):
    lm = model_of_letters()
    steps = lm.generate(["bcd", "c"], build(name), max_new_tokens=4, level="choices")[0].trace.steps
    born = [n for step in steps for n in step.nodes.tolist()]
    assert all(a < b for a, b in pairwise(born))
    known = {0, *born}
    for step in steps:
        assert set(step.parents.tolist()) <= known
        if step.considered:
            assert set(step.considered.nodes.tolist()) <= known
            assert (np.diff(step.considered.logprobs, axis=-1) <= 0).all()


def test_an_interrupted_run_keeps_what_it_had():
    run = model_of_letters().stream("bcd", un.Sample(3), max_new_tokens=6, end_tokens=())
    steps = iter(run)
    next(steps), next(steps)
    steps.close()
    assert [(len(s.tokens), s.reason) for s in run.output.sequences] == [(2, "interrupted")] * 3
