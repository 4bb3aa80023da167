"""Tiny random checkpoints, and our search over them."""

import random
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest

from unspool import Hypothesis, parse
from unspool.core.loop import decode
from unspool.core.search import Search
from unspool.models.reading import read_transformer


@dataclass
class Checkpoint:
    """One model of theirs and ours, and its tokens in the order of how likely they are on the whole."""

    theirs: Any
    ours: Any
    in_torch: Any
    likely: list[int]


@pytest.fixture(scope="session")
def checkpoint():
    """seed -> Checkpoint: a GPT-2 whose weights are large enough for peaked and varied distributions."""
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")

    @cache
    def make(seed: int, vocabulary: int = 48) -> Checkpoint:
        torch.manual_seed(seed)
        shape = {"vocab_size": vocabulary, "n_positions": 64, "n_embd": 16, "n_layer": 2, "n_head": 2}
        config = transformers.GPT2Config(**shape, initializer_range=0.5, bos_token_id=None, eos_token_id=None)
        theirs = transformers.GPT2LMHeadModel(config).eval()
        ours = read_transformer("gpt2", config.to_dict(), {name: array.numpy() for name, array in theirs.state_dict().items()})
        with torch.no_grad():
            mean = theirs(torch.randint(vocabulary, (64, 6))).logits.softmax(-1).mean((0, 1))
            in_torch = read_transformer("gpt2", config.to_dict(), theirs.state_dict())
        return Checkpoint(theirs, ours, in_torch, mean.argsort(descending=True).tolist())

    return make


@pytest.fixture(scope="session")
def prompts_of():
    """(seed, vocabulary, count) -> prompts of different lengths."""

    def prompts(seed: int, vocabulary: int, count: int) -> list[list[int]]:
        chance = random.Random(seed)
        return [[chance.randrange(vocabulary) for _ in range(chance.randint(1, 9))] for _ in range(count)]

    return prompts


@pytest.fixture(scope="session")
def run():
    """Decode prompts together: the hypotheses of each, best first, and the Steps."""

    def run(model, prompts, decoder: str, limit: int, end_tokens=(), **options) -> tuple[list[list[Hypothesis]], list]:
        chosen = parse(decoder)
        search = Search(model, prompts, chosen.processors, limits=[limit] * len(prompts), end_tokens=end_tokens, **options)
        steps = list(decode(search, chosen.strategy))
        return [chosen.strategy.rank(found) for found in search.found], steps

    return run


@pytest.fixture(scope="session")
def theirs_of():
    """A Checkpoint's `generate` in transformers for one prompt."""
    torch = pytest.importorskip("torch")

    def generate(checkpoint: Checkpoint, prompt: list[int], limit: int, end_tokens=(), do_sample=False, **settings):
        ids = torch.tensor([prompt])
        fixed = {"do_sample": do_sample, "pad_token_id": 0, "return_dict_in_generate": True, "output_scores": True, "use_cache": True}
        with torch.no_grad():
            return checkpoint.theirs.generate(
                ids, attention_mask=torch.ones_like(ids), max_new_tokens=limit, eos_token_id=list(end_tokens) or None, **fixed, **settings
            )

    return generate


@pytest.fixture(scope="session")
def cut():
    """New tokens of a padded row, up to its first end token."""

    def cut(row, prompt: list[int], ends) -> list[int]:
        new = row.tolist()[len(prompt) :]
        at = np.flatnonzero(np.isin(new, list(ends)))
        return new[: at[0] + 1] if len(at) else new

    return cut
