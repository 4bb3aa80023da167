"""How many threads numpy's matrix products use.

The products of a small model take microseconds; there the threads of OpenBLAS cost more than they give, and when another
process holds one of the cores they wait for each other by spinning: a step of the bundled model took 220 ms instead of 8.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np

SMALL = 64 << 20
"""Bytes of weights below which one thread computes."""


@cache
def _blas() -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="blas").lib_controllers


def is_small(weights: Iterable[Any]) -> bool:
    """Whether these weights are numpy arrays that one thread should compute with."""
    arrays = list(weights)
    return all(isinstance(w, np.ndarray) for w in arrays) and sum(w.nbytes for w in arrays) < SMALL


@contextmanager
def threads(small: bool) -> Iterator[None]:
    """A context for products: with one thread for a small model, as the library is set otherwise."""
    held = [(library, n) for library in _blas() if (n := library.get_num_threads()) != 1] if small else []
    for library, _ in held:
        library.set_num_threads(1)
    try:
        yield
    finally:
        for library, n in held:
            library.set_num_threads(n)
