"""Writes the golden vectors of every engine: python docs/make_golden.py"""

from pathlib import Path

from unspool.lab.engines import ENGINES
from unspool.lab.golden.vectors import golden, written

FOLDER = Path(__file__).parent / "golden"


def pages() -> dict[str, str]:
    """The text of every file, by its name."""
    return {f"{name}.json": written(golden(name)) for name in ENGINES}


if __name__ == "__main__":
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
