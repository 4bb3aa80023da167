"""Power sampling: its chain leaves p(text) ** alpha as it is, exactly; what is drawn has the law of so many moves; more are nearer."""

from math import comb

import numpy as np
import pytest
from helpers.checks import fits
from helpers.tables import BACKENDS, enumerate_texts, normalised, run, table, texts

import unspool as un
from unspool.strategies.power import ChainText, ratio
from unspool.strategies.power_rollouts import sharpened

PROMPT, LIMIT, ALPHA = (1, 0), 4, 3.0


def model_of(backend="numpy"):
    return table(seed=3, vocabulary=3, end_tokens=(2,), sharpness=1.0, backend=BACKENDS[backend])


def sharp(p, prompt, new):
    return p**ALPHA


def chain(model):
    """All texts, the law of temperature(1 / alpha), that of p ** alpha, and the chances of a move from each text to each, from the rule."""
    start = dict(enumerate_texts(model, PROMPT, LIMIT, sharp))
    exact = dict(enumerate_texts(model, PROMPT, LIMIT))
    every = list(start)
    target = normalised(np.asarray([exact[text] ** ALPHA for text in every]))
    drafts = [ChainText(list(text), [], [sum_after(model, text[:i]) for i in range(len(text))], "end") for text in every]
    moves = np.zeros((len(every), len(every)))
    for i, old in enumerate(drafts):
        for j, new in enumerate(drafts):
            for at in range(len(old.tokens)):
                if i != j and old.tokens[:at] == new.tokens[:at]:
                    proposed = start[every[j]] / sum(p for text, p in start.items() if text[:at] == every[i][:at])
                    moves[i, j] += proposed / len(old.tokens) * min(1.0, np.exp(ratio(old, new, at)))
        moves[i, i] = 1 - moves[i].sum()
    return every, np.asarray(list(start.values())), target, moves


def sum_after(model, new):
    return float(np.log((normalised(np.asarray(model.probabilities((*PROMPT, *new)), np.float64)) ** ALPHA).sum()))


def test_a_move_leaves_the_target_as_it_is_and_moves_come_nearer():
    _, law, target, moves = chain(model_of())
    flow = target[:, None] * moves
    np.testing.assert_allclose(flow, flow.T, atol=1e-12)                 # as often from x to x' as back
    np.testing.assert_allclose(target @ moves, target, atol=1e-12)
    errors = []
    for _ in range(31):
        errors.append(abs(law - target).sum() / 2)
        law = law @ moves
    assert errors[0] > 0.2
    assert (np.diff(errors) < 0).all()
    assert errors[10] < errors[0] / 2
    assert errors[30] < errors[0] / 8


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_is_drawn_has_the_law_of_so_many_moves(backend):
    every, law, _, moves = chain(model_of())
    decoder = un.Power(ALPHA, moves=2, block=LIMIT, n=500)
    fits(texts(run(model_of(backend), decoder, [PROMPT], LIMIT)[0]), zip(every, law @ moves @ moves, strict=True))


def test_without_moves_it_is_temperature():
    fits(texts(run(model_of(), un.Power(ALPHA, 0, 1, n=1500), [PROMPT], LIMIT)[0]), enumerate_texts(model_of(), PROMPT, LIMIT, sharp))


def test_in_blocks_it_comes_to_the_same_target():
    every, _, target, _ = chain(model_of())
    found = texts(run(model_of(), un.Power(ALPHA, 25, 2, n=300), [PROMPT], LIMIT, seed=4)[0])
    fits(found, zip(every, target, strict=True))


def test_the_power_is_of_what_the_processors_leave():
    """p ** 6 by a temperature of a half before p ** 3."""
    model = model_of()
    exact = dict(enumerate_texts(model, PROMPT, LIMIT, lambda p, prompt, new: p**2))
    target = normalised(np.asarray(list(exact.values())) ** ALPHA)
    found = texts(run(model, un.Temperature(0.5) | un.Power(ALPHA, 25, LIMIT, n=300), [PROMPT], LIMIT, seed=4)[0])
    fits(found, zip(exact, target, strict=True))


def test_the_record_tells_how_many_moves_were_taken():
    found = run(model_of(), un.Power(ALPHA, 10, n=20), [PROMPT, [0]], LIMIT)
    for hypotheses in found:
        assert len(hypotheses) == 20
        assert len({h.columns["taken"] for h in hypotheses}) > 1
        assert all(0 <= h.columns["taken"] <= 1 for h in hypotheses)


@pytest.mark.parametrize("backend", BACKENDS)
def test_rollouts_over_all_tokens_come_to_the_target(backend):
    every, law, target, _ = chain(model_of())
    found = texts(run(model_of(backend), un.PowerRollouts(ALPHA, 3, 32, LIMIT, n=400), [PROMPT], LIMIT, seed=2)[0])
    fits(found, zip(every, target, strict=True))
    with pytest.raises(AssertionError):
        fits(found, zip(every, law, strict=True))


def test_rollouts_stop_at_the_horizon():
    """With none they are temperature; with one step each token counts the sum that comes after it."""
    model = model_of()
    none = texts(run(model, un.PowerRollouts(ALPHA, 3, 2, 0, n=800), [PROMPT], LIMIT)[0])
    fits(none, enumerate_texts(model, PROMPT, LIMIT, sharp))

    def one_step(p, prompt, new):
        ends = [v == 2 or len(new) + 1 == LIMIT for v in range(3)]
        return p**ALPHA * np.asarray([1.0 if ends[v] else np.exp(sum_after(model, (*new, v))) for v in range(3)])

    fits(texts(run(model, un.PowerRollouts(ALPHA, 3, 2, 1, n=800), [PROMPT], LIMIT)[0]), enumerate_texts(model, PROMPT, LIMIT, one_step))


def test_the_jackknife_takes_the_first_order_of_the_bias():
    """Exactly, over all outcomes of two candidates whose weights are 1 or 3: of m draws the mean chance against the true one."""
    truth = 2 / (2 + 1)
    for m in (2, 6, 20):
        plain = corrected = 0.0
        for k in range(m + 1):
            weights = np.asarray([[[3.0] * k + [1.0] * (m - k), [1.0] * m]])
            chance = comb(m, k) / 2**m
            plain += chance * weights[0, 0].sum() / weights.sum()
            corrected += chance * sharpened(weights)[0, 0] / sharpened(weights).sum()
        assert abs(corrected - truth) < abs(plain - truth) / 2


def test_what_it_is_told_wrong():
    for wrong in ("(0)", "(-1)", "(moves=-1)", "(block=0)", "(n=0)", "(float('nan'))"):
        with pytest.raises(un.UnspoolError):
            un.parse("power" + wrong)
