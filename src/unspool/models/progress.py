"""Who is told how far the opening of a model is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeAlias

Listener: TypeAlias = Callable[[int, int], None]
"""Called with how much is read or packed, and how much there is in all."""
_told: ContextVar[Listener | None] = ContextVar("told", default=None)


@contextmanager
def watched(told: Listener) -> Iterator[None]:
    """Models that are opened inside tell how far they are."""
    before = _told.set(told)
    try:
        yield
    finally:
        _told.reset(before)


def tell(done: int, total: int) -> None:
    """Say how far it is to whoever wants to know."""
    told = _told.get()
    if told is not None:
        told(done, total)
