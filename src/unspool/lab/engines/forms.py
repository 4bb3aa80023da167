"""The forms that settings come in: mappings, objects, JSON, calls in Python, command-line options."""

from __future__ import annotations

import ast
import json
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unspool.errors import ParameterError, UnspoolError, check
from unspool.lab.engines.engine import Engine, Note


def settings_of(engine: Engine, settings: Any) -> tuple[dict[str, Any], list[Note]]:
    """Settings from whatever form they have, and what was passed over."""
    if isinstance(settings, Mapping):
        return dict(settings), []
    if not isinstance(settings, str | list | tuple):
        if not callable(getattr(settings, "to_dict", None)):
            raise ParameterError(f"settings are a mapping, text, or an object with to_dict; got {settings!r}")
        return dict(settings.to_dict()), []
    if not isinstance(settings, str):
        return _read_flags(engine, list(settings))
    text = settings.strip()
    if text.endswith(".json"):
        try:
            text = Path(text).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise UnspoolError(f"cannot read {text}: {getattr(error, 'strerror', None) or 'it is no UTF-8 text'}") from None
    if text.startswith("-") or (engine.flags and " -" in text and not text.startswith("{")):
        return _read_flags(engine, text)
    return _read_text(engine, text), []


def _read_text(engine: Engine, text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        try:
            node = ast.parse(text, mode="eval").body
            found = _literal(node)
        except (SyntaxError, ValueError, TypeError, RecursionError):
            example = '{"temperature": 0.8, "top_p": 0.9}'
            raise ParameterError(f"cannot read the settings {text[:60]!r}: write JSON, as in '{example}'") from None
    check(isinstance(found, dict), f"settings are names and values, as in JSON's {{...}}; got {text[:60]!r}")
    return dict(found)


def _literal(node: ast.expr) -> Any:
    """A Python literal, or the keywords of a call."""
    if isinstance(node, ast.Call):
        if node.args or any(k.arg is None for k in node.keywords):
            raise ValueError("positional")
        return {str(k.arg): _literal(k.value) for k in node.keywords}
    return ast.literal_eval(node)


def _read_flags(engine: Engine, flags: str | list[str]) -> tuple[dict[str, Any], list[Note]]:
    """Settings from command-line options; those that are not about decoding are passed over."""
    check(bool(engine.flags), f"{engine.title} has no flags; write its settings as JSON")
    try:
        return _taken(engine, shlex.split(flags) if isinstance(flags, str) else flags)
    except UnspoolError:
        raise
    except ValueError as error:
        raise ParameterError(f"cannot read the flags: {error}; got {str(flags)[:60]!r}") from None


def _taken(engine: Engine, words: list[str]) -> tuple[dict[str, Any], list[Note]]:
    given: dict[str, Any] = {}
    passed: list[Note] = []
    i = 0
    while i < len(words):
        word, eq, value = words[i].partition("=")
        i += 1
        name = engine.flags.get(word)
        if not eq and name != "ignore_eos" and i < len(words) and (name or not words[i].startswith("-")) and word.startswith("-"):
            value = words[i]
            i += 1
        if name is None:
            passed.append(Note(word, f"{word} {value}".strip() + " is not about decoding, so it is passed over"))
        else:
            _take_flag(engine, given, name, value)
    return given, passed


def _take_flag(engine: Engine, given: dict[str, Any], name: str, value: str) -> None:
    if name == "ignore_eos":
        given[name] = True
    elif name == "dry_sequence_breakers":
        given[name] = [*given.get(name, []), *([] if value == "none" else [value.encode().decode("unicode_escape")])]
    elif name == "logit_bias":
        found = re.fullmatch(r"(\d+)([+-](?:\d+\.?\d*|inf))", value)
        check(found is not None, f"--logit-bias is a token and an amount, as 15043+1; got {value!r}")
        token, amount = found.groups() if found else ("", "")
        given[name] = [*given.get(name, []), [int(token), False if amount == "-inf" else float(amount)]]
    elif name == "stop":
        given[name] = [*given.get(name, []), value]
    elif name in ("samplers", "json_schema") or name in engine.unsaid:
        given[name] = value
    else:
        try:
            given[name] = json.loads(value)
        except (ValueError, RecursionError):
            raise ParameterError(f"{name} needs a number; got {value!r:.80}") from None
