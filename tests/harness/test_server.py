"""lm_eval's clients of OpenAI's API against the server: what they measure is what the model in this process measures."""

import pytest

pytest.importorskip("lm_eval")
pytest.importorskip("aiohttp")
pytest.importorskip("tenacity")

from harness.test_parity import responses
from serve.conftest import started

import unspool as un


@pytest.fixture(scope="module")
def server(folders):
    with started(un.load(folders["gpt2"])) as found:
        yield found


@pytest.fixture
def completions(server, folders):
    """The client by its settings."""
    from lm_eval.models.openai_completions import LocalCompletionsAPI

    def make(**more):
        return LocalCompletionsAPI(f"{server.url}/completions", model=server.lm.name, max_length=96, max_retries=1, **more)

    return make


@pytest.mark.parametrize("how", ["ids", "texts", "remote"])
def test_log_likelihoods(how, completions, ours, evaluated, folders):
    more = {
        "ids": {"tokenizer_backend": "huggingface", "tokenizer": str(folders["gpt2"]), "batch_size": 3},
        "texts": {"tokenizer_backend": "huggingface", "tokenizer": str(folders["gpt2"]), "tokenized_requests": False},
        "remote": {"tokenizer_backend": "remote"},
    }[how]
    own, other = (evaluated(model, "shots") for model in (ours["gpt2"], completions(**more)))
    for mine, its in zip(responses(own, "shots"), responses(other, "shots"), strict=True):
        for [(logprob, greedy)], [(expected, flag)] in zip(mine, its, strict=True):
            assert float(logprob) == pytest.approx(float(expected), abs=1e-4)
            assert str(greedy) == str(flag)
    assert own["results"]["shots"] == other["results"]["shots"]


def test_rolling(completions, ours, evaluated, folders):
    client = completions(tokenizer_backend="huggingface", tokenizer=str(folders["gpt2"]))
    own, other = (evaluated(model, "rolling")["results"]["rolling"] for model in (ours["gpt2"], client))
    assert own["bits_per_byte,none"] == pytest.approx(other["bits_per_byte,none"], rel=0.05)


@pytest.mark.parametrize("kwargs", [{}, {"decoder": "no_repeat_ngram(2) | beam(3)"}], ids=str)
def test_generated(kwargs, completions, ours, evaluated, folders):
    client = completions(tokenizer_backend="huggingface", tokenizer=str(folders["gpt2"]), num_concurrent=4)
    own, other = (evaluated(model, "answers", gen_kwargs=kwargs) for model in (ours["gpt2"], client))
    assert responses(own, "answers") == responses(other, "answers")


def test_chat(server, ours, evaluated):
    from lm_eval.models.openai_completions import LocalChatCompletion

    client = LocalChatCompletion(f"{server.url}/chat/completions", model=server.lm.name, max_retries=1)
    own, other = (evaluated(model, "answers", apply_chat_template=True) for model in (ours["gpt2"], client))
    assert responses(own, "answers") == responses(other, "answers")
