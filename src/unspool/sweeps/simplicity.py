"""Which processors of a setting do nothing, so that leaving them out is the same setting, only simpler."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from unspool.core.decoder import Decoder

IDLE_AT: dict[str, Callable[[Any], bool]] = {
    "temperature": lambda p: p.t == 1,
    "top_p": lambda p: p.p >= 1,
    "min_p": lambda p: p.p == 0,
    "typical": lambda p: p.p >= 1,
    "tail_free": lambda p: p.z >= 1,
    "epsilon": lambda p: p.epsilon == 0,
    "eta": lambda p: p.epsilon == 0,
    "top_a": lambda p: p.a == 0,
    "skew": lambda p: p.skew == 0,
    "xtc": lambda p: p.probability == 0,
    "repetition_penalty": lambda p: p.penalty == 1,
    "presence_penalty": lambda p: p.penalty == 0,
    "frequency_penalty": lambda p: p.penalty == 0,
}
"""Of each processor, the values at which it leaves every distribution as it is."""


def acting(decoder: Decoder) -> int:
    """How many processors of a decoder do anything."""
    return sum(not IDLE_AT.get(p.name, lambda p: False)(p) for p in decoder.processors)
