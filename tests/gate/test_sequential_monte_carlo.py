"""Sequential Monte Carlo against enumeration: p(text | valid), and estimates without bias of p(valid)."""

from collections import Counter
from itertools import pairwise, permutations

import numpy as np
import pytest
from gate.test_automaton import COMMA, DIGITS, END, Number, accepted
from helpers.tables import BACKENDS, Letters, enumerate_texts, run, table, texts

import unspool as un
from unspool.strategies.functions_of_text import first_allowed

LIMIT, PROMPT = 6, [4, 2]
MASK = un.Automaton(Number())
WEIGHED = [(MASK, share) for share in (0.0, 0.5, 1.0)] + [(un.Temperature(1.7) | MASK, 0.5), (MASK | un.Temperature(0.6), 0.5)]


def valid_texts(model, prompt=PROMPT, limit=LIMIT):
    """p(text) of every valid text, from all texts there are."""
    return {text: p for text, p in enumerate_texts(model, prompt, limit) if accepted(text)}


@pytest.mark.parametrize(("processors", "resample"), WEIGHED, ids=str)
def test_weights_are_probabilities_on_average(processors, resample):
    """Without bias: over many runs of few particles, the mean weight of a text is p(text) if it is valid."""
    model, runs = table(seed=21, sharpness=1.0), 300
    exact = valid_texts(model)
    often = [text for text, p in exact.items() if p > 0.03 * sum(exact.values())]
    decoder = processors | un.SequentialMonteCarlo(4, 4, resample)
    found = run(model, decoder, [PROMPT] * runs, LIMIT, names=[str(i) for i in range(runs)])
    weights = [dict.fromkeys(exact, 0.0) for _ in found]
    for mine, hypotheses in zip(weights, found, strict=True):
        for h in hypotheses:
            mine[tuple(h.tokens)] += np.exp(h.score)
    for texts_ in [*([text] for text in often), exact.keys() - set(often), exact.keys()]:
        sums = [sum(mine[text] for text in texts_) for mine in weights]
        assert abs(np.mean(sums) - sum(exact[text] for text in texts_)) < 4.5 * np.std(sums) / runs**0.5


@pytest.mark.parametrize("backend", BACKENDS)
def test_many_particles_are_close_to_p_given_valid(backend):
    model = table(seed=22, sharpness=2.0, backend=BACKENDS[backend])
    exact = valid_texts(model)
    (found,) = run(model, MASK | un.SequentialMonteCarlo(1000, 1000), [PROMPT], LIMIT)
    weights = Counter()
    for h in found:
        weights[tuple(h.tokens)] += np.exp(h.score)
    total = sum(exact.values())
    assert sum(weights.values()) == pytest.approx(total, rel=0.2)
    assert sum(abs(weights[text] - p) for text, p in exact.items()) / total < 0.2
    (masked,) = run(model, MASK | un.Sample(1000), [PROMPT], LIMIT)
    counts = Counter(texts(masked))
    assert sum(abs(counts[text] / 1000 - p / total) for text, p in exact.items()) > 0.3, "this model would not tell the two apart"


def test_one_text_of_each_run_has_p_given_valid():
    model, runs = table(seed=22, sharpness=2.0), 150
    exact = valid_texts(model)
    found = run(model, MASK | un.SequentialMonteCarlo(30, resample=0), [PROMPT] * runs, LIMIT, names=[str(i) for i in range(runs)])
    counts = Counter(text for hypotheses in found for text in texts(hypotheses))
    assert counts.total() == runs
    for text, p in exact.items():
        p /= sum(exact.values())
        assert abs(counts[text] / runs - p) < 0.02 + 4.5 * (p * (1 - p) / runs) ** 0.5


@pytest.mark.parametrize("resample", [0.0, 0.5])
def test_without_a_constraint_all_weights_are_one_and_texts_are_those_of_sampling(resample):
    model = table(seed=3)
    found = run(model, un.SequentialMonteCarlo(20, 20, resample, truncated=True), [[1], [2, 3]], LIMIT, seed=5)
    for ours, theirs in zip(found, run(model, un.Sample(20), [[1], [2, 3]], LIMIT, seed=5), strict=True):
        assert Counter(texts(ours)) == Counter(texts(theirs))
        np.testing.assert_allclose([h.score for h in ours], -np.log(20), atol=1e-5)


