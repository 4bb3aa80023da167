"""Speculative decoding draws from the same distribution as sampling does, whatever the draft."""

import numpy as np
import pytest
from helpers.checks import fits
from helpers.tables import BACKENDS, PROMPTS, enumerate_texts, run, search_of, table, texts
from laws.test_sampling import CASES, LIMIT, MODEL, PROMPT, on, processors

import unspool as un
from unspool.core.decoder import as_decoder
from unspool.core.loop import decode

DRAFTS = {"of its own": lambda m, o: o, "perfect": lambda m, o: m, "terrible": lambda m, o: against(m)}
SOME = ["", "top_p(0.7) | ", "temperature(0.5) | ", "mirostat(0.9, eta=0.6) | ", "guidance", "grammar", "typical(0.5) | "]


def against(model):
    """A draft that likes what the model dislikes."""
    return un.models.toy.TableModel(lambda text: 1e-3 / np.asarray(model.probabilities(text)) ** 2, model.vocabulary, backend=model.backend)


def drawn_speculatively(model, decoder, count, batch=10, limit=LIMIT):
    found = []
    for first in range(0, count, batch):
        names = [str(i) for i in range(first, min(first + batch, count))]
        found += [texts(h)[0] for h in run(model, decoder, [PROMPT] * len(names), limit, names=names, seed=5)]
    return found


@pytest.mark.parametrize(
    ("case", "draft"), [*((case, "of its own") for case in SOME), ("", "perfect"), ("", "terrible"), ("guidance", "terrible")]
)
def test_speculative_texts_have_the_exact_distribution(case, draft):
    model, other = on("numpy")
    decoder = un.Decoder((*processors(case, other), un.Speculative(DRAFTS[draft](model, other), tokens=2)))
    fits(drawn_speculatively(model, decoder, 400), enumerate_texts(MODEL, PROMPT, LIMIT, CASES[case]))


def test_what_a_rejected_draft_leaves_is_drawn_from():
    """Few texts and a draft that is often wrong: a wrong residual shows."""
    shares = np.asarray([0.7, 0.2, 0.1])
    model, draft = (un.models.toy.TableModel(lambda text, p=p: p, 3) for p in (shares, np.ones(3)))
    found = drawn_speculatively(model, as_decoder(un.Speculative(draft, 2)), 900, limit=2)
    fits(found, {(a, b): shares[a] * shares[b] for a in range(3) for b in range(3)})


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("tokens", [1, 4])
def test_a_cold_speculation_is_greedy_in_a_batch(backend, tokens):
    for seed in range(2):
        model, draft = (table(seed=s, sharpness=1.0, backend=BACKENDS[backend]) for s in (seed, seed + 50))
        expected = [texts(found) for found in run(model, un.Greedy(), PROMPTS, 9)]
        for other in (draft, model, against(model)):
            speculative = un.Temperature(0) | un.Speculative(other, tokens)
            assert [texts(found) for found in run(model, speculative, PROMPTS, 9)] == expected


def test_a_perfect_draft_saves_forwards():
    model = table(seed=3, end_tokens=())
    for decoder in (un.Speculative(model, 4), un.Temperature(0) | un.Speculative(model, 4)):
        decoder = as_decoder(decoder)
        search = search_of(model, decoder, PROMPTS, 20)
        steps = list(decode(search, decoder.strategy))
        assert sum(map(len, steps)) == 20 * len(PROMPTS)
        assert search.lane.session.forwards <= 1 + 20 / 5
