"""Exact models, runs over them, and everything they could have said."""

from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec

import numpy as np

from unspool.testing import worlds
from unspool.testing.worlds import run as run, search_of as search_of

BACKENDS = {"numpy": np.asarray}
if find_spec("torch"):
    import torch

    BACKENDS["torch"] = torch.from_numpy

VOCABULARY, END = 6, 5
PROMPTS = [[1, 2, 3], [2], [0, 4, 1, 2, 3, 1], [4, 4]]


class Letters:
    """One letter per token; end tokens are special."""

    def __init__(self, size=VOCABULARY, specials=(END,)):
        self.size, self.specials, self.hash = size, frozenset(specials), f"letters-{size}"

    def encode(self, text):
        return [ord(c) - ord("a") for c in text]

    prefixes_space = False

    def encode_prompt(self, text):
        return self.encode(text)

    def bytes_of(self, token):
        return b"" if token in self.specials else self.name_of(token).encode()

    def name_of(self, token):
        return chr(ord("a") + token)


def table(seed=0, vocabulary=VOCABULARY, sharpness=1.5, end_tokens=(END,), backend=np.asarray, **options):
    """A random table model that remembers its answers."""
    return worlds.table(seed, vocabulary, sharpness, end_tokens, backend, **options)


def texts(found):
    return [tuple(h.tokens) for h in found]


def same(one, other, tolerance=1e-5):
    """Whether two lists of hypotheses hold the same texts with the same numbers."""
    assert [(h.tokens, h.reason) for h in one] == [(h.tokens, h.reason) for h in other]
    for a, b in zip(one, other, strict=True):
        np.testing.assert_allclose(a.logprobs, b.logprobs, rtol=1e-6, atol=tolerance)
        np.testing.assert_allclose(a.processed, b.processed, rtol=1e-6, atol=tolerance)
        np.testing.assert_allclose(a.score, b.score, rtol=1e-6, atol=tolerance)


Rule = Callable[[np.ndarray, Sequence[int], Sequence[int]], np.ndarray]


def unchanged(probabilities, prompt, new):
    return probabilities


def normalised(weights):
    return weights / weights.sum()


def enumerate_texts(model, prompt, limit, rule: Rule = unchanged) -> Iterator[tuple[tuple[int, ...], float]]:
    """Every finished text of at most `limit` new tokens with its probability, from the definition.

    rule: probabilities, prompt and new tokens -> unnormalised probabilities; all zero where nothing may come.
    """

    def walk(new, mass):
        if len(new) == limit or (new and new[-1] in model.end_tokens):
            yield new, mass
            return
        p = rule(normalised(np.asarray(model.probabilities((*prompt, *new)), np.float64)), prompt, new)
        if p.sum() > 0:
            for token, share in enumerate(normalised(p)):
                if share > 0:
                    yield from walk((*new, token), mass * share)

    yield from walk((), 1.0)
