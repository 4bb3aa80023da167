"""What a request asks for: its fields read as a decoder and as the options of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from unspool.errors import as_json, is_whole
from unspool.language_model import LanguageModel
from unspool.serve.decoders import Meant, meant_by
from unspool.serve.errors import Refused
from unspool.serve.fields import CHATS, COMPLETIONS, MOST_LIKELIEST, checked
from unspool.serve.messages import MESSAGES_SHAPE, check_rendered, messages_of
from unspool.serve.ranges import check_ids, check_known_tokens
from unspool.serve.wanted import Limits, Wanted

DEFAULT_COMPLETION = 16
"""New tokens of a completion if nobody says, as OpenAI has it."""
SEED_OF_NONE = -1
"""A seed that engines read as none."""


def asked(endpoint: str, body: Any, lm: LanguageModel, limits: Limits, seed: int) -> Wanted:
    """A request, understood or refused; seed: of one that gives none."""
    fields = checked(endpoint, body)
    served = fields.get("model") or lm.name
    if served != lm.name:
        raise Refused(f"there is no model {as_json(served)}; this server has {lm.name!r}", "model", 404, code="model_not_found")
    check_known_tokens(fields, lm.model.vocabulary)
    meant = meant_by(fields, lm)
    _check_rows(meant, fields, limits)
    tokens, template = tokens_of(endpoint, fields, limits), template_of(fields)
    found = Wanted(
        endpoint,
        prompts_of(fields, limits, lm.model.vocabulary) if endpoint == COMPLETIONS else [],
        chat_of(fields, lm, template) if endpoint == CHATS else [],
        meant.decoder,
        tokens,
        seed if fields.get("seed", SEED_OF_NONE) == SEED_OF_NONE else fields["seed"],
        meant.end_tokens,
        meant.notes,
        template,
        likeliest_of(endpoint, fields),
        fields.get("echo", False),
        fields.get("stream", False),
        bool(fields.get("stream_options", {}).get("include_usage", False)),
        fields.get("trace", False),
        fields.get("return_token_ids", False),
        "decoder" in fields,
    )
    _check_together(found, fields)
    return found


def _check(ok: bool, message: str, param: str) -> None:
    if not ok:
        raise Refused(message, param)


def _check_rows(meant: Meant, fields: Mapping[str, Any], limits: Limits) -> None:
    strategy = meant.decoder.strategy
    rows = strategy.most_rows() if strategy else 1
    name = "decoder" if "decoder" in fields else "best_of" if fields.get("best_of", 1) > 1 else "n"
    said = f"{name}: {strategy} needs {rows} rows; this server allows {limits.rows} of a request"
    _check(rows is None or rows <= limits.rows, said, name)


def _check_together(found: Wanted, fields: Mapping[str, Any]) -> None:
    """Refuse fields that contradict each other."""
    _check("stream_options" not in fields or found.stream, "stream_options is for stream: true", "stream_options")
    alone = found.echo and not found.stream and not found.trace
    _check(found.tokens > 0 or alone, "max_tokens: 0 reads a prompt alone: it needs echo, and no stream or trace", "max_tokens")
    scored = found.echo and found.likeliest is not None
    _check(not (found.stream and scored), "echo with logprobs is not streamed: leave out stream", "stream")
    _check(not (found.trace and found.stream), "trace is told at the end, and not of a stream: leave out one of them", "trace")
    least = fields.get("min_tokens", 0)
    _check(least <= found.tokens, f"min_tokens is at most max_tokens, which is {found.tokens} here; got {least}", "min_tokens")


def tokens_of(endpoint: str, fields: Mapping[str, Any], limits: Limits) -> int:
    """The most new tokens of a text."""
    names = [name for name in ("max_tokens", "max_completion_tokens") if name in fields]
    if not names:
        return min(DEFAULT_COMPLETION, limits.tokens) if endpoint == COMPLETIONS else limits.tokens
    tokens = int(fields[names[0]])
    _check(all(fields[name] == tokens for name in names), "max_tokens and max_completion_tokens differ: give one", names[-1])
    _check(tokens <= limits.tokens, f"{names[0]} is at most {limits.tokens} on this server; got {tokens}", names[0])
    return tokens


def likeliest_of(endpoint: str, fields: Mapping[str, Any]) -> int | None:
    """How many alternatives of every token are to be told; None where not even its own log-probability."""
    logprobs, top = fields.get("logprobs"), fields.get("top_logprobs")
    if endpoint == CHATS:
        flag = logprobs is None or isinstance(logprobs, bool)
        _check(flag, f"logprobs takes true or false for chat; got {as_json(logprobs)}", "logprobs")
        _check(top is None or bool(logprobs), "top_logprobs needs logprobs: true", "top_logprobs")
        return (top or 0) if logprobs else None
    if logprobs is None or logprobs is False:
        return None
    right = is_whole(logprobs, 0) and logprobs <= MOST_LIKELIEST
    said = f"logprobs takes a whole number of 0 to {MOST_LIKELIEST}, how many alternatives; got {as_json(logprobs)}"
    _check(right, said, "logprobs")
    return int(logprobs)


def prompts_of(fields: Mapping[str, Any], limits: Limits, vocabulary: int) -> list[Any]:
    """The prompts of a completion."""
    wanted = "a text, token ids, or a list of either"
    _check("prompt" in fields, f"prompt is missing: {wanted}", "prompt")
    prompt = fields["prompt"]
    prompts = [prompt] if isinstance(prompt, str) or _are_ids(prompt) else prompt
    _check(isinstance(prompts, list) and len(prompts) > 0, f"prompt takes {wanted}; got {as_json(prompt)}", "prompt")
    _check(len(prompts) <= limits.prompts, f"prompt is a list of at most {limits.prompts} prompts; got {len(prompts)}", "prompt")
    for i, one in enumerate(prompts):
        right = isinstance(one, str) or _are_ids(one) or one == []
        _check(right, f"prompt[{i}] takes a text, or a list of token ids; got {as_json(one)}", "prompt")
        check_ids("prompt", [] if isinstance(one, str) else one, vocabulary)
    return prompts


def _are_ids(value: Any) -> bool:
    return isinstance(value, list) and len(value) > 0 and all(map(is_whole, value))


def template_of(fields: Mapping[str, Any]) -> dict[str, Any]:
    """What the chat template reads beside messages."""
    template = dict(fields.get("chat_template_kwargs", {}))
    return template | ({"add_generation_prompt": False} if fields.get("add_generation_prompt") is False else {})


def chat_of(fields: Mapping[str, Any], lm: LanguageModel, template: Mapping[str, Any]) -> list[Any]:
    """The messages of a chat, which the model's template takes."""
    _check("messages" in fields, f"messages is missing: {MESSAGES_SHAPE}", "messages")
    messages = messages_of(fields["messages"])
    check_rendered(lm, messages, template)
    return messages
