"""The API of OpenAI, which many servers take."""

from __future__ import annotations

from typing import Any

from unspool.errors import ParameterError, Unsupported, as_json
from unspool.lab.engines.engine import REMARK, CallSetting, Engine, Setting, Unsaid
from unspool.lab.engines.places import BIAS, GENERATED, LIST, NO_SEED, drawn, known_keys, names_in, place, structured

UNPUBLISHED = "The order is not published; penalties before the temperature are what its formula says."


PLAIN_TEXT = {"type": "text"}
"""The response_format of who asks for none."""
SCHEMA_FORM = '{"type": "json_schema", "json_schema": {"name": "answer", "schema": {...}}}'


def openai_schema(value: Any) -> Any:
    """The schema of a response_format."""
    kind = known_keys("response_format", value, "type json_schema").get("type")
    if kind not in ("text", "json_object", "json_schema"):
        said = f"has the type {as_json(kind)}" if "type" in value else "has no type"
        raise Unsupported(f"response_format {said}: the type is text, json_object or json_schema")
    if kind != "json_schema":
        return {} if kind == "json_object" else None
    inner = known_keys("json_schema of response_format", value.get("json_schema") or {}, "name description schema strict")
    if inner.get("schema") is None:
        raise ParameterError(f"response_format of type json_schema has no schema: it is {SCHEMA_FORM}")
    return inner["schema"]


OPENAI = Engine(
    "openai",
    "OpenAI API",
    "its API reference",
    places=(
        *structured(
            "response_format",
            openai_schema,
            lambda schema: {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}},
            unasked=PLAIN_TEXT,
        ),
        place("bias", lambda pairs: not pairs, pairs=("logit_bias", None, BIAS), note="From -100 to 100; -100 all but bans."),
        place("frequency_penalty", lambda penalty: penalty == 0, GENERATED, penalty=("frequency_penalty", 0.0), note="From -2 to 2."),
        place("presence_penalty", lambda penalty: penalty == 0, GENERATED, penalty=("presence_penalty", 0.0), note="From -2 to 2."),
        place("temperature", lambda t: t == 1, t=("temperature", 1.0), sampling=True, note="From 0 to 2; 0 is greedy search, or nearly."),
        place("top_p", lambda p: p == 1, p=("top_p", 1.0), sampling=True),
    ),
    strategies=drawn(Setting("n", 1), lambda given: Setting("temperature", 1.0).of(given) == 0),
    stops=(place("stop", strings=("stop", None, LIST), note="At most four."),),
    calls=(
        CallSetting("max_new_tokens", Setting("max_completion_tokens")),
        CallSetting("max_new_tokens", Setting("max_tokens")),
        CallSetting("seed", Setting("seed"), *NO_SEED),
    ),
    unsaid={
        "tools": Unsaid("there are no tools here", ([],)),
        "tool_choice": Unsaid("there are no tools here", ("none", "auto")),
        "best_of": Unsaid("write best_of(n, by=\"mean_logprob\")", (1,)),
        "suffix": Unsaid("a text is only continued here", ("",)),
        "echo": Unsaid("the prompt is not repeated here; an output has it beside its text", (False,), REMARK),
        "reasoning_effort": Unsaid("there is no thinking here", ("none",)),
        "verbosity": Unsaid("say it in the prompt"),
        "modalities": Unsaid("there is text alone here", (["text"],)),
        "prediction": Unsaid("it makes the same text faster", (), REMARK),
    },
    ignored=names_in(
        "model messages prompt stream stream_options logprobs top_logprobs user store metadata parallel_tool_calls service_tier"
        " prompt_cache_key prompt_cache_options prompt_cache_retention safety_identifier"
    ),
    note=UNPUBLISHED,
    unsure=UNPUBLISHED,
)
