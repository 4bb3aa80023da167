"""Which tokens lie so near what separates kept from cut that float32 may decide either way."""

import numpy as np

import unspool as un

NEAR = 2e-6
"""Mass, or relative probability."""


def near_the_line(processor, scores, row, token):
    """Whether a token lies so near what separates kept from cut that float32 may decide either way."""
    logprobs = scores[row].astype(np.float64) - np.logaddexp.reduce(scores[row].astype(np.float64))
    if isinstance(processor, un.MinP | un.TopP) and token == scores[row].argmax():
        return False                                                      # the likeliest is never cut
    if isinstance(processor, un.MinP):
        return abs(logprobs[token] - logprobs.max() - np.log(processor.p)) < NEAR
    probs = np.exp(logprobs)
    entropy = -(probs[probs > 0] * logprobs[probs > 0]).sum()
    if isinstance(processor, un.Epsilon | un.Eta):
        least = np.log(processor.epsilon)
        return abs(logprobs[token] - (least if isinstance(processor, un.Epsilon) else min(least, least / 2 - entropy))) < NEAR
    if isinstance(processor, un.TopH):
        best = np.sort(probs)[::-1][:100] / np.sort(probs)[::-1][:100].sum()
        terms = -best[best > 0] * np.log(best[best > 0])
        return abs(terms[: int((probs >= probs[token]).sum())].sum() - processor.alpha * terms.sum()) < NEAR * 10
    if isinstance(processor, un.TopP | un.Typical):
        key = -logprobs if isinstance(processor, un.TopP) else abs(-logprobs - entropy)
        before = probs[(key < key[token]) | ((key == key[token]) & (np.arange(len(key)) < token))].sum()
        return abs(before - processor.p) < NEAR
    return False
