"""Mirostat's mu follows every hypothesis: in beams, in batches, and when it is replayed from scratch."""

import numpy as np
import pytest
from helpers.tables import BACKENDS, PROMPTS, normalised, run, search_of, table

import unspool as un
from unspool.core.candidates import running_count
from unspool.core.loop import decode


def replay(model, prompt, new, tau, eta, truncated):
    """mu before every token, and the token's log-probability after the cut."""
    mu, mus, logprobs, text = 2 * tau, [], [], list(prompt)
    for token in new:
        p = normalised(np.asarray(model.probabilities(tuple(text))))
        kept = (-np.log2(p) <= mu) | (p == p.max())
        q = normalised(np.where(kept, p, 0))
        mus.append(mu)
        logprobs.append(np.log(q[token]))
        mu -= eta * (-np.log2((q if truncated else p)[token]) - tau)
        text.append(token)
    return [*mus, mu], logprobs


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("surprise", ["original", "truncated"])
@pytest.mark.parametrize("strategy", ["beam(3, n=3)", "beam(4, length_penalty=0.0, n=4)", "sample(5)", "exact(3)", "contrastive_search(3)"])
def test_mu_follows_every_hypothesis(backend, surprise, strategy):
    for seed, (tau, eta) in enumerate([(0.7, 0.9), (1.3, 0.3)]):
        model = table(seed=seed, backend=BACKENDS[backend])
        decoder = un.Mirostat(tau, eta, surprise) | un.parse(strategy)
        found = run(model, decoder, PROMPTS, 5)
        for prompt, hypotheses in zip(PROMPTS, found, strict=True):
            assert hypotheses
            for h in hypotheses:
                np.testing.assert_allclose(h.processed, replay(model, prompt, h.tokens, tau, eta, surprise == "truncated")[1], atol=1e-5)


@pytest.mark.parametrize("surprise", ["original", "truncated"])
def test_the_mus_of_live_beams_are_their_own(surprise):
    model, decoder = table(seed=3, end_tokens=()), un.Mirostat(1.0, 0.8, surprise) | un.Beam(4)
    search = search_of(model, decoder, PROMPTS, 6)
    compared = set()
    for _ in decode(search, decoder.strategy):
        for row, (frontier, i) in [place for alive in search.runs.values() for place in alive.places.items()]:
            prompt, tokens = PROMPTS[int(frontier["prompt"][i])], search.lane.nodes.tokens(row).tolist()
            mu = search.lane.chain[0].memory([row])[0]
            assert mu == pytest.approx(replay(model, prompt, tokens[len(prompt) :], 1.0, 0.8, surprise == "truncated")[0][-1], abs=1e-4)
            compared.add(round(mu, 4))
    assert len(compared) > 20


def test_running_count():
    assert running_count(np.asarray([0, 0, 1, 3, 3, 3])).tolist() == [0, 1, 0, 0, 1, 2]


@pytest.mark.parametrize("surprise", ["original", "truncated"])
@pytest.mark.parametrize("vocabulary", [90, 5000])
@pytest.mark.parametrize("spread", [0.5, 2.0, 6.0])
def test_version_1_keeps_as_many_as_its_definition(surprise, vocabulary, spread):
    chance = np.random.default_rng(5)
    part = un.Mirostat(3.0, surprise=surprise, version=1)
    for mu in (0.5, 3.0, 6.0, 11.0):
        scores = chance.normal(size=(1, vocabulary)) * spread
        p = np.sort(np.exp(scores[0]) / np.exp(scores[0]).sum())[::-1]
        steps = range(min(3000 if surprise == "original" else 99, vocabulary - 1))
        up = sum(np.log((i + 2) / (i + 1)) * np.log(p[i] / p[i + 1]) for i in steps)
        z = up / sum(np.log((i + 2) / (i + 1)) ** 2 for i in steps)
        k = ((z - 1) * 2**mu / (1 - (50000.0 if surprise == "original" else vocabulary) ** (1 - z))) ** (1 / z)
        kept = np.flatnonzero(part.process(un.Rows.of(np.zeros((1, 1), np.int64)), scores, [mu])[0] > -np.inf)
        assert len(kept) == min(round(k) + 1 if surprise == "original" else max(int(k), 1), vocabulary)
        assert set(kept) == set(np.argsort(-scores[0])[: len(kept)])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("surprise", ["original", "truncated"])
def test_version_1_of_distributions_without_a_slope(backend, surprise):
    """All equal, one token left, two far apart: some token stays, and none that could not come."""
    scores = np.full((3, 300), -np.inf, np.float32)
    scores[0], scores[1, 7], scores[2, 3:5] = 1.0, 2.0, (0.0, -80.0)
    for mu in (-50.0, 0.0, 5.0, 2000.0):
        rows = un.Rows.of(BACKENDS[backend](np.zeros((3, 1), np.int64)))
        after = np.asarray(un.Mirostat(3.0, surprise=surprise, version=1).process(rows, BACKENDS[backend](scores), [mu] * 3))
        assert ((after > -np.inf).sum(-1) >= 1).all()
        assert (after[scores == -np.inf] == -np.inf).all()
