"""Whole sampled texts against their exact distribution; every cut again by a definition of a few lines."""

from itertools import pairwise

import numpy as np
import pytest
from helpers.checks import fits
from helpers.tables import BACKENDS, enumerate_texts, normalised, run, table, texts, unchanged
from laws.examples import Alternating

import unspool as un
from unspool.core.randomness import combine, uniform

PROMPT, LIMIT, END = (1, 2), 3, 3


def by_rank(p):
    return sorted(range(len(p)), key=lambda t: (-p[t], t))


def keep(p, tokens):
    return np.asarray([p[t] if t in tokens else 0.0 for t in range(len(p))])


def top_k(p, k):
    return keep(p, by_rank(p)[:k])


def top_p(p, least):
    kept = []
    for t in by_rank(p):
        kept.append(t)
        if sum(p[kept]) >= least:
            break
    return keep(p, kept)


def min_p(p, share):
    return keep(p, [t for t in range(len(p)) if p[t] >= share * max(p)])


def typical(p, least):
    entropy = -sum(x * np.log(x) for x in p if x > 0)
    kept = []
    for t in sorted(range(len(p)), key=lambda t: abs(-np.log(p[t]) - entropy)):
        kept.append(t)
        if sum(p[kept]) >= least:
            break
    return keep(p, kept)


def entropy(p):
    return -sum(x * np.log(x) for x in p if x > 0)


def above(p, least):
    return keep(p, [t for t in range(len(p)) if p[t] >= least] or by_rank(p)[:1])


def eta(p, epsilon):
    return above(p, min(epsilon, np.sqrt(epsilon) * np.exp(-entropy(p))))


def top_n_sigma(p, n):
    scores = np.log(p)
    return keep(p, [t for t in range(len(p)) if scores[t] >= max(scores) - n * np.std(scores)])


def p_less(p, normalised):
    repeat = sum(p**2)
    return above(p, (len(p) * repeat - 1) / (len(p) - 1) if normalised else repeat)


def top_h(p, alpha):
    ranks = by_rank(p)
    fitting = [k for k in range(1, len(p) + 1) if entropy(normalised(p[ranks[:k]])) <= alpha * entropy(p)]
    return keep(p, ranks[: max(fitting, default=1)])


def partial_top_h(p, alpha):
    ranks = by_rank(p)
    fitting = [k for k in range(1, len(p) + 1) if entropy(p[ranks[:k]]) <= alpha * entropy(p)]
    return keep(p, ranks[: max(fitting, default=1)])


def tail_free(p, z, early):
    ranks = by_rank(p)
    f = [*p[ranks], 0, 0]
    bends = [abs(f[i] - 2 * f[i + 1] + f[i + 2]) for i in range(len(p))]
    kept = [i for i in range(len(p)) if sum(bends[: i + early]) <= z * sum(bends)]
    return keep(p, [ranks[i] for i in kept or [0]])


def xtc(p, threshold, spared=()):
    likely = [t for t in by_rank(p) if p[t] >= threshold]
    return keep(p, [t for t in range(len(p)) if t not in likely[:-1] or t in spared])


def mirostat(tau, eta, truncated):
    def rule(p, prompt, new, model):
        mu, text = 2 * tau, list(prompt)
        for token in new:
            before = normalised(np.asarray(model.probabilities(tuple(text))))
            seen = normalised(cut(before, mu)) if truncated else before
            mu -= eta * (-np.log2(seen[token]) - tau)
            text.append(token)
        return cut(p, mu)

    def cut(p, mu):
        kept = [t for t in range(len(p)) if -np.log2(p[t]) <= mu]
        return keep(p, kept or by_rank(p)[:1])

    return rule


def zipf(p, mu, n, rounded):
    """The tokens that version 1 of mirostat keeps."""
    q = p[by_rank(p)]
    t = [np.log((i + 2) / (i + 1)) for i in range(len(q) - 1)]
    b = [np.log(q[i] / q[i + 1]) for i in range(len(q) - 1)]
    z = sum(x * y for x, y in zip(t, b, strict=True)) / sum(x * x for x in t)
    k = ((z - 1) * 2**mu / (1 - n ** (1 - z))) ** (1 / z)
    return top_k(p, round(k) + 1 if rounded else max(int(k), 1))


def mirostat_1(tau, eta, n, truncated):
    def rule(p, prompt, new):
        mu, text = 2 * tau, list(prompt)
        for token in new:
            before = normalised(np.asarray(MODEL.probabilities(tuple(text))))
            seen = normalised(zipf(before, mu, n, not truncated)) if truncated else before
            mu -= eta * (-np.log2(seen[token]) - tau)
            text.append(token)
        return zipf(p, mu, n, not truncated)

    return rule


