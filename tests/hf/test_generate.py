"""Greedy search and beams give the tokens of transformers' generate, and its GPT-2 and Llama the numbers of our own."""

import numpy as np
import pytest
from helpers.tables import run

from unspool.models.reading import read_transformer

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

REFERENCE = f"transformers {transformers.__version__}"
PROMPTS = [[5, 6, 3], [4], [7, 7, 7, 8, 9, 10, 11], [12, 3, 20, 21]]
ENDS = (2,)


def generated(model, prompt, **settings):
    ids = torch.tensor([prompt])
    with torch.no_grad():
        rows = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=12, do_sample=False, pad_token_id=0, **settings)
    return [cut(row.tolist()[len(prompt) :]) for row in rows]


def cut(tokens):
    return tokens[: tokens.index(ENDS[0]) + 1] if ENDS[0] in tokens else tokens


def test_greedy_is_theirs(kind, ours, theirs, tally):
    found = run(ours(kind), "greedy", PROMPTS, 12)
    for prompt, mine in zip(PROMPTS, found, strict=True):
        assert mine[0].tokens == generated(theirs(kind), prompt)[0]
        tally("greedy search, models run by transformers")


def test_beams_are_theirs(kind, ours, theirs, tally):
    found = run(ours(kind), "beam(3, n=2)", PROMPTS, 12)
    for prompt, mine in zip(PROMPTS, found, strict=True):
        assert [h.tokens for h in mine] == generated(theirs(kind), prompt, num_beams=3, num_return_sequences=2)
        tally("beam search, models run by transformers")


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_our_own_engine_gives_the_same_numbers(name, ours, theirs):
    config = theirs(name).config.to_dict()
    own = read_transformer(name, config, {k: v.numpy() for k, v in theirs(name).state_dict().items()})
    sessions = own.session(), ours(name).session()
    rows = [s.extend([-1] * len(PROMPTS), PROMPTS) for s in sessions]
    rows = [s.extend(r[[2, 0, 0]], [[5], [6, 7, 8], [9]]) for s, r in zip(sessions, rows, strict=True)]
    mine, other = (s.logits(r) for s, r in zip(sessions, rows, strict=True))
    np.testing.assert_allclose(mine, other, atol=1e-4)
    assert (own.context, own.end_tokens, own.start) == (ours(name).context, ours(name).end_tokens, ours(name).start)
