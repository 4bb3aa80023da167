"""Every setting has a range: a value at its edge is taken, one beyond it is a 400 that names field, value and range."""

import json

import pytest

from unspool.serve.fields import DECODER_SETTINGS, READ
from unspool.serve.ranges import TAKES

SMALL = {"prompt": "A", "max_tokens": 2, "seed": 0}
SCHEMA = {"type": "object"}
EDGES = {
    "adaptive_decay": ([0, 0.99], [-0.1, 1]),
    "adaptive_target": ([-1, 1], [1.1, "x"]),
    "allowed_token_ids": ([[0], [4095]], [[], [4096], [-1], ["x"], 3, [1.0]]),
    "bad_words": ([[], ["x"]], ["x", [""], [3]]),
    "dry_allowed_length": ([1], [0, 1.5]),
    "dry_base": ([1], [0.9]),
    "dry_multiplier": ([0, 2], [-0.1, True]),
    "dry_penalty_last_n": ([-1, 0], [-2]),
    "dry_sequence_breakers": ([[], ["."]], ["x", [""]]),
    "dynatemp_exponent": ([0.1], [0]),
    "dynatemp_range": ([0, 1], [-0.1]),
    "frequency_penalty": ([-2, 2], [-2.1, 2.1, "x"]),
    "ignore_eos": ([True, False], [0, "x", []]),
    "json_schema": ([SCHEMA], [3, "x", {"type": "nothing"}]),
    "length_penalty": ([-1, 2], ["x", 1e308]),
    "logit_bias": (
        [{}, {"0": -100}, {"4095": 100}, [[1, 2.5]], [["a", False]]],
        [{"0": 100.1}, {"4096": 1}, {"a": 1}, {"0": "x"}, {"0": None}, [[1, 2, 3]], [[1, None]], [3], "x", [[4096, 1]]],
    ),
    "min_keep": ([0, 3], [-1]),
    "min_p": ([0, 1], [-0.1, 1.1]),
    "min_tokens": ([0, 2], [-1, 3, 1.5]),
    "mirostat": ([0, 1, 2], [3, 1.0, True]),
    "mirostat_eta": ([0], [-0.1]),
    "mirostat_tau": ([0.1], [0]),
    "n": ([1], [0, 1.5, True, 65]),
    "presence_penalty": ([-2, 2], [-2.1, 2.1]),
    "reasoning_budget": ([-1, 0], [-2, "x"]),
    "reasoning_budget_message": (["x"], [3]),
    "repeat_last_n": ([-1, 0], [-2]),
    "repeat_penalty": ([0.1], [0, -1]),
    "repetition_detection": (
        [{}, {"max_pattern_size": 2, "min_count": 2}],
        [3, {"x": 1}, {"max_pattern_size": 2}, {"max_pattern_size": 2, "min_count": 1}, {"max_pattern_size": -1}],
    ),
    "repetition_penalty": ([0.1], [0, -1]),
    "response_format": (
        [{"type": "text"}, {"type": "json_object"}, {"type": "json_schema", "json_schema": {"schema": SCHEMA, "strict": True}}],
        [
            3,
            {},
            {"type": None},
            {"type": "xml"},
            {"type": "text", "x": 1},
            {"type": "json_schema"},
            {"type": "json_schema", "json_schema": 3},
            {"type": "json_schema", "json_schema": {"schema": 3}},
            {"type": "json_schema", "json_schema": {"schema": SCHEMA, "strikt": True}},
            {"type": "json_schema", "json_schema": {"schema": {"type": "nothing"}}},
        ],
    ),
    "samplers": ([["top_k"], "top_k;temperature"], [3, ["nothing"], [3]]),
    "stop": ([[], "x", ["x", "y"]], [3, "", [""], [3], {"a": 1}]),
    "stop_token_ids": ([[], [4095]], [[4096], ["x"], 3]),
    "structured_outputs": (
        [{}, {"choice": ["a"]}, {"regex": "a+"}, {"json": {"type": "object"}}],
        [3, {"x": 1}, {"choice": []}, {"choice": 3}, {"choice": [3]}, {"regex": 3}, {"regex": "("}, {"json": 3}, {"grammar": "x"}],
    ),
    "temperature": ([0, 2], [-0.1, "hot", 1e308]),
    "thinking_budget_tokens": ([-1, 0], [-2]),
    "thinking_token_budget": ([-1, 0], [-2]),
    "top_k": ([-1, 0, 1], [-2, -5, 1.5]),
    "top_n_sigma": ([-1, 0, 1], [-2, -0.5]),
    "top_p": ([0, 1], [2, -0.1]),
    "typical_p": ([0, 1], [2, -0.1]),
    "use_beam_search": ([True, False], [3, "x"]),
    "xtc_probability": ([0, 1], [2, -0.1]),
    "xtc_threshold": ([0, 1], [2, -0.1]),
}
READ_EDGES = {
    "seed": ([-(2**63), -1, 0, 2**64 - 1], [-(2**63) - 1, 2**64, 1.5, "x"]),
    "max_tokens": ([1, 512], [-1, 513, 1.5]),
    "best_of": ([1, 2], [0, 65, 1.5]),
    "logprobs": ([0, 1000], [-1, 1001, "x", 1.5]),
    "prompt": (["", [0], [[0], "x"], [[]]], [3, [], [4096], [-1], [1.5], [[1], [4096]], ["a", 3], [None], {"a": 1}, "x" * 5000]),
    "decoder": (["greedy", "allowed(3)"], [3, "", "nothing", "top_p(2)", "allowed(4096)", "beam(0)", "beam(100)", "(" * 3000]),
    "model": (["bundled", ""], [3]),
    "user": (["x"], [3]),
    "metadata": ([{}], [3]),
}


