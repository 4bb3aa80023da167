"""Make docs/methods/*.md and docs/settings.md from what the program knows: python docs/make_methods.py

Run it after a change of a docstring, of data/methods.ini or of lab/engines, and when the bundled model has changed.
"""

from __future__ import annotations

from pathlib import Path

import unspool
from unspool.lab.engines import ENGINES
from unspool.lab.examples import run_method
from unspool.lab.methods import GROUPS, methods
from unspool.views.explain import index_to_markdown, method_to_markdown
from unspool.views.translation import settings_to_markdown

DOCS = Path(__file__).parent


def pages(lm: unspool.LanguageModel | None) -> dict[Path, str]:
    """Every page by its place; without a model, without runs."""
    known = methods()
    found = {DOCS / "methods" / f"{m.name}.md": method_to_markdown(m, run_method(m, lm) if lm else None, GROUPS[m.family]) for m in known}
    found[DOCS / "methods" / "README.md"] = index_to_markdown(known, GROUPS)
    return found | {DOCS / "settings.md": settings_to_markdown(list(ENGINES.values()), known)}


if __name__ == "__main__":
    made = pages(unspool.load())
    (DOCS / "methods").mkdir(exist_ok=True)
    for path in (DOCS / "methods").glob("*.md"):
        if path not in made:
            path.unlink()
    for path, text in made.items():
        path.write_text(text, encoding="utf-8")
    print(f"{len(made)} pages")
