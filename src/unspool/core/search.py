"""Search: the rows of all prompts of one call and their columns. Whatever belongs to a row follows its parent here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unspool.arrays import Flags, Floats, Ints, finite, gather, host, namespace, topk
from unspool.core.frontier import Frontier, order_among_siblings
from unspool.core.lane import Lane, Twins
from unspool.core.model import Model
from unspool.core.processor import Processor
from unspool.core.randomness import Lineage, child, uniform, word
from unspool.core.stages import stages_of
from unspool.core.stop import Stop
from unspool.core.strategy import Choice, Dropped, Look, Twin
from unspool.errors import ParameterError, Unsupported
from unspool.record.step import Considered, Hypothesis, Step


@dataclass
class _Children:
    """Candidates that were chosen, as columns; those of their rows in `columns`."""

    tokens: Ints
    parents: Ints
    """Rows of the session."""
    logprob: Floats
    processed: Floats
    done: Any
    rank: Ints | None
    columns: dict[str, Any]


class Search:
    """The state of one decoding run.

    prompts: token ids. limits: the most new tokens of each prompt. ends: end tokens. level: how much Steps hold
    (`unspool.record.step.LEVELS`), choices: how many alternatives. names: what tells prompts apart for randomness, their tokens
    if not given.
    """

    def __init__(
        self,
        model: Model,
        prompts: Sequence[Sequence[int]],
        processors: Sequence[Processor] = (),
        stops: Sequence[Stop] = (),
        *,
        limits: Sequence[int],
        ends: Sequence[int] = (),
        seed: int = 0,
        level: str = "tokens",
        choices: int = 5,
        names: Sequence[str] | None = None,
        limit_reasons: Sequence[str] | None = None,
    ) -> None:
        self.prompts = [np.asarray(p, np.int64) for p in prompts]
        self.prompt_lengths = np.asarray([len(p) for p in self.prompts], np.int64)
        self.limits, self.ends, self.seed = np.asarray(limits, np.int64), tuple(ends), seed
        self.drew = False
        """Whether anything random was asked for: without a draw, every seed gives the same texts."""
        self.level, self.choices = level, choices
        self.limit_reasons = np.asarray(limit_reasons or ["length"] * len(self.prompts))
        self.lane = Lane(model, processors, stops, self.ends)
        self.twins: dict[int, Twins] = {}
        self.finished: list[list[Hypothesis]] = [[] for _ in self.prompts]
        self.history: list[tuple[int, int, float, float]] = [(-1, -1, 0.0, 0.0)] * len(self.prompts)
        names = [p.tobytes() for p in self.prompts] if names is None else list(names)  # type: ignore[misc]
        self.lineages = np.asarray([word(name) for name in names], np.uint64)
        self.alive: dict[int, dict[int, tuple[Frontier, int]]] = {}       # by run: the rows that may grow
        self.looked: dict[int, list[tuple[Lane, Ints]]] = {}              # by run: the rows that were only looked at
        self.chose: set[int] = set()                                      # runs that chose since they last looked

    def uniform(self, lineage: Lineage, step: Any, purpose: str, index: Any = 0) -> Floats:
        """Uniforms in [0, 1) of this run's seed: the only draws there are."""
        self.drew = True
        return uniform(self.seed, lineage, step, purpose, index)

    def lanes(self) -> Iterator[Lane]:
        """The sessions of the run: the model's, those of its processors' companions, and those of second models."""
        for lane in (self.lane, *(twins.lane for twins in self.twins.values())):
            yield from lane.all()

    def begin(self) -> Frontier:
        """The frontier of the prompts."""
        rows = self.lane.begin(self.prompts)
        count = len(rows)
        columns = {
            "prompt": np.arange(count),
            "score": np.zeros(count),
            "processed": np.zeros(count),
            "lineage": self.lineages,
            "node": np.arange(count),
        }
        return Frontier(self, self.lane, rows, columns)

    def start(self, run: int, frontier: Frontier) -> None:
        """A run begins with these rows."""
        self.alive[run] = {int(row): (frontier, i) for i, row in enumerate(frontier.rows)}

    # --- peeking ------------------------------------------------------------------------------------------------

    def look(self, asks: dict[int, Look]) -> dict[int, Frontier]:
        """One forward for the looks of several runs at one lane."""
        lane = next(iter(asks.values())).frontier.lane
        chains = [np.atleast_1d(np.asarray(c, np.int64)) for ask in asks.values() for c in ask.chains]
        joined = _concatenate([ask.frontier for ask in asks.values()])
        rows = lane.extend(joined.rows, chains)
        paths = [lane.nodes.path(int(row))[-len(chain) :] for row, chain in zip(rows, chains, strict=True)]
        of = np.repeat(np.arange(len(rows)), [len(p) for p in paths])
        whole = Frontier(self, lane, np.concatenate(paths), {k: v[of] for k, v in joined.columns.items()})
        ends = np.cumsum([len(p) for p in paths])
        last = whole.take(ends - 1)
        last.chains = whole, [np.arange(end - len(p), end) for end, p in zip(ends, paths, strict=True)]
        return self._answer(asks, last, whole.rows, of)

    def twin(self, asks: dict[int, Twin]) -> dict[int, Frontier]:
        """The same texts under another model, for several runs, in one forward."""
        twins = self._twins_of(next(iter(asks.values())).model)
        joined = _concatenate([ask.frontier for ask in asks.values()])
        whole = Frontier(self, twins.lane, twins(joined.rows), joined.columns)
        return self._answer(asks, whole, whole.rows, np.arange(len(whole)))

    def _answer(self, asks: Mapping[int, Look | Twin], whole: Frontier, rows: Ints, of: Ints) -> dict[int, Frontier]:
        """Each run's part of an answer; its rows are held until the run looks again after its next choice."""
        whole.settle(len(asks))
        answers, first = {}, 0
        for run, ask in asks.items():
            index = np.arange(first, first + len(ask.frontier))
            first += len(index)
            answers[run] = whole.take(index)
            if run in self.chose:
                self.chose.discard(run)
                self.looked[run] = []
            self.looked.setdefault(run, []).append((whole.lane, rows[np.isin(of, index)]))
        return answers

    def _twins_of(self, model: Model) -> Twins:
        if id(model) not in self.twins:
            if model.vocabulary != self.lane.model.vocabulary:
                raise ParameterError(
                    f"the second model has {model.vocabulary} tokens and the model {self.lane.model.vocabulary}; they need one vocabulary"
                )
            starts: dict[int, int] = {}       # the rows of the prompts themselves
            for row, (frontier, i) in self.live.items():
                prompt = int(frontier["prompt"][i])
                starts.setdefault(prompt, int(self.lane.nodes.path(row)[self.prompt_lengths[prompt] - 1]))
            self.twins[id(model)] = Twins(self.lane.nodes, Lane(model, self.lane.processors, ends=self.ends))
            self.twins[id(model)].begin(np.asarray(list(starts.values())), [self.prompts[p] for p in starts])
        return self.twins[id(model)]

    # --- committing ---------------------------------------------------------------------------------------------

    def grow(self, choices: dict[int, Choice], frontiers: dict[int, Frontier]) -> tuple[Frontier, Step]:
        """Commit the choices of some runs, which had these frontiers: the next frontier, and the record of the step."""
        choice, before = _join(list(choices.values())), list(frontiers.values())
        children = self._children(choice, before[0].columns)
        possible = (children.processed > -np.inf) | choice.forced        # an impossible token ends nothing and goes nowhere
        step = self._bear(children, possible)
        self._annotate(step, choice, before, possible)
        columns = children.columns | {k: np.asarray(v) for k, v in choice.memory.items()}
        for i in np.flatnonzero(possible & (children.done != "")):
            found = self._hypothesis({k: v[i] for k, v in columns.items()}, str(children.done[i]))
            self.finished[found.prompt].append(found)
        live = np.flatnonzero(possible & (children.done == ""))
        columns = {k: v[live] for k, v in columns.items()}
        if choice.seen is not None:
            new = choice.seen.take(live)
            new.columns = columns
        else:
            rows = self.lane.extend(children.parents[live], list(children.tokens[live, None]))
            new = Frontier(self, self.lane, rows, columns)
        new.settle(len(choices))
        self._replace(choices, frontiers, new)
        return new, step

    def _children(self, choice: Choice, names: Mapping[str, Any]) -> _Children:
        """What the frontiers of their parents say of the children of a choice."""
        tokens, parents = np.asarray(host(choice.tokens), np.int64), np.asarray(choice.parents, np.int64)
        size, live = len(tokens), self.live
        logprob, processed, generated, rank = np.zeros(size), np.zeros(size), np.zeros(size, np.int64), np.zeros(size, np.int64)
        done = np.full(size, "", dtype=object) if choice.done is None else np.asarray(choice.done)
        columns = {k: np.zeros((size, *v.shape[1:]), v.dtype) for k, v in names.items()}
        for frontier, (members, at) in _by_frontier([live[int(p)] for p in parents]).items():
            logprob[members], processed[members] = frontier.pick(at, tokens[members])
            generated[members] = frontier.generated[at]
            for k, v in frontier.columns.items():
                columns[k][members] = v[at]
            if choice.done is None:
                done[members] = frontier.ends(at, tokens[members])
            if self.shows_choices:
                rank[members] = frontier.ranks(at, tokens[members])
        columns["lineage"] = child(columns["lineage"], order_among_siblings(parents), generated)
        columns["processed"] = columns["processed"] + np.where(choice.forced & np.isneginf(processed), 0.0, processed)
        columns["score"] = columns["processed"] if choice.scores is None else np.asarray(host(choice.scores), np.float64)
        return _Children(tokens, parents, logprob, processed, done, rank if self.shows_choices else None, columns)

    def _bear(self, children: _Children, possible: Flags) -> Step:
        """Give the possible children their nodes in the record."""
        nodes = children.columns["node"]
        born = np.full(len(nodes), -1, np.int64)
        born[possible] = np.arange(len(self.history), len(self.history) + possible.sum())
        for i in np.flatnonzero(possible):
            numbers = int(children.tokens[i]), float(children.logprob[i]), float(children.processed[i])
            self.history.append((int(nodes[i]), *numbers))
        made = [children.columns["prompt"], nodes, born, children.tokens, children.logprob, children.processed, children.columns["score"]]
        rank = None if children.rank is None else children.rank[possible]
        children.columns["node"] = born
        return Step(*[a[possible] for a in (*made, children.done)], rank=rank)  # type: ignore[misc]

    def end(self, run: int) -> None:
        """A run is over: forget its rows."""
        self.alive.pop(run, None)
        self.looked.pop(run, None)
        self._forget()

    def _replace(self, choices: dict[int, Choice], frontiers: dict[int, Frontier], new: Frontier) -> None:
        """The rows of some runs give way to what they grew into and to what waits."""
        old = dict(self.live)
        for run, choice in choices.items():
            mine = np.arange(len(new)) if len(choices) == 1 else np.flatnonzero(new["prompt"] == run)
            self.alive[run] = {int(row): _light(*old[int(row)]) for row in choice.waits}
            self.alive[run] |= {int(new.rows[i]): (new, int(i)) for i in mine}
            self.chose.add(run)
        self._forget()

    def _forget(self) -> None:
        """Free every row that is not alive and was not just looked at."""
        held = [pair for pairs in self.looked.values() for pair in pairs]
        rows = [*self.live, *(int(r) for lane, looked in held if lane is self.lane for r in looked)]
        for twins in self.twins.values():
            twins.keep(rows, [int(r) for lane, looked in held if lane is twins.lane for r in looked])
        self.lane.keep(rows)

    @property
    def live(self) -> dict[int, tuple[Frontier, int]]:
        """Every row that may grow, by its place in a frontier."""
        return {row: at for rows in self.alive.values() for row, at in rows.items()}

    def partial(self) -> None:
        """Finish every row that is alive, as it is: the run was interrupted."""
        for h in self.growing("interrupted"):
            self.finished[h.prompt].append(h)

    def growing(self, reason: str) -> list[Hypothesis]:
        """Every row that is alive and has new tokens, as a text that ends here."""
        rows = [(f, i) for f, i in self.live.values() if int(f.generated[i]) > 0]
        return [self._hypothesis({k: v[i] for k, v in f.columns.items()}, reason) for f, i in rows]

    def _hypothesis(self, columns: dict[str, Any], reason: str) -> Hypothesis:
        prompt, nodes = int(columns["prompt"]), [int(columns["node"])]
        while self.history[nodes[-1]][0] >= 0:
            nodes.append(self.history[nodes[-1]][0])
        nodes.reverse()
        tokens, logprobs, processed = zip(*(self.history[n][1:] for n in nodes[1:]), strict=True)
        own = {k: v for k, v in columns.items() if k not in ("prompt", "score", "processed", "lineage", "node")}
        return Hypothesis(prompt, list(tokens), list(logprobs), list(processed), float(columns["score"]), reason, nodes, own)

    @property
    def shows_choices(self) -> bool:
        """Whether the record holds alternatives."""
        return self.level in ("choices", "stages")

    def _annotate(self, step: Step, choice: Choice, frontiers: Sequence[Frontier], ok: Flags) -> None:
        """What the level asks for beyond the chosen tokens."""
        if choice.uniform is not None:
            step.uniform = np.asarray(choice.uniform)[ok]
        if self.shows_choices:
            step.considered = _considered(frontiers, self.choices, self.level == "stages")
            if choice.dropped is not None:
                d, live = choice.dropped, self.live
                at = [(f["prompt"][i], f["node"][i]) for f, i in (live[int(p)] for p in d.parents)]
                prompts, nodes = np.asarray(at, np.int64).reshape(-1, 2).T
                step.dropped = {"prompt": prompts, "parents": nodes, "tokens": d.tokens, "score": d.scores, "why": d.why}

    def require(self, needs: frozenset[str]) -> None:
        """Refuse a strategy that asks for what the session cannot do."""
        lacking = needs - self.lane.session.can
        if lacking:
            raise Unsupported(f"this model's session gives no {', '.join(sorted(lacking))}, which the strategy needs")


