"""What is told of the stages of one step: its numbers, which every drawing of them reads."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Fate:
    """One token through all stages."""

    token: int
    text: str
    probabilities: list[float]
    """After each stage; 0 once it is cut."""
    chosen: bool
    margin: str
    """Which stage cut it, and the setting under which it would have survived."""


@dataclass(frozen=True)
class StagesOfStep:
    """The stages of one step: the model, then every processor."""

    input: str
    names: list[str]
    kept: list[int]
    mass: list[float]
    """What share of the probability each stage let through."""
    entropy: list[float]
    """After each stage, in bits."""
    covering: list[int]
    """The least number of tokens that hold 95 %."""
    fates: list[Fate]
