"""Every Python block of the README and the docs runs, in order, and every console command exits well."""

import re
import shlex
import sys
from pathlib import Path

import pytest
from helpers import real
from helpers.program import called

import unspool.processors
import unspool.stops
import unspool.strategies  # noqa: F401  (so that the registry is full before it is copied)
from unspool.core.decoder import FROM_ELSEWHERE, REGISTRY

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
PAGES = [p for p in PAGES if p.exists() and "chapter" not in p.parts]         # the chapter has tests of its own
"""Without README.ko.md, whose code is the same (`test_languages.py`)."""


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S)


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p, "python")], ids=lambda p: p.name)
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
                    marks = [pytest.mark.real] if "smollm2" in line else []
                    yield pytest.param(page, line[2:].split("  #")[0], id=f"{page.name}: {line[2:60]}", marks=marks)


@pytest.mark.parametrize(("page", "command"), list(commands()))
def test_console_commands_exit_well(page, command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("unspool.core.decoder.REGISTRY", dict(REGISTRY))
    monkeypatch.setattr("unspool.core.decoder.FROM_ELSEWHERE", set(FROM_ELSEWHERE))
    monkeypatch.setattr("sys.path", list(sys.path))
    if "smollm2" in command:
        real.by_its_word(monkeypatch)
    for block in blocks(page, "python"):
        if named := re.match(r"# (\w+\.py)\n", block):                     # a block that begins with a file's name is that file
            (tmp_path / named[1]).write_text(block, encoding="utf-8")
    code, found, said = called(*shlex.split(command)[1:])
    assert not code, said
    assert found.strip()
