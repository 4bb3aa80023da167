"""How many threads numpy's matrix products use.

The products of a small model take microseconds; there the threads of OpenBLAS cost more than they give, and when another
process holds one of the cores they wait for each other by spinning: a step of the bundled model took 220 ms instead of 8.

A large model computes with all of them, or as many as UNSPOOL_THREADS says. Timing steps to find the better number would be quick, but
OpenBLAS's last bits depend on the number, and a text must not depend on what else the machine does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from unspool.kernels.library import thread_count
from unspool.models.blas import libraries

SMALL = 64 << 20
"""Bytes of weights below which one thread computes."""


def most_threads(weights: Iterable[Any]) -> int | None:
    """How many threads should compute with these weights at most; None if they are not numpy's."""
    arrays = list(weights)
    if not all(isinstance(w, np.ndarray) for w in arrays):
        return None
    return 1 if sum(w.nbytes for w in arrays) < SMALL else thread_count()


@contextmanager
def threads(most: int | None) -> Iterator[None]:
    """A context for products with this many threads at most."""
    held = [(library, n) for library in libraries() if (n := library.get_num_threads()) > most] if most is not None else []
    for library, _ in held:
        library.set_num_threads(most)
    try:
        yield
    finally:
        for library, n in held:
            library.set_num_threads(n)
