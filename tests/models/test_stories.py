"""stories260K, a real Llama, says what llama2.c and transformers say."""

import json
from pathlib import Path

import pytest

import unspool as un

FOLDER = Path(__file__).parents[1] / "data" / "stories260K"
REFERENCE = "transformers 5.23.0"
GOLDEN = json.loads((FOLDER / "golden.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def stories():
    return un.load(FOLDER)


def test_it_tells_the_published_464_characters(stories):
    out = stories.generate("", max_length=300, end_tokens=(1,))
    assert out.prompt_tokens + out.tokens == GOLDEN["greedy_from_bos"]["ids"]
    published = stories.generate("", max_length=201, end_tokens=(1,))
    assert len(published.text) == 464
    assert published.text == GOLDEN["upstream_expected_text"]
    assert "".join(stories.stream("", max_length=201, end_tokens=(1,)).text()) == published.text


@pytest.mark.parametrize("case", GOLDEN["prompts"], ids=lambda c: c["prompt"][:30])
def test_it_continues_prompts_as_transformers_does(stories, case, tally):
    assert stories.tokens_of(case["prompt"]) == case["ids"]
    table = stories.steps(case["prompt"], n=1, choices=10)
    assert [c.token for c in table[0].choices] == [t["id"] for t in case["top10"]]
    assert [c.probability for c in table[0].choices] == pytest.approx([t["prob"] for t in case["top10"]], abs=1e-5)
    greedy = stories.generate(case["prompt"], max_new_tokens=40)
    assert case["ids"] + greedy.tokens == case["greedy40_ids"]
    assert greedy.logprob == pytest.approx(case["greedy40_sum_logprob_of_new"], abs=1e-3)
    assert case["prompt"] + greedy.text == case["greedy40_text"]
    beams = stories.generate(case["prompt"], un.Beam(4), max_new_tokens=40)
    assert case["ids"] + beams.tokens == case["beam4_40_ids"]
    tally("stories260K: tokens, probabilities, greedy search, beam search")


def test_a_score_continues_the_prompt_without_a_second_space(stories):
    prompt, text = "Once upon a time", ", there was a little girl"
    assert stories.score(prompt, text).tokens == stories.tokens_of(prompt + text)[len(stories.tokens_of(prompt)) :]
    assert stories.score("", prompt).tokens == stories.tokens_of(prompt)[1:]
