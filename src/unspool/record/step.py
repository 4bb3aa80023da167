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
class Stages:
    """What each stage made of the distributions at R nodes: the model first, then S - 1 processors in order.

    Arrays are (R, S), or (R, S, m) for the m considered tokens.
    """

    names: list[str]
    kept: Ints
    """How many tokens are possible after the stage."""
    mass: Floats
    """The probability, before the stage, of those."""
    entropy: Floats
    """Of the distribution after the stage, in nats."""
    covering: Ints
    """The least number of tokens that hold 95 % after the stage."""
    logprobs: Floats
    """(R, S, m), of the considered tokens after the stage; -inf for what is cut."""
    ranks: Ints
    """(R, S, m), how many tokens were likelier before the stage."""
    above: Floats
    """(R, S, m), the probability, before the stage, of those."""
    sparing: Any = None
    """(R, m), texts: the processor that cut the token, at the setting nearest its own that would not have; "" where none can say so."""

    def take(self, index: Any) -> Stages:
        """Some of the nodes."""
        columns: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "names"}
        some: dict[str, Any] = {k: None if v is None else v[index] for k, v in columns.items()}
        return Stages(self.names, **some)


@dataclass
class Considered:
    """The distribution at R nodes: their m likeliest tokens under the model, best first, (R, m), and how sure the model is."""

    prompt: Ints
    nodes: Ints
    tokens: Ints
    logprobs: Floats
    processed: Floats
    entropy: Floats | None = None
    """(R,), of the model's distribution, in nats; None in old files."""
    stages: Stages | None = None
    """What every processor did, at that level."""

    def take(self, index: Any) -> Considered:
        """Some of the nodes."""
        columns = [getattr(self, f.name) for f in fields(self) if f.name != "stages"]
        part = Considered(*(None if v is None else v[index] for v in columns))  # type: ignore[arg-type]
        part.stages = self.stages.take(index) if self.stages else None
        return part


@dataclass
class Step:
    """One commit: N children and what was considered.

    The nodes of each prompt are numbered in the order they were born, from its own, 0.
    """

    prompt: Ints
    parents: Ints
    nodes: Ints
    tokens: Ints
    logprob: Floats
    processed: Floats
    score: Floats
    reason: Any
    """(N,), why a child is finished, "" if it goes on."""
    uniform: Floats | None = None
    rank: Ints | None = None
    """(N,), how many tokens the model held for likelier; at the levels with alternatives."""
    drafted: Ints | None = None
    """(N,), 1 where the token was proposed by a draft and confirmed; None where none was."""
    considered: Considered | None = None
    dropped: dict[str, Any] | None = None
    """Candidates not taken: prompt, parents, tokens, score and reason, each (D,)."""

    def __len__(self) -> int:
        return len(self.nodes)

    def take(self, index: Any) -> Step:
        """Some of the children, without what was considered."""
        columns = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("considered", "dropped")}
        some: dict[str, Any] = {k: None if v is None else v[index] for k, v in columns.items()}
        return Step(**some)

    def prompts(self) -> list[int]:
        """The prompts of which it says anything."""
        found = set(self.prompt.tolist())
        if self.considered is not None:
            found.update(self.considered.prompt.tolist())
        if self.dropped is not None:
            found.update(np.asarray(self.dropped["prompt"]).tolist())
        return sorted(found)

    def only(self, prompt: int) -> Step:
        """The part of one prompt, as if there were no other: its number is then 0."""
        part = self.take(self.prompt == prompt)
        part.prompt = np.zeros_like(part.prompt)
        if self.considered is not None and (at := self.considered.prompt == prompt).any():
            part.considered = self.considered.take(at)
            part.considered.prompt = np.zeros_like(part.considered.prompt)
        if self.dropped is not None and (at := np.asarray(self.dropped["prompt"]) == prompt).any():
            part.dropped = {k: np.asarray(v)[at] for k, v in self.dropped.items()}
            part.dropped["prompt"] = np.zeros_like(part.dropped["prompt"])
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
    """Why it ended: end, complete, length, context, unfinished, stop, loop, confidence, time or interrupted."""
    nodes: list[int] = field(default_factory=list)
    """Its nodes in the record, from the prompt's on."""
    columns: dict[str, Any] = field(default_factory=dict)
    """The strategy's own columns when it ended."""

    @property
    def logprob(self) -> float:
        """Sum of the model's log-probabilities."""
        return float(np.sum(self.logprobs))
