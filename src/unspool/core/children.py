"""Children: what the frontiers of their parents say of the tokens that a strategy chose, once they are seen to fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np

from unspool.arrays import Floats, Ints, host
from unspool.core.frontier import Frontier, order_among_siblings
from unspool.core.randomness import child
from unspool.core.run import Run, misfit
from unspool.core.strategy import Choice
from unspool.record.recorder import OF_EVERY_ROW
from unspool.record.step import Hypothesis


@dataclass
class Children:
    """Candidates that were chosen; all (N,), with the columns of the rows they become."""

    tokens: Ints
    parents: Ints
    """Rows."""
    lengths: Ints
    logprob: Floats
    """The model's log-probability of the token."""
    processed: Floats
    """The same after the processors."""
    reasons: Any
    rank: Ints | None
    columns: dict[str, Any]
    notes: dict[str, Floats] = field(default_factory=dict)
    """What of the distributions that they were chosen from the hypotheses tell."""
    finished: list[Hypothesis] = field(default_factory=list)
    """The texts of those that end, which have no rows."""


def children_of(run: Run, choice: Choice, ranked: bool) -> Children:
    """What the frontiers of their parents say of the children of a choice."""
    frontier = run.frontier
    tokens, parents = np.asarray(host(choice.tokens), np.int64), np.asarray(choice.parents, np.int64)
    straight = choice.parents is frontier.rows and len(parents) > 0  # a child of every row in turn, as greedy search and sampling
    check(run, choice, tokens, parents, straight)
    if straight:
        children = born_at(frontier, np.arange(len(tokens)), tokens, choice, ranked, run.notes)
        children.columns, children.parents = dict(frontier.columns), parents
    else:
        children = gathered(run, choice, tokens, parents, ranked)
    columns, order = children.columns, order_among_siblings(parents)
    if order.any():
        generated = children.lengths - 1 - frontier.call.prompt_lengths[columns["prompt"]]
        columns["lineage"] = child(columns["lineage"], order, generated)
    # A forced token that the processors forbid has -inf itself, but leaves the sum of what comes after it finite.
    gain = np.where(np.isneginf(children.processed), 0.0, children.processed) if choice.forced else children.processed
    columns["processed"] = columns["processed"] + gain
    columns["score"] = columns["processed"] if choice.scores is None else np.asarray(host(choice.scores), np.float64)
    columns |= {k: np.asarray(v) for k, v in choice.columns.items()}
    return children


def born_at(source: Frontier, at: Ints, tokens: Ints, choice: Choice, ranked: bool, named: Sequence[str]) -> Children:
    """The children of rows at some positions of one frontier."""
    logprob, processed = source.pick(at, tokens)
    reasons = source.reasons(at, tokens) if choice.reasons is None else np.asarray(choice.reasons, dtype=object)
    rank = source.ranks(at, tokens) if ranked else None
    notes = {name: source.note(name)[at] for name in named}
    return Children(tokens, source.rows[at], source.lengths[at] + 1, logprob, processed, reasons, rank, {}, notes)


def gathered(run: Run, choice: Choice, tokens: Ints, parents: Ints, ranked: bool) -> Children:
    """The children of any rows of a run, which stand in several frontiers where some of them waited."""
    sources = by_frontier([run.places[p] for p in parents.tolist()])
    if len(sources) == 1:
        ((source, (_, at)),) = sources.items()
        children = born_at(source, at, tokens, choice, ranked, run.notes)
        children.columns = {k: v[at] for k, v in source.columns.items()}
        return children
    size = len(tokens)
    empty = {k: np.zeros((size, *v.shape[1:]), v.dtype) for k, v in run.frontier.columns.items()}
    numbers = np.zeros((2, size))
    reasons = np.full(size, "", dtype=object) if choice.reasons is None else np.asarray(choice.reasons, dtype=object)
    rank = np.zeros(size, np.int64) if ranked else None
    notes = {name: np.zeros(size) for name in run.notes}
    joined = Children(tokens, parents, np.zeros(size, np.int64), numbers[0], numbers[1], reasons, rank, empty, notes)
    for source, (members, at) in sources.items():
        own = replace(choice, reasons=None if choice.reasons is None else reasons[members])
        part = born_at(source, at, tokens[members], own, ranked, run.notes)
        joined.lengths[members], joined.logprob[members], joined.processed[members] = part.lengths, part.logprob, part.processed
        joined.reasons[members] = part.reasons
        for name, told in part.notes.items():
            notes[name][members] = told
        if rank is not None and part.rank is not None:
            rank[members] = part.rank
        for k, v in source.columns.items():
            joined.columns.setdefault(k, np.zeros((size, *v.shape[1:]), v.dtype))[members] = v[at]
    return joined


