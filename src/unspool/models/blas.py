"""The BLAS that numpy computes with."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from typing import Any


@cache
def libraries() -> list[Any]:
    """The BLAS libraries in use, as threadpoolctl shows them."""
    from threadpoolctl import ThreadpoolController

    found: list[Any] = ThreadpoolController().select(user_api="blas").lib_controllers
    return found


def blas() -> str:
    """Which BLAS numpy computes with and with which kernels, and whether OPENBLAS_CORETYPE names others than it would choose."""
    said = "; ".join(f"{b.internal_api} {b.version}, {getattr(b, 'architecture', 'unknown')}" for b in libraries())
    named = os.environ.get("OPENBLAS_CORETYPE")
    chosen = _chosen() if named else ""
    if chosen and all(getattr(b, "architecture", chosen) != chosen for b in libraries()):
        said += f": OPENBLAS_CORETYPE={named} in the environment; without it the kernels would be those of {chosen}"
    return said


def _chosen() -> str:
    """The kernels that OpenBLAS takes by itself, asked in a process without the variable; "" where that cannot be known."""
    script = "import numpy; from threadpoolctl import threadpool_info as info; print(*(b.get('architecture', '') for b in info()))"
    rest = {name: value for name, value in os.environ.items() if name != "OPENBLAS_CORETYPE"}
    try:
        done = subprocess.run([sys.executable, "-c", script], env=rest, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return next(iter(done.stdout.split()), "")
