"""The sha256 file beside a model: which of the files that it names are as they were when it was written."""

from __future__ import annotations

import hashlib
import mmap
from dataclasses import dataclass
from pathlib import Path

from unspool.errors import ModelError


@dataclass(frozen=True)
class Sum:
    """A file's recorded hash, and the one it has; "" if it cannot be read."""

    name: str
    recorded: str
    found: str

    @property
    def ok(self) -> bool:
        return self.recorded == self.found


def read_sums(folder: Path) -> list[Sum]:
    """The hashes of the files that a folder's sha256 file names; nothing if it has none."""
    path = folder / "sha256"
    if not path.is_file():
        return []
    lines = [line.split() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    return [Sum(words[-1], words[0].lower(), hash_of(folder / words[-1])) for words in lines if len(words) == 2]


def hash_of(path: Path) -> str:
    """A file's sha256."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return hashlib.sha256(data).hexdigest()
    except (OSError, ValueError):                                         # no file, or an empty one
        return ""


def check_sums(folder: Path) -> None:
    """Refuse a folder in which a file is not as its sha256 file says."""
    for found in read_sums(folder):
        if not found.ok:
            raise ModelError(f"{folder / found.name} is broken: its sha256 is not the one recorded beside it; install unspool again")
