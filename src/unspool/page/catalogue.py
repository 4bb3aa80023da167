"""Decoders as a form sees them: every part with its parameters, and a text form taken apart into its parts."""

from __future__ import annotations

import ast
from typing import Any

from unspool.core.decoder import Decoder, Part, parse, written
from unspool.core.room import check_rows
from unspool.lab.methods import GROUPS, Method, methods
from unspool.language_model import LanguageModel


def catalogue() -> dict[str, Any]:
    """Every processor, strategy and stop, by family, with what is said of it and of its parameters."""
    found = methods()
    families = {name: title for name, title in GROUPS.items() if any(m.family == name for m in found)}
    return {"families": families, "methods": [_told(m) for m in found]}


def _told(method: Method) -> dict[str, Any]:
    values = {name: getattr(method, name) for name in ("name", "aliases", "role", "family", "meaning", "formula", "when", "see")}
    parameters = [
        {"name": p.name.lstrip("*"), "many": p.name.startswith("*"), "default": p.default, "range": p.range, "meaning": p.meaning}
        for p in method.parameters
    ]
    return {**values, "parameters": parameters, "example": method.example.decoder}


def taken_apart(text: str) -> list[dict[str, Any]]:
    """The parts of a decoder in its text form, in order: the name and role of each, and what is given, as it is written."""
    decoder = parse(text)
    return [_part(part) for part in decoder.parts]


def _part(part: Part) -> dict[str, Any]:
    node = ast.parse(str(part), mode="eval").body
    given: dict[str, str] = {}
    if isinstance(node, ast.Call):
        first = written(part)[0].name
        if node.args:
            given[first] = ", ".join(map(ast.unparse, node.args))
        given |= {str(k.arg): ast.unparse(k.value) for k in node.keywords}
    return {"name": type(part).name, "role": part.role, "given": given, "text": str(part)}


def understood(text: str, lm: LanguageModel) -> dict[str, Any]:
    """A decoder as this model would run it: its text form, its parts, its form in Python; one that cannot run is an error."""
    decoder = parse(text)
    resolved = lm.resolve(decoder)
    if resolved.strategy and (rows := resolved.strategy.most_rows()) is not None:
        check_rows(str(resolved.strategy), rows, 1, lm.model.vocabulary)
    return {"text": str(decoder), "parts": taken_apart(str(decoder)), "python": in_python(decoder)}


def in_python(decoder: Decoder) -> str:
    """The expression that makes a decoder in Python, after `import unspool as un`."""
    return " | ".join(f"un.{_called(part)}" for part in decoder.parts)


def _called(part: Part) -> str:
    """The repr of a part, its inner parts named by their module as well."""
    tree = ast.parse(repr(part), mode="eval")
    for node in ast.walk(tree.body):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node is not tree.body:
            node.func.id = f"un.{node.func.id}"
    return ast.unparse(tree)


