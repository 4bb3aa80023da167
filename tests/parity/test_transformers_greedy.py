"""Greedy search gives the tokens and the processed scores of transformers' `generate`."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

REFERENCE = f"transformers {transformers.__version__}"
LIMIT = 14
SEEDS = range(6)
TOLERANCE = 1e-4
NEAR = 1e-5
"""If the two likeliest tokens are nearer than this, float32 may choose either; the case then counts as a near tie."""


def warped(*made):
    """Processors that `generate` itself applies only when it samples."""
    return lambda: {"logits_processor": transformers.LogitsProcessorList(made)}


CHAINS = {
    "": {},
    "temperature(0.5)": warped(transformers.TemperatureLogitsWarper(0.5)),
    "top_k(7)": warped(transformers.TopKLogitsWarper(7)),
    "top_p(0.8)": warped(transformers.TopPLogitsWarper(0.8)),
    "min_p(0.1)": warped(transformers.MinPLogitsWarper(0.1)),
    "typical(0.7)": warped(transformers.TypicalLogitsWarper(0.7)),
    "repetition_penalty(1.4)": {"repetition_penalty": 1.4},
    "repetition_penalty(0.7)": {"repetition_penalty": 0.7},
    "no_repeat_ngram(1)": {"no_repeat_ngram_size": 1},
    "no_repeat_ngram(3)": {"no_repeat_ngram_size": 3},
    "min_new_tokens(6)": {"min_new_tokens": 6},
    "banned(3, 7, (5, 9), (1, 2, 4))": {"bad_words_ids": [[3], [7], [5, 9], [1, 2, 4]]},
    "banned(2, 9, 30)": {"suppress_tokens": [2, 9, 30]},
    "bias((((6,), 2.5), ((8, 4), -3.0)))": {"sequence_bias": {(6,): 2.5, (8, 4): -3.0}},
    "bias((((6,), 1.5),)) | repetition_penalty(1.3) | no_repeat_ngram(2) | banned((5, 9)) | min_new_tokens(4)": {
        "sequence_bias": {(6,): 1.5},
        "repetition_penalty": 1.3,
        "no_repeat_ngram_size": 2,
        "bad_words_ids": [[5, 9]],
        "min_new_tokens": 4,
    },
    "temperature(0.7) | top_k(20) | top_p(0.9) | min_p(0.02)": warped(
        transformers.TemperatureLogitsWarper(0.7),
        transformers.TopKLogitsWarper(20),
        transformers.TopPLogitsWarper(0.9),
        transformers.MinPLogitsWarper(0.02),
    ),
}


def distributions(steps, prompt, vocabulary):
    """The processed log-probabilities of every token at every step of one prompt: (steps, V), and the model's own."""
    parts = [step.only(prompt).considered for step in steps if (step.prompt == prompt).any()]
    processed, raw = np.empty((len(parts), vocabulary)), np.empty((len(parts), vocabulary))
    for t, part in enumerate(parts):
        processed[t, part.tokens[0]], raw[t, part.tokens[0]] = part.processed[0], part.logprobs[0]
    return processed, raw


@pytest.mark.parametrize("chain", CHAINS)
@pytest.mark.parametrize("seed", SEEDS)
def test_equal(seed, chain, checkpoint, prompts_of, run, theirs_of, cut, tally):
    model = checkpoint(seed)
    vocabulary, ends = model.ours.vocabulary, tuple(model.likely[4:6])
    settings = CHAINS[chain]() if callable(CHAINS[chain]) else CHAINS[chain]
    prompts = prompts_of(seed + 200, vocabulary, 3)
    found, steps = run(model.ours, prompts, f"{chain} | greedy" if chain else "greedy", LIMIT, ends, level="choices", choices=vocabulary)
    for i, (prompt, (mine,)) in enumerate(zip(prompts, found, strict=True)):
        their = theirs_of(model, prompt, LIMIT, ends, output_logits=True, **settings)
        tokens = cut(their.sequences[0], prompt, ends)
        processed, raw = distributions(steps, i, vocabulary)
        if mine.tokens != tokens and margin_where_they_part(processed, mine.tokens, tokens) < NEAR:
            tally("greedy search", "near tie")
            continue
        assert mine.tokens == tokens
        scores, logits = (torch.cat(rows).log_softmax(-1).numpy() for rows in (their.scores, their.logits))
        np.testing.assert_allclose(processed, scores, atol=TOLERANCE, rtol=0)
        np.testing.assert_allclose(raw, logits, atol=TOLERANCE, rtol=0)
        np.testing.assert_allclose(mine.processed, scores[range(len(tokens)), tokens], atol=TOLERANCE, rtol=0)
        np.testing.assert_allclose(mine.logprobs, logits[range(len(tokens)), tokens], atol=TOLERANCE, rtol=0)
        tally("greedy search")


def margin_where_they_part(processed, mine, theirs):
    """The distance of the two likeliest tokens at the first step with different tokens."""
    at = next(t for t, (a, b) in enumerate(zip(mine, theirs, strict=False)) if a != b)
    best = np.sort(processed[at])[::-1]
    return best[0] - best[1]
