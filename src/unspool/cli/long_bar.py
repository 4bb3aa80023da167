"""A progress bar for long work: how fast it goes, and how long it will take."""

from __future__ import annotations

import time
from typing import Any

from unspool.cli.console import Bar


class LongBar(Bar):
    """What is done, such and tokens a second, and the time that is left. what: that which is done, of `total`."""

    def __init__(self, label: str, total: int | None, wanted: bool = True, what: str = "prompts") -> None:
        super().__init__(label, total, wanted)
        self.what = what
        self.done = self._ended = self._tokens = self._before = 0
        self._from: float | None = None

    def step(self, tokens: int, ended: int) -> None:
        """So many tokens were made, and so many texts ended by them."""
        self._from = self._from or time.monotonic()
        self._tokens += tokens
        self._ended += ended
        self.show()

    def reached(self, done: int, made: bool) -> None:
        """So many prompts are done; made: in this run, not in one before."""
        if not made:
            self._before += done - self.done
        self._from = self._from or time.monotonic()
        self.done, self._ended = done, 0
        self.show()

    def show(self, label: str | None = None) -> None:
        shown = self.done + self._ended
        self.count = shown if self.total is None else min(shown, self.total)
        super().show(label)

    def fields(self) -> dict[str, Any]:
        """What the columns show beside the count."""
        seconds = max(time.monotonic() - (self._from or time.monotonic()), 1e-9)
        rate = (self.count - self._before) / seconds
        tokens = f" · {self._tokens / seconds:,.0f} tokens/s" if self._tokens else ""
        left = (self.total - self.count) / rate if self.total is not None and rate > 0 else None
        done = f"{rate:,.1f} {self.what}/s" if rate > 0 else ""
        return {"rate": (done + tokens).removeprefix(" · "), "left": "" if left is None else f"{duration(left)} left"}

    def columns(self) -> tuple[Any, ...]:
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn

        rates = TextColumn("{task.fields[rate]}"), TextColumn("[cyan]{task.fields[left]}")
        return TextColumn("[dim]{task.description}"), BarColumn(bar_width=20), MofNCompleteColumn(), *rates

    def hide(self) -> None:
        """Take it off the screen, so that a line can be said; it comes again."""
        if self._shown is not None:
            self._shown.stop()
            self._shown = None


def duration(seconds: float) -> str:
    """A time as people say it."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{seconds // 60:.0f} min {seconds % 60:02.0f} s"
    hours = seconds / 3600
    return f"{hours:.1f} h" if hours < 48 else f"{hours / 24:.1f} days"
