"""Imports go one way, down the layers; nothing heavy is imported before it is needed."""

import ast
from functools import cache
from pathlib import Path

import unspool

ROOT = Path(unspool.__file__).parent
LAYERS = [
    ["errors", "arrays"],
    ["core.__init__", "core.randomness", "core.model", "core.decoder"],
    ["core.processor", "record.*"],
    ["core.stop", "core.strategy", "text", "score"],
    ["core.lane"],
    ["core.frontier", "core.stages"],
    ["core.search"],
    ["core.loop"],
    ["processors.*", "stops.*", "strategies.*", "models.*", "engines.*", "views.*"],
    ["language_model"],
    ["lab.*", "explore.*"],
    ["__init__"],
    ["cli.console"],
    ["cli.options"],
    ["cli.*"],
    ["__main__"],
]
"""From the bottom up; a layer imports itself and what is below."""
HEAVY = {"click": {"cli"}}
HEAVY |= {name: set() for name in ("torch", "huggingface_hub", "pandas", "transformers", "rich", "matplotlib", "textual", "llguidance")}
HEAVY |= {"rich": {"explore"}, "textual": {"explore"}, "matplotlib": {"views.plot"}}
"""Which modules or packages import these when imported themselves."""
LAZY = {("views.table", "views.terminal"), ("score", "views.notebook"), ("record.trace", "views.notebook")}
"""Upward only when called: a table in a terminal is drawn by the view that reads it, a result in a notebook too."""
FILES = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in ROOT.rglob("*.py")}


def layer(module):
    names = (module, module.split(".")[0] + ".*")
    places = [i for i, some in enumerate(LAYERS) if any(name in some for name in names)]
    assert places, f"say in LAYERS where {module} belongs"
    return places[0]


@cache
def imports(module, everywhere):
    """Full names that a module imports: at its head, or everywhere; not for type checking alone."""
    return tuple(_imports(module, everywhere))


def _imports(module, everywhere):
    nodes = [ast.parse(FILES[module].read_text(encoding="utf-8"))]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            nodes += node.orelse
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "imports are written out in full"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif everywhere or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            nodes += ast.iter_child_nodes(node)


def own(module, everywhere=True):
    """The modules of unspool that a module imports."""
    for name in imports(module, everywhere):
        if name.split(".")[0] == "unspool":
            parts = name.split(".")[1:]
            while parts and ".".join(parts) not in FILES and ".".join([*parts, "__init__"]) not in FILES:
                parts.pop()
            found = ".".join(parts)
            yield found if found in FILES else ".".join([*parts, "__init__"])


def test_imports_go_down():
    pairs = {(module, other) for module in FILES for other in own(module)}
    upward = [f"{module} imports {other}" for module, other in sorted(pairs - LAZY) if layer(other) > layer(module)]
    assert not upward, "from above"


def test_no_circles():
    below = {module: {other for other in own(module) if (module, other) not in LAZY} - {module} for module in FILES}
    while below:
        free = {module for module, others in below.items() if not others & below.keys()}
        assert free, f"a circle among {sorted(below)}"
        below = {module: others for module, others in below.items() if module not in free}


def test_heavy_libraries_wait_until_they_are_needed():
    at_once = {(module, name.split(".")[0]) for module in FILES for name in imports(module, everywhere=False)}
    wrong = [f"{m} imports {name}" for m, name in sorted(at_once) if name in HEAVY and not {m, m.split(".")[0]} & HEAVY[name]]
    assert not wrong, "at once"
