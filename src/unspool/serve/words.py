"""The endpoints about tokens, in the shapes of vLLM, which lm_eval reads a remote tokenizer by."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from unspool.errors import as_json
from unspool.language_model import LanguageModel
from unspool.serve.errors import Refused
from unspool.serve.fields import unknown_field
from unspool.serve.messages import check_rendered, messages_of
from unspool.serve.ranges import check_ids
from unspool.serve.values import A_TEXT, FLAG, TOKEN_IDS
from unspool.text import text_of


def tokenized(lm: LanguageModel, body: Any) -> dict[str, Any]:
    """The tokens of a text or of messages."""
    fields = _fields(body, ("prompt", "messages", "add_special_tokens", "return_token_strs", "model"))
    special = _flag(fields, "add_special_tokens", True)
    if ("prompt" in fields) == ("messages" in fields):
        raise Refused("give a prompt, or messages", "prompt")
    if "messages" in fields:
        messages = messages_of(fields["messages"])
        check_rendered(lm, messages, {})
        tokens = lm.rendered(lm.render(messages))
    else:
        prompt = fields["prompt"]
        A_TEXT.check("prompt", prompt)
        tokens = lm.tokenizer.encode_prompt(prompt) if special else lm.tokenizer.encode(prompt)
    found: dict[str, Any] = {"tokens": [int(t) for t in tokens], "count": len(tokens), "max_model_len": lm.model.context}
    return found | ({"token_strs": lm.pieces(tokens)} if _flag(fields, "return_token_strs", False) else {})


def detokenized(lm: LanguageModel, body: Any) -> dict[str, Any]:
    """The text of tokens."""
    tokens: Any = _fields(body, ("tokens", "model")).get("tokens")
    TOKEN_IDS.check("tokens", tokens)
    check_ids("tokens", tokens, lm.model.vocabulary)
    return {"prompt": text_of(lm.tokenizer, tokens)}


def tokenizer_info(lm: LanguageModel) -> dict[str, Any]:
    """The special tokens that a client needs to know."""
    end = lm.tokenizer.name_of(lm.model.end_tokens[0]) if lm.model.end_tokens else None
    start = None if lm.model.start is None else lm.tokenizer.name_of(lm.model.start)
    found = {"tokenizer_class": type(lm.tokenizer).__name__, "eos_token": end, "bos_token": start, "pad_token": end}
    return found | {"chat_template": getattr(lm.chat, "text", None)}        # one that is a function has no text


def _fields(body: Any, known: Iterable[str]) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise Refused(f"the body is an object; got {as_json(body)}")
    for name in body:
        if name not in known:
            raise unknown_field(name, known, f"known: {', '.join(known)}")
    return {name: value for name, value in body.items() if value is not None}


def _flag(fields: dict[str, Any], name: str, default: bool) -> bool:
    value = fields.get(name, default)
    FLAG.check(name, value)
    return bool(value)
