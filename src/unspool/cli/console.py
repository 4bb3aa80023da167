"""What the command line reads and writes: prompts, results, progress."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unspool.errors import ParameterError, PromptError, UnspoolError, in_digits
from unspool.files import FORMS, check_writable, said, source_name, write, write_output

if TYPE_CHECKING:
    from unspool.views.terminal import Paint

PIPE_CLOSED = 141
"""The exit code of a program that SIGPIPE ends."""


# --- reading ----------------------------------------------------------------------------------------------------------


def read_text(value: str, what: str = "prompt") -> str:
    """A text from the command line: itself, or standard input for "-" (without the line break at its end)."""
    if value != "-":
        try:
            value.encode()
        except UnicodeEncodeError:
            raise PromptError(f"the {what} is no UTF-8 text") from None
        return value
    text = decoded(read_bytes("-"), "standard input")
    return text.removesuffix("\n").removesuffix("\r")


def read_prompt(prompt: str | None) -> str:
    """The prompt of a command that takes one."""
    if prompt is None:
        raise ParameterError("give a prompt, or - for standard input")
    return read_text(prompt)


def read_bytes(name: str) -> bytes:
    """The bytes of a file; "-" is standard input."""
    try:
        return sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise PromptError(f"cannot read {source_name(name)}: {said(error)}") from None


def decoded(data: bytes, where: str) -> str:
    """Bytes as text, which is UTF-8."""
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise PromptError(f"{where} is no UTF-8 text: byte {data[error.start]:#04x} at position {error.start}") from None


# --- writing ----------------------------------------------------------------------------------------------------------


class Sink:
    """Where results go: standard output, or a file that is written whole or not at all."""

    def __init__(self, form: str | None, path: str | None, color: str) -> None:
        self.path = None if path is None or path == "-" else Path(path)
        self.form = form or (FORMS.get(self.path.suffix.lower(), "text") if self.path else "text")
        if self.path:
            check_writable(self.path)
        self.terminal = self.path is None and sys.stdout.isatty()
        self.color = color == "always" or (color == "auto" and self.terminal and not plain_wanted())
        self._parts: list[str] = []
        self._plain = self.form == "text" and self.path is None and not shows_unicode()

    @property
    def paint(self) -> Paint:
        from unspool.views.terminal import Paint

        return Paint(self.color)

    @property
    def width(self) -> int:
        """The screen's columns; 0 if there is no screen to fit."""
        wanted = os.environ.get("COLUMNS", "")
        return shutil.get_terminal_size().columns if self.terminal or (self.path is None and in_digits(wanted) is not None) else 0

    def write(self, text: str) -> None:
        """Show a text at once, or keep it for the file."""
        if not text:
            return
        if self.path:
            self._parts.append(text)
        else:
            _show(text.translate(ASCII) if self._plain else text)

    def write_picture(self, data: bytes) -> None:
        """Write a picture: to the file, or to what standard output is connected to if that is no terminal."""
        if self.path:
            write(self.path, data)
        elif self.terminal:
            raise UnspoolError("a picture is no text for a terminal: say where with --output-file")
        else:
            _show(data)

    def close(self) -> None:
        if self.path and self._parts:
            write(self.path, "".join(self._parts))


def _show(data: str | bytes) -> None:
    """Write to standard output; if whoever read it has gone, end without a word."""
    try:
        write_output(data)
    except BrokenPipeError:
        raise SystemExit(PIPE_CLOSED) from None


_ALIKE = {"+": "├┬┴┤┼╭╮┌┐", "`": "└╰", "'": "┘╯’", "|": "│┃║▏▎▍▌▋▊▉", "-": "─━–−—▒", "=": "═▓", ".": "░·", "#": "█■", "*": "●•", "v": "✓"}
_ALIKE |= {"x": "✗×", ">": "›→≥", "<": "≤", "~": "…", "$": "⏎", "^": "⇥", "_": "␣", "0": "∅", "o": "□", '"': "“”"}
ASCII = {ord(c): plain for plain, some in _ALIKE.items() for c in some}
"""What draws, in characters that any screen has; each takes one column as before."""


def shows_unicode() -> bool:
    """Whether the locale is not one that says it has ASCII or another small set of characters alone."""
    said = os.environ.get("LC_ALL") or os.environ.get("LANG") or ""
    if os.environ.get("LC_ALL", "") == "" and (kind := os.environ.get("LC_CTYPE", "")) not in ("", "C.UTF-8"):
        said = kind                                                       # Python itself sets C.UTF-8 where the locale is C
    name, _, charset = said.partition(".")
    return not (name in ("C", "POSIX") and not charset) and charset.replace("-", "").lower() in ("", "utf8")


def plain_wanted() -> bool:
    """Whether the user or the terminal asks for no colour."""
    return bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"


def note(message: str) -> None:
    """One line on stderr."""
    with contextlib.suppress(OSError):                                    # standard error may be full, or its reader gone
        print("unspool: " + " ".join(message.split()), file=sys.stderr, flush=True)


# --- progress ---------------------------------------------------------------------------------------------------------


class Bar:
    """A progress bar on stderr, once the work has taken a while and if a person can see it."""

    PATIENCE = 0.5

    def __init__(self, label: str, total: int | None, wanted: bool = True) -> None:
        """total: None where nobody knows."""
        self.label, self.total, self.count = label, total, 0
        self._wanted = wanted and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self._began, self._shown, self._task = time.monotonic(), None, None

    _shown: Any
    _task: Any

    def advance(self, by: int = 1) -> None:
        self.count += by
        self.show()

    def at(self, count: int) -> None:
        """So much is done."""
        if count != self.count:
            self.count = count
            self.show()

    def show(self, label: str | None = None) -> None:
        """Draw it as it stands, under another label if one is given."""
        self.label = label or self.label
        if not self._wanted or time.monotonic() - self._began < self.PATIENCE:
            return
        if self._shown is None:
            from rich.console import Console
            from rich.progress import Progress

            self._shown = Progress(*self.columns(), console=Console(stderr=True), transient=True)
            self._task = self._shown.add_task(self.label, total=self.total, **self.fields())
            self._shown.start()
        known = self.total is not None and self.count <= self.total       # a search may take more rounds than it may write tokens
        self._shown.update(self._task, completed=self.count, total=self.total if known else None, description=self.label, **self.fields())

    def columns(self) -> tuple[Any, ...]:
        """What stands beside each other, as rich has it."""
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn

        return TextColumn("[dim]{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()

    def fields(self) -> dict[str, Any]:
        """What the columns show beside the count."""
        return {}

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *_: object) -> None:
        if self._shown is not None:
            self._shown.stop()