def adaptive(target, decay):
    def rule(p, prompt, new):
        seen = [normalised(np.asarray(MODEL.probabilities((*prompt, *new[:i]))))[t] for i, t in enumerate(new)]
        weights = [decay ** (len(new) - 1 - i) for i in range(len(new))]
        before = decay ** len(new) / (1 - decay)                              # the mean begins as if the target had always come
        mean = (before * target + sum(w * x for w, x in zip(weights, seen, strict=True))) / (before + sum(weights))
        d = abs(p - min(max(2 * target - mean, 0), 1)) / 0.3
        return np.exp(5 - 10 * d**2 / (1 + d))

    return rule


def dynamic_temperature(p, low, high, exponent):
    return p ** (1 / (low + (high - low) * (entropy(p) / np.log(len(p))) ** exponent))


def smoothing(p, factor, curve):
    d = np.log(p / max(p))
    return np.exp(-(3 - curve) / 2 * factor * d**2 + (curve - 1) / 2 * factor * d**3)


def skew(p, amount):
    ranks, moved = by_rank(p), np.zeros(len(p))
    edges = np.asarray([0, *np.cumsum(p[ranks])]) ** np.exp(amount)
    moved[ranks] = edges[1:] - edges[:-1]
    return moved


def guided(scale, other, negative):
    def rule(p, prompt, new):
        q = normalised(np.asarray(other.probabilities((*negative, *new))))
        return np.exp(np.log(q) + scale * (np.log(p) - np.log(q)))

    return rule


def repetition(p, prompt, new):
    logits = np.log(p)
    return np.exp([x * 1.5 if t in (*prompt, *new) else x for t, x in enumerate(logits)])


def frequency(p, prompt, new):
    return np.exp([np.log(x) - 0.8 * new.count(t) for t, x in enumerate(p)])


def presence(p, prompt, new):
    return np.exp([np.log(x) - 0.8 * (t in new) for t, x in enumerate(p)])


def fading_repetition(p, prompt, new):
    """1.5 for the last two tokens, 1.25 for the one before, 1 for those before it."""
    text, logits = (*prompt, *new), np.log(p)
    last = {t: max(i for i, other in enumerate(text) if other == t) for t in text}
    ago = {t: len(text) - i for t, i in last.items()}
    return np.exp([x * {1: 1.5, 2: 1.5, 3: 1.25}.get(ago.get(t), 1) for t, x in enumerate(logits)])


def dry(p, prompt, new):
    text, out = (*prompt, *new), np.log(p)
    for v in range(len(p)):
        longest = max((matched(text, i) for i, t in enumerate(text) if t == v), default=0)
        if longest >= 1 and v != 0:
            out[v] -= 0.7 * 1.5 ** (longest - 1)
    return np.exp(out)


def matched(text, i):
    """How many tokens before place i are also the last ones of a text, without 0 among them."""
    return max(n for n in range(i + 1) if text[i - n : i] == text[len(text) - n :] and 0 not in text[i - n : i])


def no_ngram_of_the_prompt(p, prompt, new):
    last = (*prompt, *new)[-1]
    return np.asarray([0.0 if (last, t) in pairwise(prompt) else x for t, x in enumerate(p)])


def ending_sooner(p, prompt, new):
    logits = np.log(p)
    if len(new) > 1:
        logits[END] += abs(logits[END]) * (1.5 ** (len(new) - 1) - 1)
    return np.exp(logits)


def watermarked(p, prompt, new):
    """Of four tokens the two with the lowest hashes of key, last token and themselves."""
    hashes = uniform(7, combine((*prompt, *new)[-1]), 0, "watermark_kgw", np.arange(4))
    return p * np.exp(1.2 * (hashes <= np.sort(hashes)[1]))


TREE = ((0, 1), (2,), (2, 1, 0), (1, 1, 1))


def one_of_these(p, prompt, new):
    going_on = [s[len(new)] for s in TREE if len(s) > len(new) and s[: len(new)] == new]
    return keep(p, [*going_on, END] if new in TREE else going_on)


def alternating(p, prompt, new):
    return keep(p, [t for t in range(len(p)) if t % 2 == len(new) % 2])


OTHER = table(seed=9, vocabulary=4, end_tokens=(END,))
MODEL = table(seed=10, vocabulary=4, end_tokens=(END,))


class EvenThenOdd(Alternating):
    def allowed(self, state):
        return [t for t in range(4) if t % 2 == state]