def test_every_setting_has_a_range_and_its_edges_here():
    names = DECODER_SETTINGS["vllm"] | DECODER_SETTINGS["llama.cpp"]
    assert set(TAKES) == names == set(EDGES)
    assert READ_EDGES.keys() & {field.name for field in READ}


@pytest.mark.parametrize(("name", "edges"), [*EDGES.items(), *READ_EDGES.items()], ids=[*EDGES, *READ_EDGES])
def test_a_value_beyond_the_range_is_refused_by_name(served, name, edges):
    right, wrong = edges
    for value in right:
        status, _, answer = served.send("/v1/completions", SMALL | {name: value})
        assert status == 200, (value, answer)
    for value in wrong:
        status, _, answer = served.send("/v1/completions", SMALL | {name: value})
        assert (status, answer["error"]["param"]) == (400, name), (value, answer)
        message = answer["error"]["message"]
        assert name in message or name in ("prompt", "decoder")
        shown = json.dumps(value)
        scalar = isinstance(value, int | float) or (isinstance(value, str) and len(value) < 20 and name != "decoder")
        assert not scalar or shown in message or str(value) in message, (value, message)


PYTHON = ("None", "True", "False", "NoneType", "dict", "int,", "Mapping", "unspool.", "object at")


def test_messages_say_json_and_not_python(served):
    strange = [None, True, False, {}, [], {"a": None}, [None], [True]]
    bodies = [SMALL | {name: value} for name in {*EDGES, *READ_EDGES} for value in strange]
    bodies += [*strange, SMALL | {"decoder": "greedy", "stop": 3}, SMALL | {"n": 2, "temperature": 0}]
    said = [served.send("/v1/completions", raw=json.dumps(body)) for body in bodies]
    chats = [{"messages": [message]} for message in (None, True, {}, {"role": None}, {"role": "user", "content": {}})]
    chats += [{"messages": [{"role": "user", "content": [part]}]} for part in (None, 3, {}, {"type": None})]
    said += [served.send("/v1/chat/completions", body) for body in chats]
    said += [served.send(path, raw=json.dumps(body)) for path in ("/tokenize", "/detokenize") for body in strange]
    messages = [answer["error"]["message"] for status, _, answer in said if status != 200]
    assert len(messages) > 100
    for message in messages:
        assert not any(word in message for word in PYTHON), message


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"messages": [{}]}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": [3]}, "messages"),
        ({"messages": [{"role": "user", "content": "x" * 9000}]}, "messages"),
        ({"messages": [{"role": "user", "content": "x"}], "chat_template_kwargs": {"strange": 1}}, "chat_template_kwargs"),
        ({"messages": [{"role": "user", "content": "x"}], "allowed_token_ids": [4096]}, "allowed_token_ids"),
        ({"messages": [{"role": "user", "content": "x"}], "best_of": 2}, "best_of"),
    ],
)
def test_an_error_of_a_chat_names_its_field(served, body, param):
    status, _, answer = served.send("/v1/chat/completions", body)
    assert (status, answer["error"]["param"]) == (400, param), answer


def test_errors_name_only_what_was_given(served):
    quiet = {"temperature", "top_k", "top_p", "min_p", "n"}
    bodies = ({"logit_bias": [[1, 2, 3]]}, {"samplers": ["nothing"]}, {"json_schema": {"type": "x"}}, {"best_of": 2, "top_k": 3, "n": 4})
    for body in bodies:
        _, _, answer = served.send("/v1/completions", SMALL | body)
        words = answer["error"]["message"].partition("known:")[0].replace("(", " ").replace("=", " ").split()
        assert not (quiet - body.keys()) & {*words}, answer


def test_completions_and_chats_know_of_each_others_fields(served):
    _, _, answer = served.send("/v1/chat/completions", {"messages": [{"role": "user", "content": "x"}], "echo": True})
    assert answer["error"]["message"] == "echo is a field of /v1/completions alone"
    _, _, answer = served.send("/v1/completions", SMALL | {"messages": []})
    assert answer["error"]["message"] == "messages is a field of /v1/chat/completions alone"


def test_a_seed_of_minus_one_is_none(served):
    seeds = {served.completion(**SMALL | {"seed": -1})["seed"] for _ in range(4)}
    assert len(seeds) > 1
    assert min(seeds) >= 0


def test_a_foreign_host_is_not_permitted(served):
    status, _, answer = served.send("/v1/models", method="GET", headers={"Host": "evil.example"})
    assert (status, answer["error"]["type"], answer["error"]["code"]) == (403, "permission_error", "host_not_allowed")
