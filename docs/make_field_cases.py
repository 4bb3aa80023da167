"""Writes docs/field-cases.md of what people met in other engines, and of the tests that carry the cases' numbers.

python docs/make_field_cases.py
"""

import sys
from itertools import groupby
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from helpers.field import cases, marked  # noqa: E402

PAGE = ROOT / "docs" / "field-cases.md"
ABOUT = """# What people met in other engines

Faults, surprises and questions that users reported of decoding engines, and what unspool does there. Each row is held by tests, those
with the mark of its number; `pytest -m field` runs all of them. Sources are threads of public projects; many are mended there since.
"""
HEAD = "| | what people met | here | seen in | test |\n| --- | --- | --- | --- | --- |"


def page() -> str:
    """The whole page."""
    tests, parts = marked(), [ABOUT]
    for kind, rows in groupby(cases().items(), key=lambda row: row[1].kind):
        lines = [f"| {number} | {_cell(c.case)} | {_cell(c.here)} | {c.seen} | {_links(tests.get(number, []))} |" for number, c in rows]
        parts.append("\n".join([f"## {kind}\n", HEAD, *lines]) + "\n")
    return "\n".join(parts)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("docs/grammars.md", "[grammars](grammars.md)")


def _links(tests: list[str]) -> str:
    files = dict.fromkeys(test.split("::")[0] for test in tests)
    return ", ".join(f"[{Path(file).stem.removeprefix('test_')}](../{file})" for file in files)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
