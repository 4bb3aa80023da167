"""Contrastive search against transformers 4.49 (tests/gate/make_contrastive_golden.py wrote what it said)."""

import json
from pathlib import Path

import pytest
from helpers.checkpoints import tiny_gpt2, tiny_llama
from helpers.tables import BACKENDS, run

import unspool as un
from unspool.models.reading import read_transformer

GOLDEN = json.loads((Path(__file__).parents[1] / "data" / "contrastive-4.49.json").read_text())
REFERENCE = f"transformers {GOLDEN['transformers']}"
KINDS = {"gpt2": tiny_gpt2, "llama": tiny_llama}


CASES = [("numpy", case) for case in GOLDEN["cases"]]
CASES += [(backend, case) for backend in BACKENDS for case in GOLDEN["cases"][4::12] if backend != "numpy"]


@pytest.mark.parametrize(("backend", "case"), CASES)
def test_contrastive_search_is_transformers(backend, case, tally):
    config, weights = KINDS[case["kind"]](**case["checkpoint"])
    model = read_transformer(case["kind"], config, {name: BACKENDS[backend](array) for name, array in weights.items()})
    found = run(model, un.ContrastiveSearch(case["k"], case["alpha"]), case["prompts"], GOLDEN["new"])
    for hypotheses, text in zip(found, case["texts"], strict=True):
        assert hypotheses[0].tokens == text
        tally("contrastive search")
