"""What a trace holds of its nodes: at each, the likeliest next tokens with their probabilities."""

from __future__ import annotations

import math
from collections.abc import Container, Iterator
from dataclasses import dataclass
from typing import Any

from unspool.record.trace import Trace
from unspool.text import unfinished, visible


@dataclass(frozen=True)
class Cell:
    """One likely next token: its text with a leading space if it has one, and its probabilities."""

    token: int
    text: str
    probability: float
    """Under the model itself."""
    processed: float
    """After the processors."""

    def to_dict(self) -> dict[str, Any]:
        """Its numbers by name: `logprob` is always the model's own log-probability, and what is a probability says so."""
        log = math.log(self.probability) if self.probability else None
        return {"token": self.token, "text": self.text, "probability": self.probability, "logprob": log} | {
            "processed_probability": self.processed
        }

    def cell(self, processed: bool = False) -> str:
        """As ` most (9.76%)`, with a second percentage where asked."""
        second = f" → {self.processed:.2%}" if processed else ""
        return f"{self.text} ({self.probability:.2%}{second})"


@dataclass(frozen=True)
class Row:
    """One node: the text before it, and what may come next."""

    input: str
    choices: list[Cell]
    row: int = 0
    """Which of the rows that were alive at this step."""
    step: int = 0
    chosen: tuple[int, ...] = ()
    """The tokens that the node was extended by."""
    entropy: float | None = None
    """Of the model's whole distribution, in nats; None in old records."""

    @property
    def effective(self) -> float | None:
        """exp(H): how many choices, all equally likely, were as uncertain; the distribution's perplexity."""
        return None if self.entropy is None else math.exp(abs(self.entropy))


@dataclass(frozen=True)
class NodeRecord:
    """What the record holds of a node's distribution: its place, and (token, probability, processed) of the likeliest."""

    step: int
    row: int
    """Among those of the step."""
    choices: list[tuple[int, float, float]]
    entropy: float | None
    """Of the model's whole distribution, in nats."""


def considered_nodes(trace: Trace, wanted: Container[int] | None = None) -> Iterator[tuple[int, NodeRecord]]:
    """Every node whose distribution was recorded, or those wanted."""
    for step, record in enumerate(trace.steps):
        found = record.considered
        if found is None:
            continue
        for row, node in enumerate(map(int, found.nodes)):
            if wanted is None or node in wanted:
                columns = found.tokens[row], found.logprobs[row], found.processed[row]
                choices = [(int(t), math.exp(a), math.exp(b)) for t, a, b in zip(*columns, strict=True)]
                yield node, NodeRecord(step, row, choices, None if found.entropy is None else float(found.entropy[row]))


def cell_of(trace: Trace, before: bytes, token: int, probability: float, processed: float) -> Cell:
    """A token as it reads after these bytes."""
    data = trace.tokens.get(token, b"")
    return Cell(token, visible(data, unfinished(before)) if data else trace.names.get(token, ""), probability, processed)
