"""GGUF files by their names: which is a model, and in which format its weights are, as the file's publisher says it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

SUFFIX = ".gguf"
SHARD = re.compile(r"-(\d{5})-of-\d{5}(?=\.gguf$)", re.IGNORECASE)
"""How the name of a file ends that is one of several."""
NO_MODEL = "mmproj"
"""What the name begins with of a file that makes tokens of pictures."""


def is_gguf(path: Path) -> bool:
    """Whether a file is to be read as a GGUF file."""
    return path.suffix.lower() == SUFFIX


def first_files(names: Iterable[str]) -> list[str]:
    """Of names of files those of models in GGUF; of a model in several files the first."""
    found = []
    for name in names:
        shard = SHARD.search(name)
        if name.lower().endswith(SUFFIX) and not name.lower().startswith(NO_MODEL) and not (shard and int(shard[1]) > 1):
            found.append(name)
    return sorted(found)


def gguf_files(folder: Path) -> list[Path]:
    """The models in a folder that are GGUF files, of those in several files the first."""
    return [folder / name for name in first_files(path.name for path in folder.glob("*") if path.is_file())]


def quantisation_of(name: str) -> str:
    """The end of a file's name, which tells the format: Q4_K_M of model-7b.Q4_K_M.gguf."""
    return re.split("[-.]", SHARD.sub("", name)[: -len(SUFFIX)])[-1]


def is_meant(name: str, wanted: str) -> bool:
    """Whether a file is that of a format, or has a name, whatever the case."""
    return wanted.lower() in (quantisation_of(name).lower(), name.lower())


def patterns_of(wanted: str) -> list[str]:
    """The same for who searches by patterns as a shell has them: every file of a model."""
    word = "".join(f"[{c.lower()}{c.upper()}]" if c.isalpha() else c for c in re.sub("(?i:\\.gguf)$", "", SHARD.sub("", wanted)))
    return [f"{start}{word}{end}.[gG][gG][uU][fF]" for start in ("", "*[-.]") for end in ("", "-[0-9]*-of-[0-9]*")]
