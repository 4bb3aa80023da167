"""How many rows there is room for: what cannot be held at all is refused before any row is made, and how many prompts run at once."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from unspool.errors import ModelError, check, in_digits

MEMORY_SHARE = 0.5
"""Of the machine's memory, what the rows of one call may take."""
BYTES = 8
"""Of every token of the vocabulary, for every row: its logit and its log-probability, in float32. Keys and values come on top."""

ROWS_TOGETHER = 64
"""Rows that grow at once where memory allows it: with 64 a token was cheapest in numpy, the machine's caches hold no more."""


def prompts_together(model: Any, rows: int | None, length: int) -> int:
    """How many prompts run at once if nobody says: as many as make `ROWS_TOGETHER` rows, or as memory has room for, and one at least.

    rows: of a prompt, if that is known. length: the most tokens of a row. A model may say how many bytes its session keeps of each token
    (`token_bytes`), and how many there are where it keeps them (`free_memory`), if that is not this machine's memory.
    """
    rows = rows or 1
    here = getattr(model, "free_memory", None)
    room = MEMORY_SHARE * (memory() if here is None else here)
    each = rows * (model.vocabulary * BYTES + length * getattr(model, "token_bytes", 0))
    most = max(1, ROWS_TOGETHER // rows)
    return max(1, min(most, int(room // each))) if room else most


def check_rows(strategy: str, rows: int, prompts: int, vocabulary: int) -> None:
    """Refuse more rows than memory has room for: rows * prompts * vocabulary * BYTES is the least they need."""
    need, room = rows * prompts * vocabulary * BYTES, int(MEMORY_SHARE * memory())
    times, most = f"{prompts} prompts of " if prompts > 1 else "", room // (prompts * vocabulary * BYTES)
    check(
        not room or need <= room,
        f"{strategy} needs at least {amount(need)} of memory ({times}{rows} rows of {vocabulary} tokens, {BYTES} bytes each); "
        f"{amount(room)}, half of this machine's, is the most: at most {most} rows a prompt fit",
    )


def check_weights(size: int, kind: str, way_out: str) -> None:
    """Refuse weights that memory cannot hold, before any room is made for them."""
    room = memory()
    if room and size > room:
        raise ModelError(f"the weights take {amount(size)} of memory for dtype {kind}, and this machine has {amount(room)}: {way_out}")


def memory() -> int:
    """Bytes of memory that this process may have: the machine's, or its container's; 0 where nothing says."""
    try:
        found = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return 0
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        try:
            limit = (Path("/sys/fs/cgroup") / name).read_text(encoding="ascii").strip()
        except OSError:
            continue
        found = min(found, in_digits(limit) or found)
    return found


def amount(size: float) -> str:
    """Bytes as people say them."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:,.3g} TB" if size < 1000 else f"{size:,.0f} TB"
