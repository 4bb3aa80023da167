"""Beam search gives the texts and scores of transformers' `generate`, on random checkpoints."""

import random
from collections import Counter

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

REFERENCE = f"transformers {transformers.__version__}"
LIMIT = 12
PROMPTS = 3
CASES = 132
TOLERANCE = 1e-4
NEAR = 1e-5
"""Two candidates nearer than this may change places in float32; a case that differs with such a pair counts as a near tie."""

WIDTHS = (2, 3, 4, 5, 8)
PENALTIES = (-1.0, 0.0, 0.5, 1.0, 2.0)
STOPPING = (True, False, "never")
END_COUNTS = (0, 1, 1, 3)
SEEDS = (0, 1, 2, 3, 4, 5)
LIBRARIES = ("numpy", "numpy", "torch")


def warped(*made):
    """Processors that `generate` itself applies only when it samples."""
    return {"logits_processor": transformers.LogitsProcessorList(made)}


PROCESSORS = {
    "none": ("", {}),
    "repetition": ("log_softmax | repetition_penalty(1.2) | ", {"repetition_penalty": 1.2}),
    "repetition_reward": ("log_softmax | repetition_penalty(0.8) | ", {"repetition_penalty": 0.8}),
    "ngram_1": ("log_softmax | no_repeat_ngram(1) | ", {"no_repeat_ngram_size": 1}),
    "ngram_2": ("log_softmax | no_repeat_ngram(2) | ", {"no_repeat_ngram_size": 2}),
    "min_new_tokens": ("log_softmax | min_new_tokens(5) | ", {"min_new_tokens": 5}),
    "banned": ("log_softmax | banned(3, 7, (5, 9), (1, 2, 4)) | ", {"bad_words_ids": [[3], [7], [5, 9], [1, 2, 4]]}),
    "suppressed": ("log_softmax | banned(2, 9, 30) | ", {"suppress_tokens": [2, 9, 30]}),
    "bias": ("log_softmax | bias((((6,), 2.5), ((8, 4), -3.0))) | ", {"sequence_bias": {(6,): 2.5, (8, 4): -3.0}}),
    "all": (
        "log_softmax | bias((((6,), 1.5),)) | repetition_penalty(1.3) | no_repeat_ngram(2) | banned((5, 9)) | min_new_tokens(3) | ",
        {"sequence_bias": {(6,): 1.5}, "repetition_penalty": 1.3, "no_repeat_ngram_size": 2}
        | {"bad_words_ids": [[5, 9]], "min_new_tokens": 3},
    ),
    "temperature": ("log_softmax | temperature(0.6) | ", lambda: warped(transformers.TemperatureLogitsWarper(0.6))),
    "top_k": ("log_softmax | top_k(6) | ", lambda: warped(transformers.TopKLogitsWarper(6))),
    "top_p": ("log_softmax | top_p(0.9) | ", lambda: warped(transformers.TopPLogitsWarper(0.9))),
    "min_p": ("log_softmax | min_p(0.05) | ", lambda: warped(transformers.MinPLogitsWarper(0.05))),
    "typical": ("log_softmax | typical(0.95) | ", lambda: warped(transformers.TypicalLogitsWarper(0.95))),
}


def dealt(values, count, chance):
    """Every value equally often, in random order."""
    hand = [values[i % len(values)] for i in range(count)]
    chance.shuffle(hand)
    return hand


def cases():
    """Settings in which every value of every setting occurs equally often; the unprocessed half of the time."""
    chance = random.Random(0)
    names = ["none"] * (len(PROCESSORS) - 1) + [name for name in PROCESSORS if name != "none"]
    columns = [dealt(values, CASES, chance) for values in (SEEDS, WIDTHS, PENALTIES, STOPPING, END_COUNTS, names, LIBRARIES)]
    return [pytest.param(*case, id="-".join(map(str, case))) for case in zip(*columns, strict=True)]


def settings_of(processors):
    text, settings = PROCESSORS[processors]
    return text, settings() if callable(settings) else settings


def nearest(found, steps):
    """The smallest difference on which our search decided: between beams kept and pruned, and between what it returned."""
    gaps = list(-np.diff([h.score for h in found]))
    for step in steps:
        went_on, pruned = step.score[step.reason == ""], step.dropped["score"][step.dropped["why"] == "pruned"]
        if len(went_on) and len(pruned):
            gaps.append(went_on.min() - pruned.max())
    return min(map(abs, gaps), default=np.inf)


