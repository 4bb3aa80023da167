"""LangChain's classes against the server: the blocks of docs/recipes.md run, and their answers are what the library says."""

import re
from pathlib import Path

import pytest
from serve.conftest import bundled, started

pytest.importorskip("langchain_openai")

PAGE = Path(__file__).parents[2] / "docs" / "recipes.md"
SAY = "user: Tell me of a king.\nassistant:"


@pytest.fixture(scope="module")
def lm():
    found = bundled()
    found.name = "smollm2"                                               # as the page calls the model that it is about
    return found


@pytest.fixture
def at_a_server(lm, monkeypatch):
    with started(lm) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("OPENAI_API_KEY", "none")
        yield server


def blocks():
    """Those of the page, by what they say in their first call; the first is for OpenAI's own model."""
    section = re.search(r"^## LangChain\n(.*)", PAGE.read_text(encoding="utf-8"), re.M | re.S)[1]
    return re.findall(r"^```py\n(.*?)^```", section, re.M | re.S)


def said_by(block, capsys):
    exec(compile(block, "recipes.md", "exec"), {"__name__": "__main__"})
    return capsys.readouterr().out


def test_the_blocks_of_the_page(at_a_server, lm, capsys):
    there, plain, decoder, chain, completion = blocks()
    assert there.replace("gpt-4o-mini", "smollm2") == plain               # nothing else changes
    texts = [said_by(block, capsys) for block in (plain, decoder, chain, completion)]
    wanted = (
        (SAY, "temperature(0.7) | sample", 40, "\n"),
        (SAY, "no_repeat_ngram(3) | beam(4)", 40, "\n"),
        (SAY, "min_p(0.1) | sample", 40, ""),
        ("Once upon a time", "greedy", 12, "\n"),
    )
    for text, (prompt, how, tokens, end) in zip(texts, wanted, strict=True):
        assert text == lm.generate(prompt, how, max_new_tokens=tokens, seed=7).text + end


def test_log_probabilities_and_usage_arrive(at_a_server, lm):
    from langchain_openai import ChatOpenAI

    answer = ChatOpenAI(model="smollm2", temperature=0, max_completion_tokens=8, logprobs=True, top_logprobs=2).invoke("Tell me of a king.")
    out = lm.generate(SAY, "greedy", max_new_tokens=8)
    assert [token["logprob"] for token in answer.response_metadata["logprobs"]["content"]] == out.best.logprobs
    assert answer.usage_metadata["output_tokens"] == 8
    assert answer.usage_metadata["input_tokens"] == len(out.prompt_tokens)


def test_several_prompts_in_one_call_are_each_by_itself(at_a_server, lm):
    from langchain_openai import ChatOpenAI

    llm = ChatOpenAI(model="smollm2", temperature=0.8, max_completion_tokens=6, seed=3)
    answers = llm.batch(["Tell me of a king.", "Tell me of a dog."])
    for answer, prompt in zip(answers, (SAY, SAY.replace("king", "dog")), strict=True):
        assert answer.content == lm.generate(prompt, "temperature(0.8) | sample", max_new_tokens=6, seed=3).text


def test_what_is_not_served_is_an_error_that_says_so(at_a_server):
    import openai
    from langchain_openai import ChatOpenAI

    tool = {"type": "function", "function": {"name": "now", "parameters": {}}}
    with pytest.raises(openai.BadRequestError, match="there are no tools here"):
        ChatOpenAI(model="smollm2").bind_tools([tool]).invoke("What is the time?")
