"""The fields of a request: every name that is known, and what becomes of it. docs/serve.md is made of this table."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

from unspool.errors import is_whole, near
from unspool.lab.engines.engine import LOST, Engine
from unspool.lab.engines.llama_cpp import LLAMA_CPP
from unspool.lab.engines.openai import OPENAI
from unspool.lab.engines.vllm import VLLM
from unspool.serve.errors import Refused

COMPLETIONS, CHATS = "completions", "chat"
BOTH = (COMPLETIONS, CHATS)
MOST_LIKELIEST = 1000
"""Alternatives of a token that a request may ask for."""
SAYS_NOTHING: tuple[Any, ...] = (None, "", [], {})
"""Values that say nothing, whichever field has them."""
Right = Callable[[Any], bool]


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _mapping(value: Any) -> bool:
    return isinstance(value, Mapping)


def _count(least: int, most: int | None = None) -> Right:
    return lambda value: is_whole(value, least) and (most is None or value <= most)


def _usage(value: Any) -> bool:
    return isinstance(value, Mapping) and value.keys() <= {"include_usage"} and all(map(_flag, value.values()))


def _anything(value: Any) -> bool:
    return True


@dataclass(frozen=True)
class Known:
    """A field that the server reads itself, or that is known and says nothing about the text."""

    name: str
    wanted: str
    """What it takes, for a person."""
    right: Right
    """Whether a value is of that kind."""
    what: str
    """What becomes of it."""
    at: tuple[str, ...] = BOTH
    """The endpoints that know it."""


@dataclass(frozen=True)
class Refusal:
    """A field that is known and cannot be served, unless its value says nothing."""

    why: str
    off: tuple[Any, ...] = (False,)

    def fits(self, value: Any) -> bool:
        """Whether a value says nothing."""
        return value in SAYS_NOTHING or any(value == off and isinstance(value, bool) == isinstance(off, bool) for off in self.off)


READ = (
    Known("model", "a text", _text, "the name of the served model, or of none for the one there is; another is a 404"),
    Known("prompt", "a text, token ids, or a list of either", _anything, "what the texts go on from; of a list each", (COMPLETIONS,)),
    Known("messages", "a list of messages", lambda v: isinstance(v, list), "rendered by the model's chat template; where the assistant"
          " has the last word, its turn goes on", (CHATS,)),
    Known("decoder", "a text", _text, "unspool's own: the whole decoder in its text form, as"
          " `temperature(0.8) | top_p(0.95) | sample(4)`, in place of all settings; `stop` and `ignore_eos` may stand beside it, and a"
          " `temperature`, `n` or `best_of` of 0 or 1, which clients send unasked, says nothing there"),
    Known("trace", "true or false", _flag, "unspool's own: the answer holds the record of every prompt, as the lines of its file"),
    Known("max_tokens", "a whole number >= 0", _count(0), "the most new tokens; if it is not given, 16 for completions, and for chat as"
          " many as the server allows; 0 beside `echo` reads the prompt alone"),
    Known("max_completion_tokens", "a whole number >= 1", _count(1), "the same, by its newer name", (CHATS,)),
    Known("n", "a whole number >= 1", _count(1), "how many texts of a prompt; beside `use_beam_search` also the width"),
    Known("best_of", "a whole number >= 1", _count(1), "so many samples are drawn, and the n returned whose mean log-probability is"
          " highest: `best_of(sample(k), by='mean_logprob', n=n)`", (COMPLETIONS,)),
    Known("seed", "a whole number", is_whole, "of all draws; where there is none, one is drawn, and the answer says it"),
    Known("logprobs", "a whole number of 0 to 1000, or for chat true or false", _anything, "the log-probability of every token under the"
          " model, before all settings, and so many alternatives (for chat `top_logprobs`)"),
    Known("top_logprobs", "a whole number of 0 to 1000", _count(0, MOST_LIKELIEST), "how many alternatives of every token", (CHATS,)),
    Known("echo", "true or false", _flag, "the prompt stands before the text; with `logprobs` its tokens are scored, too", (COMPLETIONS,)),
    Known("stream", "true or false", _flag, "text as it becomes certain, as server-sent events; of beams what all of them agree on"),
    Known("stream_options", "an object with include_usage, true or false", _usage, "include_usage: a last event holds the usage"),
    Known("return_token_ids", "true or false", _flag, "vLLM's: choices hold `token_ids`, and `prompt_token_ids`"),
    Known("chat_template_kwargs", "an object", _mapping, "what else the chat template reads", (CHATS,)),
    Known("add_generation_prompt", "true or false", _flag, "handed to the chat template", (CHATS,)),
)
"""Fields that the server reads itself."""

_IDLE = {
    "user": _text, "metadata": _mapping, "store": _flag, "service_tier": _text, "safety_identifier": _text, "prompt_cache_key": _text,
    "prompt_cache_retention": _text, "prompt_cache_options": _mapping, "parallel_tool_calls": _flag, "request_id": _text,
    "cache_prompt": _flag, "prediction": _mapping, "priority": is_whole, "skip_special_tokens": _flag,
    "spaces_between_special_tokens": _flag,
}  # fmt: skip
IDLE = {
    **{name: Known(name, "", right, "accepted: it says nothing about the text") for name, right in _IDLE.items()},
    "skip_special_tokens": Known("skip_special_tokens", "true", lambda v: v is True, "only true: special tokens have no text here"),
}
"""Fields that are known and change no text."""

_OWN_REFUSALS = {
    "functions": Refusal("there are no tools here", ([],)),
    "function_call": Refusal("there are no tools here", ("none", "auto")),
    "audio": Refusal("there is text alone here", ()),
    "web_search_options": Refusal("there are no tools here", ()),
    "moderation": Refusal("there is no moderation here", ()),
    "prompt_logprobs": Refusal("ask for echo and logprobs together: the prompt's tokens then stand before the others", ()),
    "logprob_token_ids": Refusal("ask for more top_logprobs: up to 1000 are told", ([],)),
    "return_tokens_as_token_ids": Refusal("ask for return_token_ids: texts stay texts"),
    "return_token_offsets": Refusal("logprobs of completions hold text_offset"),
    "continue_final_message": Refusal("where the assistant has the last word, its turn goes on without being asked"),
    "documents": Refusal("give it in chat_template_kwargs, if the model's template reads it", ([],)),
    "chat_template": Refusal("templates are the model's own, and none comes with a request", ()),
    "include_reasoning": Refusal("there is no thinking here", (False, True)),
    "stream_interval": Refusal("every step is streamed", (1,)),
    "n_probs": Refusal("ask for logprobs", (0,)),
    "post_sampling_probs": Refusal("logprobs are the model's own; trace holds those after the processors as well"),
    "id_slot": Refusal("requests share one batch, which has no slots", (-1,)),
    "return_tokens": Refusal("ask for return_token_ids"),
    "timings_per_token": Refusal("there are no timings; /metrics has those of the server"),
    "return_progress": Refusal("a prompt's progress is not told"),
    "response_fields": Refusal("answers are told whole", ([],)),
    "speculative_config": Refusal("in decoder write prompt_lookup(...)", ()),
    "beam_width": Refusal("beside use_beam_search the width is n", ()),
    **{name: Refusal("in decoder write prompt_lookup(...)", ("none",)) for name in
       ("spec_type", "spec_ngram_simple_size_n", "spec_ngram_simple_size_m")},
    **{name: Refusal("no file is read for a request: send what is in it", ()) for name in
       ("grammar_file", "json_schema_file", "lora", "control_vector")},
}  # fmt: skip


def _refusals() -> dict[str, Refusal]:
    """What engines have and unspool says in another way, and what only a server knows."""
    found: dict[str, Refusal] = {}
    for engine in (OPENAI, VLLM, LLAMA_CPP):
        lost = {name: unsaid for name, unsaid in engine.unsaid.items() if unsaid.severity == LOST}
        found |= {name: Refusal(re.sub("^write ", "in decoder write ", unsaid.why), unsaid.off) for name, unsaid in lost.items()}
    known = {field.name for field in READ} | IDLE.keys()
    return {name: refusal for name, refusal in (found | _OWN_REFUSALS).items() if name not in known}


NOT_SERVED = _refusals()


def _settings(engine: Engine) -> frozenset[str]:
    """The settings of an engine that make a decoder."""
    taken = {field.name for field in READ} | IDLE.keys() | NOT_SERVED.keys()
    own = {s.name for place in engine.everything for s in place.settings} | engine.ordering | {"ignore_eos"}
    return frozenset((own - taken) | {"n"})


DECODER_SETTINGS = {engine.name: _settings(engine) for engine in (VLLM, LLAMA_CPP)}
"""The settings that requests may have, by the engine whose they are: OpenAI's are among vLLM's."""


def known_at(endpoint: str) -> set[str]:
    """Every name that an endpoint knows."""
    own = {field.name for field in READ if endpoint in field.at}
    return own.union(IDLE, NOT_SERVED, *DECODER_SETTINGS.values())


def checked(endpoint: str, body: Any) -> dict[str, Any]:
    """The fields of a request that say something; unknown ones, ones of the wrong kind and ones that cannot be served are refused."""
    if not isinstance(body, dict):
        raise Refused(f"the body is a JSON object, as {{\"prompt\": \"Once\"}}; got {type(body).__name__}")
    known, read = known_at(endpoint), {field.name: field for field in (*READ, *IDLE.values()) if endpoint in field.at}
    found = {}
    for name, value in body.items():
        if name not in known:
            close = near(name, known)
            hint = f"did you mean {' or '.join(close)}?" if close else "docs/serve.md lists all"
            raise Refused(f"unknown field {name[:80]!r}: {hint}", name[:80], code="unknown_field")
        if name in NOT_SERVED and not NOT_SERVED[name].fits(value):
            raise Refused(f"{name} is not served: {NOT_SERVED[name].why}", name, code="unsupported_field")
        if name in NOT_SERVED or value is None:
            continue
        if name in read and not read[name].right(value):
            raise Refused(f"{name} takes {read[name].wanted or 'another kind of value'}; got {value!r:.80}", name)
        if isinstance(value, float) and not isfinite(value):
            raise Refused(f"{name} is a number; got {value!r}", name)
        if name not in IDLE:
            found[name] = value
    return found
