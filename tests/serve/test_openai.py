"""The openai client, against a server that is really started: what it reads is what the library says."""

import asyncio
import json
import re

import openai
import pytest

import unspool as un
from unspool.kernels.library import available
from unspool.record.trace import Trace

ONCE = "Once upon a time"
SAY = [{"role": "user", "content": "Tell me of a king."}]


def joined(pieces, chat=False):
    """The texts of a stream by index, and its last reasons."""
    texts, reasons = {}, {}
    for piece in pieces:
        for choice in piece.choices:
            more = choice.delta.content if chat else choice.text
            texts[choice.index] = texts.get(choice.index, "") + (more or "")
            if choice.finish_reason:
                assert choice.index not in reasons
                reasons[choice.index] = choice.finish_reason
    return texts, reasons


def test_models(client):
    assert [model.id for model in client.models.list()] == ["bundled"]
    assert client.models.retrieve("bundled").max_model_len == 512
    with pytest.raises(openai.NotFoundError, match="there is no model 'other'"):
        client.models.retrieve("other")
    with pytest.raises(openai.NotFoundError) as caught:
        client.completions.create(model="gpt-4", prompt=ONCE)
    assert (caught.value.param, caught.value.code) == ("model", "model_not_found")


def test_a_completion_is_what_the_library_says(served, client):
    answer = client.completions.create(model="bundled", prompt=ONCE, max_tokens=12, temperature=0, logprobs=3)
    output = served.lm.generate(ONCE, "greedy", max_new_tokens=12)
    (choice,) = answer.choices
    assert (choice.text, choice.finish_reason) == (output.text, "length")
    assert choice.logprobs.token_logprobs == output.best.logprobs
    assert choice.logprobs.tokens == served.lm.pieces(output.tokens)
    places = zip(choice.logprobs.text_offset, choice.logprobs.tokens, strict=True)
    assert [choice.text[at : at + len(word)] for at, word in places] == choice.logprobs.tokens
    for own, top in zip(choice.logprobs.token_logprobs, choice.logprobs.top_logprobs, strict=True):
        assert len(top) == 3
        assert max(top.values()) == own                                  # to the bit: so lm_eval sees that it is greedy
    prompt = len(output.prompt_tokens)
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (prompt, 12, prompt + 12)
    assert (answer.decoder, answer.object) == ("greedy", "text_completion")


def test_samples_follow_the_seed(served, client):
    how = {"model": "bundled", "prompt": [ONCE, "A dog"], "n": 3, "max_tokens": 8, "temperature": 0.9, "top_p": 0.95, "seed": 7}
    answer = client.completions.create(**how)
    outputs = served.lm.generate([ONCE, "A dog"], "temperature(0.9) | top_p(0.95) | sample(3)", max_new_tokens=8, seed=7)
    assert [choice.index for choice in answer.choices] == [*range(6)]
    assert [choice.text for choice in answer.choices] == [s.text for output in outputs for s in output.sequences]
    assert [choice.text for choice in client.completions.create(**how).choices] == [choice.text for choice in answer.choices]
    drawn = client.completions.create(model="bundled", prompt=ONCE, max_tokens=8)
    again = client.completions.create(model="bundled", prompt=ONCE, max_tokens=8, seed=drawn.seed)
    assert again.choices[0].text == drawn.choices[0].text


def test_best_of_returns_the_best_by_token(served, client):
    answer = client.completions.create(model="bundled", prompt=ONCE, max_tokens=6, n=2, best_of=5, seed=1)
    drawn = served.lm.generate(ONCE, "sample(5)", max_new_tokens=6, seed=1).sequences
    best = sorted(drawn, key=lambda s: -sum(s.logprobs) / len(s.logprobs))[:2]
    assert [choice.text for choice in answer.choices] == [s.text for s in best]


def test_beams_have_log_probabilities(served, client):
    answer = client.completions.create(
        model="bundled", prompt=ONCE, max_tokens=6, n=3, logprobs=2, extra_body={"use_beam_search": True, "length_penalty": 0.5}
    )
    output = served.lm.generate(ONCE, "beam(3, length_penalty=0.5, early_stopping='never', n=3)", max_new_tokens=6)
    assert [choice.text for choice in answer.choices] == [s.text for s in output.sequences]
    assert [choice.logprobs.token_logprobs for choice in answer.choices] == [s.logprobs for s in output.sequences]
    for choice in answer.choices:
        for word, own, top in zip(choice.logprobs.tokens, choice.logprobs.token_logprobs, choice.logprobs.top_logprobs, strict=True):
            assert top[word] == own
            assert len(top) in (2, 3)


