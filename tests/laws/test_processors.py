"""What every processor obeys, on scores of every kind."""

import numpy as np
import pytest
from helpers.tables import BACKENDS, PROMPTS, VOCABULARY, Letters, run, same, search_of, table
from hypothesis import given, settings, strategies as st
from laws.covering import DRAWING
from laws.examples import neutral, processors

import unspool as un
from unspool.arrays import host, log_softmax, ranked, topk
from unspool.core.processor import Rows
from unspool.processors import truncate
from unspool.testing import check_processor
from unspool.testing.laws import Law
from unspool.testing.processors import probed

EVERY = {name: {str(p): p for some in processors(b).values() for p in some} for name, b in BACKENDS.items()}
NAMES = tuple(EVERY["numpy"])
CUTS = [un.TopK(1), un.TopK(3), un.TopP(0.0), un.TopP(0.5), un.TopP(0.95), un.MinP(0.1), un.MinP(1.0), un.Typical(0.0), un.Typical(0.3)]
CUTS += [un.Typical(0.95), un.Temperature(0), un.Epsilon(0.01), un.Epsilon(0.9), un.Eta(0.001), un.Eta(0.5), un.TopNSigma(1.0)]
CUTS += [un.TopNSigma(0.0), un.TopA(0.2), un.TopA(1.0), un.PLess(), un.PLess(True), un.TopH(0.0), un.TopH(0.5), un.TopH(0.99)]
CUTS += [un.TopH(0.5, "transformers"), un.TopH(1.0, "transformers"), un.TailFree(0.0), un.TailFree(0.9), un.TailFree(0.5, "llama.cpp")]
CUTS += [un.MinK(), un.MinK(0.0), un.MinK(200.0)]
CUTS += [un.Xtc(0.01, 1.0), un.Xtc(0.0, 1.0), un.Xtc(0.1, 0.5)]
backends = pytest.mark.parametrize("backend", BACKENDS)


def scores_of(rng, rows=5, vocabulary=VOCABULARY):
    """Random scores; with -inf entries, with ties, all equal, with one token left."""
    scores = rng.normal(scale=2, size=(rows, vocabulary)).astype(np.float32)
    scores[1, rng.random(vocabulary) < 0.4] = -np.inf
    scores[1, 0] = 0.3
    scores[2] = np.round(scores[2])
    scores[3] = 1.25
    scores[4, 1:] = -np.inf
    return scores


def rows_of(rng, backend, rows=5):
    tokens = rng.integers(0, VOCABULARY, (rows, 7))
    lengths = rng.integers(3, 8, rows)
    tokens[np.arange(7) < 7 - lengths[:, None]] = -1
    return Rows(BACKENDS[backend](tokens), lengths, np.minimum(lengths, 4), (5,), lambda purpose: np.linspace(0, 0.9, rows))


def processed(part, backend, seed=0):
    """The processor on scores of every kind: (before, after)."""
    rng = np.random.default_rng(seed)
    rows, scores = rows_of(rng, backend), BACKENDS[backend](scores_of(rng))
    memory = [part.begin(np.asarray([1, 2])) for _ in range(5)] if part.stateful else None
    rows.companions = tuple(BACKENDS[backend](rng.normal(size=scores.shape).astype(np.float32)) for _ in part.companions())
    rows.layers = tuple(BACKENDS[backend](rng.normal(size=scores.shape).astype(np.float32)) for _ in part.reads_layers)
    return scores, part.process(rows, scores, memory)


@backends
@pytest.mark.parametrize("name", NAMES)
def test_a_processors_laws(backend, name):
    check_processor(EVERY[backend][name], Letters(), backend=BACKENDS[backend], seed=5, tries=2 if backend == "numpy" else 1)


PROBED = [p for p in NAMES if p not in DRAWING]


@pytest.mark.parametrize("reuse", [True, False])
@pytest.mark.parametrize("name", PROBED)
def test_something_can_be_looked_at_under_every_processor(name, reuse):
    decoder = un.Decoder((EVERY["numpy"][name].resolve(Letters()),))
    assert probed(Law("looked at is committed", decoder), table(seed=1), decoder, PROMPTS, reuse)


