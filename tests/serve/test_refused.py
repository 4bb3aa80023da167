"""What cannot be served: said in OpenAI's shape, by name, and never as a failure of the server."""

import itertools

import pytest

from unspool.serve.fields import DECODER_SETTINGS, IDLE, NOT_SERVED, READ

NO = object()
STRANGE = ["x", "", 1.5, -1, 10**30, True, [], {}, ["x"], [None], {"a": 1}, [[]], "\ud800", [[1.5]], {"type": "x"}, 1e308, -(2**70)]
FIELDS = sorted({field.name for field in READ} | {*IDLE} | {*NOT_SERVED} | DECODER_SETTINGS["vllm"] | DECODER_SETTINGS["llama.cpp"])
SMALL = {"prompt": "A", "max_tokens": 1}


def is_error(answer):
    error = answer["error"]
    return error.keys() == {"message", "type", "param", "code"} and isinstance(error["message"], str) and len(error["message"]) > 10


def strange_bodies():
    """Every field with some strange values: some of these are right, and none may break anything."""
    for i, name in enumerate(FIELDS):
        for value in itertools.islice(itertools.cycle(STRANGE), 3 * i, 3 * i + 5):
            yield name, value


def test_no_strange_value_of_a_field_breaks_the_server(served):
    bodies = [*strange_bodies()]
    assert len(bodies) > 500
    refused = 0
    for name, value in bodies:
        for path, body in (("/v1/completions", {**SMALL, name: value}),):
            status, _, answer = served.send(path, body)
            assert status in (200, 400, 404), (name, value, answer)
            if status != 200:
                refused += 1
                assert is_error(answer), answer
    assert refused > 200
    assert served.send("/health", method="GET")[0] == 200


MALFORMED = [
    b"", b"{", b"[]", b"null", b"3", b'"text"', b"\xff\xfe", b'{"prompt": NaN}', b'{"prompt": Infinity}', b"{}", b'{"prompt": null}',
    b"[" * 100_000, b'{"prompt": ' + b"[" * 5000 + b"]" * 5000 + b"}", b'{"max_tokens": ' + b"9" * 5000 + b"}",
    b'{"prompt": "A", "prompt": 3}', b'{"prompt": []}', b'{"prompt": [1, "a"]}', b'{"prompt": [-1]}',
    b'{"prompt": [99999999]}', b'{"prompt": [1.5]}', b'{"prompt": {"a": 1}}', b'{"prompt": [null]}', b'{"prompt": "A", "decoder": ""}',
    b'{"prompt": "A", "decoder": "nothing"}', b'{"prompt": "A", "decoder": "beam(1000000)"}',
    b'{"prompt": "A", "decoder": "__import__(\'os\')"}', b'{"prompt": "A", "decoder": "sample(1) | sample(1)"}',
    b'{"prompt": "A", "response_format": {"type": "json_schema"}}', b'{"prompt": "A", "response_format": {"type": "xml"}}',
    b'{"prompt": "A", "response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "nothing"}}}}',
    b'{"prompt": "A", "structured_outputs": {"regex": "("}}', b'{"prompt": "A", "structured_outputs": {"grammar": "x"}}',
    b'{"prompt": "A", "logit_bias": {"99999999": 1}}', b'{"prompt": "A", "logit_bias": {"a": 1}}',
    b'{"prompt": "A", "logit_bias": {"1": "x"}}', b'{"prompt": "A", "stop": [""]}', b'{"prompt": "A", "stop": 3}',
    b'{"prompt": "A", "n": 65}', b'{"prompt": "A", "n": 0}', b'{"prompt": "A", "best_of": 2, "n": 3}',
    b'{"prompt": "A", "temperature": 0, "n": 2}', b'{"prompt": "A", "temperature": -1}', b'{"prompt": "A", "temperature": "hot"}',
    b'{"prompt": "A", "stream_options": {}}', b'{"prompt": "A", "stream": true, "stream_options": {"x": true}}',
    b'{"prompt": "A", "max_tokens": 0}', b'{"prompt": "A", "max_tokens": 513}', b'{"prompt": "A", "logprobs": 1001}',
    b'{"prompt": "A", "decoder": "greedy", "top_p": 0.5}', b'{"prompt": "A", "stream": true, "trace": true}',
    b'{"prompt": "A", "samplers": ["nothing"], "dry_multiplier": 1}', b'{"prompt": "A", "messages": []}',
    b'{"prompt": "A", "mirostat": 7}', b'{"prompt": "A", "allowed_token_ids": ["x"]}', b'{"prompt": "A", "min_tokens": "x"}',
]  # fmt: skip


@pytest.mark.parametrize("raw", MALFORMED, ids=range(len(MALFORMED)))
def test_a_malformed_request_is_the_clients_fault(served, raw):
    status, _, answer = served.send("/v1/completions", raw=raw)
    assert status == 400, answer
    assert is_error(answer)


