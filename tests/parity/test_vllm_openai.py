"""The penalties and constraints that vLLM and OpenAI define, from their definitions, in plain loops over tokens.

vLLM: its v1 sampler (`vllm/v1/sample/sampler.py`, `ops/penalties.py`, `ops/bad_words.py`, `logits_processor/builtin.py`) and
`sampling_params.py` of 2025 and 2026. OpenAI: "frequency and presence penalties" in its API guide.
"""

import math
from dataclasses import dataclass

import numpy as np
import pytest
from helpers.tables import BACKENDS

import unspool as un
from unspool.arrays import host

REFERENCE = "vLLM, v1 sampler"
OPENAI = "OpenAI, API guide"
INF = math.inf
VOCABULARY = 12
ENDS = (10, 11)
NEAR = 1e-5
"""A probability or a mass this near a line may fall on either side in float32."""


@dataclass(frozen=True)
class Settings:
    """vLLM's sampling parameters, at values that change nothing."""

    allowed_token_ids: tuple[int, ...] | None = None
    bad_words: tuple[tuple[int, ...], ...] = ()
    min_tokens: int = 0
    logit_bias: tuple[tuple[int, float], ...] = ()
    repetition_penalty: float = 1.0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    temperature: float = 1.0
    min_p: float = 0.0
    top_k: int = 0
    top_p: float = 1.0

    def ours(self) -> list[un.Processor]:
        """The same as a chain, in vLLM's order."""
        parts: list = [] if self.allowed_token_ids is None else [un.Allowed(*self.allowed_token_ids)]
        parts += [un.Banned(*(tuple(w) for w in self.bad_words))] if self.bad_words else []
        parts += [un.MinNewTokens(self.min_tokens), un.Bias(self.logit_bias)] if self.logit_bias else [un.MinNewTokens(self.min_tokens)]
        parts += [un.RepetitionPenalty(self.repetition_penalty), un.FrequencyPenalty(self.frequency_penalty)]
        parts += [un.PresencePenalty(self.presence_penalty), un.Temperature(self.temperature), un.MinP(self.min_p)]
        return parts + ([un.TopK(self.top_k)] if self.top_k else []) + [un.TopP(self.top_p)]


def vllm(s, prompt, output, logits):
    """What vLLM would sample from, and whether a line was too near to tell."""
    x = [float(v) for v in logits]
    if s.allowed_token_ids is not None:
        x = [v if t in s.allowed_token_ids else -INF for t, v in enumerate(x)]
    for *before, last in s.bad_words:
        if len(output) >= len(before) and output[len(output) - len(before) :] == before:
            x[last] = -INF
    if len(output) < s.min_tokens:
        for end in ENDS:
            x[end] = -INF
    for token, amount in s.logit_bias:
        x[token] += amount
    for t in range(len(x)):
        if t in prompt or t in output:
            x[t] = x[t] / s.repetition_penalty if x[t] > 0 else x[t] * s.repetition_penalty
        x[t] -= s.frequency_penalty * output.count(t)
        x[t] -= s.presence_penalty * (t in output)
    if s.temperature < 1e-5:
        best = max(range(len(x)), key=x.__getitem__)
        return [x[t] if t == best else -INF for t in range(len(x))], False
    x = [v / s.temperature for v in x]
    p = softmax(x)
    near = s.min_p > 0 and any(0 < abs(q / (s.min_p * max(p)) - 1) < NEAR for q in p)
    x = [v if q >= s.min_p * max(p) else -INF for v, q in zip(x, p, strict=True)]
    ascending = sorted(range(len(x)), key=x.__getitem__)
    least = x[ascending[-min(s.top_k or len(x), len(x))]]
    x = [v if v >= least else -INF for v in x]
    p, mass = softmax(x), 0.0
    for t in ascending[:-1] if s.top_p < 1 else []:
        mass += p[t]
        near |= abs(mass - (1 - s.top_p)) < NEAR
        if mass <= 1 - s.top_p:
            x[t] = -INF
    return x, near


def softmax(x):
    top = max(x)
    weights = [math.exp(v - top) for v in x]
    return [w / sum(weights) for w in weights]


def openai(frequency, presence, output, logits):
    """Frequency and presence penalties."""
    return [v - output.count(t) * frequency - float(output.count(t) > 0) * presence for t, v in enumerate(map(float, logits))]


def ours(parts, prompt, output, logits, backend):
    text = np.asarray([prompt + output])
    rows = un.Rows(BACKENDS[backend](text), np.asarray([text.shape[1]]), np.asarray([len(prompt)]), ENDS)
    scores = BACKENDS[backend](np.asarray([logits]))
    for part in parts:
        scores = part.process(rows, scores)
    return host(scores)[0]


