"""Search: the rows of all runs of one call. Whatever belongs to a row follows its parent here and nowhere else."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np

from unspool.arrays import Flags, Floats, Ints, host
from unspool.core.call import Call
from unspool.core.frontier import Frontier, Places, order_among_siblings
from unspool.core.lane import Lane, Twins
from unspool.core.model import Model, Plan
from unspool.core.observe import considered
from unspool.core.processor import Processor
from unspool.core.randomness import child
from unspool.core.stop import Stop
from unspool.core.strategy import Ask, Choice, Each, Look, Strategy, Twin
from unspool.errors import DeadEnd, ParameterError, PartError, Unsupported
from unspool.record.recorder import OF_EVERY_ROW, Recorder
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
    held: int = 0
    """How many rows that is."""
    chose: bool = False
    """Whether it chose since it last looked."""
    inner: list[Run] = field(default_factory=list)
    """Runs it handed rows to, in the order of those."""
    going: int = 0
    """How many of them are not over."""
    began: int = -1
    """The node of its row, if it began with one."""

    def __post_init__(self) -> None:
        self.began = int(self.frontier["node"][0]) if len(self.frontier) == 1 else -1
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
    finished: list[Hypothesis] = field(default_factory=list)
    """The texts of those that end, which have no rows."""


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
        self.untold: deque[Step] = deque()
        """Steps that are taken and were not yet given out."""
        self._rows = self._gone = 0                                      # rows that runs have, and those given up since the last collection

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
        handed = ask.frontier.take(slice(None))
        strangers = [row for row in handed.rows.tolist() if row not in run.places]
        if strangers or handed.source.lane is not self.lane:
            raise misfit(run, "hands over rows that it does not have, such as those that it only looked at")
        if ask.strategy is run.strategy and (handed["node"] == run.began).any():
            raise misfit(run, "hands its row to itself; in a run of its own it calls super().start(frontier)")
        if len(handed) > 1:
            handed.source.settle()
            handed.columns["lineage"] = handed.lineages                  # a row that is there twice draws twice
        before = len(run.places)
        for row in handed.rows.tolist():
            run.places.pop(row, None)
        self._rows -= before - len(run.places)
        run.inner = [self._start(ask.strategy, handed.take([i]), run) for i in range(len(handed))]
        run.going = len(run.inner)
        run.frontier = handed.take(slice(0))
        return run.inner

    def _start(self, strategy: Strategy, frontier: Frontier, parent: Run | None = None) -> Run:
        run = Run(strategy, frontier, parent)
        self.runs[id(run)] = run
        self._rows += len(run.places)
        return run

    def _require(self, strategy: Strategy) -> None:
        """Refuse a strategy that asks for what the session cannot do."""
        lacking = strategy.needs - self.lane.session.can
        if lacking:
            raise Unsupported(f"this model's session gives no {', '.join(sorted(lacking))}, which {strategy} needs")

    def end(self, run: Run) -> Run | None:
        """A run is over: rank what it found, give up its rows; the run that waited for it and the others like it, if it was the last."""
        self.runs.pop(id(run), None)
        self._give_up(len(run.places) + run.held)
        run.places, run.looked, run.held = {}, [], 0
        if run.parent is None:
            self._rank(run)
            self.collect(at_once=not self.runs)
            return None
        try:
            run.found = run.strategy.rank(run.found)
        except DeadEnd as error:
            run.found = []                                               # a branch that is dead; the others go on
            self.dead.update(dict.fromkeys(run.prompts, error))
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
            if self.found[prompt]:
                self.dead.pop(prompt, None)

    # --- peeking --------------------------------------------------------------------------------------------------------

    def look(self, asks: Mapping[Run, Look]) -> list[Frontier]:
        """One forward for the looks of several runs at one lane: each run's ends of its chains."""
        if not any(len(ask.frontier) for ask in asks.values()):
            return [nothing.looked(nothing, []) for nothing in (ask.frontier.take(slice(0)) for ask in asks.values())]
        lane = next(iter(asks.values())).frontier.source.lane
        joined = joined_rows([ask.frontier for ask in asks.values()])
        chains = [np.atleast_1d(np.asarray(c, np.int64)) for ask in asks.values() for c in ask.chains]
        for run, ask in asks.items():
            if len(ask.chains) != len(ask.frontier) or not all(len(np.atleast_1d(c)) for c in ask.chains):
                raise misfit(run, f"looks from {len(ask.frontier)} rows; each needs a chain of one token or more")
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
            begin = int(starts[first]) if last > first else 0
            mine = begin, begin + int(counts[first:last].sum())
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
            self._give_up(run.held)
            run.chose, run.looked, run.held = False, [], 0
        run.looked.append((lane, rows))
        run.held += len(rows)
        self._rows += len(rows)

    def _give_up(self, count: int) -> None:
        """So many rows are needed no longer."""
        self._rows -= count
        self._gone += count

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
        possible = children.processed > -np.inf                          # (N,); an impossible token ends nothing and goes nowhere
        if choice.forced:
            possible[:] = True
        step = self._record(run, choice, children, possible)
        over = possible & (children.reasons != "")
        for i in np.flatnonzero(over).tolist() if over.any() else []:
            end = self.recorder.hypothesis({k: v[i] for k, v in children.columns.items()}, str(children.reasons[i]))
            children.finished.append(end)
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
        straight = choice.parents is frontier.rows and len(parents) > 0  # a child of every row in turn, as greedy search and sampling
        self._check(run, choice, tokens, parents, straight)
        if straight:
            children = self._born_at(frontier, np.arange(len(tokens)), tokens, choice)
            children.columns, children.parents = dict(frontier.columns), parents
        else:
            children = self._gathered(run, choice, tokens, parents)
        columns, order = children.columns, order_among_siblings(parents)
        if order.any():
            generated = children.lengths - 1 - self.call.prompt_lengths[columns["prompt"]]
            columns["lineage"] = child(columns["lineage"], order, generated)
        # A forced token that the processors forbid has -inf itself, but leaves the sum of what comes after it finite.
        gain = np.where(np.isneginf(children.processed), 0.0, children.processed) if choice.forced else children.processed
        columns["processed"] = columns["processed"] + gain
        columns["score"] = columns["processed"] if choice.scores is None else np.asarray(host(choice.scores), np.float64)
        columns |= {k: np.asarray(v) for k, v in choice.columns.items()}
        return children

    def _born_at(self, source: Frontier, at: Ints, tokens: Ints, choice: Choice) -> Children:
        """The children of rows at some positions of one frontier."""
        logprob, processed = source.pick(at, tokens)
        reasons = source.reasons(at, tokens) if choice.reasons is None else np.asarray(choice.reasons, dtype=object)
        rank = source.ranks(at, tokens) if self.recorder.shows_choices else None
        return Children(tokens, source.rows[at], source.lengths[at] + 1, logprob, processed, reasons, rank, {})

    def _gathered(self, run: Run, choice: Choice, tokens: Ints, parents: Ints) -> Children:
        """The children of any rows of a run, which stand in several frontiers where some of them waited."""
        sources = by_frontier([run.places[p] for p in parents.tolist()])
        if len(sources) == 1:
            ((source, (_, at)),) = sources.items()
            children = self._born_at(source, at, tokens, choice)
            children.columns = {k: v[at] for k, v in source.columns.items()}
            return children
        size = len(tokens)
        empty = {k: np.zeros((size, *v.shape[1:]), v.dtype) for k, v in run.frontier.columns.items()}
        numbers = np.zeros((2, size))
        reasons = np.full(size, "", dtype=object) if choice.reasons is None else np.asarray(choice.reasons, dtype=object)
        rank = np.zeros(size, np.int64) if self.recorder.shows_choices else None
        joined = Children(tokens, parents, np.zeros(size, np.int64), numbers[0], numbers[1], reasons, rank, empty)
        for source, (members, at) in sources.items():
            part = self._born_at(source, at, tokens[members], replace(choice, reasons=None if choice.reasons is None else reasons[members]))
            joined.lengths[members], joined.logprob[members], joined.processed[members] = part.lengths, part.logprob, part.processed
            joined.reasons[members] = part.reasons
            if rank is not None and part.rank is not None:
                rank[members] = part.rank
            for k, v in source.columns.items():
                joined.columns.setdefault(k, np.zeros((size, *v.shape[1:]), v.dtype))[members] = v[at]
        return joined

    def _check(self, run: Run, choice: Choice, tokens: Ints, parents: Ints, straight: bool) -> None:
        """Refuse a choice that does not fit together, by the name of its strategy."""
        if tokens.ndim != 1:
            raise misfit(run, f"chose tokens of shape {tokens.shape}; they are one row of numbers (N,), as are all columns of a choice")
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
            self._check_seen(run, choice.seen, tokens, parents)

    def _check_seen(self, run: Run, seen: Frontier, tokens: Ints, parents: Ints) -> None:
        """Refuse rows that were looked at if they are not those of the chosen tokens."""
        if len(seen) != len(tokens):
            raise misfit(run, f"chose {len(tokens)} tokens and saw {len(seen)} rows; each needs one")
        nodes = self.lane.nodes
        for row, token, parent in zip(seen.rows.tolist(), tokens.tolist(), parents.tolist(), strict=True):
            if seen.source.lane is not self.lane or (nodes.parent(row), nodes.token(row)) != (parent, token):
                raise misfit(run, f"chose token {token} after row {parent}, and saw another; `seen` holds the row of every chosen token")

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
                d = choice.dropped
                counts = {length_of(column) for column in (d.tokens, d.parents, d.scores, d.reasons)}
                if len(counts) > 1 or not all(int(p) in run.places for p in d.parents):
                    raise misfit(run, "dropped tokens that do not fit together, or after rows it does not have")
                stand = [run.places[int(p)] for p in d.parents]
                prompts, nodes = np.asarray([(f["prompt"][i], f["node"][i]) for f, i in stand], np.int64).reshape(-1, 2).T
                step.dropped = {"prompt": prompts, "parents": nodes, "tokens": np.asarray(d.tokens), "score": np.asarray(d.scores)}
                step.dropped["reason"] = np.asarray(d.reasons, dtype=object)
        return step

    def grow(self, work: Sequence[tuple[Run, Choice, Children]], steps: Sequence[Step]) -> None:
        """The rows of some runs give way to what they grew into: for those not seen before in one forward.

        Only then have the steps been taken: a run that is broken off in the middle of the forward is as it was before it.
        """
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
            run.found += children.finished
            for h in children.finished:
                self.found[h.prompt].append(h)
        self.untold.extend(steps)
        self.collect()

    def _replace(self, run: Run, choice: Choice, new: Frontier) -> None:
        """Of a run's rows those of its frontier go that do not wait, and those that waited as long as they were needed."""
        waits = {int(row) for row in choice.waits}
        if not waits <= run.places.keys():
            raise misfit(run, f"lets row {min(waits - run.places.keys())} wait, which it does not have")
        before = len(run.places)
        for i, row in enumerate(run.frontier.rows.tolist()):
            if row in waits:
                run.places[row] = light(self.call, run.frontier, i)
            else:
                run.places.pop(row, None)
        for row in choice.frees:
            run.places.pop(int(row), None)
        self._give_up(before - len(run.places))
        before = len(run.places)
        run.own(new)
        self._rows += len(run.places) - before
        run.chose = True

    def collect(self, at_once: bool = False) -> None:
        """Free every row that is not alive and was not just looked at, once there are enough of them to be worth a search."""
        if not at_once and self._gone < max(SPARE, self._rows / 4):
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
        told: set[int] = set()
        return [h for run in self.runs.values() for h in self._growing(run, reason, told) if prompt is None or h.prompt == prompt]

    def _growing(self, run: Run, reason: str, told: set[int]) -> list[Hypothesis]:
        """The texts of a run's rows, but for rows that another run has too and whose texts are told."""
        rows = [(f, i) for row, (f, i) in run.places.items() if row not in told and int(f.generated[i]) > 0]
        told.update(run.places)
        return [self.recorder.hypothesis({k: v[i] for k, v in f.columns.items()}, reason) for f, i in rows]

    def rows_of(self, prompt: int) -> int:
        """How many rows of a prompt are alive or have finished."""
        alive = sum(int(f["prompt"][i]) == prompt for run in self.runs.values() for f, i in run.places.values())
        return alive + len(self.found[prompt])

    @property
    def over(self) -> bool:
        """Whether every run has begun and come to its end."""
        return bool(self.root) and not self.runs

    def interrupt(self) -> None:
        """End every run as it is: rows that are alive are finished texts."""
        told: set[int] = set()
        for run in list(self.runs.values()):
            run.found += self._growing(run, "interrupted", told)
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


def misfit(run: Run, what: str) -> PartError:
    """The error for a strategy that asks for what cannot be."""
    return PartError(f"the strategy {run.strategy} {what}")


def length_of(column: Any) -> int | None:
    """How many values a column has; None if it is none."""
    return None if isinstance(column, str) or not hasattr(column, "__len__") or getattr(column, "ndim", 1) == 0 else len(column)


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