MALFORMED_CHATS = [
    {}, {"messages": None}, {"messages": []}, {"messages": "hello"}, {"messages": [3]}, {"messages": [{}]},
    {"messages": [{"role": "user"}]},
    {"messages": [{"role": 3, "content": "x"}]}, {"messages": [{"role": "user", "content": 3}]},
    {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}]}]},
    {"messages": [{"role": "user", "content": ["x"]}]}, {"prompt": "A"}, {"tools": [{"type": "function"}]}, {"top_logprobs": 2},
    {"logprobs": 3}, {"echo": True}, {"suffix": "x"}, {"max_tokens": 3, "max_completion_tokens": 4}, {"chat_template": "{{ 1 }}"},
    {"chat_template_kwargs": {"strange": 1}}, {"reasoning_effort": "high"}, {"best_of": 2},
]  # fmt: skip


@pytest.mark.parametrize("body", MALFORMED_CHATS, ids=range(len(MALFORMED_CHATS)))
def test_a_malformed_chat_is_the_clients_fault(served, body):
    said = [{"role": "user", "content": "hello"}]
    status, _, answer = served.send("/v1/chat/completions", body if not body or "messages" in body else {"messages": said, **body})
    assert status == 400, answer
    assert is_error(answer)


@pytest.mark.parametrize(
    ("name", "meant"),
    [("temprature", "temperature"), ("max_token", "max_tokens"), ("topp", "top_p"), ("stop_words", NO), ("deocder", "decoder")],
)
def test_an_unknown_field_is_refused_with_the_nearest(served, name, meant):
    status, _, answer = served.send("/v1/completions", {**SMALL, name: 1})
    assert (status, answer["error"]["param"], answer["error"]["code"]) == (400, name, "unknown_field")
    assert meant is NO or f"did you mean {meant}" in answer["error"]["message"]


@pytest.mark.parametrize("name", sorted(NOT_SERVED))
def test_what_is_not_served_is_refused_by_name_unless_it_says_nothing(served, name):
    for off in (None, *NOT_SERVED[name].off):
        assert served.send("/v1/completions", {**SMALL, name: off})[0] == 200, (name, off)
    status, _, answer = served.send("/v1/completions", {**SMALL, name: "something"})
    assert (status, answer["error"]["param"]) == (400, name)
    assert name in answer["error"]["message"]


def test_requests_of_other_kinds(served):
    assert served.send("/v1/completions", SMALL, headers={"Content-Type": "text/plain"})[0] == 415
    assert served.send("/v1/completions", method="GET")[0] == 405
    status, _, answer = served.send("/v1/embeddings", SMALL)
    assert (status, "/v1/completions" in answer["error"]["message"]) == (404, True)
    for host in ("evil.example", "127.0.0.1.evil.example:80", "[", "[::", "::::", "a b", "localhost:x", ""):
        assert served.send("/health", method="GET", headers={"Host": host})[0] == 403, host
    assert served.send("/health", method="GET", headers={"Host": "LOCALHOST:80"})[0] == 200
    status, _, answer = served.send("/v1/completions", {"\ud800": "\ud800"})
    assert (status, answer["error"]["param"]) == (400, "\ud800")
    for path, body in (("/tokenize", {}), ("/tokenize", {"prompt": 3}), ("/tokenize", {"promt": "x"}), ("/detokenize", {"tokens": [-1]})):
        status, _, answer = served.send(path, body)
        assert (status, is_error(answer)) == (400, True)


def test_words(served):
    lm = served.lm
    _, _, answer = served.send("/tokenize", {"prompt": "Once upon 한", "return_token_strs": True})
    assert answer["tokens"] == lm.tokenizer.encode_prompt("Once upon 한")
    assert (answer["count"], answer["max_model_len"]) == (len(answer["tokens"]), lm.model.context)
    assert "".join(answer["token_strs"]) == "Once upon 한"
    assert served.send("/detokenize", {"tokens": answer["tokens"]})[2] == {"prompt": "Once upon 한"}
    assert served.send("/tokenize", {"messages": [{"role": "user", "content": "x"}]})[2]["count"] > 3
    info = served.send("/tokenizer_info", method="GET")[2]
    assert info["chat_template"] == lm.chat.text
    assert info["eos_token"] == lm.tokenizer.name_of(lm.model.end_tokens[0])


UNASKED = {
    "temperature": 1, "top_p": 1, "top_k": -1, "min_p": 0, "frequency_penalty": 0, "presence_penalty": 0, "repetition_penalty": 1,
    "repeat_penalty": 1.0, "typical_p": 1, "mirostat": 0, "logit_bias": {}, "n": 1, "best_of": 1, "use_beam_search": False, "min_tokens": 0,
    "response_format": {"type": "text"},
}  # fmt: skip


def test_beside_a_decoder_what_switches_a_setting_off_says_nothing(served):
    body = {**SMALL, "decoder": "top_k(3) | sample", "seed": 4}
    assert served.completion(**body, **UNASKED)["choices"] == served.completion(**body)["choices"]
    on = {"top_p": 0.9, "min_p": 0.1, "frequency_penalty": 1, "min_keep": 3, "length_penalty": 2, "logit_bias": {"5": 1}, "n": 2}
    on |= {"response_format": {"type": "json_object"}}
    for name, value in on.items():
        status, _, answer = served.send("/v1/completions", {**body, **UNASKED, name: value})
        assert (status, answer["error"]["param"]) == (400, name)
