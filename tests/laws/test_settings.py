"""What the settings of truncations and temperatures mean at their ends, and exactly at a bound."""

import numpy as np
import pytest
from helpers.tables import BACKENDS
from hypothesis import assume, given, strategies as st

import unspool as un
from unspool.arrays import host

INF = float("inf")
KEEPING = [un.TopP(0.0), un.Typical(0.0), un.TopH(0.0), un.TopH(0.0, "transformers"), un.TailFree(0.0), un.TailFree(0.0, "llama.cpp")]
KEEPING += [un.MinP(1.0), un.MinP(7.0), un.Epsilon(1.0), un.Eta(1.0), un.TopNSigma(0.0), un.TopA(1.0), un.PLess(order=50.0)]
KEEPING += [un.MinK(0.0)]
KEEPING += [un.TopP(0.2), un.Typical(0.1), un.TopH(0.3), un.TailFree(0.5), un.MinP(0.3), un.Epsilon(0.01), un.TopNSigma(1.5), un.PLess()]
backends = pytest.mark.parametrize("backend", BACKENDS)


def kept(part, scores, backend="numpy"):
    """The tokens of one row that stay."""
    scores = np.asarray(scores, np.float32)
    rows = un.Rows.of(BACKENDS[backend](np.zeros((1, 1), np.int64)))
    return np.flatnonzero(host(part.process(rows, BACKENDS[backend](scores[None])))[0] > -INF).tolist()


def logs(*weights):
    return np.log(np.asarray(weights, np.float64) / sum(weights))


@backends
@given(st.lists(st.integers(1, 20), min_size=2, max_size=40), st.data())
def test_top_p_keeps_no_token_too_many_where_the_mass_is_p(backend, weights, data):
    """Masses of whole parts: those of a prefix are p exactly, whatever the logarithms of 32 bits sum to, and wherever zero lies."""
    weights = sorted(weights, reverse=True)
    n = data.draw(st.integers(1, len(weights) - 1))
    scores = logs(*weights) + data.draw(st.sampled_from([0.0, 7.3, -31.7]))
    assert kept(un.TopP(sum(weights[:n]) / sum(weights)), scores, backend) == list(range(n))


@backends
@pytest.mark.parametrize(
    ("part", "weights", "expected"),
    [
        (un.TopP(0.7), (4, 3, 2, 1), 2),
        (un.TopP(0.8), (5, 3, 2), 2),
        (un.TopP(0.8000001), (5, 3, 2), 2),
        (un.TopP(0.80001), (5, 3, 2), 3),
        (un.TopP(0.5), (1,) * 1500, 750),
        (un.Typical(0.9), (1,) * 300, 270),
        (un.MinP(0.1), (10, 1, 1, 0.999), 3),
        (un.MinP(0.3), (0.7, 0.21, 0.09), 2),
        (un.Epsilon(0.09), (0.7, 0.21, 0.09), 3),
        (un.TopA(0.09 / 0.49), (0.7, 0.21, 0.09), 3),
        (un.TopH(0.5), (1,) * 16, 4),
        (un.TopNSigma(1.0), (1, 1 / np.e**2), 1),
    ],
    ids=str,
)  # fmt: skip
def test_a_bound_that_is_reached_exactly(backend, part, weights, expected):
    for zero in (0.0, 20.0, -20.0):
        assert kept(part, logs(*weights) + zero, backend) == list(range(expected))


@backends
@pytest.mark.parametrize("part", KEEPING, ids=str)
@pytest.mark.parametrize("n", [1, 2, 3, 7, 300, 900])
def test_min_keep_tokens_stay(backend, part, n):
    """Beside those that stay anyway the likeliest, or of typical the most typical; never what cannot come."""
    rng = np.random.default_rng(n)
    scores = 2 * rng.normal(size=800).astype(np.float32)
    scores[rng.random(800) < 0.2] = -INF
    logprobs = scores - np.logaddexp.reduce(scores)
    finite = logprobs > -INF
    unlike = np.abs(logprobs + (np.exp(logprobs[finite]) * -logprobs[finite]).sum())
    order = np.argsort(unlike if isinstance(part, un.Typical) else -scores, kind="stable")
    fields = {name: getattr(part, name) for name in part.__dataclass_fields__} | {"min_keep": n}
    anyway = set(kept(part, scores, backend))
    assert set(kept(type(part)(**fields), scores, backend)) == anyway | set(order[: min(n, int(finite.sum()))].tolist())
    assert len(anyway) < 300


