"""Calls that share a session and its forwards: what each comes to is what it comes to alone, whatever runs beside it."""

from dataclasses import dataclass

import numpy as np
import pytest
from helpers.checkpoints import tiny_gpt2
from helpers.tables import Letters, table
from laws.covering import build, names

import unspool as un
from unspool.core.together import Together
from unspool.models.reading import read_transformer
from unspool.serve.batch import OneBatch, Work

MODEL = table(seed=1)
SMALL = read_transformer("gpt2", *tiny_gpt2(3))
RNG = np.random.default_rng(0)
ALL = sorted(names("kinds"))
BESIDE = 12


def told(output, tmp_path):
    """All that is known of what came of a prompt."""
    output.trace.save(tmp_path / "trace")
    return output.sequences, output.failure, (tmp_path / "trace").read_bytes()


def run_beside(works, every=1):
    """Runs that enter one after another, and go on together to their ends; the most rows of a forward."""
    batch, waiting, most, rounds = OneBatch(), list(works), 0, 0
    while waiting or batch.busy:
        if waiting and rounds % every == 0:
            batch.add(waiting.pop(0))
        most, rounds = max(most, batch.round(0.0)), rounds + 1
    return most


@pytest.mark.parametrize("first", range(0, len(ALL), BESIDE))
def test_a_call_comes_to_the_same_beside_others(first, tmp_path):
    together = Together(MODEL)
    shared, alone = un.LanguageModel(together, Letters()), un.LanguageModel(MODEL, Letters())
    some = ALL[first : first + BESIDE]
    calls = [(name, [RNG.integers(0, 5, n).tolist() for n in RNG.integers(1, 6, 2)], i) for i, name in enumerate(some)]
    how = {"max_new_tokens": 5, "level": "choices"}
    streams = [shared.stream(prompts, build(name), seed=seed, **how) for name, prompts, seed in calls]
    failed = []
    run_beside([Work(stream, over=failed.append) for stream in streams])
    assert failed == [None] * len(streams)
    for stream, (name, prompts, seed) in zip(streams, calls, strict=True):
        expected = alone.stream(prompts, build(name), seed=seed, **how)
        assert [told(o, tmp_path) for o in stream.outputs] == [told(o, tmp_path) for o in expected.outputs], name
        assert stream.cost() == expected.cost(), name
    for joint in together.joint.values():
        joint.sweep(at_once=True)
    assert together.rows == 0


def test_a_long_prompt_goes_through_in_pieces_and_others_go_on(monkeypatch):
    monkeypatch.setattr("unspool.serve.batch.PIECE_TOKENS", 4)
    shared, alone = un.LanguageModel(Together(SMALL)), un.LanguageModel(SMALL)
    prompts = [RNG.integers(0, 24, n).tolist() for n in (3, 30, 17)]
    short, long = shared.stream(prompts[:1], max_new_tokens=12), shared.stream(prompts, "beam(3)", max_new_tokens=6)
    assert run_beside([Work(short), Work(long)]) <= 10
    for stream, decoder, some, tokens in ((short, "greedy", prompts[:1], 12), (long, "beam(3)", prompts, 6)):
        expected = alone.generate(some, decoder, max_new_tokens=tokens)
        assert [o.tokens for o in stream.outputs] == [o.tokens for o in expected]
        for output, other in zip(stream.outputs, expected, strict=True):
            np.testing.assert_allclose(output.best.logprobs, other.best.logprobs, atol=1e-5)


