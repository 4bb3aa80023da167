"""Whole sampled texts against their exact distribution; every cut again by a definition of a few lines."""

import numpy as np
import pytest
from helpers.checks import fits
from helpers.tables import BACKENDS, enumerate_texts, normalised, run, table, texts, unchanged
from laws.examples import Alternating

import unspool as un

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


def alternating(p, prompt, new):
    return keep(p, [t for t in range(len(p)) if t % 2 == len(new) % 2])


OTHER = table(seed=9, vocabulary=4, ends=(END,))
MODEL = table(seed=10, vocabulary=4, ends=(END,))


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
    "min_new_tokens(2) | ": lambda p, prompt, new: keep(p, [0, 1, 2] if len(new) < 2 else range(4)),
    "bias({0: 1.0, (2, 1): -3.0}) | ": lambda p, prompt, new: p * np.exp([1, -3.0 * ((*prompt, *new)[-1] == 2), 0, 0]),
    "mirostat(0.9, eta=0.6) | ": lambda p, prompt, new: mirostat(0.9, 0.6, False)(p, prompt, new, MODEL),
    "mirostat(0.5, eta=0.8, surprise='truncated') | ": lambda p, prompt, new: mirostat(0.5, 0.8, True)(p, prompt, new, MODEL),
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
    return (table(seed=s, vocabulary=4, ends=(END,), backend=BACKENDS[backend]) for s in (10, 9))


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


def test_xtc_draws_at_every_step_of_every_text():
    """One text a seed: of a prompt's samples the first tokens share a draw."""

    def rule(p, prompt, new):
        return 0.7 * p + 0.3 * normalised(xtc(p, 0.1))

    decoder = un.Xtc(0.1, 0.3) | un.Sample()
    drawn = [texts(run(MODEL, decoder, [PROMPT], LIMIT, seed=seed)[0])[0] for seed in range(1500)]
    fits(drawn, enumerate_texts(MODEL, PROMPT, LIMIT, rule))
