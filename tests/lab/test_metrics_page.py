"""The page of metrics holds the definitions that the program has; compared with --all."""

import importlib.util
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def made():
    spec = importlib.util.spec_from_file_location("make_metrics", DOCS / "make_metrics.py")
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


PAGE = (DOCS / "metrics.md").read_text(encoding="utf-8")


def test_every_metric_has_its_section_and_no_other(made):
    assert PAGE.count(made.BEGIN) == PAGE.count(made.END) == 1
    sections = re.findall(r"^### `(.+)`$", PAGE.partition(made.BEGIN)[2].partition(made.END)[0], re.M)
    assert sections == list(made.METRICS), "run scripts/pages"


@pytest.mark.with_all
def test_the_page_is_that_of_the_registry(made):
    assert made.written(PAGE) == PAGE, "the page is not up to date: run scripts/pages"


def test_every_variant_is_named_on_it():
    from unspool.lab import registry, variants

    text = " ".join(metric.elsewhere for metric in registry.METRICS.values())
    own = [name for name, value in vars(variants).items() if getattr(value, "__module__", "") == variants.__name__ and name[0] != "_"]
    assert all(f"variants.{name}" in text for name in own)
    named = {word.strip("().,;").removeprefix("variants.") for word in text.split() if "variants." in word}
    assert named == set(own)
