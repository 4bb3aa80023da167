"""A view that is drawn while its record grows."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unspool.cli.console import Sink
    from unspool.record.trace import Trace
    from unspool.stream import Stream

Draw = Callable[["Trace", int], str]
"""(what is recorded so far, how many lines there are) -> what to show"""
PATIENCE = 0.3
"""Seconds before anything is drawn, so that what is done at once does not flicker."""
SHARE = 5
"""Drawing takes at most one part in so many of the time."""


class Live:
    """Draws a run again and again in its place on the terminal, and wipes it in the end; nothing where there is no terminal."""

    def __init__(self, sink: Sink, draw: Draw | None) -> None:
        self.draw = draw if sink.terminal and sink.form == "text" and os.environ.get("TERM") != "dumb" else None
        self._next, self._screen = time.monotonic() + PATIENCE, None

    _screen: Any

    def show(self, run: Stream) -> None:
        """Draw what is there by now, if it is time."""
        began = time.monotonic()
        if self.draw is None or began < self._next:
            return
        record = run.so_far()
        if not record.hypotheses[0]:                                      # every text has died
            return
        from rich.console import Console
        from rich.live import Live as Screen
        from rich.text import Text

        text = self.draw(record, max(4, shutil.get_terminal_size().lines - 2))
        if self._screen is None:
            self._screen = Screen(console=Console(highlight=False), auto_refresh=False, transient=True)
            self._screen.start()
        self._screen.update(Text.from_ansi(text, no_wrap=True), refresh=True)
        self._next = time.monotonic() + max(0.05, SHARE * (time.monotonic() - began))

    def __enter__(self) -> Live:
        return self

    def __exit__(self, *_: object) -> None:
        if self._screen is not None:
            self._screen.stop()
