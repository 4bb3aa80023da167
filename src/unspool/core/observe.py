"""What the record asks of a frontier: the likeliest tokens at every node, and what every processor made of them."""

from __future__ import annotations

import numpy as np

from unspool.arrays import Array, Floats, Ints, gather, host, log_softmax, namespace, or_zero, topk
from unspool.core.frontier import Frontier
from unspool.core.processor import Standing
from unspool.record.step import Considered, Stages

COVERED = 0.95


def considered(frontier: Frontier, choices: int, staged: bool) -> Considered:
    """The likeliest tokens at every row under the model, (R, m); staged: with what every processor did."""
    logits, scores, total = frontier.logits, frontier.scores, frontier.total
    values, tokens = topk(logits, choices)
    raw = host(values).astype(np.float64) - host(total)
    processed = host(gather(scores, tokens)).astype(np.float64) - or_zero(host(frontier.processed_total))
    logprobs = logits - total                                            # (R, V)
    entropy = -host((namespace(logprobs).exp(logprobs) * or_zero(logprobs)).sum(-1)).astype(np.float64)
    stages = stages_of(frontier, host(tokens)) if staged else None
    return Considered(frontier["prompt"], frontier["node"], host(tokens), raw, processed, entropy, stages)


def stages_of(frontier: Frontier, tokens: Ints) -> Stages:
    """Run the processors again and watch; tokens (R, m) are those that are followed through."""
    after: list[Array] = [frontier.logits]
    frontier.process(after.append)
    some = [_probabilities(scores) for scores in after]
    columns = [_stage(before, left, tokens) for before, left in zip([some[0], *some[:-1]], some, strict=True)]
    processors = frontier.source.lane.processors
    stages = Stages(["model", *map(str, processors)], *(np.stack(column, 1) for column in zip(*columns, strict=True)))
    stages.sparing = np.full(tokens.shape, "", dtype=object)
    for r, i in zip(*np.nonzero(np.isneginf(stages.logprobs[:, -1])), strict=True):
        cut = int(np.argmax(np.isneginf(stages.logprobs[r, :, i])))      # the first stage after which the token cannot come
        if cut:
            before = some[cut - 1][r]
            rank, above = int(stages.ranks[r, cut, i]), float(stages.above[r, cut, i])
            token = Standing(float(before[tokens[r, i]]), rank, above, float(before.max()), float(stages.entropy[r, cut - 1]))
            spared = processors[cut - 1].sparing(token)
            stages.sparing[r, i] = "" if spared is None else str(spared)
    return stages


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