def inputs(count):
    """Prompts and outputs with tokens in common, and scores; some are impossible."""
    chance = np.random.default_rng(17)
    for i in range(count):
        prompt = chance.integers(0, 4, chance.integers(1, 6)).tolist()
        output = chance.integers(2, 8, chance.integers(0, 9)).tolist()
        logits = chance.normal(size=VOCABULARY).astype(np.float32) * (0.3, 2, 6)[i % 3]
        logits[chance.random(VOCABULARY) < (0.0, 0.3)[i % 2]] = -INF
        logits[chance.integers(0, 10)] = 0.5
        yield prompt, output, logits


BAD = ((5,), (6, 7), (4, 5, 4), (7, 7))
CHAINS = {
    "repetition_penalty": [Settings(repetition_penalty=r) for r in (0.5, 1.3, 2.0)],
    "frequency_penalty": [Settings(frequency_penalty=f) for f in (-2.0, 0.4, 2.0)],
    "presence_penalty": [Settings(presence_penalty=p) for p in (-2.0, 0.4, 2.0)],
    "logit_bias": [Settings(logit_bias=((3, 4.0), (0, -100.0), (7, 0.5)))],
    "min_tokens": [Settings(min_tokens=n) for n in (1, 4, 50)],
    "bad_words": [Settings(bad_words=BAD)],
    "allowed_token_ids": [Settings(allowed_token_ids=(1, 3, 4, 8, 10))],
    "temperature": [Settings(temperature=t) for t in (0.0, 0.3, 1.7)],
    "min_p": [Settings(min_p=m) for m in (0.02, 0.4, 1.0)],
    "top_k": [Settings(top_k=k) for k in (1, 4, 50)],
    "top_p": [Settings(top_p=p) for p in (1e-4, 0.3, 0.95)],
    "all, in vLLM's order": [
        Settings(None, BAD, 3, ((3, 1.0), (9, -2.0)), 1.2, 0.3, 0.5, 0.8, 0.05, 6, 0.9),
        Settings((0, 1, 2, 3, 4, 5, 6, 10), BAD, 0, ((2, 2.0),), 0.9, -0.2, 0.1, 1.4, 0.01, 4, 0.8),
        Settings(min_tokens=2, repetition_penalty=1.1, presence_penalty=1.0, temperature=0.0),
    ],
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("method", CHAINS)
def test_vllm(method, backend, tally):
    for settings in CHAINS[method]:
        for prompt, output, logits in inputs(40):
            expected, near = vllm(settings, prompt, output, logits)
            if not any(x > -INF for x in expected):
                continue
            found = ours(settings.ours(), prompt, output, logits, backend)
            same = np.array_equal(found > -INF, np.asarray(expected) > -INF)
            assert same or near, (settings, prompt, output)
            if same:
                np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-6)
            tally(method, "equal" if same else "near tie")


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("frequency", "presence"), [(0.5, 0.0), (0.0, 0.5), (-2.0, 2.0), (1.3, 0.7)])
def test_openai(frequency, presence, backend, tally):
    for prompt, output, logits in inputs(40):
        found = ours([un.FrequencyPenalty(frequency), un.PresencePenalty(presence)], prompt, output, logits, backend)
        np.testing.assert_allclose(found, openai(frequency, presence, output, logits), rtol=1e-5, atol=1e-6)
        tally("frequency_penalty, presence_penalty", reference=OPENAI)


def test_bad_words_that_begin_in_the_prompt(tally):
    logits = np.zeros(VOCABULARY, np.float32)
    assert vllm(Settings(bad_words=((1, 2),)), [3, 1], [], logits)[0][2] == 0.0
    assert ours([un.Banned((1, 2))], [3, 1], [], logits, "numpy")[2] == -INF
    tally.difference(
        "bad words that begin in the prompt",
        "theirs reads the new tokens alone, so that a banned phrase can be completed across the prompt's end; ours, as transformers', "
        "never completes it",
    )


def test_tokens_that_tie_with_the_kth(tally):
    logits = np.asarray([1.0, 3.0, 1.0, 1.0] + [-INF] * 8, np.float32)
    assert sum(x > -INF for x in vllm(Settings(top_k=2), [0], [], logits)[0]) == 4
    assert (ours([un.TopK(2)], [0], [], logits, "numpy") > -INF).sum() == 2
    tally.difference("top_k at a tie", "theirs keeps everything equal to the k-th score; ours keeps k, of equals those with the lowest ids")