def _light(frontier: Frontier, i: int) -> tuple[Frontier, int]:
    """A row that waits, without its distribution: that is computed again if the row grows after all."""
    if len(frontier) == 1 and frontier.fresh:
        return frontier, i
    columns = {k: v[i : i + 1] for k, v in frontier.columns.items()}
    return Frontier(frontier.search, frontier.lane, frontier.rows[i : i + 1], columns), 0


def _concatenate(frontiers: Sequence[Frontier]) -> Frontier:
    """The rows of several frontiers of one lane."""
    first = frontiers[0]
    if len(frontiers) == 1:
        return first
    columns = {k: np.concatenate([f.columns[k] for f in frontiers]) for k in first.columns}
    return Frontier(first.search, first.lane, np.concatenate([f.rows for f in frontiers]), columns)


def _by_frontier(sources: list[tuple[Frontier, int]]) -> dict[Frontier, tuple[Ints, Ints]]:
    """For each frontier: which children have a parent there, and where."""
    groups: dict[Frontier, list[int]] = {}
    for j, (frontier, _) in enumerate(sources):
        groups.setdefault(frontier, []).append(j)
    return {f: (np.asarray(js), np.asarray([sources[j][1] for j in js])) for f, js in groups.items()}


def _join(choices: list[Choice]) -> Choice:
    """One choice of several runs."""
    if len(choices) == 1:
        return choices[0]

    def together(name: str) -> Any:
        values = [getattr(c, name) for c in choices]
        return None if any(v is None for v in values) else np.concatenate([np.asarray(host(v)) for v in values])

    names = choices[0].memory
    memory = {k: np.concatenate([np.asarray(c.memory[k]) for c in choices]) for k in names}
    drops = [c.dropped for c in choices if c.dropped is not None]
    dropped = Dropped(*(np.concatenate([getattr(d, n) for d in drops]) for n in ("tokens", "parents", "scores", "why"))) if drops else None
    columns = {name: together(name) for name in ("tokens", "parents", "scores", "done", "uniform")}
    seen = [c.seen for c in choices if c.seen is not None]
    forced = any(c.forced for c in choices)
    return Choice(**columns, memory=memory, dropped=dropped, seen=Frontier.together(seen) if seen else None, forced=forced)


def _considered(frontiers: Sequence[Frontier], choices: int, staged: bool) -> Considered | None:
    parts = []
    for f in frontiers:
        if len(f):
            values, tokens = topk(f.logits, choices)
            raw = host(values).astype(np.float64) - host(f.raw_total)
            scores = host(gather(f.scores, tokens)).astype(np.float64) - finite(host(f.total))
            stages = stages_of(f, host(tokens)) if staged else None
            logprobs = f.logits - f.raw_total
            entropy = -host((namespace(logprobs).exp(logprobs) * finite(logprobs)).sum(-1)).astype(np.float64)
            parts.append(Considered(f["prompt"], f["node"], host(tokens), raw, scores, entropy, stages))
    return Considered.join(parts) if parts else None
