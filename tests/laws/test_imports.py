"""Imports go one way, down the layers; nothing heavy is imported before it is needed."""

import ast
import re
from functools import cache
from pathlib import Path

import unspool

ROOT = Path(unspool.__file__).parent
PAGE = (Path(__file__).parents[2] / "docs" / "architecture.md").read_text(encoding="utf-8")
SECTION = PAGE.split("## Layers\n")[1].split("\n## ")[0]
LAYERS = [line.split(" · ") for line in SECTION.split("```")[1].split("\n") if line]
"""From the bottom up; a layer imports itself and what is below."""
EXCEPTIONS = set(re.findall(r"`(\S+) -> (\S+)`", SECTION))
HEAVY = {"click": {"cli"}}
HEAVY |= {name: set() for name in ("torch", "huggingface_hub", "pandas", "transformers", "rich", "matplotlib", "textual", "llguidance")}
HEAVY |= {"rich": {"explore"}, "textual": {"explore"}, "matplotlib": {"views.plot"}}
"""Which modules or packages import these when imported themselves."""
FILES = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in ROOT.rglob("*.py")}


def layer(module):
    for name in (module, module.split(".")[0] + ".*"):
        for i, some in enumerate(LAYERS):
            if name in some:
                return i
    raise AssertionError(f"say in docs/architecture.md, under Layers, where {module} belongs")


@cache
def imports(module, everywhere):
    """Full names that a module imports: when it is imported itself, or everywhere, for types too."""
    return tuple(_imports(module, everywhere))


def _imports(module, everywhere):
    nodes = [ast.parse(FILES[module].read_text(encoding="utf-8"))]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test) and not everywhere:
            nodes += node.orelse
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "imports are written out in full"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif everywhere or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            nodes += ast.iter_child_nodes(node)


def own(module):
    """The other modules of unspool that a module imports anywhere, for types too."""
    for name in imports(module, everywhere=True):
        if name.split(".")[0] == "unspool":
            parts = name.split(".")[1:]
            while parts and ".".join(parts) not in FILES and ".".join([*parts, "__init__"]) not in FILES:
                parts.pop()
            found = ".".join(parts) if ".".join(parts) in FILES else ".".join([*parts, "__init__"])
            if found != module:
                yield found


def test_imports_go_down():
    pairs = {(module, other) for module in FILES for other in own(module)}
    upward = [f"{module} imports {other}" for module, other in sorted(pairs - EXCEPTIONS) if layer(other) > layer(module)]
    assert not upward, "from above"


def test_no_circles():
    below = {module: {other for other in own(module) if (module, other) not in EXCEPTIONS} for module in FILES}
    while below:
        free = {module for module, others in below.items() if not others & below.keys()}
        assert free, f"a circle among {sorted(below)}"
        below = {module: others for module, others in below.items() if module not in free}


def test_what_the_page_says_of_layers_is_there():
    assert all(layer(other) > layer(module) and other in own(module) for module, other in EXCEPTIONS)
    names = [name for some in LAYERS for name in some]
    assert len(names) == len(set(names))
    assert not [n for n in names if n not in FILES and not (n.endswith("*") and any(m.startswith(n[:-1]) for m in FILES))]


def test_heavy_libraries_wait_until_they_are_needed():
    at_once = {(module, name.split(".")[0]) for module in FILES for name in imports(module, everywhere=False)}
    wrong = [f"{m} imports {name}" for m, name in sorted(at_once) if name in HEAVY and not {m, m.split(".")[0]} & HEAVY[name]]
    assert not wrong, "at once"