@pytest.mark.parametrize("part", [*KEEPING, un.Xtc()], ids=str)
@pytest.mark.parametrize("least", [0, -1, 1.5, "2", True])
def test_min_keep_is_a_number_of_tokens(part, least):
    with pytest.raises(un.ParameterError, match=rf"{part.name}\(min_keep=...\) needs a whole number >= 1; got {least!r}"):
        type(part)(**{name: getattr(part, name) for name in part.__dataclass_fields__} | {"min_keep": least})


def test_xtc_cuts_nothing_that_would_leave_fewer_than_min_keep():
    scores = logs(4, 3, 2, 1)
    assert kept(un.Xtc(0.15, 1.0), scores) == [2, 3]
    assert kept(un.Xtc(0.15, 1.0, min_keep=2), scores) == [2, 3]
    assert kept(un.Xtc(0.15, 1.0, min_keep=3), scores) == [0, 1, 2, 3]
    assert kept(un.Xtc(0.15, 1.0, min_keep=3), [*scores, -INF]) == [0, 1, 2, 3]
    assert kept(un.Xtc(0.15, 1.0, protect=(0,), min_keep=3), scores) == [0, 2, 3]


def test_min_p_above_1_keeps_the_likeliest():
    assert kept(un.MinP(1.0), logs(5, 3, 2)) == kept(un.MinP(1.5), logs(5, 3, 2)) == [0]
    assert kept(un.MinP(1.5, min_keep=2), logs(5, 3, 2)) == [0, 1]
    assert kept(un.MinP(1e30), logs(2, 5, 5)) == [1, 2]


@backends
def test_a_dynamic_temperature_from_0(backend):
    """By its formula; where it is 0 the best token, of equals the one with the lowest id."""
    part = un.DynamicTemperature(0.0, 2.0)
    scores = np.asarray([[3.0, 1.0, 0.0, -INF], [-INF, 5.0, -INF, -INF], [1.0, 1.0, 1.0, -INF]], np.float32)
    p = np.exp(scores - np.logaddexp.reduce(scores, -1, keepdims=True))
    t = [2 * -(row[row > 0] * np.log(row[row > 0])).sum() / np.log(max((row > 0).sum(), 2)) for row in p]
    found = host(part.process(un.Rows.of(BACKENDS[backend](np.zeros((3, 1), np.int64))), BACKENDS[backend](scores)))
    np.testing.assert_allclose(found[0], (scores[0] - 3) / t[0], rtol=1e-5)
    np.testing.assert_allclose(found[2], (scores[2] - 1) / 2, rtol=1e-5)
    assert found[1].tolist() == [-INF, 5.0, -INF, -INF]
    assert kept(un.DynamicTemperature(0.0, 0.0), [1, 2, 2], backend) == [1]
    sure = host(part.process(un.Rows.of(BACKENDS[backend](np.zeros((1, 1), np.int64))), BACKENDS[backend](scores[:1] * 1000)))
    assert sure.argmax() == 0
    assert not np.isnan(sure).any()


@backends
@pytest.mark.parametrize("order", [0, 0.5, 0.999, 1, 1.00001, 1.5, 2, 3, 8, 100, 1e30])
def test_p_less_of_other_orders_is_by_the_renyi_entropy(backend, order):
    """p(v) >= exp(-H), written out; the line rises with the order, from the mean to the best."""
    rng, bars = np.random.default_rng(0), []
    for _ in range(50):
        scores = rng.normal(size=30).astype(np.float32) * 2
        scores[rng.random(30) < 0.3] = -INF
        scores[0] = 1
        p = np.exp(scores.astype(np.float64) - np.logaddexp.reduce(scores.astype(np.float64)))
        some = p[p > 0]
        if order > 1e6:
            line = some.max()
        else:
            line = np.exp((some * np.log(some)).sum()) if order == 1 else (some**order).sum() ** (1 / (order - 1))
        if np.abs(p / line - 1).min() < 1e-4 and 0 < order < 1e6:
            continue
        assert kept(un.PLess(order=order), scores, backend) == np.flatnonzero(p >= line * (1 - 1e-6)).tolist()
        bars.append([len(kept(un.PLess(order=o), scores)) for o in (0, 0.5, 1, 2, 3, 100)])
    assert all(many == sorted(many, reverse=True) for many in bars)
    assert bars