@pytest.mark.parametrize("name", NAMES)
def test_numpy_is_torch(name):
    found = [host(processed(EVERY[backend][name], backend, seed=2)[1]) for backend in BACKENDS]
    for other in found[1:]:
        assert np.array_equal(np.isneginf(found[0]), np.isneginf(other))
        np.testing.assert_allclose(found[0], other, rtol=1e-5, atol=1e-6)


@backends
@pytest.mark.parametrize("cls", [cls for cls, part in neutral().items() if part], ids=lambda cls: cls.name)
def test_neutral_value_is_the_identity(backend, cls):
    part = neutral(BACKENDS[backend])[cls]
    before, after = (host(log_softmax(x)) for x in processed(part, backend))
    np.testing.assert_allclose(after, before, atol=1e-5)
    model = table(seed=6, backend=BACKENDS[backend])
    for plain, found in zip(run(model, un.Sample(2), PROMPTS), run(model, part | un.Sample(2), PROMPTS), strict=True):
        same(plain, found)


@backends
@pytest.mark.parametrize("part", CUTS, ids=str)
@pytest.mark.parametrize("vocabulary", [3, 40, 300, 5000])
def test_cuts_keep_at_least_one_token_and_no_other_score(backend, part, vocabulary):
    rng = np.random.default_rng(3)
    before = scores_of(rng, vocabulary=vocabulary)
    after = host(part.process(rows_of(rng, backend), BACKENDS[backend](before), None))
    kept = after > -np.inf
    assert (kept.sum(-1) >= 1).all()
    assert np.array_equal(after[kept], before[kept])
    likeliest = before.argmax(-1)
    if not isinstance(part, un.Typical | un.Xtc):
        assert kept[np.arange(5), likeliest].all()


@backends
@pytest.mark.parametrize("part", CUTS, ids=str)
@pytest.mark.parametrize("vocabulary", [100, 256, 257, 6000])
def test_few_candidates_decide_as_the_whole_row_does(backend, part, vocabulary, monkeypatch):
    rng = np.random.default_rng(4)
    scores = scores_of(rng, vocabulary=vocabulary) / np.asarray([[0.2], [1], [1], [1], [1]], np.float32)
    rows, found = rows_of(rng, backend), []
    for candidates in (256, 2, 10**9):
        monkeypatch.setattr(truncate, "TRIED_FIRST", candidates)
        found.append(host(part.process(rows, BACKENDS[backend](scores), None)))
    assert np.array_equal(found[0], found[2])
    assert np.array_equal(found[1], found[2])


@given(st.integers(1, 300), st.integers(1, 3), st.sampled_from([np.float32, np.float64]), st.integers(0, 2**32))
def test_a_plain_sort_of_keys_is_a_stable_sort(vocabulary, rows, kind, seed):
    rng = np.random.default_rng(seed)
    scores = rng.choice(np.asarray([0.0, -0.0, 1.5, -1.5, 3e-42, -3e-42, 3e38, -3e38, np.inf, -np.inf]), (rows, vocabulary))
    scores = np.where(rng.random((rows, vocabulary)) < 0.5, scores, rng.normal(size=(rows, vocabulary))).astype(kind)
    assert np.array_equal(ranked(scores), np.argsort(-scores, -1, kind="stable"))


def first_of_equals(scores, k):
    return [sorted(range(len(row)), key=lambda t: (-row[t], t))[:k] for row in scores]


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 400), st.integers(1, 9), st.integers(0, 3), st.integers(0, 2**32))
def test_ties_fall_to_low_ids(vocabulary, k, levels, seed):
    scores = np.random.default_rng(seed).integers(0, levels + 1, (3, vocabulary)).astype(np.float32)
    expected = first_of_equals(scores, k)
    for backend in BACKENDS.values():
        values, columns = topk(backend(scores), k)
        assert host(columns).tolist() == expected
        assert np.array_equal(host(values), np.take_along_axis(scores, np.asarray(expected), -1))
        rows = Rows.of(backend(np.zeros((3, 1), np.int64)))
        kept = host(un.TopK(k).process(rows, backend(scores))) > -np.inf
        assert [np.flatnonzero(row).tolist() for row in kept] == [sorted(row) for row in expected]
        best = host(un.Temperature(0).process(rows, backend(scores))) > -np.inf
        assert [np.flatnonzero(row).tolist() for row in best] == [row[:1] for row in expected]


