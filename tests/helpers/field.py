"""The cases that people met in other engines, and the tests that carry their numbers."""

import ast
from configparser import ConfigParser
from pathlib import Path
from typing import NamedTuple

TESTS = Path(__file__).parents[1]


class Case(NamedTuple):
    kind: str
    seen: str
    case: str
    here: str


def cases() -> dict[str, Case]:
    """number -> what is said of it."""
    parser = ConfigParser(interpolation=None, delimiters=("=",), comment_prefixes=(";",))
    parser.optionxform = str
    parser.read(TESTS / "data" / "field-cases.ini", encoding="utf-8")
    return {
        number: Case(kind, *(part.strip() for part in f" {line}".split(" | ")))
        for kind in parser.sections()
        for number, line in parser[kind].items()
    }


def marked() -> dict[str, list[str]]:
    """number -> the tests marked with it, as tests/file.py::name."""
    found: dict[str, list[str]] = {}
    for path in sorted(TESTS.rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            for mark in getattr(node, "decorator_list", ()):
                if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.field":
                    for number in mark.args:
                        found.setdefault(ast.literal_eval(number), []).append(f"{path.relative_to(TESTS.parent)}::{node.name}")
    return found
