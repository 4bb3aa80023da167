"""The numbers and texts of lm_eval's own model for transformers."""

import pytest

pytest.importorskip("lm_eval")

NAMES = ("gpt2", "llama")
NEAR = 1e-4


def responses(results, task):
    """What the model answered for every document."""
    return [sample["resps"] for sample in results["samples"][task]]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("task", ["choices", "shots"])
def test_log_likelihoods_and_greedy_flags(name, task, ours, theirs, evaluated):
    own, other = (evaluated(models[name], task) for models in (ours, theirs))
    count = 0
    for mine, its in zip(responses(own, task), responses(other, task), strict=True):
        for [(logprob, greedy)], [(expected, flag)] in zip(mine, its, strict=True):
            assert float(logprob) == pytest.approx(float(expected), abs=NEAR)
            assert str(greedy) == str(flag)
            count += 1
    assert count == 14
    assert own["results"][task] == other["results"][task]


@pytest.mark.parametrize("name", NAMES)
def test_rolling(name, ours, theirs, evaluated):
    own, other = (evaluated(models[name], "rolling") for models in (ours, theirs))
    for [[mine]], [[its]] in zip(responses(own, "rolling"), responses(other, "rolling"), strict=True):
        assert float(mine) == pytest.approx(float(its), abs=NEAR * abs(float(its)) / 10)
    assert own["results"]["rolling"]["word_perplexity,none"] == pytest.approx(other["results"]["rolling"]["word_perplexity,none"], rel=1e-5)


@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        {"until": ["a"], "max_gen_toks": 60},
        {"repetition_penalty": 1.3, "no_repeat_ngram_size": 2, "max_tokens": 9},
        {"max_gen_toks": 90},                                             # of the prompt only its end is left
    ],
    ids=str,
)
@pytest.mark.parametrize("name", NAMES)
def test_generated(name, kwargs, ours, theirs, evaluated):
    if name == "llama":                                                   # bytes that are no character are written differently there
        kwargs = kwargs | {"suppress_tokens": list(range(3, 259))}
    own, other = (evaluated(models[name], "answers", gen_kwargs=kwargs) for models in (ours, theirs))
    assert responses(own, "answers") == responses(other, "answers")
    assert any(text for [[text]] in responses(own, "answers"))


def test_beams(ours, theirs, evaluated):
    """Without stop strings, by which lm_eval's model ends all beams once the first of each prompt have met one."""
    beams = {"num_beams": 3, "num_return_sequences": 1, "length_penalty": 0.5, "until": []}
    own, other = (evaluated(models["gpt2"], "answers", gen_kwargs=beams) for models in (ours, theirs))
    assert responses(own, "answers") == responses(other, "answers")


@pytest.mark.parametrize("name", NAMES)
def test_a_context_that_is_too_long_loses_its_beginning(name, ours, theirs):
    requests = [asked("the king's cat " * n, " plays") for n in (2, 5, 6, 7, 30)] + [asked("naïve", " cats" * 13)]
    lengths = [len(ours[name].tok_encode("".join(request.args))) for request in requests]
    assert min(lengths) < 96 < max(lengths)
    found, expected = (models[name].loglikelihood(requests, disable_tqdm=True) for models in (ours, theirs))
    assert [value for value, _ in found] == pytest.approx([value for value, _ in expected], abs=NEAR)
    assert [flag for _, flag in found] == [flag for _, flag in expected]


def asked(context, continuation):
    from lm_eval.api.instance import Instance

    return Instance("loglikelihood", {}, (context, continuation), 0, ("task", 0, 1))


@pytest.mark.parametrize("name", NAMES)
def test_an_answer_begins_as_a_text_of_its_own(name, ours, theirs):
    from lm_eval.api.instance import Instance

    tokens = ours[name].lm.tokenizer.encode(" the king")
    request = Instance("generate_until", {}, ("a", {"decoder": f"follow({tuple(tokens)})", "max_gen_toks": 40}), 0, ("task", 0, 1))
    (found,) = ours[name].generate_until([request], disable_tqdm=True)
    assert found == theirs[name].tok_decode(tokens)
    assert found == {"gpt2": " the king", "llama": "the king"}[name]
