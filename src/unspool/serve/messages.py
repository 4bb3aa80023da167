"""The messages of a chat, checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from unspool.errors import ParameterError, UnspoolError, as_json
from unspool.language_model import LanguageModel
from unspool.serve.errors import Refused, refused

MESSAGES_SHAPE = 'messages is a list like [{"role": "user", "content": "Hello"}]'


def messages_of(messages: Any) -> list[Any]:
    """Messages whose contents are texts: parts of text are joined, and other parts refused."""
    if not isinstance(messages, list) or not messages:
        raise Refused(f"{MESSAGES_SHAPE}; got {as_json(messages)}", "messages")
    return [_message(i, message) for i, message in enumerate(messages)]


def _message(i: int, message: Any) -> Any:
    here = f"messages[{i}]"
    _check(isinstance(message, Mapping), f"{MESSAGES_SHAPE}; {here} is {as_json(message)}")
    _check("role" in message, f"{here} has no role: user, assistant or system")
    _check(isinstance(message["role"], str), f"{here}.role is a text: user, assistant or system; got {as_json(message['role'])}")
    _check("content" in message or "tool_calls" in message, f"{here} has no content")
    content = message.get("content")
    if not isinstance(content, list):
        _check(content is None or isinstance(content, str), f"{here}.content is a text or a list of parts; got {as_json(content)}")
        return message
    for k, part in enumerate(content):
        text = isinstance(part, Mapping) and part.get("type", "text") == "text" and isinstance(part.get("text"), str)
        _check(text, f'{here}.content[{k}] is {{"type": "text", "text": TEXT}}, for there is text alone here; got {as_json(part)}')
    return {**message, "content": "".join(part["text"] for part in content)}


def check_rendered(lm: LanguageModel, messages: list[Any], template: Mapping[str, Any]) -> None:
    """Refuse messages and variables that the model's chat template cannot take, by their field."""
    try:
        lm.render(messages, template or None)
    except ParameterError as error:
        raise refused(error, "chat_template_kwargs") from None
    except UnspoolError as error:
        raise refused(error, "messages") from None


def _check(ok: bool, message: str) -> None:
    if not ok:
        raise Refused(message, "messages")
