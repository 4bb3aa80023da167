"""Defects of transformers' `generate`: what it answered (make_defects_golden.py stored it), and the right answer here.

test_transformers_defects.py asks the version that is installed; here every stored version is held against the definition, without it.
"""

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from helpers.checkpoints import tiny_gpt2
from helpers.tables import run

import unspool as un
from unspool.arrays import host, log_softmax
from unspool.models.reading import read_transformer

STORED = json.loads((Path(__file__).parents[1] / "data" / "defects-transformers.json").read_text())
BOTH, SCALE = sorted(STORED), 3.0
versions = pytest.mark.parametrize("version", BOTH)


@cache
def gpt2(seed):
    return read_transformer("gpt2", *tiny_gpt2(seed))


def texts(checkpoint, decoder, prompts, limit=8, end_tokens=(), **options):
    """The hypotheses of every prompt."""
    return run(gpt2(checkpoint), decoder, prompts, limit, end_tokens=end_tokens, **options)


def logits_after(model, text):
    session = model.session()
    return host(log_softmax(session.logits(session.extend([-1], [text]))))[0].astype(np.float64)


def guided(model, prompt, new):
    """The sum of guided scores, which their beams do not renormalise; the other branch begins with the prompt's last token."""
    sides = [[logits_after(model, [*start, *new[:i]])[token] for i, token in enumerate(new)] for start in (prompt, prompt[-1:])]
    return sum(without + SCALE * (given - without) for given, without in zip(*sides, strict=True))


@versions
def test_beams_under_guidance_have_the_scores_of_their_texts(version):
    """There the cache of the second branch is not reordered with the beams, so a score belongs to another text."""
    wrong = 0
    for case in STORED[version]["guided_beams"]:
        model, prompt = gpt2(case["seed"]), case["prompt"]
        wrong += abs(case["score"] - guided(model, prompt, case["tokens"])) > 0.1
        decoder = un.Guidance(SCALE, model) | un.Beam(3, length_penalty=0.0, renormalise=False)
        best = texts(case["seed"], decoder, [prompt])[0][0]
        assert best.score == pytest.approx(guided(model, prompt, best.tokens), abs=1e-2)
    assert wrong >= 10


@versions
def test_drafts_under_guidance_leave_the_text_as_it_is(version):
    """There the processor that runs the second branch is asked once for every drafted place, and counts each as a new token."""
    wrong = 0
    for case in STORED[version]["guided_drafts"]:
        wrong += case["drafted"] != case["greedy"]
        decoder = un.Guidance(SCALE, gpt2(case["seed"])) | un.Speculative(gpt2(case["seed"] + 50), then=un.Greedy())
        assert [found[0].tokens for found in texts(case["seed"], decoder, [case["prompt"]])] == [case["greedy"]]
    assert wrong >= 10


@versions
def test_early_exit_leaves_the_model_whole(version):
    """There GPT-2 raises an IndexError, and its configuration has one layer from then on."""
    case = STORED[version]["early_exit"]
    assert (case["found"], case["layers"]) == ("IndexError", [2, 1])
    greedy, drafted, after = (
        texts(0, decoder, [case["prompt"]])[0][0].tokens for decoder in (un.Greedy(), un.EarlyExit(1, then=un.Greedy()), un.Greedy())
    )
    assert greedy == drafted == after


@versions
def test_texts_that_ended_are_not_filled_up(version):
    """5 fills up with the end token where the pad token is 0, so nobody can tell where the text ended; 4.49 with the pad token."""
    fills = set()
    for case in STORED[version]["filled"]:
        prompt, end = case["prompt"], case["end"]
        (found,) = texts(case["seed"], un.Beam(3, n=3, length_penalty=0.0, early_stopping=True), [prompt], end_tokens=(end,))
        for h, row in zip(found, case["rows"], strict=True):
            fills.update(row[len(h.tokens) :])
            assert h.tokens == row[: len(h.tokens)]
            assert h.tokens.count(end) == (h.reason == "end")
            assert end not in h.tokens[:-1]
    ends = {case["end"] for case in STORED[version]["filled"]}
    assert fills == ({0} if version.startswith("4.") else ends)


@versions
def test_a_repetition_penalty_is_the_same_under_beams(version):
    """There beams show it log-probabilities in place of logits, and do not renormalise: the numbers sum to something else than 1."""
    lost = []
    for case in STORED[version]["penalised"]:
        plain, beams = (np.asarray(case[kind], np.float64) for kind in ("plain", "beams"))
        logprobs = plain - np.logaddexp.reduce(plain)
        lost.append(1 - np.exp(beams).sum())
        assert np.abs(beams - np.logaddexp.reduce(beams) - logprobs).max() > 1e-2
        for decoder in ("repetition_penalty(1.5) | beam(24, n=24)", "repetition_penalty(1.5) | stochastic_beam(24)"):
            (found,) = texts(case["seed"], decoder, [case["prompt"]], 1)
            assert len(found) == 24
            for h in found:
                assert h.processed[0] == pytest.approx(logprobs[h.tokens[0]], abs=1e-3)
    assert min(lost) > 1e-3
    assert max(lost) > 0.05


def test_top_h_compares_the_entropy_of_what_it_keeps():
    """There the terms of the kept tokens are summed without renormalising them, over the 100 likeliest alone."""
    scores = {"flat 100": -2e-6 * np.arange(100.0), "zipf 1000": -np.log(np.arange(1.0, 1001))}
    kept = {}
    for case in STORED["5.23.0"]["top_h"]:
        p = np.exp(scores[case["weights"]] - np.logaddexp.reduce(scores[case["weights"]]))

        def entropy(q):
            return -(q / q.sum() * np.log(q / q.sum())).sum()

        most = max(n for n in range(1, len(p) + 1) if entropy(p[:n]) <= case["alpha"] * entropy(p))
        found = un.TopH(case["alpha"]).process(None, scores[case["weights"]][None])
        kept[case["weights"]] = (case["kept"], int((found > -np.inf).sum()))
        assert kept[case["weights"]][1] == most
    assert kept == {"flat 100": (39, 6), "zipf 1000": (25, 44)}


@versions
def test_a_sample_does_not_depend_on_its_neighbours(version):
    """There all rows draw from one stream."""
    prompt, other = [3, 8, 11], [5, 5, 2]
    for case in STORED[version]["neighbours"]:
        assert case["alone"] != case["beside"]
        alone, beside = (texts(case["seed"], un.Sample(), some, 12, seed=case["seed"])[-1] for some in ([prompt], [other, prompt]))
        assert alone[0].tokens == beside[0].tokens


@versions
def test_top_k_keeps_k(version):
    """There all that equal the k-th are kept."""
    assert STORED[version]["top_k"] == 4
    assert (un.TopK(2).process(None, np.zeros((1, 4))) > -np.inf).tolist() == [[True, True, False, False]]


def test_beam_sampling_says_that_it_does_not_stream():
    """5 accepts a streamer, gives it the prompt once for each beam, and never ends it; 4.49 refused it."""
    assert [STORED[version]["streamed"] for version in BOTH] == ["refused", {"prompt": [3, 8, 11], "told": [[[3, 8, 11]] * 2], "new": 4}]
    lm = un.LanguageModel(gpt2(0))
    stream = lm.stream([3, 8, 11], "beam_sample(2)", max_new_tokens=4)
    assert not stream.single
    told, steps = list(stream.text()), stream.output.trace.steps
    assert told == [stream.output.text]
    assert len(steps) == 4
