"""A watermark is found where it is, and as often as its p-value says where it is not."""

from dataclasses import replace
from functools import cache
from itertools import product

import numpy as np
import pytest
from helpers.checks import fits
from helpers.tables import BACKENDS, PROMPTS, Letters, enumerate_texts, run, table, texts
from scipy import stats

import unspool as un
from unspool.arrays import host
from unspool.core.processor import Rows
from unspool.core.randomness import combine, uniform
from unspool.processors.watermark import tail
from unspool.processors.watermark_gumbel import gamma_tail

VOCABULARY = 40
MODEL = table(seed=1, vocabulary=VOCABULARY, sharpness=0.5, end_tokens=())
MARKS = [
    un.WatermarkKgw(0.25, 3.0, context_width=2),
    un.WatermarkKgw(0.4, 3.0, context_width=3, seeding_scheme="selfhash"),
    un.WatermarkSynthid(ngram_len=3),
    un.WatermarkSynthid((5, 6, 7, 8, 9), ngram_len=2),
    un.WatermarkGumbel(context_width=2),
    un.WatermarkGumbel(context_width=2, second=0.3),
    un.WatermarkSbw(0.25, 3.0, context_width=2),
]


@cache
def sampled(decoder, limit=40):
    return [[3, 1, *h.tokens] for h in run(MODEL, decoder, [[3, 1]], limit)[0]]


def with_key(mark, key):
    if isinstance(mark, un.WatermarkKgw):
        return un.WatermarkKgw(mark.greenlist_ratio, mark.bias, key, mark.context_width, mark.seeding_scheme)
    if not isinstance(mark, un.WatermarkSynthid):
        return replace(mark, key=key)
    return un.WatermarkSynthid(key if isinstance(mark.keys, int) else tuple(k + 10 * key for k in mark.keys), mark.ngram_len)


@pytest.mark.parametrize("mark", MARKS, ids=str)
def test_a_marked_text_is_found_and_only_with_its_key(mark):
    texts = sampled(mark | un.Sample(20), 60)
    found = [mark.detect(text, VOCABULARY) for text in texts]
    assert max(f.p_value for f in found) < 1e-3
    assert all(f.z > 3 and f.mean > f.expected for f in found)
    other = with_key(mark, 1)
    assert np.median([other.detect(text, VOCABULARY).p_value for text in texts]) > 0.1


@pytest.mark.parametrize(("mark", "options"), [*((mark, {}) for mark in MARKS), (MARKS[2], {"weighted": False})], ids=str)
def test_without_the_mark_a_p_value_is_small_as_often_as_it_says(mark, options):
    """A key of its own for every text: that is the chance that a p-value speaks of."""
    found = [with_key(mark, k).detect(text, VOCABULARY, **options).p_value for k, text in enumerate(sampled(un.Sample(300)))]
    for line in (0.01, 0.05, 0.2, 0.5, 0.8):
        assert stats.binomtest(sum(p <= line for p in found), len(found), line, "greater").pvalue > 1e-3
    if isinstance(mark, un.WatermarkSynthid | un.WatermarkGumbel):       # so many values that it is uniform, not only no smaller
        assert stats.kstest(found, "uniform").pvalue > 1e-3


@pytest.mark.parametrize(("green", "n", "share"), [(0, 5, 0.3), (3, 5, 0.3), (5, 5, 0.3), (300, 1000, 0.25), (700, 1000, 0.25)])
def test_the_tail_is_the_binomial(green, n, share):
    assert tail(green, n, share, np.asarray([1])) == pytest.approx(stats.binom.sf(green - 1, n, share), rel=1e-8)


@pytest.mark.parametrize(("n", "weights"), [(1, (10, 1)), (6, (3, 2, 1)), (3, (40, 31, 22, 13, 4)), (40, (2, 1))])
@pytest.mark.parametrize("share", [0.5, 0.2])
def test_the_tail_of_a_weighted_sum(n, weights, share):
    exact = np.ones(1)
    for weight in weights:
        steps = np.zeros(n * weight + 1)
        steps[::weight] = stats.binom.pmf(np.arange(n + 1), n, share)
        exact = np.convolve(exact, steps)
    for score in range(len(exact) + 1):
        assert tail(score, n, share, np.asarray(weights)) == pytest.approx(exact[score:].sum(), rel=1e-8)


def test_far_tails_and_long_texts_keep_their_digits():
    weights = 290 - 9 * np.arange(30)
    mean, deviation = 500 * weights.sum(), np.sqrt(1000 * (weights @ weights)) / 2
    for z in (-3, 0, 2, 5):
        assert tail(int(mean + z * deviation), 1000, 0.5, weights) == pytest.approx(stats.norm.sf(z), rel=0.01)
    assert 0 < tail(int(mean + 30 * deviation), 1000, 0.5, weights) < 1e-180


