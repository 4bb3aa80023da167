"""The record of a decoding run: steps, hypotheses, and the trace that holds them. It knows no model and no strategy.

Three numbers are never confused: `logprob` is the model's own log-probability, `processed` the log-probability after the
processors, and `score` what the strategy ranks by.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from unspool.arrays import Floats, Ints

LEVELS = ("off", "tokens", "choices", "stages")
"""How much is recorded: nothing but tokens, the numbers of every chosen token, the likeliest alternatives too, or also
what every processor did."""


@dataclass
class Considered:
    """The distribution at R nodes: their m likeliest tokens under the model, best first, each array (R, m)."""

    prompt: Ints
    nodes: Ints
    tokens: Ints
    logprobs: Floats
    processed: Floats


@dataclass
class Step:
    """One commit: N children and what was considered. Nodes are numbered in the order they were born."""

    prompt: Ints
    parents: Ints
    nodes: Ints
    tokens: Ints
    logprob: Floats
    processed: Floats
    score: Floats
    done: Any
    """(N,), why a child is finished, "" if it goes on."""
    uniform: Floats | None = None
    considered: Considered | None = None
    dropped: dict[str, Any] | None = None
    """Candidates not taken: prompt, parents, tokens, score and why, each (D,)."""

    def __len__(self) -> int:
        return len(self.nodes)

    def only(self, prompt: int) -> Step:
        """The part of one prompt."""
        mine = self.prompt == prompt
        part = Step(*(getattr(self, f.name)[mine] for f in fields(self)[:8]))
        part.uniform = None if self.uniform is None else self.uniform[mine]
        if self.considered is not None:
            at = self.considered.prompt == prompt
            part.considered = Considered(*(getattr(self.considered, f.name)[at] for f in fields(self.considered)))
        if self.dropped is not None:
            at = self.dropped["prompt"] == prompt
            part.dropped = {k: np.asarray(v)[at] for k, v in self.dropped.items()}
        return part


@dataclass
class Hypothesis:
    """One finished text of a prompt."""

    prompt: int
    tokens: list[int]
    """The new tokens, with the end token if one was reached."""
    logprobs: list[float]
    """The model's log-probability of each."""
    processed: list[float]
    """Their log-probabilities after the processors."""
    score: float
    """What the strategy ranked by."""
    reason: str
    """Why it ended: end, length, context, stop, time or interrupted."""
    nodes: list[int] = field(default_factory=list)
    """Its nodes in the record, from the prompt's on."""
    columns: dict[str, Any] = field(default_factory=dict)
    """The strategy's own columns when it ended."""

    @property
    def logprob(self) -> float:
        """Sum of the model's log-probabilities."""
        return float(np.sum(self.logprobs))