def test_p_less_normalised_is_of_order_2():
    with pytest.raises(un.ParameterError, match="is of order 2"):
        un.PLess(True, order=3.0)
    assert un.PLess(order=2) == un.PLess()


LACKING = [
    (un.MinNewTokens(3), "where the prompt ends and the end tokens"),
    (un.MinLength(3), "the end tokens"),
    (un.ExponentialDecayLength(1, 2.0), "where the prompt ends and the end tokens"),
    (un.ForcedEnd(2), "where the prompt ends and the end tokens"),
    (un.ForcedEnd(2, 1), "where the prompt ends"),
    (un.Xtc(protect_ends=True), "the end tokens"),
    (un.PresencePenalty(1.0), "where the prompt ends"),
    (un.FrequencyPenalty(1.0, "prompt"), "where the prompt ends"),
    (un.RepetitionPenalty(2.0, "generated"), "where the prompt ends"),
    (un.EncoderRepetitionPenalty(2.0), "where the prompt ends"),
    (un.EncoderNoRepeatNgram(2), "where the prompt ends"),
    (un.SuppressAtBegin(1), "where the prompt ends"),
    (un.Forced({1: 3}), "where the prompt ends"),
    (un.ForcedBegin(4), "where the prompt ends"),
]


@pytest.mark.parametrize(("part", "lacks"), LACKING, ids=lambda value: str(value))
def test_a_call_on_bare_arrays_says_what_it_lacks(part, lacks):
    tokens, scores = np.asarray([[1, 2, 1, 2]]), np.arange(6, dtype=np.float32)[None]
    with pytest.raises(TypeError, match=f"reads {lacks}, which tokens and scores alone do not tell; call process"):
        part(tokens, scores)
    assert part.process(un.Rows.of(tokens, 2, [5]), scores).shape == (1, 6)


def test_one_with_a_memory_says_so():
    with pytest.raises(TypeError, match="needs more than the tokens"):
        un.PrefixConstrained(((1, 2), (3,)))(np.asarray([[1, 2, 1, 2]]), np.zeros((1, 6), np.float32))


def test_what_reads_tokens_alone_can_be_called_on_bare_arrays():
    """Draws depend on the tokens; rows that were made by hand say that they hold none."""
    tokens, scores = np.asarray([[1, 2, 1, 2]] * 2), np.tile(logs(4, 3, 2, 1, 1, 1).astype(np.float32), (2, 1))
    one, other = un.Xtc(0.1, 0.5)(tokens, scores)
    assert np.array_equal(one, other)
    drawn = [un.Xtc(0.1, 0.5)(np.asarray([[1, n]]), scores[:1])[0, 0] for n in range(64)]
    assert 16 < np.isneginf(drawn).sum() < 48
    assert un.PrefixConstrained(lambda text: [text[-1]])(tokens, scores)[0].argmax() == 2
    assert un.RepetitionPenalty(2.0)(tokens, scores)[0, 1] == 2 * scores[0, 1]
    with pytest.raises(un.Unsupported, match=r"hold no draws, as 'xtc' needs: make them with Rows.of\(tokens\)"):
        un.Xtc().process(un.Rows(tokens, np.asarray([4, 4]), np.asarray([2, 2])), scores)


# --- rules of 2022 to 2026 ------------------------------------------------------------------------------------------------


def cliff(scores, tau):
    """How many tokens min_k keeps, written out."""
    ranked = sorted(scores, reverse=True)
    spread = ranked[0] - ranked[-1]
    weights = [(ranked[i - 1] - ranked[i]) / (spread * i) for i in range(1, len(ranked))]
    return max(weights.index(max(weights)) + 1, int(tau / spread))


@backends
@given(st.integers(2, 700), st.sampled_from([0.0, 3.0, 40.0]), st.integers(0, 2**32))
def test_min_k_is_by_its_definition_and_no_temperature_moves_it(backend, n, tau, seed):
    rng = np.random.default_rng(seed)
    scores = rng.permutation(np.round(rng.normal(size=n) * rng.choice([0.05, 1, 4]), 3) + np.arange(n) * 1e-3)
    assume(np.ptp(scores.astype(np.float32)) > 0)                         # equal scores have no cliff; they are below, by hand
    found = kept(un.MinK(tau), scores, backend)
    count = cliff(scores.astype(np.float32).tolist(), tau)
    assert len(found) == pytest.approx(min(count, n), abs=1)
    assert set(found) == set(np.argsort(-scores.astype(np.float32), kind="stable")[: len(found)].tolist())
    cold, hot = (kept(un.MinK(0.0), scores * 2.0**power, backend) for power in (-6, 6))
    assert cold == hot == kept(un.MinK(0.0), scores, backend)


