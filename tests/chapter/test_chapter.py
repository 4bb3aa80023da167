"""The chapter: every page runs on the bundled model, quickly; its notebooks and its two languages are the same chapter."""

import ast
import importlib.util
import json
import re
import time
from pathlib import Path

import pytest
from helpers.chapter import make

from unspool.lab.facts import recorded

ROOT = Path(__file__).parents[2]
STORIES = ROOT / "tests" / "data" / "stories260K"
SECONDS = 20
"""Of processor time, for each page."""
LARGEST = 200_000
"""Bytes of a notebook."""

NAMES = sorted(page.name for page in (make.PAGES / "en").glob("[0-9]-*.md"))
EVERY = [(language, name) for language in make.LANGUAGES for name in NAMES]
every_page = pytest.mark.parametrize(("language", "name"), EVERY, ids=lambda value: value.removesuffix(".md"))


def cells_of(language, name):
    return make.read(make.PAGES / language / name)


def code_of(language, name):
    return [cell for cell in cells_of(language, name) if cell.code]


def notebook_of(language, name):
    return json.loads((make.FOLDER / language / name).with_suffix(".ipynb").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", NAMES, ids=lambda name: name.removesuffix(".md"))
def test_a_page_runs_on_the_bundled_model(name):
    began = time.process_time()
    results = make.run(cells_of("en", name))
    assert time.process_time() - began < SECONDS
    for cell, result in zip(cells_of("en", name), results, strict=True):
        assert bool(cell.printed) == bool(result.text), f"run notebooks/make.py: this cell prints otherwise\n{cell.source}"
        assert bool(cell.table) == bool(result.table)
        assert bool(cell.picture) == bool(result.svg)
    if name.startswith("2") and importlib.util.find_spec("transformers") and importlib.util.find_spec("torch"):
        assert any("generate writes the same" in result.text for result in results)


@pytest.mark.parametrize("name", [name for name in NAMES if name[0] in "167"])
def test_with_another_model_one_name_changes(name):
    cells = cells_of("en", name)
    assert sum(cell.source.count("bundled") for cell in cells if cell.code) == 1
    for cell in cells:
        cell.source = cell.source.replace('MODEL = "bundled"', f"MODEL = {str(STORIES)!r}")
    make.run(cells)


@pytest.mark.parametrize("language", make.LANGUAGES)
def test_the_numbers_of_a_larger_model_are_those_that_are_recorded(language):
    """The table of the contents: one column is what the pages print, the other what `unspool verify smollm2` checks."""
    page = (make.PAGES / language / "README.md").read_text(encoding="utf-8")
    bundled, smollm2 = ([line.split(" | ")[i].split()[0] for line in page.splitlines() if line.endswith(" |")][2:] for i in (-2, -1))
    printed = "".join(cell.printed for name in NAMES for cell in cells_of("en", name))
    assert all(number in printed for number in bundled)
    facts = next(facts for facts in recorded() if facts["model"].startswith("SmolLM2"))
    tables = {table["prompt"]: table["steps"] for table in facts["tables"]}
    unicorns = [text["logprob"] for text in facts["texts"] if "unicorns" in text["prompt"]]
    assert smollm2 == [tables["Once upon a time"][0][0][1] + "%", *unicorns, str(facts["sums"][0]["right"])]
    ends = next(text["text"] for text in facts["texts"] if "unicorns" in text["prompt"])
    assert " ".join(ends.split()) in " ".join(page.split())


@every_page
def test_a_page_begins_with_its_model_and_ends_with_a_picture(language, name):
    code = code_of(language, name)
    assert 'MODEL = "bundled"\nlm = un.load(MODEL)' in code[0].source
    assert code[-1].picture
    for cell in code:
        if cell.picture:
            target = make.PAGES / language / re.search(r"\(([^)]+)\)$", cell.picture)[1]
            assert target.read_text(encoding="utf-8").startswith("<svg")


@pytest.mark.parametrize("name", NAMES, ids=lambda name: name.removesuffix(".md"))
def test_both_languages_have_the_same_code_and_the_same_sections(name):
    english, korean = (cells_of(language, name) for language in make.LANGUAGES)
    assert [cell.code for cell in english] == [cell.code for cell in korean]
    for one, other in zip(english, korean, strict=True):
        if one.code:
            assert ast.dump(ast.parse(one.source)) == ast.dump(ast.parse(other.source))
            assert (one.printed, one.table) == (other.printed, other.table)
            assert one.picture.rpartition("(")[2] == other.picture.rpartition("(")[2]
        else:
            assert shape(one.source) == shape(other.source)


def shape(prose):
    """The headings' levels and the addresses of links: what prose has in every language."""
    return re.findall(r"^#+", prose, re.M), sorted(re.findall(r"\]\(([^)]+)\)", prose)), re.findall(r"arXiv\s+([\d.]+\d)", prose)


def test_both_languages_have_the_same_pages():
    for folder, ending in ((make.PAGES, "md"), (make.FOLDER, "ipynb")):
        english, korean = ({p.stem for p in (folder / language).glob(f"[0-9]-*.{ending}")} for language in make.LANGUAGES)
        assert english == korean == {name.removesuffix(".md") for name in NAMES}


@every_page
def test_a_notebook_is_its_page(language, name):
    made, cells = notebook_of(language, name), cells_of(language, name)
    assert len(made["cells"]) == len(cells)
    for found, cell in zip(made["cells"], cells, strict=True):
        assert found["cell_type"] == ("code" if cell.code else "markdown")
        assert "".join(found["source"]) == (cell.source if cell.code else make.linked(cell.source, language))
        outputs = found.get("outputs", [])
        printed = "".join("".join(output["text"]) for output in outputs if output["output_type"] == "stream")
        shown = [output["data"] for output in outputs if output["output_type"] == "execute_result"]
        plain = "".join("".join(d["text/plain"]) + "\n" for d in shown if len(d) == 1)
        assert (printed + plain).rstrip() == cell.printed.rstrip()
        assert bool(cell.picture) == any("image/svg+xml" in d for d in shown)


@every_page
def test_a_notebook_is_small_and_of_no_machine(language, name):
    text = (make.FOLDER / language / name).with_suffix(".ipynb").read_text(encoding="utf-8")
    assert len(text.encode()) < LARGEST
    assert not re.search(r"/(home|root|tmp|work|Users)/|0x[0-9a-f]{8}|\d seconds", text)


@every_page
def test_links_lead_somewhere(language, name):
    page = make.PAGES / language / name
    prose = "\n".join("".join(cell["source"]) for cell in notebook_of(language, name)["cells"] if cell["cell_type"] == "markdown")
    for folder, text in ((page.parent, page.read_text(encoding="utf-8")), (make.FOLDER / language, prose)):
        for link in re.findall(r"\]\(([^)]+)\)", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)):
            assert "://" in link or (folder / link).exists(), link


def test_what_is_made_is_read_back(tmp_path):
    page = tmp_path / "en" / "page.md"
    page.parent.mkdir()
    (tmp_path / "pictures").mkdir()
    printing = "```python\nprint('a `b` ```c```')\n1\n```\n"
    drawing = "```python\nclass P:\n    to_svg = lambda self: '<svg/>'\nP()\n```\n![x](../pictures/x.svg)\n"
    page.write_text(f"# Title\n\n{printing}\n{drawing}", encoding="utf-8")
    cells = make.read(page)
    make.write(page, cells, make.run(cells))
    again = make.read(page)
    assert [cell.source for cell in again] == [cell.source for cell in cells]
    assert again[1].printed == "a `b` ```c```\n1\n"
    assert again[2].picture == "![x](../pictures/x.svg)"
    before = page.read_text(encoding="utf-8")
    make.write(page, again, make.run(again))
    assert page.read_text(encoding="utf-8") == before
    assert (tmp_path / "pictures" / "x.svg").read_text(encoding="utf-8") == "<svg/>"
