"""Every method has its page; with --all the pages are what the program would write now, with runs that may be of another model."""

import re
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
RUN = re.compile(r"## A run\n\n.*?<!-- run -->\n(.*?)<!-- end of run -->\n\n", re.S)


@pytest.fixture(scope="module")
def made():
    spec = spec_from_file_location("make_methods", DOCS / "make_methods.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.pages(None)


def test_every_page_is_there_and_no_other(made):
    there = {*(DOCS / "methods").glob("*.md"), DOCS / "settings.md"}
    assert {p.name for p in there} == {p.name for p in made}, "run scripts/pages"


@pytest.mark.with_all
def test_pages_are_those_that_the_program_writes(made):
    old = [path.name for path, text in made.items() if RUN.sub("", path.read_text(encoding="utf-8")) != text]
    assert not old, "these pages are not up to date: run scripts/pages"


def test_every_method_has_its_run(made):
    for path in made:
        if path.parent.name == "methods" and path.name != "README.md":
            assert RUN.search(path.read_text(encoding="utf-8"))[1].strip()


def test_links_lead_somewhere(made):
    for path, text in made.items():
        for target in re.findall(r"\]\(([\w/]+\.md)\)", text):
            assert (path.parent / target) in made