def test_a_repetition_counts_once():
    assert un.WatermarkKgw(context_width=2).detect([1, 2, 3] * 50, VOCABULARY).scored == 3
    assert un.WatermarkKgw(context_width=3, seeding_scheme="selfhash").detect([1, 2, 3] * 50, VOCABULARY).scored == 3
    assert un.WatermarkSynthid(ngram_len=3).detect([1, 2, 3] * 50, VOCABULARY).scored == 3
    assert un.WatermarkGumbel(context_width=2).detect([1, 2, 3] * 50, VOCABULARY).scored == 3
    assert un.WatermarkSbw(context_width=2).detect([1, 2, 3] * 50, VOCABULARY).scored == 3


@pytest.mark.parametrize("mark", MARKS, ids=str)
def test_what_cannot_be_looked_at_is_refused(mark):
    with pytest.raises(un.PromptError, match="too few"):
        mark.detect([1], VOCABULARY)
    with pytest.raises(un.PromptError, match="token 40 is outside"):
        mark.detect([1, 2, 3, 40], VOCABULARY)
    for text, model in (("abc", VOCABULARY), ([1, 2, 3], None), ([1, 2, 3], True), ([1, 2, 3], 0)):
        with pytest.raises(un.ParameterError, match="LanguageModel"):
            mark.detect(text, model)


@pytest.mark.parametrize("mark", MARKS, ids=str)
def test_a_text_is_read_by_its_model(mark):
    lm = un.LanguageModel(table(seed=5), Letters())
    text = lm.generate("abc", un.Sample(), max_new_tokens=30, end_tokens=()).best
    assert mark.detect("abcde", lm) == mark.detect([0, 1, 2, 3, 4], lm) == mark.detect([0, 1, 2, 3, 4], 6)
    assert mark.detect(text.tokens, lm).scored > 1


@pytest.mark.parametrize("width", [1, 2, 4])
def test_selfhash_is_its_definition(width):
    mark = un.WatermarkKgw(0.3, 1.5, 11, width, "selfhash")
    text, scores = np.asarray([[5, 9, 2, 7, 3]]), np.random.default_rng(0).normal(size=(1, VOCABULARY))
    for token, raised in enumerate((mark(text, scores) - scores)[0]):
        window = [*text[0, len(text[0]) - width + 1 :], token]
        lowest = min(int(combine(other, token)) for other in window)
        assert raised == pytest.approx(1.5 if float(uniform(11, np.uint64(lowest), 0, "watermark_kgw")) < 0.3 else 0.0)


def tournament(p, g):
    """The chance of every token to win, g (V, layers): two drawn alike meet, the higher wins, either if they are equal."""
    for layer in g.T:
        after = np.zeros_like(p)
        for a, b in product(range(len(p)), repeat=2):
            after[a if layer[a] >= layer[b] else b] += p[a] * p[b]
        p = after
    return p


@pytest.mark.parametrize("backend", BACKENDS)
def test_synthid_is_its_tournament(backend):
    mark, rng = un.WatermarkSynthid((3, 14, 15, 92), ngram_len=3), np.random.default_rng(1)
    texts, scores = rng.integers(0, 7, (5, 6)), rng.normal(size=(5, 7)) * 2
    scores[0, 2] = -np.inf
    found = host(un.LogSoftmax().process(None, mark.process(Rows.of(BACKENDS[backend](texts), 6), BACKENDS[backend](scores))))
    for text, row, got in zip(texts, scores, found, strict=True):
        bits = mark.g_values(text[None, -2:], np.arange(7))
        g = np.asarray([[int(b) >> layer & 1 for layer in range(4)] for b in bits])
        p = np.exp(row) / np.exp(row).sum()
        np.testing.assert_allclose(np.exp(got), tournament(p, g), atol=1e-12)


def test_over_keys_synthid_changes_no_probability():
    scores = np.random.default_rng(2).normal(size=(1, 6))
    p = np.exp(scores[0]) / np.exp(scores[0]).sum()
    found = np.exp([un.LogSoftmax().process(None, un.WatermarkSynthid(k, 2)(np.asarray([[1, 4]]), scores))[0] for k in range(1500)])
    assert found.std(0).min() > 0.05
    assert (abs(found.mean(0) - p) < 4 * found.std(0) / np.sqrt(len(found))).all()


@pytest.mark.parametrize(("n", "total"), [(1, 0.5), (1, 40.0), (7, 7.0), (300, 280.0), (300, 420.0), (5000, 9000.0), (3, 0.0)])
def test_the_tail_of_gumbel_is_that_of_gamma(n, total):
    assert gamma_tail(total, n) == pytest.approx(stats.gamma.sf(total, n), rel=1e-8)


