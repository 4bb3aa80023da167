"""Truncation rules on large vocabularies, against the rules in plain Python over the whole sorted distribution.

Scores are float64, so that no rounding decides; ties lie across the cut and across the candidates that are tried first.
"""

import math

import numpy as np
import pytest
from helpers.tables import BACKENDS

import unspool as un
from unspool.arrays import host
from unspool.processors.truncate import TRIED_FIRST

REFERENCE = "definitions"
INF = math.inf


def ranked(p):
    """Possible tokens, likeliest first, of equals the lowest id first."""
    return sorted((t for t in range(len(p)) if p[t] > 0), key=lambda t: (-p[t], t))


def until(p, order, least):
    """Tokens in an order until their mass reaches a share; at least one."""
    kept, mass = [], 0.0
    for t in order:
        if kept and mass >= least:
            break
        kept.append(t)
        mass += p[t]
    return kept


def at_least(p, line):
    """What lies below the line goes; the likeliest and its equals never do."""
    line = min(line, max(p))
    return [t for t in range(len(p)) if p[t] >= line]


def entropy(p):
    return -math.fsum(x * math.log(x) for x in p if x > 0)


def typical(p, scores, least):
    h = entropy(p)
    return until(p, sorted(ranked(p), key=lambda t: (abs(-math.log(p[t]) - h), t)), least)


def top_n_sigma(p, scores, n):
    values = [s for s in scores if s > -INF]
    mean = math.fsum(values) / len(values)
    sigma = math.sqrt(math.fsum((s - mean) ** 2 for s in values) / len(values))
    line = max(values) - n * sigma
    return [t for t in range(len(p)) if scores[t] >= line]


def top_h(p, scores, alpha, renormalised=True, within=None):
    order = ranked(p)[:within]
    total = math.fsum(p[t] for t in order)
    best = [p[t] / total for t in order]
    whole, mass, terms, kept = entropy(p if renormalised else best), 0.0, 0.0, 1
    for i, x in enumerate(best):
        mass, terms = mass + x, terms - x * math.log(x)
        if (terms / mass + math.log(mass) if renormalised else terms) <= alpha * whole:
            kept = i + 1
    return order[:kept]


def tail_free(p, scores, z, early=0):
    order = ranked(p)
    f = [*(p[t] for t in order), 0.0, 0.0]
    bends = [abs(f[i] - 2 * f[i + 1] + f[i + 2]) for i in range(len(order))]
    total, spent, kept = math.fsum(bends), 0.0, []
    for i, t in enumerate(order):
        if i and spent + (bends[i] if early else 0.0) > z * total:
            break
        kept.append(t)
        spent += bends[i]
    return kept


def p_less(p, scores, normalised):
    repeat, n = math.fsum(x * x for x in p), sum(x > 0 for x in p)
    return at_least(p, (n * repeat - 1) / (n - 1) if normalised else repeat)


RULES = {
    "top_k": [(un.TopK(k), lambda p, s, k=k: ranked(p)[:k]) for k in (1, 100, 256, 257, 700)],
    "top_p": [(un.TopP(x), lambda p, s, x=x: until(p, ranked(p), x)) for x in (0.0, 0.31, 0.87, 0.997)],
    "min_p": [(un.MinP(x), lambda p, s, x=x: at_least(p, x * max(p))) for x in (0.011, 0.37)],
    "typical": [(un.Typical(x), lambda p, s, x=x: typical(p, s, x)) for x in (0.0, 0.31, 0.93)],
    "epsilon": [(un.Epsilon(x), lambda p, s, x=x: at_least(p, x)) for x in (7e-4, 0.013)],
    "eta": [(un.Eta(x), lambda p, s, x=x: at_least(p, min(x, math.sqrt(x) * math.exp(-entropy(p))))) for x in (7e-4, 0.13)],
    "top_n_sigma": [(un.TopNSigma(x), lambda p, s, x=x: top_n_sigma(p, s, x)) for x in (0.93, 3.1)],
    "top_a": [(un.TopA(x), lambda p, s, x=x: at_least(p, x * max(p) ** 2)) for x in (0.13, 0.9)],
    "p_less": [(un.PLess(x), lambda p, s, x=x: p_less(p, s, x)) for x in (False, True)],
    "top_h": [(un.TopH(x), lambda p, s, x=x: top_h(p, s, x)) for x in (0.41, 0.93)],
    'top_h, variant="transformers"': [(un.TopH(x, "transformers"), lambda p, s, x=x: top_h(p, s, x, False, 100)) for x in (0.41, 0.93)],
    "tail_free": [(un.TailFree(x), lambda p, s, x=x: tail_free(p, s, x)) for x in (0.57, 0.953)],
    'tail_free, variant="llama.cpp"': [(un.TailFree(x, "llama.cpp"), lambda p, s, x=x: tail_free(p, s, x, 1)) for x in (0.57, 0.953)],
}


def inputs():
    """Scores of vocabularies about and far above the number of candidates."""
    chance = np.random.default_rng(23)
    for size in (TRIED_FIRST + 1, 1000):
        for spread in (0.05, 1.0, 4.0):
            scores = chance.normal(size=size) * spread
            yield scores
            yield np.where(chance.random(size) < 0.4, -INF, scores)
            yield np.where(np.arange(size) < 5, 3.0 * spread, np.round(scores / spread * 2) / 2 * spread)   # a few levels
        yield np.where(chance.random(size) < 0.9, 0.7, -2.0)                                                # nearly all equal


INPUTS = [(scores, (np.exp(scores - scores.max()) / np.exp(scores - scores.max()).sum()).tolist()) for scores in inputs()]


@pytest.mark.parametrize("method", RULES)
def test_candidates_first_is_the_rule_on_the_whole_row(method, tally):
    beyond = 0
    for part, rule in RULES[method]:
        for scores, p in INPUTS:
            expected = sorted(rule(p, scores.tolist()))
            beyond += len(expected) > TRIED_FIRST
            for backend in BACKENDS.values():
                rows = un.Rows.of(backend(np.zeros((2, 1), np.int64)))
                after = host(part.process(rows, backend(np.stack([scores, scores[::-1]]))))
                assert np.flatnonzero(after[0] > -INF).tolist() == expected, (part, len(scores))
                assert (after[1] > -INF).sum() == len(expected)
                tally(method)
    assert beyond > 0 or "transformers" in method                         # which looks at 100 alone
