"""Packed weights kept on disk and mapped into memory, so that a large model is packed once and its memory is shared.

A file holds the layers of one checkpoint in one number format, one after the other. Its name says of which files it was made (path,
size, time of change) and for which kernels; when one of them changes, another file is made, and the old one goes once a day has passed
without its use. It lies in UNSPOOL_CACHE, or `unspool` in the user's cache folder; UNSPOOL_CACHE=none keeps nothing.
"""

from __future__ import annotations

import glob
import hashlib
import os
import time
from contextlib import suppress
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unspool.errors import UnspoolError
from unspool.files import write
from unspool.kernels.build import stamp
from unspool.models.threads import SMALL

Bytes = NDArray[np.uint8]
CACHE_LINE = 64
"""Every array begins on a line of the processor's cache."""
DAY = 24 * 60 * 60
"""Seconds; the system notes the use of a file no more often than that."""


def cache_folder() -> Path | None:
    """Where packed weights are kept; None if they are not."""
    given = os.environ.get("UNSPOOL_CACHE", "")
    if given == "none":
        return None
    with suppress(RuntimeError):                                         # a user without a home
        base = Path(given) if given else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "unspool"
        return base / "packed"
    return None


def file_of(checkpoint: Path, kind: str) -> Path | None:
    """The file for a checkpoint's weights in a format, whether it is there or not."""
    folder, place = cache_folder(), checkpoint.resolve()
    digest = hashlib.sha256(f"{stamp()} {_readers()} {kind}".encode())
    for path in sorted(path.resolve() for path in [place / "config.json", *place.glob("*.safetensors*")] if path.is_file()):
        its = path.stat()
        digest.update(f"{path} {its.st_size} {its.st_mtime_ns}".encode())
    whose = hashlib.sha256(os.fsencode(place)).hexdigest()[:12]
    return folder and folder / f"{place.name[:40]}-{whose}-{kind}-{digest.hexdigest()[:24]}"


@cache
def _readers() -> str:
    """What the modules are that decide which numbers lie where in a file, beside the kernels."""
    models, digest = Path(__file__).parents[1], hashlib.sha256()
    for name in ("compiled/packing.py", "compiled/model.py", "reading.py", "families.py", "weights.py", "stored.py"):
        digest.update((models / name).read_bytes())
    return digest.hexdigest()


def padded(size: int) -> int:
    """A size in whole lines."""
    return -(-size // CACHE_LINE) * CACHE_LINE


class PackedStore:
    """Room for packed layers, handed out in the order in which it is asked for; filled: the file held them already."""

    def __init__(self, size: int, checkpoint: Path | None, kind: str) -> None:
        self.path = file_of(checkpoint, kind) if checkpoint is not None and size >= SMALL else None
        found = self._mapped(size)
        self.filled, self.at = found is not None, 0
        room = np.empty(size + CACHE_LINE, np.uint8) if found is None else found
        first = -room.ctypes.data % CACHE_LINE
        self.whole = room[first : first + size]

    def _mapped(self, size: int) -> Bytes | None:
        with suppress(OSError, ValueError):
            if self.path is not None and self.path.stat().st_size == size:
                return np.memmap(self.path, np.uint8, "r")
        return None

    def room(self, size: int) -> Bytes:
        """The next `size` bytes."""
        first, self.at = self.at, self.at + padded(size)
        return self.whole[first : first + size]

    def keep(self) -> None:
        """Write what was packed, if it is to be kept and is not; a disk that will not have it is no fault of the model's."""
        if self.path is None or self.filled:
            return
        with suppress(OSError, UnspoolError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write(self.path, [self.whole.data])
            _clear(self.path)


def _clear(path: Path) -> None:
    """Remove what a new file stands in for, and what was left half written, unless it is used or may be."""
    before = path.name.rpartition("-")[0]
    for old in (*path.parent.glob(f"{glob.escape(before)}-*"), *path.parent.glob(".*.part")):
        its = old.stat()
        if old != path and time.time() - max(its.st_atime, its.st_mtime) > DAY:
            old.unlink()
