"""Search: the rows of all runs of one call. Whatever belongs to a row follows its parent here and nowhere else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from unspool.arrays import Flags, Floats, Ints, host
from unspool.core.call import Call
from unspool.core.frontier import Frontier, Places, order_among_siblings
from unspool.core.lane import Lane, Twins
from unspool.core.model import Model, Plan, check_ids
from unspool.core.observe import considered
from unspool.core.processor import Processor
from unspool.core.randomness import child
from unspool.core.stop import Stop
from unspool.core.strategy import Ask, Choice, Each, Look, Strategy, Twin
from unspool.errors import DeadEnd, ParameterError, PartError, Unsupported
from unspool.record.recorder import Recorder
from unspool.record.step import Hypothesis, Step

SPARE = 8
"""Rows that may lie about before those that nobody needs are looked for; beyond it, a quarter of those that are needed."""


@dataclass(eq=False)
class Run:
    """A strategy at work: its generator, its rows, and what it has found."""

    strategy: Strategy
    frontier: Frontier
    parent: Run | None = None
    places: Places = field(default_factory=dict)
    """Where its living rows stand, the waiting ones too."""
    found: list[Hypothesis] = field(default_factory=list)
    looked: list[tuple[Lane, Ints]] = field(default_factory=list)
    """Rows that were only looked at: they stay until the run looks again after its next choice."""
    chose: bool = False
    """Whether it chose since it last looked."""
    inner: list[Run] = field(default_factory=list)
    """Runs it handed rows to, in the order of those."""
    going: int = 0
    """How many of them are not over."""

    def __post_init__(self) -> None:
        self.generator = self.strategy.start(self.frontier)
        self.prompts = sorted(set(self.frontier["prompt"].tolist()))
        self.own(self.frontier)

    def own(self, frontier: Frontier) -> None:
        """Take the rows of a frontier for its own."""
        self.frontier = frontier
        frontier.places = self.places
        self.places.update((row, (frontier, i)) for i, row in enumerate(frontier.rows.tolist()))


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


class Search:
    """The state of one decoding call: the lanes, the runs, and the record.

    prompts: token ids. limits: the most new tokens of each prompt. level: how much Steps hold (`unspool.record.step.LEVELS`), choices:
    how many alternatives. rows: how many of a prompt grow together at most, if that is known. The rest: see `Call`.
    """

    def __init__(
        self,
        model: Model,
        prompts: Sequence[Sequence[int]],
        processors: Sequence[Processor] = (),
        stops: Sequence[Stop] = (),
        *,
        limits: Sequence[int],
        end_tokens: Sequence[int] = (),
        seed: int = 0,
        level: str = "tokens",
        choices: int = 5,
        names: Sequence[str] | None = None,
        limit_reasons: Sequence[str] | None = None,
        rows: int | None = None,
    ) -> None:
        self.call = Call(prompts, limits, end_tokens, seed, names, limit_reasons)
        self.recorder = Recorder(len(prompts), level, choices)
        self.record(level)
        longest = int((self.call.prompt_lengths + self.call.limits).max(initial=0))
        plan = Plan(None if rows is None else rows * len(prompts), min(longest, model.context))
        for part in (*processors, *stops):
            check_ids(part.name, part.token_ids(), model.vocabulary)
        check_ids("end_tokens", self.call.end_tokens, model.vocabulary)
        self.lane = Lane(model, processors, stops, self.call.end_tokens, plan)
        self.twins: dict[int, Twins] = {}
        """The rows of second models, by the model's id."""
        self._begun: set[tuple[int, int]] = set()                        # (model, prompt) that have twins
        self.root: list[Run] = []
        self.runs: dict[int, Run] = {}                                   # those at work, by id
        self.found: list[list[Hypothesis]] = [[] for _ in prompts]
        """Of every prompt its hypotheses as they finish; ranked, once its run is over."""
        self.dead: dict[int, DeadEnd] = {}
        """Prompts of whose hypotheses none may be returned, and why."""
        self._gone = 0                                                   # rows given up since the last collection

    def record(self, level: str) -> None:
        """Record at this level from here on."""
        self.recorder.level = level
        self.call.records = self.recorder.shows_choices

    # --- runs -----------------------------------------------------------------------------------------------------------

    def begin(self, strategy: Strategy) -> list[Run]:
        """The runs of a strategy over the prompts: one, or one for each."""
        self._require(strategy)
        count = len(self.call.prompts)
        columns = {
            "prompt": np.arange(count),
            "node": np.zeros(count, np.int64),
            "score": np.zeros(count),
            "processed": np.zeros(count),
            "lineage": self.call.lineages,
        }
        start = Frontier.of(self.call, self.lane, self.lane.begin(self.call.prompts), self.call.prompt_lengths, columns)
        parts = [start] if strategy.many else [start.take([i]) for i in range(count)]
        if len(parts) > 1:
            start.source.settle()
        self.root = [self._start(strategy, part) for part in parts]
        return self.root

    def each(self, run: Run, ask: Each) -> list[Run]:
        """A run hands its rows over, each to a run of its own."""
        self._require(ask.strategy)
        if len(ask.frontier) > 1:
            ask.frontier.source.settle()
        for row in ask.frontier.rows.tolist():
            run.places.pop(row, None)
        run.inner = [self._start(ask.strategy, ask.frontier.take([i]), run) for i in range(len(ask.frontier))]
        run.going = len(run.inner)
        run.frontier = ask.frontier.take(slice(0))
        return run.inner

    def _start(self, strategy: Strategy, frontier: Frontier, parent: Run | None = None) -> Run:
        run = Run(strategy, frontier, parent)
        self.runs[id(run)] = run
        return run

    def _require(self, strategy: Strategy) -> None:
        """Refuse a strategy that asks for what the session cannot do, or for tokens that the model does not have."""
        check_ids(strategy.name, strategy.token_ids(), self.lane.model.vocabulary)
        lacking = strategy.needs - self.lane.session.can
        if lacking:
            raise Unsupported(f"this model's session gives no {', '.join(sorted(lacking))}, which {strategy} needs")

    def end(self, run: Run) -> Run | None:
        """A run is over: rank what it found, give up its rows; the run that waited for it and the others like it, if it was the last."""
        self.runs.pop(id(run), None)
        self._gone += len(run.places) + sum(len(rows) for _, rows in run.looked)
        run.places, run.looked = {}, []
        if run.parent is None:
            self._rank(run)
            self.collect(at_once=not self.runs)
            return None
        try:
            run.found = run.strategy.rank(run.found)
        except DeadEnd:
            run.found = []                                               # a branch that is dead; the others go on
        run.parent.going -= 1
        if run.parent.going:
            return None
        run.parent.found += [h for inner in run.parent.inner for h in inner.found]
        run.parent.inner = []
        return run.parent

    def _rank(self, run: Run) -> None:
        """What a run over whole prompts found is what they have, ranked, each prompt by itself."""
        by_prompt: dict[int, list[Hypothesis]] = {prompt: [] for prompt in run.prompts}
        for h in run.found:
            by_prompt[h.prompt].append(h)
        for prompt, found in by_prompt.items():
            try:
                self.found[prompt] = run.strategy.rank(found)
            except DeadEnd as error:
                self.found[prompt], self.dead[prompt] = [], error

    # --- peeking --------------------------------------------------------------------------------------------------------

    def look(self, asks: Mapping[Run, Look]) -> list[Frontier]:
        """One forward for the looks of several runs at one lane: each run's ends of its chains."""
        lane = next(iter(asks.values())).frontier.source.lane
        joined = joined_rows([ask.frontier for ask in asks.values()])
        chains = [np.atleast_1d(np.asarray(c, np.int64)) for ask in asks.values() for c in ask.chains]
        for run, ask in asks.items():
            if len(ask.chains) != len(ask.frontier) or not all(len(np.atleast_1d(c)) for c in ask.chains):
                raise PartError(f"the strategy {run.strategy} looks from {len(ask.frontier)} rows; each needs a chain of one token or more")
        rows = lane.extend(joined.rows, chains, every=any(len(c) > 1 for c in chains))
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
            mine = starts[first], starts[first] + counts[first:last].sum()
            part = whole.take(slice(*mine))
            part.columns = {k: v[of[slice(*mine)] - first] for k, v in ask.frontier.columns.items()}
            part.places = run.places
            ends = starts[first:last] + counts[first:last] - mine[0]
            own = [np.arange(end - n, end) for end, n in zip(ends, counts[first:last], strict=True)]
            answers.append(part.take(ends - 1).looked(part, own))
            self._hold(run, lane, part.rows)
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
            self._hold(run, twins.lane, part.rows)
            first += len(part)
        return answers

    def _hold(self, run: Run, lane: Lane, rows: Ints) -> None:
        """Rows that were only looked at stay until the run looks again after its next choice."""
        if run.chose:
            run.chose = False
            self._gone += sum(len(some) for _, some in run.looked)
            run.looked = []
        run.looked.append((lane, rows))

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
            twins.begin(np.asarray(starts), [self.call.prompts[prompt] for prompt in new])
        return twins

    # --- committing -----------------------------------------------------------------------------------------------------

    def commit(self, run: Run, choice: Choice) -> tuple[Step, Children]:
        """Take a choice down: the record of the step, and those of its children that go on."""
        children = self._children(run, choice)
        possible = (children.processed > -np.inf) | choice.forced        # (N,); an impossible token ends nothing and goes nowhere
        step = self._record(run, choice, children, possible)
        over = possible & (children.reasons != "")
        for i in np.flatnonzero(over).tolist():
            run.found.append(self.recorder.hypothesis({k: v[i] for k, v in children.columns.items()}, str(children.reasons[i])))
            self.found[run.found[-1].prompt].append(run.found[-1])
        live = possible & ~over
        if not live.all():
            children.columns = {k: v[live] for k, v in children.columns.items()}
            children.tokens, children.parents, children.lengths = children.tokens[live], children.parents[live], children.lengths[live]
            choice.seen = choice.seen if choice.seen is None else choice.seen.take(np.flatnonzero(live))
        return step, children

    def _children(self, run: Run, choice: Choice) -> Children:
        """What the frontiers of their parents say of the children of a choice."""
        frontier = run.frontier
        tokens, parents = np.asarray(host(choice.tokens), np.int64), np.asarray(choice.parents, np.int64)
        self._check(run, choice, tokens, parents)
        size, shows = len(tokens), self.recorder.shows_choices
        reasons = None if choice.reasons is None else np.asarray(choice.reasons, dtype=object)
        if size and (choice.parents is frontier.rows or (size == len(frontier) and (parents == frontier.rows).all())):
            sources: Sources = {frontier: (slice(None), np.arange(size))}    # as greedy search and sampling
        else:
            sources = by_frontier([run.places[p] for p in parents.tolist()])
        if len(sources) == 1:
            ((source, (_, at)),) = sources.items()
            logprob, processed = source.pick(at, tokens)
            lengths, columns = source.lengths[at] + 1, {k: v[at] for k, v in source.columns.items()}
            reasons = source.reasons(at, tokens) if reasons is None else reasons
            rank = source.ranks(at, tokens) if shows else None
        else:
            logprob, processed, lengths = np.zeros(size), np.zeros(size), np.zeros(size, np.int64)
            rank, asked = np.zeros(size, np.int64) if shows else None, reasons is None
            reasons = np.full(size, "", dtype=object) if reasons is None else reasons
            columns = {k: np.zeros((size, *v.shape[1:]), v.dtype) for k, v in frontier.columns.items()}
            for source, (members, at) in sources.items():
                logprob[members], processed[members] = source.pick(at, tokens[members])
                lengths[members] = source.lengths[at] + 1
                for k, v in source.columns.items():
                    columns.setdefault(k, np.zeros((size, *v.shape[1:]), v.dtype))[members] = v[at]
                if asked:
                    reasons[members] = source.reasons(at, tokens[members])
                if rank is not None:
                    rank[members] = source.ranks(at, tokens[members])
        order = order_among_siblings(parents)
        if order.any():
            generated = lengths - 1 - self.call.prompt_lengths[columns["prompt"]]
            columns["lineage"] = child(columns["lineage"], order, generated)
        # A forced token that the processors forbid has -inf itself, but leaves the sum of what comes after it finite.
        gain = np.where(np.isneginf(processed), 0.0, processed) if choice.forced else processed
        columns["processed"] = columns["processed"] + gain
        columns["score"] = columns["processed"] if choice.scores is None else np.asarray(host(choice.scores), np.float64)
        columns |= {k: np.asarray(v) for k, v in choice.columns.items()}
        return Children(tokens, parents, lengths, logprob, processed, reasons, rank, columns)

    def _check(self, run: Run, choice: Choice, tokens: Ints, parents: Ints) -> None:
        """Refuse a choice that does not fit together, by the name of its strategy."""
        columns: dict[str, Any] = {"parents": parents, "scores": choice.scores, "reasons": choice.reasons, "uniform": choice.uniform}
        for name, column in (columns | choice.columns).items():
            if column is not None and len(column) != len(tokens):
                raise PartError(f"the strategy {run.strategy} chose {len(tokens)} tokens and {len(column)} {name}; each needs one")
        if choice.seen is not None and len(choice.seen) != len(tokens):
            raise PartError(f"the strategy {run.strategy} chose {len(tokens)} tokens and saw {len(choice.seen)} rows; each needs one")
        strangers = [p for p in parents.tolist() if p not in run.places]
        if strangers:
            raise PartError(f"the strategy {run.strategy} lets row {strangers[0]} grow, which it does not have: it has grown, or was freed")
        if len(tokens) and (tokens.min() < 0 or tokens.max() >= run.frontier.vocabulary):
            bad, size = tokens[(tokens < 0) | (tokens >= run.frontier.vocabulary)][0], run.frontier.vocabulary
            raise PartError(f"the strategy {run.strategy} chose token {bad}, which is outside the vocabulary of {size}")

    def _record(self, run: Run, choice: Choice, children: Children, possible: Flags) -> Step:
        """The step, with what the level asks for beyond the chosen tokens."""
        numbers = children.tokens, children.logprob, children.processed, children.reasons
        step = self.recorder.born(children.columns, *numbers, possible)
        if choice.uniform is not None:
            step.uniform = np.asarray(choice.uniform)[possible]
        if self.recorder.shows_choices:
            step.rank = None if children.rank is None else children.rank[possible]
            if len(run.frontier):
                step.considered = considered(run.frontier, self.recorder.choices, self.recorder.shows_stages)
            if choice.dropped is not None:
                d, stand = choice.dropped, [run.places[p] for p in choice.dropped.parents.tolist()]
                prompts, nodes = np.asarray([(f["prompt"][i], f["node"][i]) for f, i in stand], np.int64).reshape(-1, 2).T
                step.dropped = {"prompt": prompts, "parents": nodes, "tokens": d.tokens, "score": d.scores, "reason": d.reasons}
        return step

    def grow(self, work: Sequence[tuple[Run, Choice, Children]]) -> None:
        """The rows of some runs give way to what they grew into: for those not seen before in one forward."""
        fresh = [(run, choice, children) for run, choice, children in work if choice.seen is None]
        if fresh:
            parents = np.concatenate([children.parents for *_, children in fresh])
            tokens = np.concatenate([children.tokens for *_, children in fresh])
            rows = self.lane.extend(parents, list(tokens[:, None])) if len(tokens) else parents
            lengths = np.concatenate([children.lengths for *_, children in fresh])
            columns = fresh[0][2].columns
            if len(fresh) > 1:
                columns = {k: np.concatenate([children.columns[k] for *_, children in fresh]) for k in ("prompt", "lineage")}
            whole = Frontier.of(self.call, self.lane, rows, lengths, columns)
            if len(fresh) > 1:
                whole.source.settle()
        first = 0
        for run, choice, children in work:
            if choice.seen is not None:
                new = choice.seen.take(slice(None))                      # its draws are those of the children
                new.columns = children.columns
            elif len(fresh) == 1:
                new = whole
            else:
                new = whole.take(slice(first, first + len(children.tokens)))
                first += len(children.tokens)
                new.columns = children.columns
            self._replace(run, choice, new)
        self.collect()

    def _replace(self, run: Run, choice: Choice, new: Frontier) -> None:
        """Of a run's rows those of its frontier go that do not wait, and those that waited as long as they were needed."""
        waits = {int(row) for row in choice.waits}
        if not waits <= run.places.keys():
            raise PartError(f"the strategy {run.strategy} lets row {min(waits - run.places.keys())} wait, which it does not have")
        for i, row in enumerate(run.frontier.rows.tolist()):
            if row in waits:
                run.places[row] = light(self.call, run.frontier, i)
            elif run.places.pop(row, None) is not None:
                self._gone += 1
        for row in choice.frees:
            self._gone += run.places.pop(int(row), None) is not None
        run.own(new)
        run.chose = True

    def collect(self, at_once: bool = False) -> None:
        """Free every row that is not alive and was not just looked at, once there are enough of them to be worth a search."""
        if not at_once and (self._gone < SPARE or self._gone * 4 < sum(len(run.places) for run in self.runs.values())):
            return
        self._gone = 0
        rows = [row for run in self.runs.values() for row in run.places]
        looked: dict[Lane, list[int]] = {}
        for run in self.runs.values():
            for lane, some in run.looked:
                looked.setdefault(lane, []).extend(some.tolist())
        rows += looked.get(self.lane, [])
        for twins in self.twins.values():
            twins.keep(rows, looked.get(twins.lane, []))
        self.lane.keep(rows)

    # --- what there is ---------------------------------------------------------------------------------------------------

    def growing(self, reason: str, prompt: int | None = None) -> list[Hypothesis]:
        """Every row that is alive and has new tokens, as a text that ends here."""
        return [h for run in self.runs.values() for h in self._growing(run, reason) if prompt is None or h.prompt == prompt]

    def _growing(self, run: Run, reason: str) -> list[Hypothesis]:
        rows = [(f, i) for f, i in run.places.values() if int(f.generated[i]) > 0]
        return [self.recorder.hypothesis({k: v[i] for k, v in f.columns.items()}, reason) for f, i in rows]

    def rows_of(self, prompt: int) -> int:
        """How many rows of a prompt are alive or have finished."""
        alive = sum(int(f["prompt"][i]) == prompt for run in self.runs.values() for f, i in run.places.values())
        return alive + len(self.found[prompt])

    def interrupt(self) -> None:
        """End every run as it is: rows that are alive are finished texts."""
        for run in list(self.runs.values()):
            run.found += self._growing(run, "interrupted")
        for run in [run for run in self.runs.values() if not run.going]:
            waiting: Run | None = run
            while waiting is not None:
                waiting = self.end(waiting)

    def lanes(self) -> Iterator[Lane]:
        """The sessions of the call: the model's, those of its processors' companions, and those of second models."""
        for lane in (self.lane, *(twins.lane for twins in self.twins.values())):
            yield from lane.all()


def resume(run: Run, answer: Frontier | None) -> Ask | None:
    """What a run asks for next; None if it is over."""
    try:
        return next(run.generator) if answer is None else run.generator.send(answer)
    except StopIteration:
        return None


def light(call: Call, frontier: Frontier, i: int) -> tuple[Frontier, int]:
    """A row that waits, without its distribution: that is computed again if the row grows after all."""
    lane, some = frontier.source.lane, slice(i, i + 1)
    return Frontier.of(call, lane, frontier.rows[some], frontier.lengths[some], {k: v[some] for k, v in frontier.columns.items()}), 0


def joined_rows(frontiers: Sequence[Frontier]) -> Frontier:
    """The rows of several frontiers of one lane, with the columns that all of them have."""
    first = frontiers[0]
    if len(frontiers) == 1:
        return first
    shared = [k for k in first.columns if all(k in f.columns for f in frontiers)]
    columns = {k: np.concatenate([f.columns[k] for f in frontiers]) for k in shared}
    rows, lengths = np.concatenate([f.rows for f in frontiers]), np.concatenate([f.lengths for f in frontiers])
    return Frontier(first._call, first.source, None, rows, lengths, columns)


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


