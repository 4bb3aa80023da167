"""Whether the rows that a run asks for can be held at all: refused before any of them is made."""

from __future__ import annotations

import os
from pathlib import Path

from unspool.errors import check

MEMORY_SHARE = 0.5
"""Of the machine's memory, what the rows of one call may take."""
BYTES = 8
"""Of every token of the vocabulary, for every row: its logit and its log-probability, in float32. Keys and values come on top."""


def check_rows(strategy: str, rows: int, prompts: int, vocabulary: int) -> None:
    """Refuse more rows than memory has room for: rows * prompts * vocabulary * BYTES is the least they need."""
    need, room = rows * prompts * vocabulary * BYTES, int(MEMORY_SHARE * memory())
    times, most = f"{prompts} prompts of " if prompts > 1 else "", room // (prompts * vocabulary * BYTES)
    check(
        not room or need <= room,
        f"{strategy} needs at least {amount(need)} of memory ({times}{rows} rows of {vocabulary} tokens, {BYTES} bytes each); "
        f"{amount(room)}, half of this machine's, is the most: at most {most} rows a prompt fit",
    )


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
        found = min(found, int(limit)) if limit.isdecimal() else found
    return found


def amount(size: float) -> str:
    """Bytes as people say them."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:,.3g} TB" if size < 1000 else f"{size:,.0f} TB"
