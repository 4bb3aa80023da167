"""Patience is that of CTranslate2 (make_patience_golden.py wrote what it said)."""

import json
from functools import cache
from pathlib import Path

import pytest
from helpers.checkpoints import tiny_gpt2
from helpers.tables import run

from unspool.lab.translate import from_engine
from unspool.models.reading import read_transformer

GOLDEN = json.loads((Path(__file__).parents[1] / "data" / "patience-ctranslate2.json").read_text())
REFERENCE = f"CTranslate2 {GOLDEN['ctranslate2']}"


@cache
def model_of(seed):
    return read_transformer("gpt2", *tiny_gpt2(seed, vocabulary=24, scale=GOLDEN["scale"]))


@pytest.mark.parametrize("case", GOLDEN["cases"])
def test_patience_is_equal(case, tally):
    decoder = from_engine("ctranslate2", {**case["settings"], "include_prompt_in_result": False}).decoder
    (found,) = run(model_of(case["seed"]), decoder, [case["prompt"]], GOLDEN["limit"], end_tokens=(GOLDEN["end"],))
    text = found[0].tokens[:-1] if found[0].reason == "end" else found[0].tokens
    assert text == case["tokens"]
    assert found[0].score == pytest.approx(case["score"], abs=1e-4)
    tally("beam search with patience")
