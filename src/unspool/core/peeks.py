"""Peeks: what strategies look at without committing to it, ahead of a row or under another model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from unspool.arrays import Ints
from unspool.core.call import Call
from unspool.core.frontier import Frontier
from unspool.core.lane import Forward, Forwards, Lane, Twins
from unspool.core.model import Model
from unspool.core.run import Run, misfit
from unspool.core.strategy import Look, Twin
from unspool.errors import ParameterError


class Peeks:
    """Answers looks and twins, in one forward for the runs that ask at once; hold: keeps the rows that a run was shown."""

    def __init__(self, call: Call, lane: Lane, hold: Callable[[Run, Lane, Ints], None]) -> None:
        self.call, self.lane, self.hold = call, lane, hold
        self.twins: dict[int, Twins] = {}
        """The rows of second models, by the model's id."""
        self._begun: set[tuple[int, int]] = set()                        # (model, prompt) that have twins

    def look(self, asks: Mapping[Run, Look]) -> Forwards[list[Frontier]]:
        """One forward for the looks of several runs at one lane: each run's ends of its chains."""
        if not any(len(ask.frontier) for ask in asks.values()):
            return [nothing.looked(nothing, []) for nothing in (ask.frontier.take(slice(0)) for ask in asks.values())]
        lane = next(iter(asks.values())).frontier.source.lane
        joined = joined_rows([ask.frontier for ask in asks.values()])
        chains = [np.atleast_1d(np.asarray(c, np.int64)) for ask in asks.values() for c in ask.chains]
        for run, ask in asks.items():
            if len(ask.chains) != len(ask.frontier) or not all(len(np.atleast_1d(c)) for c in ask.chains):
                raise misfit(run, f"looks from {len(ask.frontier)} rows; each needs a chain of one token or more")
        rows = yield Forward(lane, joined.rows, chains, every=any(len(c) > 1 for c in chains))
        if lane is self.lane:
            self.call.count(set(joined["prompt"].tolist()), "forwards")
        paths = [lane.nodes.path(int(row))[-len(chain) :] for row, chain in zip(rows, chains, strict=True)]
        counts = np.asarray([len(p) for p in paths])
        of = np.repeat(np.arange(len(rows)), counts)                     # (every token looked at,), its chain
        starts = np.cumsum(counts) - counts
        deep = np.arange(len(of)) - starts[of] + 1
        columns = {k: v[of] for k, v in joined.columns.items()}
        whole = Frontier.of(self.call, lane, np.concatenate(paths), joined.lengths[of] + deep, columns)
        if len(asks) > 1:
            whole.source.settle()
        answers, first = [], 0
        for run, ask in asks.items():
            last = first + len(ask.frontier)
            begin = int(starts[first]) if last > first else 0
            mine = begin, begin + int(counts[first:last].sum())
            part = whole.take(slice(*mine))
            part.columns = {k: v[of[slice(*mine)] - first] for k, v in ask.frontier.columns.items()}
            part.places = run.places
            ends = starts[first:last] + counts[first:last] - mine[0]
            own = [np.arange(end - n, end) for end, n in zip(ends, counts[first:last], strict=True)]
            answers.append(part.take(ends - 1).looked(part, own))
            self.hold(run, lane, part.rows)
            first = last
        return answers

    def twin(self, asks: Mapping[Run, Twin]) -> list[Frontier]:
        """The same texts under another model, for several runs, in one forward."""
        joined = joined_rows([ask.frontier for ask in asks.values()])
        twins = self._twins_of(next(iter(asks.values())).model, joined)
        whole = Frontier.of(self.call, twins.lane, twins(joined.rows), joined.lengths, joined.columns)
        if len(asks) > 1:
            whole.source.settle()
        answers, first = [], 0
        for run, ask in asks.items():
            part = whole.take(slice(first, first + len(ask.frontier)))
            part.columns, part.places = dict(ask.frontier.columns), run.places
            answers.append(part)
            self.hold(run, twins.lane, part.rows)
            first += len(part)
        return answers

    def _twins_of(self, model: Model, frontier: Frontier) -> Twins:
        """The rows of a second model; its lane begins with the prompts of all rows that are alive."""
        if id(model) not in self.twins:
            if model.vocabulary != self.lane.model.vocabulary:
                raise ParameterError(
                    f"the second model has {model.vocabulary} tokens and the model {self.lane.model.vocabulary}; they need one vocabulary"
                )
            self.twins[id(model)] = Twins(self.lane.nodes, Lane(model, self.lane.processors, end_tokens=self.call.end_tokens))
        twins, nodes = self.twins[id(model)], self.lane.nodes
        new = {prompt: row for row, prompt in zip(frontier.rows.tolist(), frontier["prompt"].tolist(), strict=True)}
        new = {prompt: row for prompt, row in new.items() if (id(model), prompt) not in self._begun}
        if new:
            self._begun |= {(id(model), prompt) for prompt in new}
            starts = [int(nodes.path(row)[self.call.prompt_lengths[prompt] - 1]) for prompt, row in new.items()]
            given = [self.call.prompts[prompt] for prompt in new], [self.call.taken[prompt] for prompt in new]
            twins.begin(np.asarray(starts), *given)
        return twins


def joined_rows(frontiers: Sequence[Frontier]) -> Frontier:
    """The rows of several frontiers of one lane, with the columns that all of them have."""
    first = frontiers[0]
    if len(frontiers) == 1:
        return first
    shared = [k for k in first.columns if all(k in f.columns for f in frontiers)]
    columns = {k: np.concatenate([f.columns[k] for f in frontiers]) for k in shared}
    rows, lengths = np.concatenate([f.rows for f in frontiers]), np.concatenate([f.lengths for f in frontiers])
    return Frontier(first.call, first.source, None, rows, lengths, columns)