@pytest.mark.parametrize("backend", BACKENDS)
def test_gumbel_is_its_definition(backend):
    mark, rng = un.WatermarkGumbel(11, 2), np.random.default_rng(1)
    text, scores = rng.integers(0, 7, (5, 6)), rng.normal(size=(5, 7)) * 2
    scores[0, 2] = -np.inf
    found = host(mark.process(Rows.of(BACKENDS[backend](text), 6), BACKENDS[backend](scores)))
    for tokens, row, got in zip(text, scores, found, strict=True):
        p, u = np.exp(row) / np.exp(row).sum(), mark.hashes(tokens[-2:].tolist(), np.arange(7))
        best = max((v for v in range(7) if p[v] > 0), key=lambda v: np.log(u[v]) / p[v])
        assert [v for v in range(7) if got[v] > -np.inf] == [best]
        assert got[best] == row[best]


@pytest.mark.parametrize("second", [0.0, 0.3, 1.0])
def test_over_keys_whole_texts_of_gumbel_have_their_probability(second):
    """Also where a context comes again, which would otherwise draw the same token again."""
    model = table(seed=3, vocabulary=3, end_tokens=(2,), sharpness=0.5)
    found = [run(model, un.WatermarkGumbel(key, 1, second) | un.Sample(), [[1, 0]], 4, seed=key)[0] for key in range(1500)]
    fits([texts(some)[0] for some in found], enumerate_texts(model, (1, 0), 4))


def test_a_second_key_lets_texts_of_one_prompt_part():
    one, two = (texts(run(MODEL, un.WatermarkGumbel(5, 2, second) | un.Sample(8), [[3, 1]], 12)[0]) for second in (0.0, 0.4))
    assert len(set(one)) == 1
    assert len(set(two)) > 5


@pytest.mark.parametrize("second", [0.0, 0.4])
def test_speculation_draws_the_marked_text_itself(second):
    model, draft = table(seed=8), table(seed=9)
    mark = un.WatermarkGumbel(5, 1, second, 0)
    for prompt in PROMPTS:
        plain, guessed = (run(model, mark | strategy, [prompt], 8)[0] for strategy in (un.Sample(), un.Speculative(draft, 3)))
        assert texts(plain) == texts(guessed)


def test_sbw_is_its_coin():
    mark = un.WatermarkSbw(0.3, 1.5, 11, 2)
    raised = (mark(np.asarray([[5, 9, 2]]), np.zeros((1, VOCABULARY))))[0]
    for token, amount in enumerate(raised):
        assert amount == (1.5 if float(uniform(11, combine(9, 2), 0, "watermark_sbw", token)) < 0.3 else 0)
    sizes = {int((mark(np.asarray([[a, b]]), np.zeros((1, VOCABULARY))) > 0).sum()) for a in range(5) for b in range(5)}
    assert len(sizes) > 3, "every token has a coin of its own"


@pytest.mark.parametrize("history", [0, 1, 3, 100])
@pytest.mark.parametrize("strategy", ["sample(6)", "beam(3, n=3)"])
def test_a_context_marks_once_in_every_hypothesis_of_a_batch(strategy, history):
    """The rule is found again from each text alone: what stood there before, in this text, after its prompt."""
    model, mark = table(seed=8, vocabulary=4, sharpness=0.5, end_tokens=()), un.WatermarkSynthid(3, 2, history)
    marked = set()
    for prompt, found in zip(PROMPTS[:2], run(model, mark | un.parse(strategy), [[1, 2, 3], [2]], 12), strict=True):
        for h in found:
            text = [*prompt, *h.tokens]
            for i in range(len(h.tokens)):
                at = len(prompt) + i
                seen = text[max(at - history, len(prompt)) - 1 : at - 1] if history else []
                assert (h.processed[i] == pytest.approx(h.logprobs[i], abs=1e-6)) == (text[at - 1] in seen)
                marked.add(text[at - 1] in seen)
    assert marked == ({False, True} if history else {False})


@pytest.mark.parametrize(
    ("text", "match"),
    [("watermark_kgw(0)", "greenlist_ratio"), ("watermark_kgw(1)", "greenlist_ratio"), ("watermark_kgw(context_width=0)", "context_width"),
     ("watermark_kgw(variant='x')", "variant"), ("watermark_kgw(seeding_scheme='x')", "seeding_scheme"),
     ("watermark_kgw(context_width=2, variant='transformers')", "one token"), ("watermark_synthid(())", "keys"),
     ("watermark_synthid((1, True))", "keys"), ("watermark_synthid(1, 1)", "ngram_len"), ("watermark_synthid(variant='x')", "variant"),
     ("watermark_gumbel(context_width=0)", "context_width"), ("watermark_gumbel(second=1.5)", "second"), ("watermark_gumbel('x')", "key"),
     ("watermark_sbw(1.0)", "greenlist_ratio"), ("watermark_sbw(context_width=0)", "context_width"),
     ("watermark_synthid(sampling_table_size=8)", "table"), ("watermark_synthid(context_history_size=-1)", "context_history_size")],
)  # fmt: skip
def test_refused_when_built(text, match):
    with pytest.raises(un.ParameterError, match=match):
        un.parse(text)
