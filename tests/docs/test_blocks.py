"""Every Python block of the README and the docs runs, in order, and every console command exits well."""

import re
import shlex
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from helpers import real
from helpers.program import called

import unspool.processors
import unspool.stops
import unspool.strategies  # noqa: F401  (so that the registry is full before it is copied)
from unspool.core.decoder import FROM_ELSEWHERE, REGISTRY
from unspool.core.elsewhere import DEFINED

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
PAGES = [p for p in PAGES if p.exists() and "chapter" not in p.parts]         # the chapter has tests of its own
"""Without README.ko.md, whose code is the same (`test_languages.py`)."""


def files(page):
    """Files that a page shows: a block after a line that ends in its name, or a Python block that begins with it."""
    text = page.read_text(encoding="utf-8")
    yield from re.findall(r"^(?:.* )?`([\w-]+\.(?:yaml|jsonl))`(?:, [^\n]*)?:\n\n```\w+\n(.*?)^```", text, re.M | re.S)
    for block in blocks(page, "python"):
        if named := re.match(r"# (\w+\.py)\n", block):
            yield named[1], block


def needed(page):
    """A page whose extra the tests may lack is skipped there."""
    module = {"lm-eval.md": "lm_eval", "notebooks.md": "anywidget"}.get(page.name)
    return pytest.mark.skipif(module is not None and find_spec(module) is None, reason=f"{module} is not installed")


@pytest.fixture
def own_cache(page, tmp_path, monkeypatch):
    """What a page's commands keep of data they read lies in the test's folder."""
    if page.name == "lm-eval.md":
        monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "datasets")


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S)


@pytest.mark.usefixtures("own_cache")
@pytest.mark.parametrize("page", [pytest.param(p, marks=needed(p), id=p.name) for p in PAGES if blocks(p, "python")])
def test_python_blocks_run_in_order(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("unspool.core.decoder.REGISTRY", dict(REGISTRY))      # what the page defines is known on the page alone
    scope = {"__name__": "__main__"}
    for block in blocks(page, "python"):
        exec(compile(block, str(page), "exec"), scope)
    assert capsys.readouterr().out.strip()


def commands():
    for page in PAGES:
        for block in blocks(page, "console"):
            for line in block.splitlines():
                if line.startswith("$ unspool "):
                    marks = [needed(page), *([pytest.mark.real] if "smollm2" in line else [])]
                    yield pytest.param(page, line[2:].split("  #")[0], id=f"{page.name}: {line[2:60]}", marks=marks)


@pytest.mark.usefixtures("own_cache")
@pytest.mark.parametrize(("page", "command"), list(commands()))
def test_console_commands_exit_well(page, command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("unspool.core.decoder.REGISTRY", dict(REGISTRY))
    monkeypatch.setattr("unspool.core.decoder.FROM_ELSEWHERE", set(FROM_ELSEWHERE))
    for key in list(DEFINED):                                             # of the page's own blocks
        monkeypatch.delitem(DEFINED, key)
    monkeypatch.setattr("sys.path", list(sys.path))
    if "smollm2" in command:
        real.by_its_word(monkeypatch)
    for name, text in files(page):
        (tmp_path / name).write_text(text, encoding="utf-8")
    code, found, said = called(*shlex.split(command)[1:])
    assert not code, said
    assert found.strip()
