"""Calls that share a session and its forwards: what each comes to is what it comes to alone, whatever runs beside it."""

import numpy as np
import pytest
from helpers.checkpoints import tiny_gpt2
from helpers.tables import Letters, table
from laws.covering import build, names

import unspool as un
from unspool.core.together import Together
from unspool.models.reading import read_transformer
from unspool.serve.batch import Batch, Work

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
    batch, waiting, most, rounds = Batch(), list(works), 0, 0
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
