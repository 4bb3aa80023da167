"""What a search has proved of its texts: the best it found, and a bound on what it did not."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Certificate:
    """The scores that a search found, and what no text that it did not find exceeds.

    It speaks of the texts that go on from one node of a prompt's tree: 0, the prompt's own, unless a strategy around it began elsewhere.
    """

    prompt: int
    node: int
    wanted: int
    """How many texts were asked for."""
    found: list[float]
    """The scores of the best found, best first, `wanted` of them at most."""
    bound: float
    """No text that was not found has a score above it; -inf where there is no other."""
    rows: int
    """How many prefixes were grown."""
    assumes: str = ""
    """What the bound takes for granted, in a few words; "" if nothing."""

    @property
    def proved(self) -> int:
        """How many of the texts found are the best there are: those that nothing else can exceed."""
        return sum(score >= self.bound for score in self.found)

    @property
    def whole(self) -> bool:
        """Whether all that was asked for is proved, or all there is was found."""
        return self.proved >= self.wanted or self.bound == -math.inf

    @property
    def gap(self) -> float:
        """By how much the first text that is not proved may at most fall short of the best in its place: 0 if all are proved."""
        if self.whole:
            return 0.0
        return self.bound - self.found[self.proved] if self.proved < len(self.found) else math.inf

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain values, with what follows from it; null for what is infinite."""
        values = asdict(self) | {"proved": self.proved, "whole": self.whole, "gap": self.gap}
        return values | {name: None for name in ("bound", "gap") if not math.isfinite(values[name])}

    def __str__(self) -> str:
        given = f", if {self.assumes}" if self.assumes else ""
        cost = f"{self.rows:,} prefix{'' if self.rows == 1 else 'es'} grown"
        if self.whole:
            return f"proved: {self._proved()} ({cost}){given}"
        which = "not proved: best" if not self.proved else f"{self.proved} of {self.wanted} proved: the next"
        if self.proved == len(self.found):
            return f"{which} not found, bound {self.bound:.4g} ({cost}){given}"
        return f"{which} found {self.found[self.proved]:.4g}, bound {self.bound:.4g}, gap {self.gap:.3g} ({cost}){given}"

    def _proved(self) -> str:
        """What is proved where nothing is left to prove."""
        if len(self.found) < self.wanted:
            return f"these {len(self.found)} are all there are" if self.found else "there is none"
        return "no text is better" if self.wanted == 1 else f"no other text is better than these {self.wanted}"
