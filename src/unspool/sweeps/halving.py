"""Successive halving: many settings on few prompts, the better part of them on more, and so on.

Jamieson and Talwalkar 2016, arXiv 1502.07943.
"""

from __future__ import annotations

from dataclasses import dataclass

from unspool.errors import ParameterError, check, is_whole, option

FIRST_RUNG = 5
"""The fewest prompts of a rung: on fewer, chance decides."""


@dataclass(frozen=True)
class Rung:
    """So many settings on so many prompts, of which the earlier rungs ran some."""

    settings: int
    prompts: int


def rungs_of(settings: int, prompts: int, keep: int) -> list[Rung]:
    """The rungs, the last on all prompts; keep: one setting in so many goes on."""
    check(is_whole(keep, 2), f"{option('keep')} says of how many settings one goes on, a whole number >= 2; got {keep!r}")
    count = 1
    while settings > keep**count and prompts >= FIRST_RUNG * keep**count:
        count += 1
    return [Rung(-(-settings // keep**i), -(-prompts // keep ** (count - 1 - i))) for i in range(count)]


def runs_of(rungs: list[Rung]) -> int:
    """How often a prompt is run under a setting, in all."""
    before = [0, *(rung.prompts for rung in rungs)]
    return sum(rung.settings * (rung.prompts - done) for rung, done in zip(rungs, before, strict=False))


def afforded(budget: int, prompts: int, keep: int | None, items: str = "prompts") -> int:
    """How many settings a budget of runs pays for; keep: None where all of them run on all prompts. items: what those are called."""
    if keep is None:
        found = budget // prompts
    else:
        most = budget // rungs_of(budget, prompts, keep)[0].prompts       # the first rung alone costs as much
        found = next((n for n in range(most, 1, -1) if runs_of(rungs_of(n, prompts, keep)) <= budget), 0)
    if found < 2:
        pays = f"{found} setting{'s' * (found != 1)} on {prompts} {items}"
        raise ParameterError(f"a budget of {budget} runs pays for {pays}; at least 2 settings are compared")
    return found
