"""Chat templates: what turns messages into the prompt that a model was trained on."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from unspool.errors import MissingExtra, ModelError, ParameterError, PromptError, Unsupported

Messages = Sequence[Mapping[str, Any]]
"""[{"role": "user", "content": "..."}, ...]"""
TAG = "HERE THE TURN GOES ON"
"""Put after a turn that goes on, and sought in what the template makes of it."""


@dataclass(frozen=True)
class ChatTemplate:
    """A Jinja template, as transformers has them, or several by name, and the special tokens that it names."""

    text: Any
    tokens: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, messages: Messages, variables: Mapping[str, Any] | None = None) -> str:
        """The prompt after which the model answers. Templates run in a sandbox and see plain data alone.

        If the assistant has the last word, its turn is left open and goes on. variables: what else the template reads, as
        {"enable_thinking": False} or {"tools": [...]}; {"add_generation_prompt": True} opens another turn in any case.
        """
        import_jinja()
        from jinja2.exceptions import SecurityError, TemplateError

        given, extra = check_messages(messages), _plain(dict(variables or {}), "variables of a chat template")
        text = pick(self.text, bool(extra.get("tools")))
        ready = compiled(text)
        _check_variables(text, extra)
        goes_on = given[-1]["role"] == "assistant" and "add_generation_prompt" not in extra and _tag(given[-1])
        values = {"tools": None, "documents": None, "add_generation_prompt": not goes_on, **self.tokens, **extra}
        try:
            made = str(ready.render(messages=given, **values))
        except SecurityError as error:
            raise ModelError(f"the chat template does what is not allowed: {error}") from None
        except TemplateError as error:
            raise PromptError(f"the chat template refuses these messages: {error}") from None
        except (TypeError, ValueError, KeyError, AttributeError, ArithmeticError, LookupError, RecursionError) as error:
            raise PromptError(f"the chat template fails on these messages: {type(error).__name__}: {error}") from None
        return _up_to_tag(made) if goes_on else made


def _tag(message: dict[str, Any]) -> bool:
    """Mark where a turn goes on; whether it has a text that can."""
    content = message.get("content")
    if isinstance(content, str):
        message["content"] = f"{content}{TAG} "
        return True
    for part in reversed(content or []):
        if isinstance(part, dict) and isinstance(part.get("text"), str):
            part["text"] = f"{part['text']}{TAG} "
            return True
    return False


def _up_to_tag(made: str) -> str:
    """What stands before the mark; without white space at its end if the template takes that off."""
    before, found, after = made.rpartition(TAG)
    if not found:
        raise PromptError("the chat template leaves out the assistant's last message, which was to go on; end with what the user says")
    return before if after.startswith(" ") else before.rstrip()


@lru_cache(maxsize=16)
def compiled(text: str) -> Any:
    """A template, ready to be rendered."""
    from jinja2.exceptions import TemplateSyntaxError

    try:
        return environment().from_string(text)
    except TemplateSyntaxError as error:
        raise ModelError(f"the model's chat template is broken in line {error.lineno}: {error}") from None


def _check_variables(text: str, extra: Mapping[str, Any]) -> None:
    """Refuse variables that a template does not read."""
    if not extra:
        return
    from jinja2.meta import find_undeclared_variables

    made = environment()
    reads = find_undeclared_variables(made.parse(text)) - {*made.globals, "messages"}
    unread = [name for name in extra if name not in reads and name != "add_generation_prompt"]
    if unread:
        raise ParameterError(f"this model's chat template does not read {', '.join(unread)}; it reads {', '.join(sorted(reads))}")


@dataclass(frozen=True)
class FolderChat:
    """The chat template in a model's folder, read when it is first used."""

    folder: Path

    def __call__(self, messages: Messages, variables: Mapping[str, Any] | None = None) -> str:
        return self._template(messages, variables)

    @property
    def text(self) -> Any:
        """The template, several by name, or None."""
        return self._template.text

    @cached_property
    def tokens(self) -> Mapping[str, Any]:
        """The special tokens by what they are for, as {"bos_token": "<s>"}."""
        from unspool.models.tokenizer_folder import content_of, said_of

        said = said_of(self.folder)
        tokens: dict[str, Any] = {name: content_of(value) for name, value in said.names.items()}
        if more := said.settings.get("additional_special_tokens"):
            tokens["additional_special_tokens"] = [content_of(value) for value in more]
        return tokens

    @cached_property
    def _template(self) -> ChatTemplate:
        from unspool.models.tokenizer_folder import said_of

        own = self.folder / "chat_template.jinja"
        try:
            text = own.read_text(encoding="utf-8") if own.is_file() else said_of(self.folder).settings.get("chat_template")
            named = {path.stem: path.read_text(encoding="utf-8") for path in sorted(self.folder.glob("additional_chat_templates/*.jinja"))}
        except (OSError, UnicodeDecodeError) as error:
            raise ModelError(f"cannot read the chat template of {self.folder}: {error}") from None
        text = text if text is not None else self._read("chat_template.json").get("chat_template")
        if named:
            text = {**named, **({"default": text} if isinstance(text, str) else {})}
        return ChatTemplate(text, self.tokens)

    def _read(self, name: str) -> dict[str, Any]:
        from unspool.models.loading import read_json

        return read_json(self.folder / name) if (self.folder / name).is_file() else {}


def template_of(tokenizer: Any) -> ChatTemplate | None:
    """The chat template of a tokenizer that the caller holds."""
    text, tokens = getattr(tokenizer, "chat_template", None), getattr(tokenizer, "special_tokens_map", None) or {}
    return None if not text else ChatTemplate(text, {name: _content(value) for name, value in tokens.items()})


def pick(text: Any, tools: bool = False) -> str:
    """The template to use: the one there is, or of several the one named "tool_use" if there are tools, and "default" else."""
    if isinstance(text, list):
        text = {str(t.get("name")): t.get("template") for t in text if isinstance(t, Mapping)}
    if isinstance(text, Mapping):
        if "default" not in text and not (tools and "tool_use" in text):
            raise Unsupported(f"the model has the chat templates {', '.join(text) or 'none'}, and none is named 'default'")
        text = text["tool_use" if tools and "tool_use" in text else "default"]
    if not isinstance(text, str) or not text:
        raise Unsupported("this model has no chat template (in chat_template.jinja or tokenizer_config.json); give a prompt instead")
    return text


def words_of(messages: Messages) -> str:
    """What is shown before the answer: what the last message says in a line, or what the assistant began."""
    content = messages[-1].get("content")
    if isinstance(content, list):
        content = "".join(str(part.get("text", "")) for part in content if isinstance(part, Mapping))
    text = content if isinstance(content, str) else ""
    return text if messages[-1].get("role") == "assistant" else text + "\n"


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
    plain: list[dict[str, Any]] = _plain([dict(m) for m in messages], "messages")
    return plain


def _plain(value: Any, what: str) -> Any:
    """A value as JSON has it, refused if it is none."""
    try:
        return json.loads(json.dumps(value))
    except (TypeError, ValueError) as error:
        raise PromptError(f"{what} hold text and plain data: {error}") from None


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
