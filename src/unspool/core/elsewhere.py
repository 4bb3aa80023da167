"""Parts from elsewhere: files and modules that a user names, and what installed packages announce as entry points."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module, util
from pathlib import Path
from types import ModuleType
from typing import Any

from unspool.errors import UnspoolError

ENTRY_POINTS = "unspool.parts"
"""The group of entry points by which a package announces its parts."""
DEFINED: dict[tuple[str, str], tuple[Any, str]] = {}
"""What else is known by a name, as a metric: by its kind and name, itself and the module that defines it."""


def run_module(name: str) -> ModuleType:
    """Import what a user names: a file, which is run once, or a module by its dotted name, also from the current folder."""
    if not name.strip():
        raise UnspoolError("a name of parts is empty; name a file, as my_parts.py, or a module, as my_package.parts")
    if name.startswith(".") or name.endswith(".py") or os.sep in name or (os.altsep or os.sep) in name:
        return _run_file(Path(name).expanduser())
    _find_beside(Path.cwd())
    if (ran := _ran_by_path(name)) is not None:
        return ran
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not (name + ".").startswith(error.name + "."):
            raise UnspoolError(f"cannot import {name}: {_what(error, None)}") from error
        where = f"nothing is called {error.name}, here or among what is installed"
        raise UnspoolError(f"there is no module {name!r}: {where}; a file is named with its ending, as my_parts.py") from None
    except (Exception, SystemExit) as error:
        raise UnspoolError(f"cannot import {name}: {_what(error, None)}") from error


def _run_file(path: Path) -> ModuleType:
    """Run a file as a module, whose name is its path: so it hides no other module, and errors say where a part comes from.

    A file that was imported before, by its path or as a module, is not run again: its parts would be there twice.
    """
    if path.is_dir():
        raise UnspoolError(f"{path} is a folder; name a file of it, or a module by its dotted name")
    if not path.is_file():
        raise UnspoolError(f"there is no file {path}; name a file that defines parts, or a module by its dotted name")
    name = str(path.resolve())
    if (ran := sys.modules.get(name) or _imported(path)) is not None:
        return ran
    spec = util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UnspoolError(f"{path} is no Python file; its name ends in .py")
    _find_beside(path.resolve().parent)
    module = sys.modules[name] = util.module_from_spec(spec)             # dataclasses look their own module up there
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise UnspoolError(f"cannot import {path}: {_what(error, name)}") from error
    return module


def _imported(path: Path) -> ModuleType | None:
    """The module that was imported from a file, if one was."""
    for module in list(sys.modules.values()):
        file = getattr(module, "__dict__", {}).get("__file__")           # not asked of modules that would answer by importing more
        if isinstance(file, str) and os.path.basename(file) == path.name and os.path.realpath(file) == os.path.realpath(path):
            return module
    return None


def _ran_by_path(name: str) -> ModuleType | None:
    """The module of this name as it was run by the path of its file, if it was."""
    if name in sys.modules or not any(map(os.path.isabs, sys.modules)):
        return None
    with suppress(Exception, SystemExit):                                 # of a package around it; told when it is imported
        origin = getattr(util.find_spec(name), "origin", None)
        return sys.modules.get(os.path.realpath(origin)) if origin else None
    return None


def _find_beside(folder: Path) -> None:
    """Let what a user names import what lies beside it; what is installed is found first."""
    if str(folder) not in sys.path:
        sys.path.append(str(folder))


def _what(error: BaseException, file: str | None) -> str:
    """What an import raised, and on which line of the file."""
    line = error.lineno if isinstance(error, SyntaxError) and error.filename == file else None
    at = error.__traceback__
    while at is not None:
        line = at.tb_lineno if at.tb_frame.f_code.co_filename == file else line
        at = at.tb_next
    said = error.msg if isinstance(error, SyntaxError) else str(error)
    kind = "" if isinstance(error, UnspoolError) else type(error).__name__ + (": " if said else "")
    return (f"line {line}: " if line else "") + kind + said


_announced: list[Any] = []
"""The entry points that were loaded by now."""


def load_announced(load: Callable[[str, Callable[[], Any]], None]) -> list[str]:
    """Give each entry point that was not loaded before to `load`, by its name; what is wrong with those that are broken, a line each.

    One that is broken is tried again, and told again, the next time.
    """
    from importlib.metadata import entry_points

    broken = []
    for point in entry_points(group=ENTRY_POINTS):
        if point in _announced:
            continue
        owner = f" of the package {point.dist.name}" if point.dist else ""
        name = f"the entry point {point.name} = {point.value}{owner}"
        try:
            load(name, point.load)
            _announced.append(point)
        except (Exception, SystemExit) as error:
            broken.append(f"{name} cannot be loaded: {_what(error, None)}; mend that package, or uninstall it")
    return broken