class Trap:
    """After token 2, nothing may come."""

    def begin(self):
        return -1

    def advance(self, state, token):
        return token

    def allowed(self, state):
        return [] if state == 2 else range(VOCABULARY)


@backends
@pytest.mark.parametrize("level", ["tokens", "choices"])
@pytest.mark.parametrize("strategy", ["sample(40)", "beam(6, n=6)", "exact(20)"])
def test_what_has_no_way_on_dies_alone(backend, strategy, level):
    model = table(seed=2, backend=BACKENDS[backend], end_tokens=())
    found = run(model, un.Automaton(Trap()) | un.parse(strategy), PROMPTS, 3, level=level)
    assert all(found)
    assert all(2 not in h.tokens[:-1] for hypotheses in found for h in hypotheses)


def test_only_a_prompt_without_hypotheses_is_an_error_and_is_named():
    lm = un.LanguageModel(table(seed=2, end_tokens=()), Letters(specials=()))
    decoder = un.Allowed(2) | un.NoRepeatNgram(1) | un.Beam(2)
    with pytest.raises(un.DeadEnd, match="'abc'"):
        lm.generate("abc", decoder, max_new_tokens=1)
    alive, dead = lm.generate(["a", "abc"], decoder, max_new_tokens=1)
    assert (alive.text, dead.sequences, alive.failure) == (lm.generate("a", decoder, max_new_tokens=1).text, [], "")
    assert "'abc'" in dead.failure
    with pytest.raises(un.DeadEnd, match="'abc'"):
        _ = dead.text
    assert lm.generate(["a", "ab"], decoder, max_new_tokens=1)[1].text == "c"
    for level in ("tokens", "choices"):
        with pytest.raises(un.DeadEnd, match="'ab'"):
            lm.generate("ab", un.Allowed(2) | un.NoRepeatNgram(1) | un.Sample(2), max_new_tokens=2, level=level)


def test_what_was_passed_over_is_remembered():
    """A processor that reads scores finds them even for rows whose scores nobody asked for."""
    model = table(seed=3)
    decoder = un.Mirostat(0.7, eta=0.9) | un.Speculative(table(seed=4), tokens=3)
    search = search_of(model, decoder, [[1]], 6)
    rows = search.lane.begin([np.asarray([1])])
    chain = search.lane.session.extend(rows, [[0, 1, 2]])
    mu = search.lane.chain[0].memory(chain)[0]
    step = 2 * 0.7
    for text, token in (((1,), 0), ((1, 0), 1), ((1, 0, 1), 2)):
        p = np.asarray(model.probabilities(text))
        step -= 0.9 * (-np.log2(p[token] / p.sum()) - 0.7)
    assert mu == pytest.approx(step, abs=1e-5)


@backends
@pytest.mark.parametrize("scale", [-1.0, 0.0, 0.5, 1.0, 3.0])
def test_guidance_leaves_what_either_side_rules_out(backend, scale):
    values = np.asarray([[[0.0, -np.inf, 1.0, -np.inf]], [[1.0, 2, -np.inf, -np.inf]]], np.float32)
    scores, without = map(BACKENDS[backend], values)
    rows = Rows.of(BACKENDS[backend](np.asarray([[1]])))
    rows.companions = (without,)
    found = host(un.Guidance(scale, table()).process(rows, scores))[0]
    p, q = host(log_softmax(scores))[0], host(log_softmax(without))[0]
    np.testing.assert_allclose(found, [q[0] + scale * (p[0] - q[0]), -np.inf, p[2], -np.inf], atol=1e-6)
