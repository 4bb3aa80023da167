"""Alternatives begin with the likeliest tokens, and each is what its strategy would say after its token."""

import numpy as np
import pytest
from helpers.tables import BACKENDS, PROMPTS, run, table

import unspool as un


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("then", [un.Greedy(), un.Beam(3, n=2), un.Exact(2)], ids=str)
def test_each_is_what_its_token_leads_to(backend, then):
    """By definition: the n likeliest tokens, and after each what the strategy finds for the prompt with that token."""
    model = table(seed=3, backend=BACKENDS[backend])
    for prompt, found in zip(PROMPTS, run(model, un.Alternatives(4, then=then), PROMPTS, 5), strict=True):
        p = np.asarray(model.probabilities(tuple(prompt)))
        expected = []
        for token in np.argsort(-p, kind="stable")[:4].tolist():
            if token in model.end_tokens:
                expected.append((token,))
                continue
            follow = un.Follow((token,), then)
            expected += [tuple(h.tokens) for h in run(model, follow, [prompt], 5)[0]]
        assert [tuple(h.tokens) for h in found] == expected


def test_a_token_below_the_least_is_no_alternative_but_the_likeliest_is():
    model = table(seed=3)
    for prompt in PROMPTS:
        p = np.asarray(model.probabilities(tuple(prompt)))
        p = p / p.sum()
        for least in (0.1, 0.3, 1.0):
            found = run(model, un.Alternatives(6, least), [prompt], 4)[0]
            assert {h.tokens[0] for h in found} == {int(p.argmax()), *np.flatnonzero(p >= least).tolist()}


def test_processors_say_what_is_likeliest():
    model = table(seed=3)
    found = run(model, un.Allowed(1, 4) | un.Alternatives(6), [[1, 2]], 3)[0]
    assert sorted(h.tokens[0] for h in found) == [1, 4]
    later = run(model, un.Follow((1, 2), un.Alternatives(3)), [[1]], 6)[0]
    assert [h.tokens[:2] for h in later] == [[1, 2]] * 3 or [tuple(h.tokens[:2]) for h in later] == [(1, 2)] * 3
    assert len({h.tokens[2] for h in later}) == 3


@pytest.mark.parametrize("text", ["alternatives(0)", "alternatives(2, least=1.5)", "alternatives(2, then=top_k(3))"])
def test_what_is_no_number_of_alternatives_is_refused(text):
    with pytest.raises(un.UnspoolError, match="alternatives"):
        un.parse(text)
