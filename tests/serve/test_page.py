"""The page of the server lists every field that the server knows."""

import importlib.util
from pathlib import Path

from unspool.serve.fields import CHATS, COMPLETIONS, known_at

PAGE = Path(__file__).parents[2] / "docs" / "serve.md"


def test_the_page_is_made_of_the_table():
    spec = importlib.util.spec_from_file_location("make_serve", PAGE.parent / "make_serve.py")
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    page = PAGE.read_text(encoding="utf-8")
    assert made.written(page) == page, "python docs/make_serve.py"
    for name in known_at(COMPLETIONS) | known_at(CHATS):
        assert f"`{name}`" in page, name
