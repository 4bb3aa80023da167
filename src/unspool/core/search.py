"""Search: the rows of all runs of one call. Whatever belongs to a row follows its parent here and nowhere else."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from unspool.arrays import Flags, Ints
from unspool.core.call import Call
from unspool.core.children import Children, children_of, length_of
from unspool.core.distributions import Without
from unspool.core.frontier import Frontier
from unspool.core.lane import Forward, Forwards, Lane
from unspool.core.model import Model, Plan, check_ids
from unspool.core.observe import considered
from unspool.core.peeks import Peeks
from unspool.core.processor import Processor
from unspool.core.run import Run, misfit, ranked_by
from unspool.core.stop import Stop
from unspool.core.strategy import Around, Choice, Each, Strategy
from unspool.errors import DeadEnd, Unsupported, whole
from unspool.record.recorder import Recorder
from unspool.record.step import Hypothesis, Step

SPARE = 8
"""Rows that may lie about before those that nobody needs are looked for; beyond it, a quarter of those that are needed."""
OUTGROWN = 8
"""So many rows that gave way to their children count as one: their tokens are needed, only what is kept beside each row is not."""
ENTERING = 8
"""New prompts enter once this part of those at work, an eighth, is gone: side by side they cost less than one by one."""


class Search:
    """The state of one decoding call: the lanes, the runs, and the record.

    prompts: token ids. limits: the most new tokens of each prompt. level: how much Steps hold (`unspool.record.step.LEVELS`), choices:
    how many alternatives. rows: how many of a prompt grow together at most, if that is known. together: how many prompts are at work at
    once, all if not given; the others wait, and begin in their order as there is room. The rest: see `Call`.
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
        together: int | None = None,
    ) -> None:
        back = [p for p in processors if p.takes_back]
        kept = [min((p.kept(np.asarray(prompt)) for p in back), default=len(prompt)) for prompt in prompts]
        taken = [prompt[n:] for prompt, n in zip(prompts, kept, strict=True)]
        prompts = [prompt[:n] for prompt, n in zip(prompts, kept, strict=True)]
        self.call = Call(prompts, limits, end_tokens, seed, names, limit_reasons, taken=taken)
        self.recorder = Recorder(len(prompts), level, choices)
        self.record(level)
        longest = int((self.call.prompt_lengths + self.call.limits).max(initial=0))
        if together is not None:
            whole("together", together, 1)
        self.together = len(prompts) if together is None else min(together, len(prompts))
        plan = Plan(None if rows is None else rows * self.together, min(longest, model.context))
        for part in (*processors, *stops):
            check_ids(part.name, part.token_ids(), model.vocabulary)
        check_ids("end_tokens", self.call.end_tokens, model.vocabulary)
        self.lane = Lane(model, processors, stops, self.call.end_tokens, plan)
        self.peeks = Peeks(self.call, self.lane, self._hold)
        self.strategy: Strategy | None = None                            # once it has begun
        self.waiting = range(len(prompts))
        """The prompts that have not begun."""
        self._apart: list[Run] = []                                      # runs of new prompts whose rows could not join one at work
        self.runs: dict[int, Run] = {}                                   # those at work, by id
        self.found: list[list[Hypothesis]] = [[] for _ in prompts]
        """Of every prompt its hypotheses as they finish; ranked, once its run is over."""
        self.dead: dict[int, DeadEnd] = {}
        """Prompts of whose hypotheses none may be returned, and why."""
        self.untold: deque[Step] = deque()
        """Steps that are taken and were not yet given out."""
        self.watch: Callable[[], object] = lambda: None
        """Asked again and again while forwards are made, also where no step is: for who waits."""
        self._rows = 0                                                   # rows that runs have
        self._gone = 0.0                                                 # those given up since the last collection

    def record(self, level: str) -> None:
        """Record at this level from here on."""
        self.recorder.level = level
        self.call.records = self.recorder.shows_choices

    # --- runs -----------------------------------------------------------------------------------------------------------

    def begin(self, strategy: Strategy) -> Forwards[list[Run]]:
        """The runs of a strategy over the prompts that begin at once: one, or one for each."""
        self._require(strategy)
        self.strategy = strategy
        return (yield from self.enter())

    def enter(self) -> Forwards[list[Run]]:
        """The runs of prompts that waited and for which there is room now; none where they join a run at work as it grows."""
        runs, self._apart = self._apart, []
        if runs or self.strategy is None or (self.strategy.joins and self.runs) or not (count := self._room()):
            return runs
        start = yield from self._first_rows(count)
        parts = [start] if self.strategy.many else [start.take([i]) for i in range(count)]
        if len(parts) > 1:
            start.source.settle()
        return [self._start(self.strategy, part) for part in parts]

    def _room(self) -> int:
        """How many prompts may begin now: none until they are enough to go through the model side by side."""
        if not self.waiting:
            return 0
        at_work: set[int] = set()
        for run in self.runs.values():
            if len(run.prompts) > 1:
                at_work.update(int(f["prompt"][i]) for f, i in run.places.values())
            elif run.places or run.going:
                at_work.update(run.prompts)
        room = min(self.together - len(at_work), len(self.waiting))
        return room if not at_work or room >= min(len(self.waiting), max(1, self.together // ENTERING)) else 0

    def _first_rows(self, count: int) -> Forwards[Frontier]:
        """The rows of the next prompts that waited."""
        prompts = np.asarray(self.waiting[:count])
        columns = {
            "prompt": prompts,
            "node": np.zeros(count, np.int64),
            "score": np.zeros(count),
            "processed": np.zeros(count),
            "lineage": self.call.lineages[prompts],
        }
        which = prompts.tolist()
        given = [self.call.prompts[prompt] for prompt in which], [self.call.taken[prompt] for prompt in which]
        rows = yield from self.lane.beginning(*given)
        self.waiting = self.waiting[count:]
        self.call.count(which, "forwards")
        return Frontier.of(self.call, self.lane, rows, self.call.prompt_lengths[prompts], columns)

    def _join(self, run: Run, start: Frontier) -> None:
        """The first rows of new prompts come to stand beside those of a run, as its strategy begins them."""
        old, size = run.frontier, len(run.frontier)
        columns = {k: np.concatenate([old[k], v]) for k, v in start.columns.items()}
        rows, lengths = np.concatenate([old.rows, start.rows]), np.concatenate([old.lengths, start.lengths])
        whole = Frontier.of(self.call, self.lane, rows, lengths, columns)
        begun = run.strategy.begin(whole.take(slice(size, None)))
        if not alike(old.columns, begun.columns):
            self._apart.append(self._start(run.strategy, start))
            return
        part = whole.take(slice(size))
        part.columns = old.columns
        before = len(run.places)
        run.prompts = sorted({*run.prompts, *start["prompt"].tolist()})
        run.own(part.beside(begun))
        self._rows += len(run.places) - before

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
        waits = {row: run.places[row] for row in map(int, ask.waits) if row in run.places}
        if len(waits) < len(set(ask.waits)):
            raise misfit(run, f"lets row {min(set(map(int, ask.waits)) - waits.keys())} wait, which it does not have")
        for row in handed.rows.tolist():
            run.places.pop(row, None)
        run.places.update((row, light(self.call, *place)) for row, place in waits.items())
        self._rows -= before - len(run.places)
        run.inner = [self._start(ask.strategy, handed.take([i]), run) for i in range(len(handed))]
        run.going = len(run.inner)
        run.own(handed.take(slice(0)))
        return run.inner

    def _start(self, strategy: Strategy, frontier: Frontier, parent: Run | None = None) -> Run:
        run = Run(strategy, frontier, self.lane, parent)
        self.runs[id(run)] = run
        self._rows += len(run.places)
        return run

    def _require(self, strategy: Strategy) -> None:
        """Refuse a strategy that asks for what the session cannot do, or for tokens that the model does not have."""
        inner = strategy.inner if isinstance(strategy, Around) else None
        if inner is not None:
            self._require(inner)                                         # the one at fault is named
        check_ids(strategy.name, strategy.token_ids(), self.lane.model.vocabulary)
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
            run.found = ranked_by(run, run.found)
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
                self.found[prompt] = ranked_by(run, found)
            except DeadEnd as error:
                self.found[prompt], self.dead[prompt] = [], error
            if self.found[prompt]:
                self.dead.pop(prompt, None)

    # --- peeking --------------------------------------------------------------------------------------------------------

    def _hold(self, run: Run, lane: Lane, rows: Ints) -> None:
        """Rows that were only looked at stay until the run looks again after its next choice."""
        if run.chose:
            self._give_up(run.held)
            run.chose, run.looked, run.held = False, [], 0
        run.looked.append((lane, rows))
        run.held += len(rows)
        self._rows += len(rows)

    def _give_up(self, count: int, outgrown: int = 0) -> None:
        """So many rows are needed no longer, some of which live on in their children."""
        self._rows -= count
        self._gone += count - outgrown + outgrown / OUTGROWN

    # --- committing -----------------------------------------------------------------------------------------------------

    def commit(self, run: Run, choice: Choice) -> tuple[Step, Children]:
        """Take a choice down: the record of the step, and those of its children that go on."""
        children = children_of(run, choice, self.recorder.shows_choices)
        possible = children.processed > -np.inf                          # (N,); an impossible token ends nothing and goes nowhere
        if choice.forced:
            possible[:] = True
        step = self._record(run, choice, children, possible)
        for name, numbers in children.notes.items():
            self.recorder.note(name, children.columns, numbers)
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

    def _record(self, run: Run, choice: Choice, children: Children, possible: Flags) -> Step:
        """The step, with what the level asks for beyond the chosen tokens."""
        numbers = children.tokens, children.logprob, children.processed, children.reasons
        step = self.recorder.born(children.columns, *numbers, possible)
        if choice.uniform is not None:
            step.uniform = np.asarray(choice.uniform)[possible]
        if choice.drafted:
            step.drafted = np.ones(len(step), np.int64)
        if self.recorder.shows_choices:
            step.rank = None if children.rank is None else children.rank[possible]
            if len(run.frontier):
                step.considered = considered(distinct(run.frontier), self.recorder.choices, self.recorder.shows_stages)
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

    def grow(self, work: Sequence[tuple[Run, Choice, Children]], steps: Sequence[Step]) -> Forwards[None]:
        """The rows of some runs give way to what they grew into: for those not seen before in one forward.

        Only then have the steps been taken: a run that is broken off in the middle of the forward is as it was before it.
        """
        fresh = [(run, choice, children) for run, choice, children in work if choice.seen is None]
        if fresh:
            parents = np.concatenate([children.parents for *_, children in fresh])
            tokens = np.concatenate([children.tokens for *_, children in fresh])
            rows = (yield Forward(self.lane, parents, list(tokens[:, None]))) if len(tokens) else parents
            lengths = np.concatenate([children.lengths for *_, children in fresh])
            columns = fresh[0][2].columns
            self.call.count(set().union(*(children.columns["prompt"].tolist() for *_, children in fresh)), "forwards")
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
            self._replace(run, choice, new, children.parents)
            if choice.certificate is not None:
                run.frontier.certify(choice.certificate)
            run.found += children.finished
            for h in children.finished:
                self.found[h.prompt].append(h)
        self.untold.extend(steps)                                        # these are done, whatever becomes of those that join
        joined = next((run for run, *_ in work if run.strategy.joins and run.parent is None), None)
        if joined is not None and (count := self._room()):
            self._join(joined, (yield from self._first_rows(count)))
        self.collect()

    def _replace(self, run: Run, choice: Choice, new: Frontier, parents: Ints) -> None:
        """Of a run's rows those of its frontier go that do not wait, and those that waited as long as they were needed."""
        waits = {int(row) for row in choice.waits}
        if not waits <= run.places.keys():
            raise misfit(run, f"lets row {min(waits - run.places.keys())} wait, which it does not have")
        had = set(run.places)
        for i, row in enumerate(run.frontier.rows.tolist()):
            if row in waits:
                run.places[row] = light(self.call, run.frontier, i)
            else:
                run.places.pop(row, None)
        for row in choice.frees:
            run.places.pop(int(row), None)
        left = had - run.places.keys()
        self._give_up(len(left), len(left & set(parents.tolist())))
        before = len(run.places)
        run.own(new)
        self._rows += len(run.places) - before
        run.chose = True

    def collect(self, at_once: bool = False) -> None:
        """Free every row that is not alive and was not just looked at, once there are enough of them to be worth a search."""
        if not at_once and self._gone < max(SPARE, self._rows / 4):
            return
        self._gone = 0.0
        rows = [row for run in self.runs.values() for row in run.places]
        looked: dict[Lane, list[int]] = {}
        for run in self.runs.values():
            for lane, some in run.looked:
                looked.setdefault(lane, []).extend(some.tolist())
        rows += looked.get(self.lane, [])
        for twins in self.peeks.twins.values():
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

    def leaves(self, prompt: int) -> list[tuple[int, dict[str, Any]]]:
        """Where the texts of a prompt stand, those that may still grow and those that have ended: their nodes, with the columns of each."""
        stand = [place for run in self.runs.values() for place in run.places.values()]
        alive = [(int(f["node"][i]), {k: v[i] for k, v in f.columns.items()}) for f, i in stand if int(f["prompt"][i]) == prompt]
        return alive + [(h.nodes[-1], h.columns) for h in self.found[prompt]]

    @property
    def over(self) -> bool:
        """Whether every prompt has begun and every run come to its end."""
        return self.strategy is not None and not self.runs and not self.waiting

    def interrupt(self) -> None:
        """End every run as it is: rows that are alive are finished texts, and prompts that wait have none."""
        self.waiting = self.waiting[:0]
        told: set[int] = set()
        for run in list(self.runs.values()):
            run.found += self._growing(run, "interrupted", told)
        for run in [run for run in self.runs.values() if not run.going]:
            waiting: Run | None = run
            while waiting is not None:
                waiting = self.end(waiting)

    def lanes(self) -> Iterator[Lane]:
        """The sessions of the call: the model's, those of its processors' companions, and those of second models."""
        for lane in (self.lane, *(twins.lane for twins in self.peeks.twins.values())):
            yield from lane.all()


def alike(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two sets of columns can stand one below the other."""
    return one.keys() == other.keys() and all((v.dtype, v.shape[1:]) == (other[k].dtype, other[k].shape[1:]) for k, v in one.items())


def distinct(frontier: Frontier) -> Frontier:
    """Every row once: where prompts begin with several rows, these are one."""
    once = np.unique(frontier.rows, return_index=True)[1]
    return frontier if len(once) == len(frontier) else frontier.take(np.sort(once))


def light(call: Call, frontier: Frontier, i: int) -> tuple[Frontier, int]:
    """A row that waits, without its distribution: that is computed again if the row grows after all."""
    lane, some = frontier.source.lane, slice(i, i + 1)
    if isinstance(frontier.source, Without):                             # which nobody could compute again
        return frontier.take(some), 0
    found = Frontier.of(call, lane, frontier.rows[some], frontier.lengths[some], {k: v[some] for k, v in frontier.columns.items()})
    found.places = frontier.places                                       # a strategy may begin anew from it
    return found, 0