@pytest.mark.parametrize("most", [0, 1])
def test_echo_scores_the_prompt_as_lm_eval_asks(served, client, most):
    prompts = [served.lm.tokenizer.encode_prompt(text) for text in ("Once upon a time there was a king", "The cat sat", "It")]
    answer = client.completions.create(
        model="bundled", prompt=prompts, temperature=0, max_tokens=most, logprobs=1, seed=1234, echo=True, stop=["\n"]
    )
    for choice, tokens in zip(sorted(answer.choices, key=lambda c: c.index), prompts, strict=True):
        told = choice.logprobs
        assert len(told.tokens) == len(tokens) + most
        assert (told.token_logprobs[0], told.top_logprobs[0]) == (None, None)
        expected = served.lm.score(tokens[:1], tokens[1:]).logprobs if len(tokens) > 1 else []
        assert told.token_logprobs[1 : len(tokens)] == pytest.approx(expected, abs=1e-5)
        best = [served.lm.generate(tokens[:i], max_new_tokens=1).tokens[0] for i in range(1, len(tokens))]
        for own, top, token, likeliest in zip(told.token_logprobs[1:], told.top_logprobs[1:], tokens[1:], best, strict=False):
            assert (own == max(top.values())) == (token == likeliest)
        text = served.lm.tokenizer.bytes_of
        assert choice.text.startswith(b"".join(map(text, tokens)).decode())
        assert [choice.text[a : a + len(w)] for a, w in zip(told.text_offset, told.tokens, strict=True)] == told.tokens


def test_stops_cut_over_tokens_and_characters(served, client):
    whole = client.completions.create(model="bundled", prompt=ONCE, max_tokens=30, temperature=0).choices[0].text
    for stop in (whole[5:9], [whole[20:22], whole[11:14]]):
        places = [whole.index(s) for s in ([stop] if isinstance(stop, str) else stop)]
        for stream in (False, True):
            answer = client.completions.create(model="bundled", prompt=ONCE, max_tokens=30, temperature=0, stop=stop, stream=stream)
            texts, reasons = joined(answer if stream else [answer])
            assert texts == {0: whole[: min(places)]}
            assert reasons == {0: "stop"}


STREAMED = [
    {"temperature": 0},
    {"n": 3, "seed": 5},
    {"n": 2, "best_of": 4, "seed": 5},
    {"decoder": "beam(4, n=2)"},
    {"decoder": "contrastive_search(4)"},
    {"decoder": "prompt_lookup(4)", "seed": 2},
    {"decoder": "temperature(0.7) | prompt_lookup(4, then=sample(2))", "seed": 3},
    {"use_beam_search": True, "n": 2},
    {"temperature": 0, "echo": True, "stop": ["daughter"]},
    {"temperature": 0, "logit_bias": {"11": -100}},
]


@pytest.mark.parametrize("body", STREAMED, ids=str)
@pytest.mark.parametrize("likely", [None, 2])
def test_a_stream_is_the_answer_in_pieces(served, client, body, likely):
    if body.get("echo") and likely:
        pytest.skip("is refused")
    body = {"model": "bundled", "prompt": [ONCE, "한국의 왕"], "max_tokens": 14, "logprobs": likely, **body}
    whole = served.completion(**body)
    pieces = [*client.completions.create(**{"model": "", "prompt": "", **{k: body[k] for k in ("model", "prompt")}}, stream=True,
                                         stream_options={"include_usage": True},
                                         extra_body={k: v for k, v in body.items() if k not in ("model", "prompt")})]  # fmt: skip
    texts, reasons = joined(pieces)
    assert texts == {choice["index"]: choice["text"] for choice in whole["choices"]}
    assert reasons == {choice["index"]: choice["finish_reason"] for choice in whole["choices"]}
    assert pieces[-1].choices == []
    assert pieces[-1].usage.to_dict() == whole["usage"]
    if likely:
        for choice in whole["choices"]:
            told = [c.logprobs.to_dict() for p in pieces for c in p.choices if c.index == choice["index"] and c.logprobs]
            for name in ("tokens", "token_logprobs", "top_logprobs"):
                assert [one for part in told for one in part[name]] == choice["logprobs"][name]


def test_beams_stream_what_they_agree_on(client):
    pieces = [*client.completions.create(model="bundled", prompt=ONCE, max_tokens=20, stream=True, extra_body={"decoder": "beam(4)"})]
    assert len([piece for piece in pieces if piece.choices[0].text]) > 2


