"""The folder of the files that unspool keeps between runs: packed weights, and models that were taken."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

NO_CACHE = "none"
"""What UNSPOOL_CACHE says where nothing is kept."""
DAY = 24 * 60 * 60
"""Seconds without use after which what is given up, as a file half written, is removed."""


def kept(what: str) -> Path | None:
    """The folder `what` in UNSPOOL_CACHE, or in `unspool` in the user's cache folder; None if nothing is kept."""
    given = os.environ.get("UNSPOOL_CACHE", "")
    if given == NO_CACHE:
        return None
    with suppress(RuntimeError):                                         # a user without a home
        base = Path(given) if given else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "unspool"
        return base.expanduser() / what
    return None