def check(run: Run, choice: Choice, tokens: Ints, parents: Ints, straight: bool) -> None:
    """Refuse a choice that does not fit together, by the name of its strategy."""
    if tokens.ndim != 1:
        raise misfit(run, f"chose tokens of shape {tokens.shape}; they are one row of numbers (N,), as are all columns of a choice")
    if len(tokens) and np.asarray(host(choice.tokens)).dtype.kind not in "iu":
        raise misfit(run, f"chose tokens that are no whole numbers: {choice.tokens!r:.60}")
    columns: dict[str, Any] = {"parents": parents, "scores": choice.scores, "reasons": choice.reasons, "uniform": choice.uniform}
    for name, column in (columns | choice.columns).items():
        if column is not None and (count := length_of(column)) != len(tokens):
            raise misfit(run, f"chose {len(tokens)} tokens and {count} {name}; each needs one")
    if choice.scores is not None and ((scores := np.asarray(host(choice.scores))).ndim != 1 or np.isnan(scores).any()):
        raise misfit(run, f"ranks by scores {host(choice.scores)!r:.60}; they are numbers (N,), and what cannot come is -inf")
    if choice.reasons is not None and not all(isinstance(reason, str) for reason in choice.reasons):
        raise misfit(run, f'gave the reasons {choice.reasons!r:.60}; each is a text, "" for what goes on')
    taken = next((name for name in choice.columns if name in OF_EVERY_ROW), None)
    if taken is not None:
        raise misfit(run, f"sets the column {taken}, which every row has from the search; give its own another name")
    strangers = [] if straight else [p for p in parents.tolist() if p not in run.places]
    if strangers:
        raise misfit(run, f"lets row {strangers[0]} grow, which it does not have: it has grown, or was freed")
    if len(tokens) and (tokens.min() < 0 or tokens.max() >= run.frontier.vocabulary):
        bad, size = tokens[(tokens < 0) | (tokens >= run.frontier.vocabulary)][0], run.frontier.vocabulary
        raise misfit(run, f"chose token {bad}, which is outside the vocabulary of {size}")
    if choice.seen is not None:
        check_seen(run, choice.seen, tokens, parents)


def check_seen(run: Run, seen: Frontier, tokens: Ints, parents: Ints) -> None:
    """Refuse rows that were looked at if they are not those of the chosen tokens."""
    if len(seen) != len(tokens):
        raise misfit(run, f"chose {len(tokens)} tokens and saw {len(seen)} rows; each needs one")
    lane = run.lane
    for row, token, parent in zip(seen.rows.tolist(), tokens.tolist(), parents.tolist(), strict=True):
        if seen.source.lane is not lane or (lane.nodes.parent(row), lane.nodes.token(row)) != (parent, token):
            raise misfit(run, f"chose token {token} after row {parent}, and saw another; `seen` holds the row of every chosen token")


def length_of(column: Any) -> int | None:
    """How many values a column has; None if it is none."""
    return None if isinstance(column, str) or not hasattr(column, "__len__") or getattr(column, "ndim", 1) == 0 else len(column)


Sources: TypeAlias = dict[Frontier, tuple[Any, Ints]]
"""For each frontier: which children have a parent there, and where."""


def by_frontier(places: list[tuple[Frontier, int]]) -> Sources:
    """The sources of children, given the places of their parents."""
    groups: dict[Frontier, list[int]] = {}
    for j, (frontier, _) in enumerate(places):
        groups.setdefault(frontier, []).append(j)
    if len(groups) == 1:
        return {next(iter(groups)): (slice(None), np.asarray([i for _, i in places], np.int64))}
    return {f: (np.asarray(js), np.asarray([places[j][1] for j in js])) for f, js in groups.items()}