def test_forwards_are_shared_and_rows_are_freed_while_others_go_on():
    together = Together(MODEL)
    shared, forwards = un.LanguageModel(together, Letters()), []
    extend = together.session().joint.inner.extend
    together.joint[()].inner.extend = lambda parents, chains, every=False: forwards.append(len(chains)) or extend(parents, chains, every)
    some = ("greedy", "sample(3)", "beam(4)", "top_k(2) | sample(2)", "stochastic_beam(3)")
    run_beside([Work(shared.stream([1, 2], name, max_new_tokens=8, end_tokens=())) for name in some])
    assert len(forwards) < 2 * 8 + 2 * len(some), "each ran by itself"
    assert max(forwards) > 10
    long = Work(shared.stream([1, 2], "greedy", max_new_tokens=200, end_tokens=()))
    batch = OneBatch()
    batch.add(long)
    for seed in range(20):
        work = Work(shared.stream([3], "sample(4)", max_new_tokens=30, seed=seed, end_tokens=()))
        batch.add(work)
        for _ in range(5):
            batch.round(0.0)
        work.gone = True
        batch.round(0.0)
        batch.round(0.0)
        assert together.rows < 200
        assert batch.work == [long]


@dataclass(frozen=True)
class _Wrong(un.Processor):
    """Fails once a text is long."""

    def process(self, rows, scores, memory=None):
        if rows.lengths[0] > 4:
            raise ZeroDivisionError
        return scores


def test_what_goes_wrong_in_one_does_not_reach_the_others():
    shared = un.LanguageModel(Together(MODEL), Letters())
    said = {}
    works = [Work(shared.stream([1, 2], d, max_new_tokens=9, end_tokens=()), over=lambda e, i=i: said.update({i: e})) for i, d in
             enumerate([un.Greedy(), _Wrong() | un.Greedy(), un.Beam(2)])]  # fmt: skip
    run_beside(works)
    assert isinstance(said[1], ZeroDivisionError)
    assert (said[0], said[2]) == (None, None)
    assert works[0].stream.output.tokens == un.LanguageModel(MODEL, Letters()).generate([1, 2], max_new_tokens=9, end_tokens=()).tokens


def test_a_forward_that_fails_takes_down_only_whoever_asked_for_it():
    together = Together(MODEL)
    shared, said = un.LanguageModel(together, Letters()), {}
    joint = together.session().joint
    extend = joint.inner.extend

    def broken(parents, chains, every=False):
        if any(int(chain[0]) == 4 for chain in chains):
            raise MemoryError
        return extend(parents, chains, every)

    joint.inner.extend = broken
    works = [Work(shared.stream(prompt, "banned(4)", max_new_tokens=4, end_tokens=()), over=lambda e, i=i: said.update({i: e}))
             for i, prompt in enumerate([[1, 2], [4, 4], [2, 1]])]  # fmt: skip
    batch = OneBatch()
    for work in works:
        batch.add(work)
    while batch.busy:
        batch.round(0.0)
    assert isinstance(said[1], MemoryError)
    assert (said[0], said[2]) == (None, None)
    assert len(works[0].stream.output.tokens) == 4


def test_rows_that_grow_by_a_token_do_not_wait_for_all_the_long_prompts(monkeypatch):
    monkeypatch.setattr("unspool.serve.batch.PIECE_TOKENS", 4)
    monkeypatch.setattr("unspool.serve.batch.TOGETHER_TOKENS", 8)
    shared, batch = un.LanguageModel(Together(SMALL)), OneBatch()
    texts = [shared.stream(RNG.integers(0, 24, 20).tolist(), max_new_tokens=2, end_tokens=()) for _ in range(6)]
    short, steps = shared.stream([3], max_new_tokens=30, end_tokens=()), []
    batch.add(Work(short, told=steps.append))
    for _ in range(2):
        batch.round(0.0)
    for stream in texts:
        batch.add(Work(stream))
    most = 0
    while batch.busy:
        before, tokens = len(steps), batch.tokens
        batch.round(0.0)
        most = max(most, batch.tokens - tokens)
        assert len(steps) == before + 1 or len(steps) == 30
    assert most <= 8 + 1 + 6
    alone = un.LanguageModel(SMALL)
    for stream in texts:
        assert stream.output.tokens == alone.generate(stream.prompt_tokens[0], max_new_tokens=2, end_tokens=()).tokens