FINISHED_EARLY = Counter()
"""Of the prompts with end tokens: whether a text ended before the limit."""


class TestBeams:
    @pytest.mark.parametrize(("seed", "width", "penalty", "stopping", "ends", "processors", "library"), cases())
    def test_equal(self, seed, width, penalty, stopping, ends, processors, library, checkpoint, prompts_of, run, theirs_of, cut, tally):
        model = checkpoint(seed)
        ours = model.ours if library == "numpy" else model.in_torch
        ends = tuple(model.likely[rank] for rank in (2, 5, 9)[:ends])
        text, settings = settings_of(processors)
        n = width if seed % 2 else 1 + width // 2
        settings = settings | {"num_beams": width, "num_return_sequences": n, "length_penalty": penalty, "early_stopping": stopping}
        prompts = prompts_of(width * 100 + seed, ours.vocabulary, PROMPTS)
        decoder = f"{text}beam({width}, length_penalty={penalty}, early_stopping={stopping!r}, n={n}, renormalise={not text})"
        found, steps = run(ours, prompts, decoder, LIMIT, ends, level="choices")
        for i, (prompt, mine) in enumerate(zip(prompts, found, strict=True)):
            their = theirs_of(model, prompt, LIMIT, ends, **settings)
            scores = their.sequences_scores.numpy()
            real = scores > -1e8                                          # they fill up with rows that never were
            tokens = [cut(row, prompt, ends) for row in their.sequences[torch.from_numpy(real)]]
            own_steps = [step.only(i) for step in steps if (step.prompt == i).any()]
            if ends:
                early = len(own_steps) < LIMIT or any(len(h.tokens) < LIMIT for h in mine)
                FINISHED_EARLY[early] += 1
            if [h.tokens for h in mine] != tokens and nearest(mine, own_steps) < NEAR:
                tally("beam search", "near tie")
                continue
            assert [h.tokens for h in mine] == tokens
            np.testing.assert_allclose([h.score for h in mine], scores[real], atol=TOLERANCE, rtol=0)
            tally("beam search")

    def test_many_finished_early(self):
        if not FINISHED_EARLY:
            pytest.skip("the comparison did not run")
        assert FINISHED_EARLY[True] > 0.5 * FINISHED_EARLY.total()

    @pytest.mark.parametrize("vocabulary", [4, 5, 9])
    @pytest.mark.parametrize("width", [3, 6, 8])
    @pytest.mark.parametrize("stopping", STOPPING)
    def test_fewer_tokens_than_beams(self, vocabulary, width, stopping, checkpoint, prompts_of, run, theirs_of, cut, tally):
        """At first there are fewer texts than beams; theirs fills up with beams of score -1e9, which must not matter."""
        model = checkpoint(vocabulary, vocabulary)
        settings = {"num_beams": width, "num_return_sequences": width, "early_stopping": stopping}
        prompts = prompts_of(width, vocabulary, 2)
        found, _ = run(model.ours, prompts, f"beam({width}, early_stopping={stopping!r}, n={width})", 8, (1,))
        for prompt, mine in zip(prompts, found, strict=True):
            their = theirs_of(model, prompt, 8, (1,), **settings)
            assert [h.tokens for h in mine] == [cut(row, prompt, (1,)) for row in their.sequences]
            np.testing.assert_allclose([h.score for h in mine], their.sequences_scores.numpy(), atol=TOLERANCE, rtol=0)
            tally("beam search, fewer tokens than beams")

    def test_penalty_of_logits_differs(self, checkpoint, run, theirs_of, tally):
        """Without log_softmax first our penalty sees logits under every strategy; theirs sees log-probabilities under beams."""
        model = checkpoint(0)
        their = float(theirs_of(model, [1, 2, 3], LIMIT, num_beams=4, repetition_penalty=1.2).sequences_scores[0])
        of_logits, _ = run(model.ours, [[1, 2, 3]], "repetition_penalty(1.2) | beam(4)", LIMIT)
        of_logprobs, _ = run(model.ours, [[1, 2, 3]], "log_softmax | repetition_penalty(1.2) | beam(4, renormalise=False)", LIMIT)
        assert abs(of_logits[0][0].score - their) > 0.01
        assert of_logprobs[0][0].score == pytest.approx(their, abs=TOLERANCE)
        tally.difference(
            "processors under beam search",
            "theirs see log-probabilities under beams and logits elsewhere, so a repetition penalty means two things; ours see logits "
            "under every strategy, and `log_softmax` first gives theirs",
        )

    @pytest.mark.parametrize("seed", SEEDS)
    def test_left_padded_batch(self, seed, checkpoint, prompts_of, run, cut, tally):
        """The same against one padded batch of theirs, without processors, which would see the padding."""
        model = checkpoint(seed)
        ends, prompts = (model.likely[3],), prompts_of(seed + 50, model.ours.vocabulary, 4)
        longest = max(map(len, prompts))
        ids = torch.tensor([[0] * (longest - len(p)) + p for p in prompts])
        mask = torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in prompts])
        settings = {"num_beams": 4, "num_return_sequences": 2, "do_sample": False, "return_dict_in_generate": True, "output_scores": True}
        with torch.no_grad():
            their = model.theirs.generate(ids, attention_mask=mask, max_new_tokens=LIMIT, eos_token_id=ends[0], pad_token_id=0, **settings)
        found, _ = run(model.ours, prompts, "beam(4, n=2)", LIMIT, ends)
        for i, mine in enumerate(found):
            rows = range(2 * i, 2 * i + 2)
            assert [h.tokens for h in mine] == [cut(their.sequences[r], ids[i].tolist(), ends) for r in rows]
            np.testing.assert_allclose([h.score for h in mine], their.sequences_scores[list(rows)].numpy(), atol=TOLERANCE, rtol=0)
            tally("beam search, one padded batch of theirs")


