"""Packed weights kept on disk and mapped into memory, so that a large model is packed once and its memory is shared.

A file holds the layers of one checkpoint for one dtype, one after the other, behind a line that says in which forms. Its name says of which
files it was made (path, size, time of change, and what no program sets: when the entry itself was changed, and its number on the disk, for
one file can take the place of another of its size and time), for which kernels, and by which modules of this package; when one of them
changes, another file is made, and the old one goes once a day has passed without its use. It lies in UNSPOOL_CACHE, or `unspool` in the
user's cache folder; UNSPOOL_CACHE=none keeps nothing.

All files together take at most UNSPOOL_CACHE_SIZE gigabytes: those that were not used for the longest go. A file is as old as its last
use, at which its time of change is set. Nothing is kept that would leave less than a part of the disk free.
"""

from __future__ import annotations

import glob
import hashlib
import json
import math
import os
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unspool.core.room import check_weights
from unspool.errors import ParameterError, UnspoolError
from unspool.files import write
from unspool.kernels import library
from unspool.kernels.build import stamp
from unspool.models.compiled.forms import PackedForm
from unspool.models.gguf.container import set_of
from unspool.models.keeping import DAY, kept
from unspool.models.progress import tell
from unspool.models.threads import SMALL

Bytes = NDArray[np.uint8]
CACHE_LINE = 64
"""Every array begins on a line of the processor's cache."""
GIGABYTE = 10**9
MOST_KEPT = 16.0
"""Gigabytes of all files together, if UNSPOOL_CACHE_SIZE does not say it."""
LONGEST_LINE = 1 << 20
"""Bytes of a file's first line at most."""
LEFT_FREE, PART_LEFT_FREE = 2 * GIGABYTE, 0.05
"""Bytes, and the part of a disk, that stay free."""


def most_kept() -> float:
    """How many bytes all files may take."""
    text = os.environ.get("UNSPOOL_CACHE_SIZE", "").strip()
    try:
        size = float(text) if text else MOST_KEPT
    except ValueError:
        size = math.nan
    if not size >= 0:
        raise ParameterError(f"UNSPOOL_CACHE_SIZE={text!r}: it is how many gigabytes of packed weights are kept, 0 or more")
    return size * GIGABYTE


def place_for(checkpoint: Path | None, kind: str, size: int, coding: bool) -> Path | None:
    """The file for packed weights that take so many bytes; None if they are not kept."""
    return file_of(checkpoint, kind, coding) if checkpoint is not None and size >= SMALL else None


def file_of(checkpoint: Path, kind: str, coding: bool = False) -> Path | None:
    """The file for a checkpoint's weights of a dtype, whether it is there or not; coding: whether exponents may lie in codes."""
    folder, place = kept("packed"), checkpoint.resolve()
    digest = hashlib.sha256(f"{stamp()} {_readers()} {kind} {coding}".encode())
    files = [place / "config.json", *place.glob("*.safetensors*")] if place.is_dir() else set_of(checkpoint)
    for path in sorted(path.resolve() for path in files if path.is_file()):
        its = path.stat()
        digest.update(f"{path} {its.st_size} {its.st_mtime_ns} {its.st_ctime_ns} {its.st_ino}".encode())
    whose = hashlib.sha256(os.fsencode(place)).hexdigest()[:12]
    return folder and folder / f"{place.name[:40]}-{whose}-{kind}-{digest.hexdigest()[:24]}"


def sources() -> list[Path]:
    """The modules that decide which numbers lie where in a file, beside the kernels, among the others of their package."""
    return [*sorted(Path(__file__).parents[1].rglob("*.py")), Path(library.__file__)]


@cache
def _readers() -> str:
    """What those modules are."""
    digest = hashlib.sha256()
    for path in sources():
        digest.update(path.read_bytes())
    return digest.hexdigest()


def padded(size: int) -> int:
    """A size in whole lines."""
    return -(-size // CACHE_LINE) * CACHE_LINE


class PackedStore:
    """Room for packed layers, handed out in the order in which it is asked for; filled: a file held them already.

    forms: those of the layers, in that order; streamed: whether they are too large to stay in a processor's cache from step to step.
    """

    def __init__(self, room: Bytes, path: Path | None, forms: Sequence[PackedForm], streamed: bool, filled: bool = False) -> None:
        self.bytes, self.path, self.forms, self.streamed, self.filled = room, path, forms, streamed, filled
        self.most, self.at = 0.0 if path is None else most_kept(), 0

    @classmethod
    def empty(
        cls, size: int, kind: str, path: Path | None = None, forms: Sequence[PackedForm] = (), streamed: bool = False
    ) -> PackedStore:
        """Room for so many bytes of a dtype, which will be kept in a file if there is one named."""
        check_weights(size, kind, "ask for fewer bits, as dtype int4, or take a smaller model")
        room = np.empty(size + CACHE_LINE, np.uint8)
        first = -room.ctypes.data % CACHE_LINE
        return cls(room[first : first + size], path, forms, streamed)

    @classmethod
    def kept(cls, path: Path, size_of: Callable[[Sequence[PackedForm]], int], streamed: bool) -> PackedStore | None:
        """What a file holds; None if it is not there, or not what its first line says. size_of: bytes of layers in their forms."""
        with suppress(OSError, ValueError, TypeError, ArithmeticError):
            with path.open("rb") as file:
                head = file.readline(LONGEST_LINE)
            forms = [PackedForm(*form) for form in json.loads(head)]
            if path.stat().st_size == len(head) + size_of(forms):
                room = np.memmap(path, np.uint8, "r")[len(head) :]
                with suppress(OSError):                                  # it may be read and not be ours
                    os.utime(path)
                return cls(room, path, forms, streamed, filled=True)
        return None

    def room(self, size: int) -> Bytes:
        """The next `size` bytes."""
        first, self.at = self.at, self.at + padded(size)
        if not self.filled:
            tell(first, len(self.bytes))
        return self.bytes[first : first + size]

    def keep(self) -> None:
        """Write what was packed, if it is to be kept and is not; a disk that will not have it is no fault of the model's."""
        if self.path is None or self.filled:
            return
        line = json.dumps(self.forms).encode()
        line += b" " * (padded(len(line) + 1) - len(line) - 1) + b"\n"
        size = len(line) + len(self.bytes)
        if size > self.most:
            return
        with suppress(OSError, UnspoolError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            _clear(self.path, self.most - size)
            disk = shutil.disk_usage(self.path.parent)
            if disk.free - size >= max(LEFT_FREE, PART_LEFT_FREE * disk.total):
                write(self.path, [line, self.bytes.data])


def _clear(path: Path, most: float) -> None:
    """Make room for a file: what it stands in for goes, and what was left half written, unless it may be in use; then the oldest.

    most: how many bytes the others may take. A file that is mapped somewhere can be removed: who has it keeps it until it lets go.
    """
    before, now = path.name.rpartition("-")[0], time.time()
    ages = {old: old.stat() for old in path.parent.iterdir() if old != path and old.is_file()}
    given_up = [*path.parent.glob(f"{glob.escape(before)}-*"), *path.parent.glob(".*.part")]
    gone = {old for old in given_up if old in ages and now - ages[old].st_mtime > DAY}
    total = sum(its.st_size for old, its in ages.items() if old not in gone)
    for old in sorted(ages.keys() - gone, key=lambda old: ages[old].st_mtime):
        if total <= most:
            break
        if not old.name.startswith("."):                                 # what is being written
            gone.add(old)
            total -= ages[old].st_size
    for old in gone:
        with suppress(OSError):
            old.unlink()
