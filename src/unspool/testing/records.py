"""Texts and records compared, and records read aloud."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from unspool.record.step import Hypothesis, Step
from unspool.testing.laws import Law


def same_texts(law: Law, came: Sequence[Hypothesis], expected: Sequence[Hypothesis], tolerance: float) -> None:
    """Two lists of hypotheses hold the same texts with the same numbers."""
    law.same([(h.tokens, h.reason) for h in came], [(h.tokens, h.reason) for h in expected], "the texts")
    for a, b in zip(came, expected, strict=True):
        law.close([a.score], [b.score], f"for the text {a.tokens} the score", tolerance)
        law.close(a.logprobs, b.logprobs, f"for the text {a.tokens} the log-probability", tolerance)
        law.close(a.processed, b.processed, f"for the text {a.tokens} the processed log-probability", tolerance)


def same_record(law: Law, came: Sequence[Step], expected: Sequence[Step], tolerance: float) -> None:
    """Two records of one prompt tell the same story."""
    law.same(len(came), len(expected), "a record with steps, in number")
    for i, (one, other) in enumerate(zip(came, expected, strict=True)):
        for name, a, b in zip(told(one), told(one).values(), told(other).values(), strict=True):
            what = f"in step {i} of the record {name}"
            law.expect((a is None) == (b is None), f"{what} {a}", b)
            if isinstance(a, np.ndarray) and a.dtype.kind in "fiu":
                law.close(a, b, what, tolerance)
            elif a is not None:
                law.same(list(a), list(b), what)


def told(step: Step) -> dict[str, Any]:
    """All columns of a step by name; None for what is not there."""
    names = ("parents", "nodes", "tokens", "logprob", "processed", "score", "reason", "uniform", "rank")
    found = {name: getattr(step, name) for name in names}
    considered, dropped = step.considered, step.dropped or {}
    for name in ("nodes", "tokens", "logprobs", "processed", "entropy"):
        found[f"considered.{name}"] = None if considered is None else getattr(considered, name)
    for name in ("parents", "tokens", "score", "reason"):
        value = dropped.get(name)
        found[f"dropped.{name}"] = None if value is None or not len(value) else np.asarray(value)
    return found


def of_prompt(steps: Sequence[Step], prompt: int) -> list[Step]:
    """The record of one prompt of several."""
    parts = [step.only(prompt) for step in steps]
    return [p for p in parts if len(p) or p.considered is not None or (p.dropped is not None and len(p.dropped["tokens"]))]


def retold(law: Law, steps: Sequence[Step], found: Sequence[Hypothesis], prompt: int | None = None) -> None:
    """The steps of a prompt (None: they are of one prompt alone) tell each of its hypotheses."""
    nodes: dict[int, tuple[Any, ...]] = {}
    born = []
    for step in steps:
        for i in np.flatnonzero(np.ones(len(step), bool) if prompt is None else step.prompt == prompt):
            born.append(int(step.nodes[i]))
            law.expect(int(step.parents[i]) in {0, *nodes}, f"node {born[-1]} after node {int(step.parents[i])}", "a node born before")
            nodes[born[-1]] = (int(step.parents[i]), int(step.tokens[i]), step.logprob[i], step.processed[i], step.reason[i])
    law.expect(all(a < b for a, b in pairwise(born)), f"nodes in the order {born}", "the order in which they are numbered")
    for h in found:
        own = [nodes[n] for n in h.nodes[1:]]
        law.same([parent for parent, *_ in own], h.nodes[:-1], f"for the text {h.tokens} nodes after")
        law.same([token for _, token, *_ in own], h.tokens, "nodes with the tokens")
        law.same([x for _, _, x, _, _ in own], h.logprobs, f"for the text {h.tokens} nodes with log-probabilities")
        law.same([x for _, _, _, x, _ in own], h.processed, f"for the text {h.tokens} nodes with processed log-probabilities")
        law.same([done for *_, done in own], [""] * (len(own) - 1) + [h.reason], f"for the text {h.tokens} nodes with the reasons")