CASES = {
    "": unchanged,
    "temperature(0.5) | ": lambda p, prompt, new: p**2,
    "temperature(2.0) | ": lambda p, prompt, new: p**0.5,
    "top_k(2) | ": lambda p, prompt, new: top_k(p, 2),
    "top_p(0.7) | ": lambda p, prompt, new: top_p(p, 0.7),
    "min_p(0.3) | ": lambda p, prompt, new: min_p(p, 0.3),
    "typical(0.5) | ": lambda p, prompt, new: typical(p, 0.5),
    "epsilon(0.2) | ": lambda p, prompt, new: above(p, 0.2),
    "eta(0.6) | ": lambda p, prompt, new: eta(p, 0.6),
    "top_n_sigma(1.2) | ": lambda p, prompt, new: top_n_sigma(p, 1.2),
    "top_a(0.5) | ": lambda p, prompt, new: above(p, 0.5 * max(p) ** 2),
    "p_less | ": lambda p, prompt, new: p_less(p, False),
    "p_less(True) | ": lambda p, prompt, new: p_less(p, True),
    "top_h(0.7) | ": lambda p, prompt, new: top_h(p, 0.7),
    "top_h(0.7, variant='transformers') | ": lambda p, prompt, new: partial_top_h(p, 0.7),
    "tail_free(0.6) | ": lambda p, prompt, new: tail_free(p, 0.6, 0),
    "tail_free(0.6, variant='llama.cpp') | ": lambda p, prompt, new: tail_free(p, 0.6, 1),
    "xtc(0.1, probability=1.0) | ": lambda p, prompt, new: xtc(p, 0.1),
    "xtc(0.1, probability=1.0, protect=(1,), protect_ends=True) | ": lambda p, prompt, new: xtc(p, 0.1, (1, END)),
    "top_k(3) | typical(0.9) | ": lambda p, prompt, new: typical_of_some(top_k(p, 3)),
    "top_p(0.8) | temperature(1.5) | ": lambda p, prompt, new: top_p(p, 0.8) ** (1 / 1.5),
    "temperature(1.5) | top_p(0.8) | ": lambda p, prompt, new: top_p(normalised(p ** (1 / 1.5)), 0.8),
    "repetition_penalty(1.5) | ": repetition,
    "frequency_penalty(0.8) | ": frequency,
    "presence_penalty(0.8) | ": presence,
    "repetition_penalty(1.5, window=1, decay=2) | ": fading_repetition,
    "frequency_penalty(0.8, scope='all', window=2) | ": lambda p, prompt, new: p * np.exp(
        [-0.8 * (*prompt, *new)[-2:].count(t) for t in range(4)]
    ),
    "dry(0.7, base=1.5, allowed_length=1, breakers=(0,)) | ": dry,
    "encoder_repetition_penalty(1.5) | ": lambda p, prompt, new: np.exp([x / 1.5 if t in prompt else x for t, x in enumerate(np.log(p))]),
    "encoder_no_repeat_ngram(2) | ": no_ngram_of_the_prompt,
    "exponential_decay_length(1, factor=1.5) | ": ending_sooner,
    "min_length(4) | ": lambda p, prompt, new: keep(p, [0, 1, 2] if len(prompt) + len(new) < 4 else range(4)),
    "forced_end(2) | ": lambda p, prompt, new: keep(p, [END] if len(new) == 1 else range(4)),
    "suppress(1, 2) | ": lambda p, prompt, new: keep(p, [0, 3]),
    "suppress_at_begin(3, 0) | ": lambda p, prompt, new: keep(p, range(4) if new else [1, 2]),
    "forced({1: 2, 2: 0}) | ": lambda p, prompt, new: keep(p, {1: [2], 2: [0]}.get(len(new), range(4))),
    "forced_begin(2) | ": lambda p, prompt, new: keep(p, range(4) if new else [2]),
    f"prefix_constrained({TREE}) | ": one_of_these,
    f"choice({TREE}) | ": one_of_these,
    "banned(1, (2, 0)) | ": lambda p, prompt, new: keep(p, [t for t in (0, 2, 3) if ((*prompt, *new)[-1], t) != (2, 0)]),
    "allowed(0, 3) | ": lambda p, prompt, new: keep(p, [0, 3]),
    "no_repeat_ngram(2) | ": lambda p, prompt, new: no_ngram_of_the_prompt(p, (*prompt, *new), new),
    "watermark_kgw(0.5, bias=1.2, hashing_key=7) | ": watermarked,
    "min_new_tokens(2) | ": lambda p, prompt, new: keep(p, [0, 1, 2] if len(new) < 2 else range(4)),
    "bias({0: 1.0, (2, 1): -3.0}) | ": lambda p, prompt, new: p * np.exp([1, -3.0 * ((*prompt, *new)[-1] == 2), 0, 0]),
    "mirostat(0.9, eta=0.6) | ": lambda p, prompt, new: mirostat(0.9, 0.6, False)(p, prompt, new, MODEL),
    "mirostat(0.5, eta=0.8, surprise='truncated') | ": lambda p, prompt, new: mirostat(0.5, 0.8, True)(p, prompt, new, MODEL),
    "mirostat(1.1, eta=0.6, version=1) | ": lambda p, prompt, new: mirostat_1(1.1, 0.6, 50000, False)(p, prompt, new),
    "mirostat(0.9, eta=0.6, surprise='truncated', version=1) | ": lambda p, prompt, new: mirostat_1(0.9, 0.6, 4, True)(p, prompt, new),
    "adaptive_p(0.4, decay=0.6) | ": adaptive(0.4, 0.6),
    "dynamic_temperature(0.5, high=1.8, exponent=0.7) | ": lambda p, prompt, new: dynamic_temperature(p, 0.5, 1.8, 0.7),
    "smoothing(0.4) | ": lambda p, prompt, new: smoothing(p, 0.4, 1),
    "smoothing(0.2, curve=2.5) | ": lambda p, prompt, new: smoothing(p, 0.2, 2.5),
    "skew(0.8) | ": lambda p, prompt, new: skew(p, 0.8),
    "skew(-0.6) | ": lambda p, prompt, new: skew(p, -0.6),
    "guidance": guided(2.0, OTHER, PROMPT[-1:]),
    "guidance from another prompt": guided(0.5, OTHER, (0, 2)),
    "grammar": alternating,
}