def test_chat(served, client):
    how = {"model": "bundled", "messages": SAY, "max_completion_tokens": 10, "temperature": 0}
    answer = client.chat.completions.create(**how, logprobs=True, top_logprobs=2)
    (choice,) = answer.choices
    output = served.lm.generate(messages=SAY, max_new_tokens=10)
    assert (choice.message.role, choice.message.content) == ("assistant", output.text)
    assert [token.logprob for token in choice.logprobs.content] == output.best.logprobs
    assert b"".join(bytes(token.bytes) for token in choice.logprobs.content).decode() == output.text
    assert all(max(top.logprob for top in token.top_logprobs) == token.logprob for token in choice.logprobs.content)
    assert answer.usage.prompt_tokens == len(output.prompt_tokens)
    pieces = [*client.chat.completions.create(**how, stream=True, stream_options={"include_usage": True})]
    assert pieces[0].choices[0].delta.role == "assistant"
    assert joined(pieces, chat=True) == ({0: output.text}, {0: "length"})
    assert pieces[-1].usage == answer.usage
    parts = [{"role": "user", "content": [{"type": "text", "text": "Tell me "}, {"type": "text", "text": "of a king."}]}]
    assert client.chat.completions.create(**how | {"messages": parts}).choices[0].message.content == output.text


def test_chat_goes_on_until_the_server_says(served):
    status, _, answer = served.send("/v1/chat/completions", {"messages": SAY, "temperature": 0})
    assert status == 200
    assert answer["usage"]["total_tokens"] == served.lm.model.context or answer["choices"][0]["finish_reason"] == "stop"


def test_what_is_structured_is_whole(client):
    age = {"type": "integer", "maximum": 99}
    schema = {"type": "object", "properties": {"age": age}, "required": ["age"], "additionalProperties": False}
    form = {"type": "json_schema", "json_schema": {"name": "person", "schema": schema}}
    answer = client.chat.completions.create(model="bundled", messages=SAY, response_format=form, temperature=0.7, seed=2, max_tokens=60)
    assert json.loads(answer.choices[0].message.content)["age"] <= 99
    answer = client.completions.create(
        model="bundled", prompt=ONCE, max_tokens=20, seed=1, extra_body={"structured_outputs": {"choice": ["a king", "a queen"]}}
    )
    assert answer.choices[0].text in ("a king", "a queen")
    answer = client.completions.create(model="bundled", prompt=ONCE, max_tokens=20, extra_body={"structured_outputs": {"regex": "[ab]{3}"}})
    assert re.fullmatch("[ab]{3}", answer.choices[0].text)


def test_a_decoder_and_its_record(served, client, tmp_path):
    how = {"decoder": "temperature(0.8) | top_k(20) | beam_sample(3)", "trace": True, "stop": ["\n"], "temperature": 0}
    answer = client.completions.create(model="bundled", prompt=ONCE, max_tokens=7, seed=4, extra_body=how)
    expected = served.lm.generate(ONCE, how["decoder"] + " | stop('\\n')", max_new_tokens=7, seed=4, level="choices")
    (tmp_path / "trace").write_text("".join(line + "\n" for line in answer.trace[0]), encoding="utf-8")
    trace = Trace.load(tmp_path / "trace")
    expected.trace.save(tmp_path / "expected")
    assert (tmp_path / "trace").read_text() == (tmp_path / "expected").read_text()
    assert trace.hypotheses[0][0].tokens == expected.tokens
    assert answer.decoder == str(un.parse(how["decoder"] + " | stop('\\n')"))


def test_llama_cpps_settings_are_read_in_its_order(served, client):
    answer = client.completions.create(
        model="bundled", prompt=ONCE, max_tokens=9, temperature=0.7, n=2, seed=3, extra_body={"typical_p": 0.9, "repeat_penalty": 1.2}
    )
    decoder = "repetition_penalty(1.2, window=64) | typical(0.9) | temperature(0.7) | sample(2)"
    assert answer.decoder == decoder
    output = served.lm.generate(ONCE, decoder, max_new_tokens=9, seed=3)
    assert [choice.text for choice in answer.choices] == [s.text for s in output.sequences]


def test_a_setting_without_effect_is_said(served):
    assert any("top_p" in note for note in served.completion(prompt=ONCE, temperature=0, top_p=0.5)["notes"])
    assert "notes" not in served.completion(prompt=ONCE, temperature=0)


@pytest.mark.skipif(not available(), reason="numpy's products depend on their shapes, which a draw beside a border shows")
def test_many_at_once(served):
    async def ask():
        async with served.client(openai.AsyncOpenAI) as client:
            asks = [client.completions.create(model="bundled", prompt=ONCE, max_tokens=10, seed=i, n=1 + i % 3) for i in range(24)]
            return await asyncio.gather(*asks)

    alone = [served.completion(prompt=ONCE, max_tokens=10, seed=i, n=1 + i % 3) for i in range(24)]
    for answer, expected in zip(asyncio.run(ask()), alone, strict=True):
        assert [choice.text for choice in answer.choices] == [choice["text"] for choice in expected["choices"]]


def test_samples_stream_each_by_itself(client):
    pieces = [*client.completions.create(model="bundled", prompt=ONCE, max_tokens=20, n=3, seed=1, stream=True)]
    for index in range(3):
        assert len([1 for piece in pieces for choice in piece.choices if choice.index == index and choice.text]) > 8
