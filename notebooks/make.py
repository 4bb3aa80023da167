"""Makes the chapter: runs the code of its pages, writes what it prints and draws into them, and makes the notebooks.

    python notebooks/make.py            every page
    python notebooks/make.py 2 5        these pages

The pages of docs/chapter are the source. What stands directly after a block of Python is made here: a block of text or a table
is what it printed, and a line `![caption](../pictures/name.svg)` names its picture, which is written there. The two languages
run the same code once.
"""

from __future__ import annotations

import ast
import contextlib
import io
import posixpath
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
PAGES = FOLDER.parent / "docs" / "chapter"
LANGUAGES = ("en", "ko")
PIECE = re.compile(
    r"^```python\n(?P<code>.*?)^```\n"
    r"(?:\n*^(?P<fence>`{3,})text\n(?P<printed>.*?)^(?P=fence)\n)?"
    r"(?:\n*(?P<table>(?:^\|[^\n]*\n)+))?"
    r"(?:\n*(?P<picture>^!\[[^\n]*\]\([^\n]*\.svg\))\n)?",
    re.M | re.S,
)


@dataclass
class Cell:
    """Prose, or code with what it printed and the line of its picture."""

    source: str
    code: bool = False
    printed: str = ""
    table: str = ""
    picture: str = ""


@dataclass
class Result:
    """What a block of code printed, and the value of its last line."""

    printed: str = ""
    value: Any = field(default=None, repr=False)

    @property
    def svg(self) -> str:
        """The picture, if the value is one."""
        return self.value.to_svg() if hasattr(self.value, "to_svg") else ""

    @property
    def table(self) -> str:
        """The table in Markdown, if the value is one."""
        return self.value.to_markdown() if hasattr(self.value, "to_markdown") else ""

    @property
    def text(self) -> str:
        """All that is text."""
        plain = self.value is not None and not self.svg and not self.table
        return self.printed + (f"{self.value!r}\n" if plain else "")


def read(page: Path) -> list[Cell]:
    """The cells of a page."""
    text, cells, at = page.read_text(encoding="utf-8"), [], 0
    for found in PIECE.finditer(text):
        cells.append(Cell(text[at : found.start()].strip("\n")))
        parts = {name: found[name] or "" for name in ("printed", "table", "picture")}
        cells.append(Cell(found["code"].rstrip("\n"), True, **parts))
        at = found.end()
    cells.append(Cell(text[at:].strip("\n")))
    return [cell for cell in cells if cell.source]


def run(cells: list[Cell]) -> list[Result]:
    """Run the code of a page in order; a result for each cell, empty for prose."""
    scope: dict[str, Any] = {"__name__": "__main__"}
    return [_run(cell, scope) if cell.code else Result() for cell in cells]


def _run(cell: Cell, scope: dict[str, Any]) -> Result:
    tree, value, out = ast.parse(cell.source), None, io.StringIO()
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    with contextlib.redirect_stdout(out):
        exec(compile(tree, "<page>", "exec"), scope)
        if last is not None:
            value = eval(compile(ast.Expression(last.value), "<page>", "eval"), scope)
    return Result(out.getvalue(), value)


def write(page: Path, cells: list[Cell], results: list[Result]) -> None:
    """Write a page with the results of its code, and its pictures."""
    parts = []
    for cell, result in zip(cells, results, strict=True):
        parts.append(f"```python\n{cell.source}\n```" if cell.code else cell.source)
        if text := result.text:
            fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
            parts.append(f"{fence}text\n{text.rstrip()}\n{fence}")
        if result.table:
            parts.append(result.table.rstrip())
        if bool(result.svg) != bool(cell.picture):
            raise SystemExit(f"{page}: a picture needs a line ![caption](../pictures/name.svg) after its code, and the line a picture")
        if result.svg:
            (page.parent / cell.picture.rpartition("(")[2].rstrip(")")).write_text(result.svg, encoding="utf-8")
            parts.append(cell.picture)
    page.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def notebook(cells: list[Cell], results: list[Result], language: str) -> Any:
    """A page as a notebook."""
    from nbformat import v4

    made = v4.new_notebook(metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}})
    for number, (cell, result) in enumerate(zip(cells, results, strict=True)):
        new = v4.new_code_cell(cell.source) if cell.code else v4.new_markdown_cell(linked(cell.source, language))
        new.id = f"cell-{number}"
        if result.printed:
            new.outputs.append(v4.new_output("stream", name="stdout", text=result.printed))
        if result.value is not None:
            data = {"image/svg+xml": result.svg, "text/html": result.value.to_html() if result.table else "", "text/plain": _plain(result)}
            data = {kind: text for kind, text in data.items() if text}
            new.outputs.append(v4.new_output("execute_result", data=data, execution_count=None))
        made.cells.append(new)
    return made


def _plain(result: Result) -> str:
    return f"<{type(result.value).__name__}>" if result.svg else result.table or repr(result.value)


def linked(prose: str, language: str) -> str:
    """Prose whose links to other pages lead to their notebooks, and all others to where the page's lead."""
    own = f"../../docs/chapter/{language}/"

    def target(found: re.Match[str]) -> str:
        link = found[1]
        page = re.fullmatch(r"(\d-[a-z-]+)\.md", link)
        return f"]({page[1]}.ipynb)" if page else found[0] if "://" in link else f"]({posixpath.normpath(own + link)})"

    return re.sub(r"\]\(([^)]+)\)", target, prose)


def main(wanted: list[str]) -> None:
    """Make the pages of these numbers, or all."""
    import nbformat

    for page in sorted((PAGES / LANGUAGES[0]).glob("[0-9]-*.md")):
        if wanted and page.name[0] not in wanted:
            continue
        results = run(read(page))
        for language in LANGUAGES:
            here = PAGES / language / page.name
            if not here.exists():
                continue
            cells = read(here)
            write(here, cells, results)
            target = FOLDER / language / f"{page.stem}.ipynb"
            target.parent.mkdir(exist_ok=True)
            made = notebook(cells, results, language)
            nbformat.validate(made)
            nbformat.write(made, target)
        print(page.stem)


if __name__ == "__main__":
    main(sys.argv[1:])
