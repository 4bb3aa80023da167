"""DoLa and confident layers against their formulas, from models that are cut short."""

from dataclasses import replace

import numpy as np
import pytest
from helpers.checkpoints import tiny_gpt2, tiny_llama
from helpers.tables import BACKENDS, run

import unspool as un
from unspool.arrays import host
from unspool.models.reading import read_transformer

PROMPTS, LAYERS = [[1, 2, 3], [7], [4, 4, 9, 0, 2]], 4


def transformer(kind, seed, backend="numpy"):
    config, weights = (tiny_gpt2 if kind == "gpt2" else tiny_llama)(seed, layers=LAYERS)
    return read_transformer(kind, config, {name: BACKENDS[backend](array) for name, array in weights.items()})


def p_after(model, tokens, layers=LAYERS):
    """The distribution of the model that ends after so many layers, from scratch."""
    one = replace(model, blocks=model.blocks[:layers], rules=model.rules[:layers])
    session = one.session()
    logits = host(session.logits(session.extend([-1], [tokens])))[0].astype(np.float64)
    return np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()


def kl(p, q):
    return (p * np.log(p / q)).sum()


def apart(p, q, divergence):
    m = (p + q) / 2
    return kl(p, m) + kl(q, m) if divergence == "paper" else kl(m, p) + kl(m, q)


def dola(model, tokens, layers, alpha, divergence):
    p = p_after(model, tokens)
    q = max((p_after(model, tokens, k) for k in layers), key=lambda q: apart(p, q, divergence))
    s = np.where(p >= alpha * p.max(), p / q, 0)
    with np.errstate(divide="ignore"):
        return np.log(s / s.sum())


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", ["gpt2", "llama"])
@pytest.mark.parametrize(("layers", "alpha", "divergence"), [(2, 0.1, "paper"), ((1, 2, 3), 0.3, "paper"), ((1, 3), 0.0, "transformers")])
def test_every_token_has_the_probability_of_the_formula(kind, backend, layers, alpha, divergence):
    for seed in range(3):
        model, part = transformer(kind, seed), un.Dola(layers, alpha, divergence)
        tested = transformer(kind, seed, backend)
        for prompt, found in zip(PROMPTS, run(tested, part | un.Beam(3, n=3), PROMPTS, 5, end_tokens=()), strict=True):
            for h in found:
                texts = [[*prompt, *h.tokens[:i]] for i in range(len(h.tokens))]
                told = [dola(model, text, part.reads_layers, alpha, divergence)[v] for text, v in zip(texts, h.tokens, strict=True)]
                np.testing.assert_allclose(h.processed, told, atol=2e-3)


def surest(model, tokens, layers):
    """The layer at the first valley of the entropies, from the last one back."""
    entropy = {k: -(p_after(model, tokens, k) * np.log(p_after(model, tokens, k))).sum() for k in (*layers, LAYERS)}
    at = LAYERS
    for k in sorted(layers, reverse=True):
        if entropy[k] >= entropy[at]:
            break
        at = k
    return at


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_the_confident_layer_decides(kind, backend):
    taken = set()
    for seed in range(4):
        model, layers = transformer(kind, seed), (1, 2, 3)
        decoder = un.ConfidentLayer(layers) | un.Beam(3, n=3)
        for prompt, found in zip(PROMPTS, run(transformer(kind, seed, backend), decoder, PROMPTS, 4, end_tokens=()), strict=True):
            for h in found:
                for i, v in enumerate(h.tokens):
                    text = [*prompt, *h.tokens[:i]]
                    at = surest(model, text, layers)
                    taken.add(at)
                    assert h.processed[i] == pytest.approx(np.log(p_after(model, text, at)[v]), abs=2e-3)
    assert len(taken) > 1


@pytest.mark.parametrize("given", [(), 0, (1, 0), "high", 1.5, (True,)])
def test_what_is_no_layer_is_refused(given):
    with pytest.raises(un.ParameterError, match=r"dola\(layers\) needs layers"):
        un.Dola(given)


def test_other_divergences_are_refused():
    with pytest.raises(un.ParameterError, match='"paper" or "transformers"'):
        un.Dola(1, divergence="kl")


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_two_divergences_choose_other_layers(backend):
    """A layer that all but rules a token out is far by the exchanged sides, whose logarithms meet it; by the paper's another is farther."""
    p = np.asarray([0.5, 0.3, 0.2])
    near_nothing, flat = np.asarray([0.55, 0.45 - 1e-9, 1e-9]), np.asarray([0.05, 0.3, 0.65])
    assert apart(p, flat, "paper") > apart(p, near_nothing, "paper")
    assert apart(p, flat, "transformers") < apart(p, near_nothing, "transformers")
    rows = un.Rows.of(BACKENDS[backend](np.asarray([[1]])))
    rows.layers = tuple(BACKENDS[backend](np.log(q)[None].astype(np.float32)) for q in (near_nothing, flat))
    scores = BACKENDS[backend](np.log(p)[None].astype(np.float32))
    for divergence, chosen in {"paper": flat, "transformers": near_nothing}.items():
        found = host(un.Dola((1, 2), 0, divergence).process(rows, scores))[0]
        np.testing.assert_allclose(found, np.log(p / chosen), atol=1e-4)


@pytest.mark.parametrize("divergence", ["paper", "transformers"])
def test_of_many_layers_the_farthest_is_taken(divergence):
    rng = np.random.default_rng(0)
    for _ in range(100):
        p, *early = rng.dirichlet(np.full(4, 0.7), 6) * 0.99 + 0.0025
        rows = un.Rows.of(np.asarray([[1]]))
        rows.layers = tuple(np.log(q)[None].astype(np.float32) for q in early)
        found = un.Dola((1, 2, 3, 4, 5), 0, divergence).process(rows, np.log(p)[None].astype(np.float32))[0]
        np.testing.assert_allclose(found, np.log(p / max(early, key=lambda q, p=p: apart(p, q, divergence))), atol=1e-4)