def test_texts_that_are_cut_have_no_weight_unless_they_count():
    model = table(seed=4, sharpness=0.5)
    cut, whole = (
        run(model, un.SequentialMonteCarlo(200, 200, truncated=truncated), [[1]], 3, seed=1)[0] for truncated in (False, True)
    )
    assert {h.reason for h in cut} == {"end"}
    assert {h.reason for h in whole} == {"end", "length"}
    ended = sum(p for text, p in enumerate_texts(model, [1], 3) if text[-1] == END)
    assert np.exp([h.score for h in cut]).sum() == pytest.approx(ended, abs=0.12)
    with pytest.raises(un.DeadEnd, match="came to its end before it was cut"):
        run(model, MASK | un.SequentialMonteCarlo(5), [[1]], 2)


def test_a_text_that_a_stop_cuts_is_not_whole():
    model = table(seed=4, sharpness=0.5)
    decoder = MASK | un.SequentialMonteCarlo(60, 60) | un.Loop(2)
    found = run(model, decoder, [PROMPT], LIMIT, seed=2)[0]
    assert found
    assert all(accepted(tuple(h.tokens)) for h in found)
    decoder = MASK | un.SequentialMonteCarlo(60, 60, truncated=True) | un.Loop(2)
    assert "loop" in {h.reason for h in run(model, decoder, [PROMPT], LIMIT, seed=2)[0]}


SMALL = {"seed": 3, "vocabulary": 3, "end_tokens": (2,), "sharpness": 1.0}


def ones(new):
    """More for every token 1, nothing for two of them in a row."""
    return 0.0 if (1, 1) in pairwise(new) else 1.0 + 2.0 * new.count(1)


def no_two_ones(new):
    return (1, 1) not in pairwise(new)


def mean_weights(decoder, exact, runs=500, prompt=(1, 0)):
    """The mean weight of every text over runs of a few particles is what it should be."""
    model = table(**SMALL)
    found = run(model, decoder, [list(prompt)] * runs, 4, names=[str(i) for i in range(runs)])
    weights = np.zeros((runs, len(exact)))
    at = {text: i for i, text in enumerate(exact)}
    for mine, hypotheses in zip(weights, found, strict=True):
        for h in hypotheses:
            mine[at[tuple(h.tokens)]] += np.exp(h.score)
    truth = np.asarray(list(exact.values()))
    often = truth > 0.03 * truth.sum()
    assert often.sum() > 2
    for some in (*np.eye(len(truth), dtype=bool)[often], ~often, truth >= 0):
        sums = weights[:, some].sum(1)
        assert abs(sums.mean() - truth[some].sum()) < 4.5 * sums.std() / runs**0.5 + 1e-9


@pytest.mark.parametrize("boundary", [0, 1, 2])
def test_potentials_weigh_whole_texts_wherever_they_are_asked(boundary):
    exact = {text: p * ones(text) for text, p in enumerate_texts(table(**SMALL), (1, 0), 4)}
    mean_weights(un.SequentialMonteCarlo(4, 4, truncated=True, potential=ones, boundary=boundary), exact)


@pytest.mark.parametrize("processors", ["", "temperature(0.5) | "])
def test_a_power_of_whole_texts(processors):
    exact = {text: p**2 for text, p in enumerate_texts(table(**SMALL), (1, 0), 4)}
    mean_weights(un.parse(f"{processors}smc(4, n=4, truncated=True, power=2.0)"), exact)


@pytest.mark.parametrize("processors", ["", "temperature(1.5) | "])
def test_a_condition_that_few_tokens_are_asked_weighs_as_a_mask_does(processors):
    exact = {text: p * no_two_ones(text) for text, p in enumerate_texts(table(**SMALL), (1, 0), 4)}
    strategy = un.SequentialMonteCarlo(4, 4, truncated=True, condition=no_two_ones)
    mean_weights(un.Decoder((*un.parse(f"{processors}greedy").processors, strategy)), exact)


