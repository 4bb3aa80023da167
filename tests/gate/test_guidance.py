"""Guidance in every hypothesis of a beam: its other branch follows it (in transformers 5.23 it does not)."""

from importlib.metadata import version
from importlib.util import find_spec

import numpy as np
import pytest
from helpers.checkpoints import in_transformers, tiny_gpt2
from helpers.tables import BACKENDS, run

import unspool as un
from unspool.arrays import host, log_softmax
from unspool.models.reading import read_transformer

REFERENCE = f"transformers {version('transformers')}" if find_spec("transformers") else "transformers"
CASES = [(seed, 2 + seed % 3, (0.5, 1.5, 3.0, 7.0)[seed % 4], (None, (3, 4))[seed % 2], "numpy") for seed in range(32)]
CASES += [(*CASES[1][:-1], backend) for backend in BACKENDS if backend != "numpy"]


def gpt2(seed, backend="numpy"):
    config, weights = tiny_gpt2(seed)
    return read_transformer("gpt2", config, {name: BACKENDS[backend](array) for name, array in weights.items()})


def prompts_of(seed):
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 24, n).tolist() for n in (2, 5, 1)]


def alone(model, text):
    """Log-probabilities after a text, in a session of its own."""
    session = model.session()
    return host(log_softmax(session.logits(session.extend([-1], [text]))))[0].astype(np.float64)


def guided(model, scale, prompt, negative, new):
    with_prompt, without = alone(model, [*prompt, *new]), alone(model, [*(negative or prompt[-1:]), *new])
    mixed = without + scale * (with_prompt - without)
    return mixed - np.logaddexp.reduce(mixed)


@pytest.mark.parametrize(("seed", "width", "scale", "negative", "backend"), CASES)
def test_every_hypothesis_has_its_guided_probability(seed, width, scale, negative, backend):
    model, tested, prompts = gpt2(seed), gpt2(seed, backend), prompts_of(seed)
    decoder = un.Guidance(scale, tested, negative) | un.Beam(width, length_penalty=0.0, n=width)
    for prompt, found in zip(prompts, run(tested, decoder, prompts, 6, end_tokens=(0, 1)), strict=True):
        assert len(found) == width
        for h in found:
            expected = [guided(model, scale, prompt, negative, h.tokens[:i])[token] for i, token in enumerate(h.tokens)]
            np.testing.assert_allclose(h.processed, expected, atol=2e-3)
            assert h.score == pytest.approx(sum(expected), abs=5e-3)


@pytest.mark.parametrize(("seed", "scale"), [(0, 1.5), (1, 4.0), (2, 0.5), (3, 2.0)])
def test_greedy_guidance_is_transformers(seed, scale, tally):
    torch = pytest.importorskip("torch")
    pytest.importorskip("transformers")
    other = in_transformers(*tiny_gpt2(seed))
    prompts = prompts_of(seed)
    found = run(gpt2(seed), un.Guidance(scale, gpt2(seed)) | un.Greedy(), prompts, 8, end_tokens=())
    for prompt, hypotheses in zip(prompts, found, strict=True):
        ids = torch.tensor([prompt])
        options = {"guidance_scale": scale, "max_new_tokens": 8, "do_sample": False, "pad_token_id": 0}
        theirs = other.generate(ids, attention_mask=torch.ones_like(ids), **options)[0, len(prompt) :].tolist()
        assert hypotheses[0].tokens == theirs
        tally("guidance, greedy search")


@pytest.mark.parametrize("strategy", ["sample(3)", "exact(2, expand=2)", "contrastive_search(3)"])
def test_guidance_follows_every_strategy(strategy):
    model, prompts = gpt2(40), prompts_of(40)
    for prompt, found in zip(prompts, run(model, un.Guidance(2.0, model) | un.parse(strategy), prompts, 4), strict=True):
        for h in found:
            expected = [guided(model, 2.0, prompt, None, h.tokens[:i])[token] for i, token in enumerate(h.tokens)]
            np.testing.assert_allclose(h.processed, expected, atol=2e-3)
