"""How many cores this process may use: those that it may run on, and no more than a container is given time for."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


def cores() -> int:
    """Cores that this process may use, at least one."""
    here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.ceil(min(here, given_time())))


def given_time(root: Path = Path("/")) -> float:
    """Of how many cores the time is given to this process's control groups (Linux, version 1 or 2); infinity without a limit.

    A group within another has no more than that one. In a container the root of what is mounted is its own group, whatever path the
    system knows it by.
    """
    limits = [math.inf]
    with suppress(OSError, ValueError, TypeError):                       # of files that are not what they are called
        for line in (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines():
            _, kinds, path = line.split(":", 2)
            if not kinds:
                limits += [_quota(*(folder / "cpu.max").read_text().split(maxsplit=1)) for folder in _with(root, "", path, "cpu.max")]
            elif "cpu" in kinds.split(","):
                for folder in _with(root, kinds, path, "cpu.cfs_quota_us"):
                    limits.append(_quota((folder / "cpu.cfs_quota_us").read_text(), (folder / "cpu.cfs_period_us").read_text()))
    return min(limits)


def _with(root: Path, kinds: str, path: str, name: str) -> Iterator[Path]:
    """The folders of a control group and those around it that hold a file; version 1 has a tree for some kinds together."""
    tops = [root / "sys/fs/cgroup" / part for part in dict.fromkeys([kinds, *kinds.split(",")])]
    for top in tops:
        inner = Path(path.strip("/"))
        for part in (inner, *inner.parents) if path.strip("/") else (Path(),):
            if ".." not in part.parts and (top / part / name).is_file():
                yield top / part


def _quota(quota: str, period: str) -> float:
    """Microseconds of each period; "max", or -1, is no limit."""
    given = math.inf if quota.strip() == "max" else float(quota)
    return given / float(period) if given > 0 and float(period) > 0 else math.inf
