"""One word for one thing: a public class, type or constant of a module has a name that no other module gives to something else."""

import ast
from pathlib import Path

import unspool

ROOT = Path(unspool.__file__).parent


def named(path):
    """Public classes, types and constants that a module defines; a TypeVar means nothing outside its module."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        if isinstance(node, ast.ClassDef):
            yield node.name
        elif targets and not ast.unparse(node.value or node).startswith("TypeVar("):
            names = (found.id for target in targets for found in ast.walk(target) if isinstance(found, ast.Name))
            yield from (name for name in names if name[0].isupper())


def test_a_name_stands_for_one_thing():
    homes = {}
    for path in sorted(ROOT.rglob("*.py")):
        for name in named(path):
            if not name.startswith("_"):
                homes.setdefault(name, set()).add(str(path.relative_to(ROOT)))
    assert {name: homes[name] for name in homes if len(homes[name]) > 1} == {}
