"""Field cases of beams, speculation, batches, processors and scores, on tables whose every answer is known."""

import numpy as np
import pytest
from helpers.scripted import DATA, gpt2, liking, saying
from helpers.tables import PROMPTS, Letters, run, table, texts

import unspool as un


@pytest.mark.field("F63")
@pytest.mark.parametrize("penalty", [-1.0, 0.0, 0.5, 1.0, 2.0])
def test_a_score_is_the_sum_of_the_transitions(penalty):
    for seed in range(12):
        for found in run(table(seed), un.Beam(3, length_penalty=penalty, n=3), PROMPTS, 5):
            for text in found:
                assert text.score == pytest.approx(sum(text.processed) / len(text.tokens) ** penalty, abs=1e-5)


@pytest.mark.field("F65")
@pytest.mark.parametrize(("width", "vocabulary"), [(4, 6), (9, 3), (40, 6)])
def test_the_best_texts_are_different_ones(width, vocabulary):
    for seed in range(6):
        model = table(seed, vocabulary, end_tokens=(vocabulary - 1,))
        for found in run(model, un.Beam(width, n=min(width, 4)), [[0], [1, 0]], 4):
            assert len({*texts(found)}) == len(found)


@pytest.mark.field("F67")
def test_a_context_that_ends_inside_a_beam():
    lm = un.LanguageModel(table(2, end_tokens=(), context=24), Letters(specials=()))
    out = lm.generate([1] * 20, "beam(3, n=3)", max_new_tokens=10)
    assert [(len(s.tokens), s.reason) for s in out.sequences] == [(4, "context")] * 3


@pytest.mark.field("F68")
def test_only_the_end_is_possible_and_may_not_come():
    lm = un.LanguageModel(table(), Letters())
    with pytest.raises(un.DeadEnd, match="min_new_tokens") as caught:
        lm.generate([1], "allowed(5) | min_new_tokens(2) | beam(2)")
    assert "allowed" in str(caught.value)


@pytest.mark.field("F69")
@pytest.mark.parametrize("parts", ["", "repetition_penalty(1.5) | ", "no_repeat_ngram(2) | ", "min_new_tokens(3) | ", "forced_end(5) | "])
@pytest.mark.parametrize("stop", ["", " | stop('ab', 'f')", " | token_budget(6)", " | end(2)"])
def test_nothing_comes_after_an_end_inside_an_accepted_block(parts, stop):
    for seed in range(4):
        model, draft = table(seed, sharpness=2.0), table(seed + 9)
        lm = un.LanguageModel(model, Letters())
        for tokens in (1, 3, 6):
            greedy = lm.generate(PROMPTS, f"{parts}greedy{stop}", max_new_tokens=7)
            for other in (draft, model):
                cold = un.parse(f"{parts}temperature(0) | greedy{stop}")
                cold = un.Decoder((*cold.processors, un.Speculative(other, tokens), *cold.stops))
                found = lm.generate(PROMPTS, cold, max_new_tokens=7)
                assert [(o.tokens, o.text, o.best.reason) for o in found] == [(o.tokens, o.text, o.best.reason) for o in greedy]


@pytest.mark.field("F71")
def test_a_draft_with_another_vocabulary():
    with pytest.raises(un.ParameterError, match=r"vocabular|token"):
        run(table(), un.Speculative(table(vocabulary=7)), [[1]], 3)


@pytest.mark.field("F72")
@pytest.mark.parametrize(
    "part", ["repetition_penalty(1.7)", "frequency_penalty(0.8)", "presence_penalty(0.9)", "dry(0.8, 1.75, 1, (5,))", "no_repeat_ngram(2)"]
)
@pytest.mark.parametrize("strategy", ["greedy", "beam(3)", "sample(2)"])
def test_penalties_do_not_see_other_prompts(part, strategy):
    model = table(3, end_tokens=())
    together = run(model, f"{part} | {strategy}", PROMPTS, 6, names=[*"abcd"])
    for i, prompt in enumerate(PROMPTS):
        alone = run(model, f"{part} | {strategy}", [prompt], 6, names=["abcd"[i]])[0]
        assert texts(alone) == texts(together[i])