def test_min_k_of_hand_made_scores():
    assert kept(un.MinK(0.0), [5.0, 1.0, 0.9, 0.0]) == [0]
    assert kept(un.MinK(0.0), [5.0, 4.9, 4.8, 0.0]) == [0, 1, 2]         # 4.8 / 3 is more than 0.1
    assert kept(un.MinK(0.0), [5.0, 4.0, 2.9, 2.8]) == [0]               # 1.1 / 2 is less than 1
    assert kept(un.MinK(3.0), [0.0, 0.5, 1.0, -INF]) == [0, 1, 2]        # flat: floor(3 / 1)
    assert kept(un.MinK(0.0), [2.0, 2.0, 2.0]) == [0]
    assert kept(un.MinK(3.0), [2.0, 2.0, 2.0]) == [0, 1, 2]


def scores_after(part, new, row, backend="numpy"):
    """What a processor with a memory makes of scores after some new tokens."""
    memory = part.begin(np.asarray([0]))
    for token in new:
        (memory,) = part.advance([memory], [token], [])
    rows = un.Rows.of(BACKENDS[backend](np.asarray([[0, *new]])))
    return np.flatnonzero(host(part.process(rows, BACKENDS[backend](np.asarray([row], np.float32)), [memory]))[0] > -INF).tolist()


@backends
def test_a_factual_nucleus_narrows_along_a_sentence_and_opens_at_its_end(backend):
    rng = np.random.default_rng(0)
    part = un.FactualNucleus(0.95, 0.8, 0.4, reset=(7,))
    for n in range(12):
        row = rng.normal(size=40)
        new = rng.integers(0, 7, n).tolist()
        expected = kept(un.TopP(max(0.4, 0.95 * 0.8**n)), row, backend)
        assert scores_after(part, new, row, backend) == expected
        assert scores_after(part, [1, 2, 7, *new], row, backend) == expected
    assert scores_after(un.FactualNucleus(0.7, 1.0, 0.0, reset=()), [1, 2, 3], row, backend) == kept(un.TopP(0.7), row, backend)


@backends
def test_an_entropy_temperature_is_by_its_formula(backend):
    scores = np.asarray([[3.0, 1.0, 0.0, -INF], [1.0, 1.0, 1.0, -INF], [-INF, 5.0, -INF, -INF], [9.0, 0.0, 0.0, 0.0]], np.float32)
    p = np.exp(scores - np.logaddexp.reduce(scores, -1, keepdims=True))
    rows = un.Rows.of(BACKENDS[backend](np.zeros((4, 1), np.int64)))
    found = host(un.EntropyTemperature(1.2, 0.5, 0.7).process(rows, BACKENDS[backend](scores)))
    for before, after, share in zip(scores, found, p, strict=True):
        entropy = -(share[share > 0] * np.log(share[share > 0])).sum()
        t = 1.2 * 0.7 ** (0.5 / entropy) if entropy > 1e-6 else 0
        if t > 1e-9:
            np.testing.assert_allclose(after, (before - before.max()) / t, rtol=1e-3)
        else:
            assert np.flatnonzero(after > -INF).tolist() == [before.argmax()]


def test_an_n_gram_may_come_again_outside_the_window_or_by_a_token_that_is_allowed():
    text, scores = np.asarray([[1, 2, 3, 1, 2, 4, 0, 1]]), np.zeros((1, 6), np.float32)
    rows = un.Rows.of(text)

    def banned(part):
        return np.flatnonzero(np.isneginf(part.process(rows, scores)[0])).tolist()

    assert banned(un.NoRepeatNgram(2)) == [2]
    assert banned(un.NoRepeatNgram(2, window=5)) == [2]
    assert banned(un.NoRepeatNgram(2, window=4)) == []
    assert banned(un.NoRepeatNgram(2, allowed=(2,))) == []
    assert banned(un.NoRepeatNgram(1, window=3)) == [0, 1, 4]
    assert banned(un.NoRepeatNgram(1, window=3, allowed=(0, 4))) == [1]
    assert banned(un.NoRepeatNgram(5, window=3)) == []
