"""What other processes did meanwhile, and what a process held, as Linux counts it; nothing is known elsewhere."""

from __future__ import annotations

import os
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
ALLOWED = 0.1
"""Cores that others may use in a call that counts as quiet."""
TICK_ERROR = 0.03
"""Seconds by which the two clocks, which count in hundredths, may differ in a call."""


def busy() -> float:
    """Seconds that the machine's cores have worked, all together, or were taken away by a host; 0 where it is not known."""
    try:
        user, nice, system, _idle, _wait, *rest = map(int, Path("/proc/stat").read_text().splitlines()[0].split()[1:9])
    except (OSError, ValueError):
        return 0.0
    return (user + nice + system + sum(rest)) / TICKS


def own() -> float:
    """Seconds that this process has worked."""
    return sum(os.times()[:4])


def used_by(pid: int) -> int:
    """Ticks that a process has worked; 0 where it is not known."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return int(fields[11]) + int(fields[12])


def peak_mib() -> float:
    """The most memory that this process has held, in MiB; 0 where it is not known. (getrusage would count its parent's, too.)"""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:")), 0.0)


def is_quiet(others: float, seconds: float) -> bool:
    """Whether others used so little, in cores, that a call of so many seconds counts."""
    return others <= ALLOWED + TICK_ERROR / max(seconds, TICK_ERROR)
