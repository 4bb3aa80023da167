"""Group beams are those of transformers 4.49 (make_beams_golden.py wrote what it said)."""

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from helpers.checkpoints import tiny_gpt2, tiny_llama
from helpers.tables import run

from unspool.models.reading import read_transformer

GOLDEN = json.loads((Path(__file__).parents[1] / "data" / "beams-4.49.json").read_text())
REFERENCE = f"transformers {GOLDEN['transformers']}"
KINDS = {"gpt2": tiny_gpt2, "llama": tiny_llama}


@cache
def model_of(kind, seed):
    return read_transformer(kind, *KINDS[kind](seed, vocabulary=24, scale=GOLDEN["scale"]))


def shared(settings):
    early, n = settings["early_stopping"], settings["num_return_sequences"]
    return f"length_penalty={settings['length_penalty']}, early_stopping={early!r}, n={n}, renormalise=False"


def cut(hypothesis, ends):
    """Its tokens as 4.49 writes them: with several end tokens it puts the first in the place of all."""
    return [*hypothesis.tokens[:-1], ends[0]] if hypothesis.reason == "end" else hypothesis.tokens


@pytest.mark.parametrize("case", GOLDEN["groups"])
def test_group_beams_are_equal(case, tally):
    s = case["settings"]
    groups = f"groups={s['num_beam_groups']}, diversity={s['diversity_penalty']}"
    decoder = f"log_softmax | suppress(0) | diverse_beam({s['num_beams']}, {groups}, {shared(s)})"
    (found,) = run(model_of(case["kind"], case["seed"]), decoder, [case["prompt"]], GOLDEN["limit"], end_tokens=s["eos_token_id"])
    assert [cut(h, s["eos_token_id"]) for h in found] == [one["tokens"] for one in case["found"]]
    np.testing.assert_allclose([h.score for h in found], [one["score"] for one in case["found"]], atol=1e-4)
    tally("group beams")
