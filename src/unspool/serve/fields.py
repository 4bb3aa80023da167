"""The fields of a request: every name that is known, and what becomes of it. docs/serve.md is made of this table."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from unspool.errors import as_json, is_whole, near
from unspool.lab.engines.engine import LOST, Engine
from unspool.lab.engines.llama_cpp import LLAMA_CPP
from unspool.lab.engines.openai import OPENAI
from unspool.lab.engines.vllm import VLLM
from unspool.serve.errors import Refused
from unspool.serve.ranges import TAKES
from unspool.serve.values import A_LIST, A_TEXT, ANYTHING, FLAG, OBJECT, Takes, parts, whole

COMPLETIONS, CHATS = "completions", "chat"
BOTH = (COMPLETIONS, CHATS)
MOST_LIKELIEST = 1000
"""Alternatives of a token that a request may ask for."""
SEEDS = Takes("a whole number of 64 bits, -2^63 to 2^64 - 1", lambda value: is_whole(value, -(2**63)) and value < 2**64)
SAYS_NOTHING: tuple[Any, ...] = (None, "", [], {})
"""Values that say nothing, whichever field has them."""


@dataclass(frozen=True)
class Known:
    """A field that the server reads itself, or that is known and says nothing about the text."""

    name: str
    takes: Takes
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
    Known("model", A_TEXT, "the name of the served model, or of none for the one there is; another is a 404"),
    Known("prompt", Takes("a text, token ids, or a list of either", ANYTHING.right), "what the texts go on from; of a list each",
          (COMPLETIONS,)),
    Known("messages", Takes("a list of messages", A_LIST.right), "rendered by the model's chat template; where the assistant"
          " has the last word, its turn goes on", (CHATS,)),
    Known("decoder", A_TEXT, "unspool's own: the whole decoder in its text form, as"
          " `temperature(0.8) | top_p(0.95) | sample(4)`, in place of all settings; `stop` and `ignore_eos` may stand beside it; a"
          " `temperature`, `n` or `best_of` of 0 or 1 and values that switch a setting off, which clients send unasked, say nothing there"),
    Known("trace", FLAG, "unspool's own: the answer holds the record of every prompt, as the lines of its file"),
    Known("max_tokens", whole(0), "the most new tokens; if it is not given, 16 for completions, and for chat as"
          " many as the server allows; 0 beside `echo` reads the prompt alone"),
    Known("max_completion_tokens", whole(1), "the same, by its newer name", (CHATS,)),
    Known("n", whole(1), "how many texts of a prompt; beside `use_beam_search` also the width"),
    Known("best_of", whole(1), "so many samples are drawn, and the n returned whose mean log-probability is"
          " highest: `best_of(sample(k), by='mean_logprob', n=n)`", (COMPLETIONS,)),
    Known("seed", SEEDS, "of all draws; where there is none, or -1, one is drawn, and the answer says it"),
    Known("logprobs", Takes("a whole number of 0 to 1000, or for chat true or false", ANYTHING.right), "the log-probability of"
          " every token under the model, before all settings, and so many alternatives (for chat `top_logprobs`)"),
    Known("top_logprobs", whole(0, MOST_LIKELIEST), "how many alternatives of every token", (CHATS,)),
    Known("echo", FLAG, "the prompt stands before the text; with `logprobs` its tokens are scored, too", (COMPLETIONS,)),
    Known("stream", FLAG, "text as it becomes certain, as server-sent events; of beams what all of them agree on"),
    Known("stream_options", parts(include_usage=FLAG), "include_usage: a last event holds the usage"),
    Known("return_token_ids", FLAG, "vLLM's: choices hold `token_ids`, and `prompt_token_ids`"),
    Known("chat_template_kwargs", OBJECT, "what else the chat template reads", (CHATS,)),
    Known("add_generation_prompt", FLAG, "handed to the chat template", (CHATS,)),
)
"""Fields that the server reads itself."""

_IDLE = {
    "user": A_TEXT, "metadata": OBJECT, "store": FLAG, "service_tier": A_TEXT, "safety_identifier": A_TEXT, "prompt_cache_key": A_TEXT,
    "prompt_cache_retention": A_TEXT, "prompt_cache_options": OBJECT, "parallel_tool_calls": FLAG, "request_id": A_TEXT,
    "cache_prompt": FLAG, "prediction": OBJECT, "priority": whole(), "spaces_between_special_tokens": FLAG,
    "skip_special_tokens": Takes("true: special tokens have no text here", lambda value: value is True),
}  # fmt: skip
IDLE = {name: Known(name, takes, "accepted: it says nothing about the text") for name, takes in _IDLE.items()}
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
        raise Refused(f"the body is an object, as {{\"prompt\": \"Once\"}}; got {as_json(body)}")
    known, elsewhere = known_at(endpoint), {field.name for field in READ if endpoint not in field.at}
    takes = TAKES | {field.name: field.takes for field in (*READ, *IDLE.values()) if endpoint in field.at}
    found = {}
    for name, value in body.items():
        if name not in known and name in elsewhere:
            other = "chat/completions" if endpoint == COMPLETIONS else "completions"
            raise Refused(f"{name} is a field of /v1/{other} alone", name, code="unknown_field")
        if name not in known:
            raise unknown_field(name, known, "docs/serve.md lists all")
        if name in NOT_SERVED and not NOT_SERVED[name].fits(value):
            raise Refused(f"{name} is not served: {NOT_SERVED[name].why}", name, code="unsupported_field")
        if name in NOT_SERVED or value is None:
            continue
        takes[name].check(name, value)
        if name not in IDLE:
            found[name] = value
    return found


def unknown_field(name: str, known: Iterable[str], listed: str) -> Refused:
    """The answer to a field that nobody knows: the nearest names, or else where all are listed."""
    close = near(name, known)
    hint = f"did you mean {' or '.join(close)}?" if close else listed
    return Refused(f"unknown field {as_json(name)}: {hint}", name[:80], code="unknown_field")
