"""What the server allows: rows, a queue, tokens, time, bytes, keys; and what becomes of clients that go away."""

import json
import socket
import struct
import threading
import time

import openai
import pytest
from serve.conftest import bundled, started

from unspool.serve.settings import Settings

LONG = {"prompt": "Once upon a time", "max_tokens": 400, "ignore_eos": True, "seed": 1}


def opened(served, body):
    """A request that was sent, and whose answer nobody has read."""
    data = json.dumps(body).encode()
    connection = socket.create_connection(("127.0.0.1", served.port))
    head = f"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
    connection.sendall(head.encode() + data)
    return connection


def slow(monkeypatch, served, seconds):
    """Let every round take a while, so that what is at work stays at work; the rounds so far."""
    turn, rounds = served.server.engine.batch.round, []

    def late(now):
        time.sleep(seconds)
        rounds.append(now)
        return turn(now)

    monkeypatch.setattr(served.server.engine.batch, "round", late)
    return rounds


def no_rows(served):
    return not served.server.engine.batch.busy and not any(joint.parts for joint in served.server.together.joint.values())


@pytest.mark.parametrize("body", [{}, {"stream": True}, {"n": 8}, {"decoder": "beam(6)"}, {"stream": True, "decoder": "beam(6)"}], ids=str)
def test_a_client_that_goes_away_frees_its_rows(served, body, monkeypatch):
    served.until(served.idle)
    rounds = slow(monkeypatch, served, 0.02)
    connection = opened(served, {**LONG, **body})
    served.until(lambda: served.server.engine.batch.work)
    connection.close()
    served.until(lambda: no_rows(served))
    assert len(rounds) < LONG["max_tokens"] / 2
    served.completion(prompt="A", max_tokens=1)                          # the next forward frees what was kept
    served.until(served.idle)
    for joint in served.server.together.joint.values():
        joint.sweep(at_once=True)
    assert served.server.together.rows == 0


