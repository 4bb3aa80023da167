"""How fast this machine reads memory: numpy's largest of many whole numbers, which waits for memory alone, a thread on every core.

The reading of weights bounds how fast one text can be decoded, so tokens per second are also shown as a share of it.
"""

from __future__ import annotations

import os
import threading
import time

import numpy as np

MEGABYTES = 512
"""Far more than the caches hold."""


class Reader:
    """Memory, and the threads that read it."""

    def __init__(self, threads: int, megabytes: int = MEGABYTES) -> None:
        self.parts = np.array_split(np.ones((megabytes << 20) // 4, np.int32), threads)
        self.cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []

    def rate(self) -> float:
        """Bytes per second of one reading."""
        start = threading.Barrier(len(self.parts) + 1)
        ends = [0.0] * len(self.parts)

        def read(i: int) -> None:
            if self.cores:                                               # short threads would else share a core now and then
                os.sched_setaffinity(0, {self.cores[i % len(self.cores)]})
            start.wait()
            self.parts[i].max()
            ends[i] = time.perf_counter()

        workers = [threading.Thread(target=read, args=(i,)) for i in range(len(self.parts))]
        for worker in workers:
            worker.start()
        start.wait()
        began = time.perf_counter()
        for worker in workers:
            worker.join()
        return sum(part.nbytes for part in self.parts) / (max(ends) - began)