class TestWidthOne:
    """transformers' one beam is greedy search; ours follows the rules of the wider beams."""

    @pytest.mark.parametrize("seed", SEEDS)
    @pytest.mark.parametrize("penalty", PENALTIES)
    @pytest.mark.parametrize("stopping", [True, False])
    def test_is_their_greedy_search(self, seed, penalty, stopping, checkpoint, prompts_of, run, theirs_of, cut, tally):
        model = checkpoint(seed)
        ends, prompts = tuple(model.likely[1:3]), prompts_of(seed + 10, model.ours.vocabulary, 2)
        found, _ = run(model.ours, prompts, f"beam(1, length_penalty={penalty}, early_stopping={stopping})", LIMIT, ends)
        for prompt, (mine,) in zip(prompts, found, strict=True):
            their = theirs_of(model, prompt, LIMIT, ends)
            assert mine.tokens == cut(their.sequences[0], prompt, ends)
            total = sum(float(s[0].log_softmax(-1)[t]) for s, t in zip(their.scores, mine.tokens, strict=True))
            assert mine.score == pytest.approx(total / len(mine.tokens) ** penalty, abs=TOLERANCE)
            tally("beam search of width 1")
        tally.difference(
            "one beam",
            "theirs is greedy search, whatever the settings; ours follows the rules of the wider beams, and so may return a better text "
            "that ended earlier",
        )

    @pytest.mark.parametrize("seed", SEEDS)
    @pytest.mark.parametrize("penalty", PENALTIES)
    def test_never_goes_on_past_an_end(self, seed, penalty, checkpoint, prompts_of, run, tally):
        model = checkpoint(seed)
        ends, prompts = tuple(model.likely[1:3]), prompts_of(seed + 20, model.ours.vocabulary, 2)
        found, _ = run(model.ours, prompts, f'beam(1, length_penalty={penalty}, early_stopping="never")', LIMIT, ends)
        for prompt, (mine,) in zip(prompts, found, strict=True):
            score, tokens = one_beam(model.theirs, prompt, ends, penalty)
            assert mine.tokens == tokens
            assert mine.score == pytest.approx(score, abs=TOLERANCE)
            tally("beam search of width 1, written out", reference="definitions")


def one_beam(model, prompt, ends, penalty):
    """One beam with early_stopping "never", written out: the best of what ended on the way."""
    text, total, best = [], 0.0, (-np.inf, [])
    for length in range(1, LIMIT + 1):
        with torch.no_grad():
            row = model(torch.tensor([prompt + text])).logits[0, -1].log_softmax(-1).tolist()
        first = max(range(len(row)), key=row.__getitem__)
        if first in ends or length == LIMIT:
            best = max(best, ((total + row[first]) / length**penalty, [*text, first]))
        going_on = max((t for t in range(len(row)) if t not in ends), key=row.__getitem__)
        text, total = [*text, going_on], total + row[going_on]
        if best[0] >= total / (LIMIT if penalty > 0 else length) ** penalty:
            break
    return best