@pytest.mark.field("F75")
def test_equal_prompts_draw_alike_unless_they_have_names():
    lm = un.LanguageModel(table(1, end_tokens=()), Letters(specials=()))
    one, other = lm.generate([[1, 2], [1, 2]], "sample", max_new_tokens=12, seed=4)
    assert one.tokens == other.tokens
    one, other = lm.generate([[1, 2], [1, 2]], "sample", max_new_tokens=12, seed=4, ids=["a", "b"])
    assert one.tokens != other.tokens


# --- processors -------------------------------------------------------------------------------------------------------------------------


def after(part, scores, tokens=()):
    """A row of scores after a processor."""
    found = un.parse(part).processors
    rows, row = un.Rows.of(np.asarray([list(tokens)], np.int64)), np.asarray([scores], np.float32)
    for one in found:
        row = one.process(rows, row)
    return np.asarray(row)[0]


@pytest.mark.field("F76")
@pytest.mark.parametrize("part", ["top_k(1) | top_p(0.8)", "top_k(2) | top_p(0.6)"])
def test_truncations_together_leave_something(part):
    """After top_k(2) of .5 .3 .2 the first has .625, which is enough."""
    kept = np.isfinite(after(part, np.log([0.5, 0.3, 0.2])))
    assert kept.tolist() == [True, False, False]


@pytest.mark.field("F78", "F82")
@pytest.mark.parametrize("tokens", [[0, 1, 2], [0, 0, 1, 2, 1, 0, 2]])
def test_a_penalty_lowers_negative_scores_and_counts_once(tokens):
    assert after("repetition_penalty(2.0)", [2.0, -2.0, 0.0, 3.0], tokens).tolist() == [1.0, -4.0, 0.0, 3.0]


@pytest.mark.field("F83")
def test_numbers_beyond_float32():
    """Their limit, or a refusal; never a dead end."""
    lm = un.LanguageModel(table(2, end_tokens=()), Letters(specials=()))
    greedy = lm.generate([1], max_new_tokens=5).tokens
    for t in ("1e-300", "1e-45", "1e-40"):
        assert lm.generate([1], f"temperature({t}) | sample", max_new_tokens=5).tokens == greedy
    for strategy in ("greedy", "sample", "beam(2)"):
        assert lm.generate([1], un.Bias({2: 3e38}) | un.parse(strategy), max_new_tokens=3).tokens == [2, 2, 2]
        assert lm.generate([1], un.Bias({2: 2e38, (2,): 2e38}) | un.parse(strategy), max_new_tokens=3).tokens == [2, 2, 2]
    for amount in (1e39, -1e39, 1e300):
        with pytest.raises(un.ParameterError, match="float32"):
            un.Bias({2: amount})


# --- scores -----------------------------------------------------------------------------------------------------------------------------


@pytest.mark.field("F85")
def test_the_last_token_of_a_text_is_scored():
    probability = 0.25
    lm = liking(gpt2(), {gpt2().encode(" 4")[0]: probability, 13: 1 - probability})
    found = lm.score("2 + 2 =", " 4")
    assert found.tokens == gpt2().encode(" 4")
    assert found.logprob == pytest.approx(np.log(probability), abs=1e-3)
    several = lm.score("2 + 2 =", " 4. 4")
    assert several.logprob == pytest.approx(np.log([0.25, 0.75, 0.25]).sum(), abs=1e-3)


@pytest.mark.field("F87")
def test_an_empty_context_begins_with_the_start_token():
    lm = un.load(DATA / "stories260K")
    assert lm.score("", "Once upon").logprob == pytest.approx(lm.score([lm.model.start], lm.tokens_of("Once upon")[1:]).logprob, abs=1e-5)
    with pytest.raises(un.PromptError, match="start"):
        saying(gpt2(), "a").score("", "a")
