"""Requests that were right and were broken by chance: whatever is sent, the answer comes soon and is no failure of the server."""

import json
import random
from http.client import HTTPConnection

from serve.test_beside import MIXED
from serve.test_refused import is_error

MESSAGES = [{"role": "user", "content": "Tell me of a king."}]
SMALL = [{"prompt": "Once upon a time", "seed": 0, **body, "max_tokens": min(4, body.get("max_tokens", 4))} for body in MIXED]
VALID = [
    *(("/v1/completions", body) for body in SMALL),
    ("/v1/chat/completions", {"messages": MESSAGES, "max_tokens": 3, "temperature": 0.5, "logprobs": True, "top_logprobs": 2}),
    ("/v1/chat/completions", {"messages": MESSAGES, "max_tokens": 3, "stream": True, "stream_options": {"include_usage": True}}),
    ("/tokenize", {"prompt": "Once", "return_token_strs": True}),
    ("/detokenize", {"tokens": [11, 12, 13]}),
]
STRANGE = [None, True, -1, 0, 1.5, 1e39, 2**70, "", "x", "\ud800", [], [[]], [None], {}, {"a": {}}, "(" * 400, [1] * 700]
SECONDS = 20
"""An answer that takes longer hangs."""


def changed(rng, value):
    """A value with one thing in it, somewhere, made another."""
    if isinstance(value, dict) and value and rng.random() < 0.8:
        key = rng.choice([*value])
        kind = rng.randrange(4)
        rest = {k: v for k, v in value.items() if k != key}
        if kind == 0:
            return rest
        if kind == 1:
            return {**rest, key[: rng.randrange(len(key))] + rng.choice("x_ \n") + key[rng.randrange(len(key)) :]: value[key]}
        return {**rest, key: changed(rng, value[key])}
    if isinstance(value, list) and value and rng.random() < 0.7:
        at = rng.randrange(len(value))
        return [*value[:at], changed(rng, value[at]), *value[at + 1 :]]
    if isinstance(value, str) and value and rng.random() < 0.5:
        at = rng.randrange(len(value))
        return value[:at] + rng.choice(["(", ")", "|", "'", ",", "\0", "9" * 30, "한"]) + value[at + rng.randrange(2) :]
    return rng.choice(STRANGE)


def broken(rng, body):
    """The bytes of a body that something was done to."""
    for _ in range(rng.randrange(1, 4)):
        body = changed(rng, body)
    data = bytearray(json.dumps(body).encode())
    if rng.random() < 0.3 and data:
        at = rng.randrange(len(data))
        data[at : at + rng.randrange(3)] = rng.choice([b"", b"\xff", b"{", b'"', b"]", b"1e999", b"NaN"])
    return bytes(data)


def sent(port, path, data):
    """Status and text of an answer, within the time."""
    connection = HTTPConnection("127.0.0.1", port, timeout=SECONDS)
    try:
        connection.request("POST", path, data, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def test_200_malformed_requests_are_answered_and_none_is_the_servers_fault(served):
    rng, refused, tried = random.Random(15), 0, 0
    while refused < 200:
        tried += 1
        assert tried < 1000, "too few of them are malformed"
        path, body = VALID[rng.randrange(len(VALID))]
        data = broken(rng, body)
        status, text = sent(served.port, path, data)
        assert status < 500, (path, data, text)
        assert "server_error" not in text, (path, data, text)            # nor within a stream, whose status is 200
        if status != 200:
            refused += 1
            assert is_error(json.loads(text)), text
    assert served.send("/health", method="GET")[0] == 200
    served.until(served.idle)
    assert served.server.together.held == 0