def typical_of_some(p):
    kept = np.flatnonzero(p)
    out = np.zeros_like(p)
    out[kept] = typical(normalised(p[kept]), 0.9)
    return out


def processors(name, other):
    parts = {"guidance": (un.Guidance(2.0, other),), "guidance from another prompt": (un.Guidance(0.5, other, (0, 2)),)}
    parts |= {"grammar": (un.Automaton(EvenThenOdd()),), "": ()}
    return parts[name] if name in parts else un.parse(name + "greedy").processors


def on(backend):
    return (table(seed=s, vocabulary=4, end_tokens=(END,), backend=BACKENDS[backend]) for s in (10, 9))


@pytest.mark.parametrize(
    ("case", "backend"), [(case, b) for b in BACKENDS for case in CASES if b == "numpy" or case == "top_p(0.7) | "]
)
def test_sampled_texts_have_the_exact_distribution(case, backend):
    model, other = on(backend)
    decoder = un.Decoder((*processors(case, other), un.Sample(1500)))
    drawn = texts(run(model, decoder, [PROMPT], LIMIT, seed=11)[0])
    fits(drawn, enumerate_texts(MODEL, PROMPT, LIMIT, CASES[case]))


@pytest.mark.parametrize("case", CASES)
def test_every_step_is_its_definition(case):
    model, other = on("numpy")
    decoder = un.Decoder((*processors(case, other), un.Sample(40)))
    exact = dict(enumerate_texts(MODEL, PROMPT, LIMIT, CASES[case]))
    for h in run(model, decoder, [PROMPT], LIMIT)[0]:
        assert sum(h.processed) == pytest.approx(np.log(exact[tuple(h.tokens)]), abs=1e-5)


MEMORIES = [case for case in CASES if case.startswith(("mirostat", "adaptive"))]
BATCH = [PROMPT, (0,), (2, 2, 1, 0)]


@pytest.mark.parametrize("strategy", ["beam(3, n=3)", "sample(5)", "exact(3)", "contrastive_search(3)"])
@pytest.mark.parametrize("case", MEMORIES)
def test_memories_follow_every_hypothesis_of_a_batch(case, strategy):
    for prompt, found in zip(BATCH, run(MODEL, un.parse(case + strategy), BATCH, 4), strict=True):
        assert found
        for h in found:
            steps = [normalised(np.asarray(MODEL.probabilities((*prompt, *h.tokens[:i])))) for i in range(len(h.tokens))]
            after = [normalised(CASES[case](p, prompt, tuple(h.tokens[:i]))) for i, p in enumerate(steps)]
            np.testing.assert_allclose(h.processed, [np.log(p[t]) for p, t in zip(after, h.tokens, strict=True)], atol=1e-5)


def test_xtc_draws_at_every_step_of_every_text():
    """One text a seed: of a prompt's samples the first tokens share a draw."""

    def rule(p, prompt, new):
        return 0.7 * p + 0.3 * normalised(xtc(p, 0.1))

    decoder = un.Xtc(0.1, 0.3) | un.Sample()
    drawn = [texts(run(MODEL, decoder, [PROMPT], LIMIT, seed=seed)[0])[0] for seed in range(1500)]
    fits(drawn, enumerate_texts(MODEL, PROMPT, LIMIT, rule))
