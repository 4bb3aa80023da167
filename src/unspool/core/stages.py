"""What every processor did to the distributions of a frontier: the "stages" level of the record."""

from __future__ import annotations

import numpy as np

from unspool.arrays import Array, Floats, Ints, host, log_softmax
from unspool.core.frontier import Frontier
from unspool.record.step import Stages

COVERED = 0.95


def stages_of(frontier: Frontier, tokens: Ints) -> Stages:
    """Run the processors again and watch; tokens (R, m) are those that are followed through."""
    lane, after = frontier.lane, [frontier.logits]
    rows = lane.describe(frontier.rows, frontier.logits, frontier.uniform)
    lane.process(rows, frontier.rows, frontier.logits, after.append)
    before = [frontier.logits, *after[:-1]]
    columns = [_stage(_probabilities(b), _probabilities(a), tokens) for b, a in zip(before, after, strict=True)]
    return Stages(["model", *map(str, lane.processors)], *(np.stack(column, 1) for column in zip(*columns, strict=True)))


def _probabilities(scores: Array) -> Floats:
    logprobs = host(log_softmax(scores)).astype(np.float64)
    return np.exp(np.where(np.isnan(logprobs), -np.inf, logprobs))


def _stage(before: Floats, after: Floats, tokens: Ints) -> tuple[Ints, Floats, Floats, Ints, Floats, Ints, Floats]:
    """The numbers of one stage in the order of Stages' fields."""
    alive = after > 0
    kept, mass = alive.sum(-1), (before * alive).sum(-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        entropy = -np.where(alive, after * np.log(after), 0.0).sum(-1)
        logprobs = np.log(np.take_along_axis(after, tokens, -1))
    likeliest = np.cumsum(-np.sort(-after, -1), -1)
    covering = np.minimum((likeliest < COVERED * likeliest[:, -1:]).sum(-1) + 1, np.maximum(kept, 1))
    own = np.take_along_axis(before, tokens, -1)
    likelier = before[:, None, :] > own[:, :, None]                       # (R, m, V)
    return kept, mass, entropy, covering, logprobs, likelier.sum(-1), (before[:, None, :] * likelier).sum(-1)
