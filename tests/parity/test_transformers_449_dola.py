"""DoLa of transformers 4.49 (make_dola_golden.py wrote what it said), over layers that lack the final norm as they do there."""

import json
from dataclasses import fields, replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from helpers.checkpoints import tiny_gpt2, tiny_llama
from helpers.tables import run

import unspool as un
from unspool.models.reading import read_transformer
from unspool.models.transformer import Transformer

GOLDEN = json.loads((Path(__file__).parents[1] / "data" / "dola-4.49.json").read_text())
REFERENCE = f"transformers {GOLDEN['transformers']}"
KINDS = {"gpt2": tiny_gpt2, "llama": tiny_llama}


class NoNorm:
    """What 4.49 puts in the place of the final norm, of layers before the last."""

    weight = bias = None
    name = "none"

    def __call__(self, x):
        return x


class Bare(Transformer):
    """A model whose early states keep their scale, and whose first layer is the embedding: layer k is hidden_states[k - 1] of theirs."""

    @classmethod
    def of(cls, model):
        values = {field.name: getattr(model, field.name) for field in fields(model)}
        nothing, rule = replace(model.blocks[0]), model.rules[0]
        return cls(**values | {"blocks": [nothing, *model.blocks], "rules": [rule, *model.rules]})

    def forward(self, tokens, positions, attend, layers=()):
        states = Transformer.forward(replace(self, final_norm=NoNorm()), tokens, positions, attend, layers)
        return np.concatenate([self.final_norm(states[:1]), states[1:]])

    def _layer(self, block, x, angles, attend):
        return x.copy() if block is self.blocks[0] else super()._layer(block, x, angles, attend)


@cache
def model_of(kind, seed, layers):
    return read_transformer(kind, *KINDS[kind](seed, layers=layers, vocabulary=24, scale=GOLDEN["scale"]))


def candidates(given, kind, layers):
    """The layers that 4.49 means, counted from the embedding, which is 0."""
    first = 2 if kind == "gpt2" else 0                                   # 0 where the head is no copy of the embedding
    if given == "low":
        return [first] if first == layers // 2 else [*range(first, layers // 2, 2)]
    return [*range(layers // 2, layers, 2)] if given == "high" else [k for k in given if k < layers]


def after(chosen, penalty):
    return f"dola({tuple(k + 1 for k in chosen)}, divergence='transformers') | repetition_penalty({penalty})"


@pytest.mark.parametrize("case", GOLDEN["cases"])
def test_texts_and_scores_are_equal_but_for_the_norm(case, tally):
    kind, layers = case["kind"], case["layers"]
    model = Bare.of(model_of(kind, case["seed"], layers))
    decoder = after(candidates(case["given"], kind, layers), case["penalty"])
    (found,) = run(model, un.parse(f"{decoder} | greedy"), [case["prompt"]], GOLDEN["limit"])
    assert found[0].tokens == case["text"]
    for i, told in enumerate(case["scores"]):
        scores = processed(model, decoder, [*case["prompt"], *case["text"][:i]])
        assert {str(t) for t in np.flatnonzero(scores > -np.inf)} == set(told)
        np.testing.assert_allclose([scores[int(t)] for t in told], list(told.values()), atol=2e-3)
    tally("DoLa, earlier layers as they are")


def processed(model, decoder, text):
    """The scores (V,) after the processors of a decoder, one after the other."""
    parts = un.parse(f"{decoder} | greedy").processors
    session = model.session(un.Plan(layers=tuple(parts[0].reads_layers)))
    row, rows = session.extend([-1], [text]), un.Rows.of(np.asarray([text]))
    scores = session.logits(row)
    for part in parts:
        rows.layers = tuple(session.logits(row, layer) for layer in part.reads_layers)
        scores = part.process(rows, scores)
    return scores[0]


def test_a_text_does_not_depend_on_its_neighbours(tally):
    others = 0
    for case in GOLDEN["together"]:
        model = Bare.of(model_of(case["kind"], case["seed"], 6))
        found = run(model, un.parse(f"{after([1, 3, 5], 1.0)} | greedy"), case["prompts"], GOLDEN["limit"])
        assert [hypotheses[0].tokens for hypotheses in found] == case["alone"]
        others += sum(one != alone for one, alone in zip(case["together"], case["alone"], strict=True))
    assert others == 27
    tally.defect(
        "DoLa of several prompts",
        f"one layer is chosen for all of them, so that {others} of 32 texts of batches of 4 are not what they are alone",
    )


def test_layers_that_are_none_are_not_taken_for_layers(tally):
    odd = GOLDEN["odd"]
    assert odd["low of three layers"] == "stack expects a non-empty TensorList"
    assert all(score == 0 for step in odd["layer -1"] for score in step.values())
    with pytest.raises(un.ParameterError, match="needs layers"):
        un.Dola(-1)
    why = "'low' fails for three layers under a tied head; layer -1 sets the model against itself, and all scores are 0"
    tally.defect("DoLa's layers", why)


def test_the_norm_changes_most_texts(tally):
    """The same layers as the paper reads them, under the final norm; where 4.49 takes the embedding, there is no such layer."""
    cases = [(case, candidates(case["given"], case["kind"], case["layers"])) for case in GOLDEN["cases"]]
    cases = [(case, chosen) for case, chosen in cases if 0 not in chosen]
    others = 0
    for case, chosen in cases:
        model, decoder = model_of(case["kind"], case["seed"], case["layers"]), after([k - 1 for k in chosen], case["penalty"])
        (found,) = run(model, un.parse(f"{decoder} | greedy"), [case["prompt"]], GOLDEN["limit"])
        others += found[0].tokens != case["text"]
    assert (others, len(cases)) == (71, 72)
    tally.difference(
        "DoLa",
        "earlier layers are read under the final norm, as the last is, and the embedding is no layer; theirs reads them as they are, "
        f"and {others} of {len(cases)} texts differ; all else is equal, as is counted above over layers read as they are",
    )
