"""The recorder: gives every child its node, tells each node's story, and makes steps and hypotheses of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from unspool.arrays import Flags, Floats, Ints
from unspool.record.step import LEVELS, Hypothesis, Step

Birth = tuple[int, int, float, float]
"""(the node before it, its token, the model's log-probability, the processed one)"""
OF_EVERY_ROW = ("prompt", "score", "processed", "lineage", "node")
"""Columns that every row has; the others are a strategy's own."""


class Recorder:
    """The record of a run as it grows. The nodes of every prompt are numbered from its own, 0, in the order they are born.

    level: how much is recorded (`unspool.record.step.LEVELS`); choices: how many alternatives.
    """

    def __init__(self, prompts: int, level: str, choices: int) -> None:
        self.level, self.choices = level, choices
        self.nodes: list[list[Birth]] = [[(-1, -1, 0.0, 0.0)] for _ in range(prompts)]
        self.notes: dict[tuple[str, int], dict[int, float]] = {}
        """By name and prompt: of every node a number of the distribution that its token was chosen from."""

    @property
    def shows_choices(self) -> bool:
        """Whether the record holds alternatives."""
        return LEVELS.index(self.level) >= LEVELS.index("choices")

    @property
    def shows_stages(self) -> bool:
        """Whether it also holds what every processor did."""
        return self.level == "stages"

    def born(self, columns: dict[str, Any], tokens: Ints, logprob: Floats, processed: Floats, reasons: Any, possible: Flags) -> Step:
        """The step of some children, of which those that are possible get a node, in the column of that name.

        columns: the children's, with the nodes of their parents; the rest (N,).
        """
        parents = columns["node"]
        born = np.full(len(tokens), -1, np.int64)
        told = (possible, columns["prompt"], parents, tokens, logprob, processed)
        for i, (lives, prompt, *birth) in enumerate(zip(*(a.tolist() for a in told), strict=True)):
            if lives:
                born[i] = len(self.nodes[prompt])
                self.nodes[prompt].append(tuple(birth))
        columns["node"] = born
        step = Step(columns["prompt"], parents, born, tokens, logprob, processed, columns["score"], reasons)
        return step if possible.all() else step.take(possible)

    def note(self, name: str, columns: dict[str, Any], numbers: Floats) -> None:
        """A number for each of the children that were just born; columns: theirs."""
        for prompt, node, number in zip(columns["prompt"].tolist(), columns["node"].tolist(), numbers.tolist(), strict=True):
            self.notes.setdefault((name, prompt), {})[node] = number

    def path(self, prompt: int, node: int, after: int = 0) -> list[int]:
        """The nodes from one on, the prompt's own if not given, to a later one."""
        nodes = [node]
        while nodes[-1] > after:                                         # nodes are numbered as they are born
            nodes.append(self.nodes[prompt][nodes[-1]][0])
        return nodes[::-1]

    def hypothesis(self, columns: dict[str, Any], reason: str) -> Hypothesis:
        """The text that ends at a node, given its columns."""
        prompt = int(columns["prompt"])
        nodes, story = self.path(prompt, int(columns["node"])), self.nodes[prompt]
        tokens, logprobs, processed = zip(*(story[n][1:] for n in nodes[1:]), strict=True)
        own = {k: v for k, v in columns.items() if k not in OF_EVERY_ROW}
        own |= {name: [told.get(n, 0.0) for n in nodes[1:]] for (name, of), told in self.notes.items() if of == prompt}
        return Hypothesis(prompt, list(tokens), list(logprobs), list(processed), float(columns["score"]), reason, nodes, own)