def killed(connection):
    """Close a connection as the system does for a program that was killed."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


@pytest.mark.parametrize("body", [{}, {"n": 8}, {"decoder": "beam(6)"}, {"structured_outputs": {"regex": "[a-z ]+"}}], ids=str)
def test_a_client_that_is_killed_in_its_stream_frees_its_rows_within_a_step(served, body, monkeypatch):
    served.until(served.idle)
    rounds = slow(monkeypatch, served, 0.1)
    connection = opened(served, {**LONG, **body, "stream": True})
    seen = b""
    while seen.count(b"data: ") < 3:
        seen += connection.recv(4096)
    assert served.server.together.held
    killed(connection)
    before = len(rounds)
    served.until(lambda: no_rows(served))
    assert served.server.together.held == 0
    assert len(rounds) - before <= 2                                     # the one at work as it was killed, and the one that drops it


def test_of_clients_that_are_killed_the_others_do_not_hear(served):
    expected = served.completion(**{**LONG, "max_tokens": 60})
    connections = [opened(served, {**LONG, "stream": i % 2 == 0, "n": 2}) for i in range(12)]
    found = []
    thread = threading.Thread(target=lambda: found.append(served.completion(**{**LONG, "max_tokens": 60})))
    thread.start()
    for connection in connections:
        connection.close()
    thread.join()
    assert found == [expected]
    served.until(lambda: no_rows(served))


def test_a_full_queue_is_said_with_when_to_come_again(monkeypatch):
    with started(bundled(), Settings(rows=2, queue=2)) as served:
        slow(monkeypatch, served, 0.05)
        held = [opened(served, {**LONG, "n": 2}) for _ in range(3)]
        served.until(lambda: len(served.server.engine.waiting) == 2)
        served.until(lambda: len(served.server.engine.batch.work) == 1)
        status, headers, answer = served.send("/v1/completions", LONG)
        assert (status, headers["Retry-After"], answer["error"]["code"]) == (429, "1", "queue_full")
        with pytest.raises(openai.RateLimitError), served.client() as client:
            client.completions.create(model="bundled", prompt="A")
        for connection in held:
            connection.close()
        served.until(lambda: no_rows(served) and not served.server.engine.waiting)
        assert served.send("/v1/completions", {"prompt": "A"})[0] == 200
        status, _, answer = served.send("/v1/completions", {"prompt": "A", "n": 3})
        assert (status, "allows 2" in answer["error"]["message"]) == (400, True)


def test_rows_that_find_no_room_wait_in_their_order(monkeypatch):
    with started(bundled(), Settings(rows=4)) as served:
        slow(monkeypatch, served, 0.02)
        engine, begun, most, threads = served.server.engine, [], [], []
        add = engine.batch.add

        def watched(work):
            add(work)
            begun.append(work.stream.recipe["seed"])
            most.append(engine.batch.rows)

        monkeypatch.setattr(engine.batch, "add", watched)
        for i in range(6):
            threads.append(threading.Thread(target=served.send, args=("/v1/completions", {**LONG, "max_tokens": 9, "n": 3, "seed": i})))
            threads[-1].start()
            served.until(lambda i=i: len(begun) + len(engine.waiting) > i)
        for thread in threads:
            thread.join()
        assert begun == [*range(6)]
        assert max(most) <= 4


def test_time_tokens_and_bytes_are_bounded():
    with started(bundled(), Settings(seconds=0.25, tokens=450, body=2000)) as served:
        whole = served.send("/v1/completions", {**LONG, "max_tokens": 450, "n": 40})[2]
        assert {choice["reason"] for choice in whole["choices"]} == {"interrupted"}
        assert {choice["finish_reason"] for choice in whole["choices"]} == {"length"}
        status, _, answer = served.send("/v1/completions", {**LONG, "max_tokens": 451})
        assert (status, "at most 450" in answer["error"]["message"]) == (400, True)
        status, _, answer = served.send("/v1/completions", {**LONG, "prompt": "x" * 2000})
        assert (status, "2000 bytes" in answer["error"]["message"]) == (413, True)
        assert served.send("/v1/completions", {"prompt": "A"})[0] == 200


def test_a_request_whose_time_is_over_before_its_first_token_is_said_so():
    with started(bundled(), Settings(seconds=1e-6)) as served:
        for more in ({}, {"echo": True, "logprobs": 1, "max_tokens": 0}):
            status, _, answer = served.send("/v1/completions", {**LONG, **more})
            assert (status, answer["error"]["code"]) == (408, "time_limit")


def test_a_key_is_asked_for():
    with started(bundled(), Settings(key="sesame", local=False)) as served:
        for headers in ({}, {"Authorization": "Bearer other"}, {"Authorization": "sesame"}):
            status, _, answer = served.send("/v1/models", method="GET", headers=headers)
            assert (status, answer["error"]["code"]) == (401, "invalid_api_key")
        assert served.send("/health", method="GET")[0] == 200
        with served.client(api_key="sesame") as client:
            assert client.models.retrieve("bundled").id == "bundled"
        with pytest.raises(openai.AuthenticationError), served.client(api_key="other") as client:
            client.models.list()


def test_a_server_that_stops_lets_what_is_at_work_end():
    found = []
    with started(bundled(), Settings(grace=20)) as served:
        thread = threading.Thread(target=lambda: found.append(served.completion(**{**LONG, "max_tokens": 200})))
        thread.start()
        served.until(lambda: served.server.engine.batch.work)
    thread.join(300)
    assert found[0]["usage"]["completion_tokens"] == 200


def test_what_does_not_end_in_time_is_broken_off():
    with started(bundled(), Settings(grace=0.0)) as served:
        engine = served.server.engine
        found = []
        thread = threading.Thread(target=lambda: found.append(served.send("/v1/completions", {**LONG, "n": 40})[2]))
        thread.start()
        served.until(lambda: engine.batch.tokens > 100)
        engine.stop(0.0)
        thread.join(300)
        assert {choice["reason"] for choice in found[0]["choices"]} == {"interrupted"}
        status, headers, _ = served.send("/v1/completions", {"prompt": "A"})
        assert (status, headers["Retry-After"]) == (503, "1")
        assert served.send("/health", method="GET")[0] == 503


def test_what_still_waits_when_the_server_is_stopped_is_told_so():
    """Not that a time limit came: another server would have answered."""
    found = []
    with started(bundled(), Settings(grace=0.0, rows=1)) as served:
        engine = served.server.engine
        send = lambda body: found.append((body["seed"], served.send("/v1/completions", body)))  # noqa: E731
        threads = [threading.Thread(target=send, args=({**LONG, "seed": seed},)) for seed in range(4)]
        threads[0].start()
        served.until(lambda: engine.batch.tokens > 20)
        for thread in threads[1:]:
            thread.start()
        served.until(lambda: len(engine.waiting) == 3)
        engine.stop(0.0)
        for thread in threads:
            thread.join(300)
        first, *others = [answer for _, answer in sorted(found, key=lambda one: one[0])]
        assert (first[0], first[2]["choices"][0]["reason"]) == (200, "interrupted")
        for status, headers, answer in others:
            assert (status, headers["Retry-After"], answer["error"]["code"]) == (503, "1", "stopping")
        assert served.idle()


@pytest.mark.parametrize("stream", [False, True])
def test_what_is_at_work_when_the_server_is_stopped_is_answered(stream):
    """Also where nothing but the signal tells of it, and the answer is streamed."""
    body, found = {**LONG, "decoder": "beam(48)", "stream": stream}, []
    with started(bundled(), Settings(grace=0.5)) as served:
        thread = threading.Thread(target=lambda: found.append(served.send("/v1/completions", body)))
        thread.start()
        served.until(lambda: served.server.engine.batch.tokens > 100)
    thread.join(300)
    (status, _, answer), = found
    last = json.loads(answer.split("data: ")[-2]) if stream else answer
    assert (status, last["choices"][0]["reason"]) == (200, "interrupted")


def test_metrics(served):
    served.completion(prompt="A", max_tokens=3, ignore_eos=True, temperature=0)
    status, _, text = served.send("/metrics", method="GET")
    assert status == 200
    for name in ("unspool_requests_total{", "unspool_generated_tokens_total", "unspool_forward_rows_bucket", "_requests_waiting 0.0"):
        assert name in text