@pytest.mark.parametrize("allowed", [{0}, {3}, {1, 3}, {0, 2, 3}, {0, 1, 2, 3}, set()])
def test_the_first_allowed_token_is_weighted_without_bias(allowed):
    """Over all orders of drawing, exactly: the token comes by its share, and the estimate given it is right on average."""
    p, total, came = np.asarray([0.5, 0.3, 0.15, 0.05]), np.zeros(4), np.zeros(4)
    for order in permutations(range(4)):
        chance, left = 1.0, 1.0
        for token in order:
            chance *= p[token] / left
            left -= p[token]
        asked = []
        token, guess = first_allowed(np.asarray(order), p, lambda t, asked=asked: asked.append(t) or t in allowed)
        total[token] += chance * np.exp(guess)
        came[token] += chance * (guess > -np.inf)
        assert len(asked) <= min(list(order).index(token) + 2 if allowed else 4, 4)
    inside = np.asarray([t in allowed for t in range(4)])
    np.testing.assert_allclose(total, p * inside, atol=1e-12)
    if allowed:
        np.testing.assert_allclose(came, p * inside / p[inside].sum(), atol=1e-12)


@pytest.mark.parametrize("resample", [0.0, 0.5])
def test_particles_that_died_are_made_good_where_they_are_drawn_anew(resample):
    model = table(seed=4, vocabulary=4, end_tokens=(), sharpness=0.5)
    strategy = un.SequentialMonteCarlo(40, 40, resample, truncated=True, potential=lambda new: float(new[0] == 1))
    for found in run(model, strategy, [[1], [2, 3]], 4):
        assert {h.tokens[0] for h in found} == {1}
        assert (len(found) == 40) == (resample > 0)


def test_functions_read_text_where_there_is_a_tokenizer():
    read = set()
    lm = un.LanguageModel(table(seed=24), Letters())

    def at_most_one_a(text):
        read.add(text)
        return text.count("a") < 2

    smc = un.SequentialMonteCarlo(20, 20, truncated=True, potential=lambda text: 1.0 + ("b" in text), boundary="b", condition=at_most_one_a)
    found = lm.generate([PROMPT], smc, max_new_tokens=5)[0]
    assert all(isinstance(text, str) for text in read)
    assert all(s.text.count("a") < 2 for s in found.sequences)
    with pytest.raises(un.PartError, match="no tokenizer"):
        run(table(), un.SequentialMonteCarlo(2, potential=ones, boundary="x"), [[1]], 3)


def test_what_a_potential_may_not_say():
    for wrong in (-1.0, float("nan"), float("inf")):
        with pytest.raises(un.PartError, match="weights of 0 or more"):
            run(table(), un.SequentialMonteCarlo(2, potential=lambda new, wrong=wrong: wrong), [[1]], 3)
    lm = un.LanguageModel(table(), Letters())
    with pytest.raises(un.DeadEnd):
        lm.generate("a", un.SequentialMonteCarlo(4, truncated=True, potential=lambda new: 0.0), max_new_tokens=3)


def test_what_it_is_told_wrong():
    for wrong in ({"potential": 3}, {"condition": "x"}, {"boundary": -1}, {"boundary": ""}, {"power": 0}):
        with pytest.raises(un.ParameterError):
            un.SequentialMonteCarlo(4, **wrong)
    for wrong in ("(0)", "(True)", "(4, n=5)", "(4, resample=1.5)", "(4, n=0)"):
        with pytest.raises(un.ParameterError):
            un.parse("smc" + wrong)


def test_grammars_and_automata_agree():
    """The same constraint as a regular expression has the same weights."""
    model = table(seed=24)
    lm = un.LanguageModel(model, Letters())
    letters = "".join(map(Letters().name_of, DIGITS))
    number = un.Regex(f"[{letters}]{{1,3}}{Letters().name_of(COMMA)}")
    strategy = un.SequentialMonteCarlo(30, 30)
    one, other = (lm.generate([PROMPT], part | strategy, max_new_tokens=LIMIT)[0] for part in (number, un.Automaton(Number())))
    assert [(s.tokens, s.score) for s in one.sequences] == [(s.tokens, s.score) for s in other.sequences]
