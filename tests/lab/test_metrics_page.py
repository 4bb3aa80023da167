"""The page of metrics holds the definitions that the program has."""

import importlib.util
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_is_that_of_the_registry():
    spec = importlib.util.spec_from_file_location("make_metrics", DOCS / "make_metrics.py")
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    page = (DOCS / "metrics.md").read_text(encoding="utf-8")
    assert page.count(made.BEGIN) == page.count(made.END) == 1
    assert made.written(page) == page, "write it with: python docs/make_metrics.py"


def test_every_variant_is_named_on_it():
    from unspool.lab import registry, variants

    text = " ".join(metric.elsewhere for metric in registry.METRICS.values())
    own = [name for name, value in vars(variants).items() if getattr(value, "__module__", "") == variants.__name__ and name[0] != "_"]
    assert all(f"variants.{name}" in text for name in own)
    named = {word.strip("().,;").removeprefix("variants.") for word in text.split() if "variants." in word}
    assert named == set(own)
