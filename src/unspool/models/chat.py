"""Chat templates: what turns messages into the prompt that a model was trained on."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from unspool.errors import MissingExtra, ModelError, PromptError, Unsupported

Messages = Sequence[Mapping[str, Any]]
"""[{"role": "user", "content": "..."}, ...]"""
NAMED = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token", "additional_special_tokens")
"""The special tokens that templates name."""


@dataclass(frozen=True)
class ChatTemplate:
    """A Jinja template, as transformers has them, and the special tokens that it names."""

    text: str
    tokens: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, messages: Messages) -> str:
        """The prompt after which the model answers. Templates run in a sandbox and see plain data alone."""
        import_jinja()
        from jinja2.exceptions import SecurityError, TemplateError

        given, template = check_messages(messages), self._compiled
        try:
            return str(template.render(messages=given, add_generation_prompt=True, tools=None, documents=None, **self.tokens))
        except SecurityError as error:
            raise ModelError(f"the chat template does what is not allowed: {error}") from None
        except TemplateError as error:
            raise PromptError(f"the chat template refuses these messages: {error}") from None
        except (TypeError, ValueError, KeyError, AttributeError, ArithmeticError, LookupError, RecursionError) as error:
            raise PromptError(f"the chat template fails on these messages: {type(error).__name__}: {error}") from None

    @cached_property
    def _compiled(self) -> Any:
        from jinja2.exceptions import TemplateSyntaxError

        try:
            return environment().from_string(self.text)
        except TemplateSyntaxError as error:
            raise ModelError(f"the model's chat template is broken in line {error.lineno}: {error}") from None


@dataclass(frozen=True)
class FolderChat:
    """The chat template in a model's folder, read when it is first used."""

    folder: Path

    def __call__(self, messages: Messages) -> str:
        return self._template(messages)

    @cached_property
    def _template(self) -> ChatTemplate:
        settings = self._read("tokenizer_config.json")
        named = {name: value for name, value in {**self._read("special_tokens_map.json"), **settings}.items() if name in NAMED}
        tokens = {name: _content(value) for name, value in named.items() if value is not None}
        own = self.folder / "chat_template.jinja"
        try:
            text = own.read_text(encoding="utf-8") if own.is_file() else settings.get("chat_template")
        except (OSError, UnicodeDecodeError) as error:
            raise ModelError(f"cannot read {own}: {error}") from None
        return ChatTemplate(pick(text if text is not None else self._read("chat_template.json").get("chat_template")), tokens)

    def _read(self, name: str) -> dict[str, Any]:
        from unspool.models.loading import read_json

        return read_json(self.folder / name) if (self.folder / name).is_file() else {}


def template_of(tokenizer: Any) -> ChatTemplate | None:
    """The chat template of a tokenizer that the caller holds."""
    text, tokens = getattr(tokenizer, "chat_template", None), getattr(tokenizer, "special_tokens_map", None) or {}
    return None if not text else ChatTemplate(pick(text), {name: _content(value) for name, value in tokens.items()})


def pick(text: Any) -> str:
    """The template to use: the one there is, or of several the one named "default"."""
    if isinstance(text, list):
        text = {str(t.get("name")): t.get("template") for t in text if isinstance(t, Mapping)}
    if isinstance(text, Mapping):
        if "default" not in text:
            raise Unsupported(f"the model has the chat templates {', '.join(text) or 'none'}, and none is named 'default'")
        text = text["default"]
    if not isinstance(text, str) or not text:
        raise Unsupported("this model has no chat template (in chat_template.jinja or tokenizer_config.json); give a prompt instead")
    return text


def check_messages(messages: Any) -> list[dict[str, Any]]:
    """Messages as plain data, refused if they are none."""
    shape = 'messages are a list like [{"role": "user", "content": "Hello"}]'
    if not isinstance(messages, list | tuple):
        raise PromptError(f"{shape}; got {type(messages).__name__}")
    if not messages:
        raise PromptError(f"{shape}; this list is empty")
    for i, message in enumerate(messages):
        if not isinstance(message, Mapping):
            raise PromptError(f"{shape}; message {i} is {str(message)[:40]!r}")
        if not isinstance(message.get("role"), str):
            raise PromptError(f"{shape}; message {i} has no role")
        if "content" not in message and "tool_calls" not in message:
            raise PromptError(f"{shape}; message {i} has no content")
        if not isinstance(message.get("content"), str | list | None):
            raise PromptError(f"{shape}; the content of message {i} is {type(message['content']).__name__}, not text")
    try:
        plain: list[dict[str, Any]] = json.loads(json.dumps([dict(m) for m in messages]))
    except (TypeError, ValueError) as error:
        raise PromptError(f"messages hold text and plain data: {error}") from None
    return plain


def import_jinja() -> Any:
    """The jinja2 library."""
    try:
        import jinja2
    except ImportError:
        raise MissingExtra("chat templates need jinja2: pip install 'unspool[chat]'") from None
    return jinja2


def environment() -> Any:
    """Jinja's sandbox with what chat templates use: loop controls, {% generation %} and four helpers."""
    import jinja2
    from jinja2.ext import Extension
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        """{% generation %} marks what an assistant says; for a prompt it changes nothing."""

        tags = {"generation"}                                             # noqa: RUF012

        def parse(self, parser: Any) -> Any:
            next(parser.stream)
            return parser.parse_statements(("name:endgeneration",), drop_needle=True)

    class Namespace(jinja2.utils.Namespace):
        """A namespace without Python's own attributes."""

        def __init__(*arguments: Any, **values: Any) -> None:
            _refuse_private([*values, *(name for some in arguments[1:] for name in dict(some))])
            jinja2.utils.Namespace.__init__(*arguments, **values)

        def __setitem__(self, name: str, value: Any) -> None:
            _refuse_private([name])
            super().__setitem__(name, value)

    def plain_dict(*arguments: Any, **values: Any) -> dict[Any, Any]:
        return dict(*arguments, **values)

    def raise_exception(message: str) -> None:
        raise jinja2.exceptions.TemplateError(message)

    def tojson(
        value: Any, ensure_ascii: bool = False, indent: int | None = None, separators: Any = None, sort_keys: bool = False
    ) -> str:
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    def strftime_now(form: str) -> str:
        return datetime.now().strftime(form)

    made = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, "jinja2.ext.loopcontrols"])
    made.filters["tojson"] = tojson
    made.globals |= {"raise_exception": raise_exception, "strftime_now": strftime_now, "dict": plain_dict, "namespace": Namespace}
    return made


def _refuse_private(names: Sequence[Any]) -> None:
    from jinja2.exceptions import SecurityError

    for name in names:
        if str(name).startswith("__"):
            raise SecurityError(f"a namespace has no {name}")


def _content(value: Any) -> Any:
    """A special token as text, whichever way a configuration writes it."""
    if isinstance(value, Mapping):
        return str(value.get("content", ""))
    if isinstance(value, list | tuple):
        return [_content(item) for item in value]
    return value if isinstance(value, bool | int | float | None) else str(value)
