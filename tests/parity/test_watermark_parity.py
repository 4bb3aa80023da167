"""Watermarks in the variant "transformers" give that library's scores and detections."""

from itertools import product

import numpy as np
import pytest

import unspool as un
from unspool.arrays import host

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
generation = pytest.importorskip("transformers.generation.logits_process")

REFERENCE = f"transformers {transformers.__version__}"
SHAPES = ((1, 45), (3, 90), (2, 300))
LIBRARIES = {"numpy": np.asarray, "torch": torch.from_numpy}
SCHEMES = [("lefthash", 1), *(("selfhash", width) for width in (1, 2, 4))]


def scores_of(chance, shape):
    scores = chance.normal(size=shape).astype(np.float32) * 2
    scores[chance.random(shape) < 0.2] = -np.inf
    scores[:, 0] = 0.5
    return scores


def rows_of(texts, library, prompt=1):
    return un.Rows(library(texts), np.full(len(texts), texts.shape[1]), np.full(len(texts), prompt))


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("ratio", [0.25, 0.5])
@pytest.mark.parametrize(("scheme", "width"), SCHEMES)
def test_equal_green_tokens(scheme, width, ratio, library, tally):
    chance, make = np.random.default_rng(11), LIBRARIES[library]
    ours = un.WatermarkKgw(ratio, 1.7, 15485863, width, scheme, "transformers")
    for shape, length in product(SHAPES, (1, 4, 12)):
        theirs = generation.WatermarkLogitsProcessor(shape[1], "cpu", ratio, 1.7, seeding_scheme=scheme, context_width=width)
        texts, scores = chance.integers(45, size=(shape[0], length)), scores_of(chance, shape)
        their = theirs(torch.from_numpy(texts), torch.from_numpy(scores.copy())).numpy()
        np.testing.assert_allclose(host(ours.process(rows_of(texts, make), make(scores))), their, rtol=1e-6)
        assert length < width or (their != scores).any()
        tally("watermark_kgw")


@pytest.mark.parametrize("ratio", [0.25, 0.5])
@pytest.mark.parametrize(("scheme", "width"), SCHEMES)
def test_equal_detections(scheme, width, ratio, tally):
    chance = np.random.default_rng(12)
    ours = un.WatermarkKgw(ratio, 1.7, 15485863, width, scheme, "transformers")
    config = transformers.WatermarkingConfig(greenlist_ratio=ratio, bias=1.7, seeding_scheme=scheme, context_width=width)
    shape = transformers.GPT2Config(vocab_size=90, bos_token_id=89)
    detector = transformers.WatermarkDetector(shape, "cpu", config, ignore_repeated_ngrams=True)
    for length in (width + 1, 9, 200):
        tokens = chance.integers(20, size=length)
        found, their = ours.detect(tokens.tolist(), 90), detector(torch.from_numpy(tokens[None]), return_dict=True)
        assert found.scored == their.num_tokens_scored[0]
        assert found.mean == pytest.approx(their.green_fraction[0])
        assert (found.z, found.p_value) == pytest.approx((their.z_score[0], their.p_value[0]))
        tally("watermark_kgw, detection")


SYNTHID = [
    ((654, 400, 836, 123), 5, 1024, 2**16, 0),
    ((7, 1), 2, 2, 101, 3),
    (tuple(range(1, 31)), 3, 4, 2**16, 5),
    ((9,), 2, 1024, 2**10, 1),
]


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize(("keys", "ngram_len", "history", "size", "seed"), SYNTHID)
def test_equal_tournaments_at_every_step(keys, ngram_len, history, size, seed, library, tally):
    """Theirs keeps its contexts in itself from call to call; ours finds them in the text."""
    chance, make = np.random.default_rng(13), LIBRARIES[library]
    ours = un.WatermarkSynthid(keys, ngram_len, history, "transformers", size, seed)
    theirs = generation.SynthIDTextWatermarkLogitsProcessor(ngram_len, list(keys), size, seed, history, "cpu")
    texts, repeated = chance.integers(4, size=(3, 40)), 0
    for length in range(6, 40):
        scores = scores_of(chance, (3, 60))
        their = theirs(torch.from_numpy(texts[:, :length]), torch.from_numpy(scores.copy())).log_softmax(-1).numpy()
        mine = host(un.LogSoftmax().process(None, ours.process(rows_of(texts[:, :length], make, 6), make(scores))))
        possible = ~np.isneginf(scores)
        np.testing.assert_allclose(np.exp(mine[possible]), np.exp(their[possible]), atol=2e-6)
        tally("watermark_synthid")
        unmarked = scores - np.logaddexp.reduce(scores, -1, keepdims=True)
        repeated += int(np.isclose(np.exp(mine), np.exp(unmarked), atol=1e-6).all(-1).sum())
    assert repeated < 3 * 34
    assert repeated > 0 or ngram_len > 3


@pytest.mark.parametrize(("keys", "ngram_len", "history", "size", "seed"), [case for case in SYNTHID if case[2] == 1024])
def test_equal_g_values(keys, ngram_len, history, size, seed, tally):
    chance = np.random.default_rng(14)
    ours = un.WatermarkSynthid(keys, ngram_len, history, "transformers", size, seed)
    theirs = generation.SynthIDTextWatermarkLogitsProcessor(ngram_len, list(keys), size, seed, history, "cpu")
    for length, most in ((ngram_len, 300), (30, 5), (200, 300)):
        tokens = torch.from_numpy(chance.integers(most, size=(1, length)))
        g = theirs.compute_g_values(tokens)[0].numpy()
        new = theirs.compute_context_repetition_mask(tokens)[0].numpy()
        found = ours.detect(tokens[0].tolist(), 300, weighted=False)
        assert found.scored == new.sum()
        assert found.mean == pytest.approx(g[new].mean())
        weights = np.linspace(10, 1, len(keys)) if len(keys) > 1 else np.ones(1)
        assert ours.detect(tokens[0].tolist(), 300).mean == pytest.approx((g[new] @ weights).mean() / weights.sum())
        tally("watermark_synthid, detection")
