"""A lane: the rows of one model, with the processors and stops that read them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from inspect import signature
from typing import Any, TypeAlias, TypeVar

import numpy as np

from unspool.arrays import Array, Flags, Ints, is_floating, like, read_only, version
from unspool.core.decoder import Part
from unspool.core.few import Few, FewOrWhole, few, whole
from unspool.core.memory import Memory, nearest
from unspool.core.model import NO_PLAN, Model, Plan, Session
from unspool.core.processor import Processor, Rows
from unspool.core.stop import Stop
from unspool.core.tree import ROOT, SPAN, TokenForest
from unspool.errors import ModelError, PartError, Unsupported

T = TypeVar("T")


class Seat:
    """A processor or a stop where it sits in a lane, with what follows the rows for it."""

    def __init__(self, lane: Lane, part: Any, place: int, advance: Callable[..., Sequence[Any]]) -> None:
        self.part, self.place = part, place
        self.memory = Memory(lane.nodes, advance) if part.stateful else None
        self.entered: dict[int, Array] = {}
        """Of the rows that came by, what entered the processor, if its memory depends on it."""
        self.twins: list[Twins] = []

    def keep(self, rows: Sequence[int]) -> None:
        """Forget what these rows do not need."""
        if self.memory:
            self.memory.keep(rows)
            if self.entered:
                needed = {*map(int, rows), *self.memory.values}
                self.entered = {row: scores for row, scores in self.entered.items() if row in needed}
        for twins in self.twins:
            twins.keep(rows)


class Lane:
    """The session of one model, its processors in order, and its stops."""

    def __init__(
        self,
        model: Model,
        processors: Sequence[Processor] = (),
        stops: Sequence[Stop] = (),
        end_tokens: Sequence[int] = (),
        plan: Plan = NO_PLAN,
    ) -> None:
        self.model, self.end_tokens = model, tuple(end_tokens)
        self.processors, self.stops = tuple(processors), tuple(stops)
        self.forwards = self.tokens = 0
        """What the session was asked to run: how often, and how many tokens."""
        self.prompt_lengths: dict[int, int] = {}                         # by tree
        layers = {layer for p in self.processors for layer in p.reads_layers}
        self.session = open_session(model, Plan(plan.rows, plan.length, tuple(sorted(layers | {*plan.layers}))))
        self.nodes = self.session.nodes
        self._require({"layers"} if layers else set(), [p for p in self.processors if p.reads_layers])
        self.chain = [Seat(self, p, i, self._advance(i)) for i, p in enumerate(self.processors)]
        self.ending = [Seat(self, s, i, self._advance_stop(i)) for i, s in enumerate(self.stops)]
        for seat in self.chain:
            seat.twins = [Twins(self.nodes, Lane(companion, plan=plan)) for companion in seat.part.companions()]
        self.reading = [s.memory for s in self.ending if s.memory and s.part.reads_logits]
        self.exits: dict[int, Model] = {}
        """The model as if it ended after so many layers."""
        self.read: dict[int, Array] = {}                                 # logits of rows for these, since the last `keep`
        self._read_before: dict[int, Array] = {}                         # and from before it

    def _require(self, needs: set[str] | frozenset[str], who: Any) -> None:
        lacking = needs - self.session.can
        if lacking:
            parts = ", ".join(map(str, who))
            raise Unsupported(f"this model's session gives no {', '.join(sorted(lacking))}, which {parts} needs")

    def begin(self, prompts: Sequence[Ints], taken: Sequence[Ints] | None = None) -> Ints:
        """One row for each prompt; taken: what was taken back from the end of each."""
        return alone(self.beginning(prompts, taken))

    def beginning(self, prompts: Sequence[Ints], taken: Sequence[Ints] | None = None) -> Forwards[Ints]:
        """The same for whoever runs its forward."""
        whole = prompts if taken is None else [np.concatenate(both) for both in zip(prompts, taken, strict=True)]
        rows = yield Forward(self, [ROOT] * len(prompts), prompts)
        self.prompt_lengths |= {int(row) // SPAN: len(prompt) for row, prompt in zip(rows, prompts, strict=True)}
        for seat in (*self.chain, *self.ending):
            if seat.memory:
                given = whole if seat.part.takes_back else prompts
                seat.memory.values.update((int(row), seat.part.begin(prompt)) for row, prompt in zip(rows, given, strict=True))
            for i, twins in enumerate(seat.twins):
                twins.begin(rows, [np.asarray(seat.part.companion_prompt(prompt, i), np.int64) for prompt in prompts])
        return rows

    def extend(self, parents: Sequence[int] | Ints, chains: Sequence[Sequence[int] | Ints], every: bool = False) -> Ints:
        """Grow the session's rows, and count it."""
        self.count(chains)
        return self.session.extend(parents, chains, every)

    def count(self, chains: Sequence[Sequence[int] | Ints]) -> None:
        """Count a forward of these chains."""
        self.forwards += len(chains) > 0
        self.tokens += sum(map(len, chains))

    def logits(self, rows: Sequence[int] | Ints, layer: int | None = None) -> Array:
        """The model's logits after rows; nobody can change them in place."""
        return read_only(self.session.logits(rows) if layer is None else self.session.logits(rows, layer))

    def all(self) -> Iterator[Lane]:
        """This lane and those of its processors' companions."""
        yield self
        for seat in self.chain:
            for twins in seat.twins:
                yield from twins.lane.all()

    # --- processors ---------------------------------------------------------------------------------------------------

    def process(
        self, rows: Rows, handles: Ints, logits: Array, watch: Callable[[Array], None] | None = None, before: int | None = None
    ) -> Array:
        """The scores (R, V) of rows after every processor, or after those before one; `watch` sees the scores after each."""
        return whole(self.left(rows, handles, logits, watch, before))

    def left(
        self, rows: Rows, handles: Ints, logits: Array, watch: Callable[[Array], None] | None = None, before: int | None = None
    ) -> FewOrWhole:
        """What `process` says, of the few tokens that can come where there are few: so it is between processors too, if they allow it."""
        scores: FewOrWhole = logits
        for seat in self.chain[:before]:
            scores = few(scores) if seat.part.by_scores else whole(scores)
            if seat.part.reads_scores:
                seat.entered.update(zip(map(int, handles), whole(scores), strict=True))
            found = self._processed(seat, rows, handles, scores.scores if isinstance(scores, Few) else scores)
            scores = scores.scored(whole(found)) if isinstance(scores, Few) else found
            if watch is not None:
                watch(whole(scores))
        return few(scores)

    def _processed(self, seat: Seat, rows: Rows, handles: Ints, scores: Array) -> FewOrWhole:
        """What a processor makes of scores, refused if it is no such thing or if an argument was changed."""
        part = seat.part
        memory = seat.memory(handles) if seat.memory else None
        rows.companions = tuple(twins.logits(handles) for twins in seat.twins)
        rows.layers = tuple(self.logits(handles, layer) for layer in part.reads_layers)
        before = version(scores), version(rows.tokens)
        try:
            found = part.few(rows, scores, memory) or part.process(rows, scores, memory)
        except ValueError as error:
            if "read-only" in str(error):
                raise PartError(f"the processor {part} changes what it is given; it must work on a copy (unspool.arrays.copy)") from error
            raise
        if (version(scores), version(rows.tokens)) != before:
            raise PartError(f"the processor {part} changes what it is given; it must work on a copy (unspool.arrays.copy)")
        if isinstance(found, Few):
            return found
        shape = getattr(found, "shape", None)
        if shape is None or tuple(shape) != tuple(scores.shape):
            what = f"an array of shape {tuple(shape)}" if shape is not None else repr(found)[:60]
            raise PartError(f"the processor {part} returned {what} for scores of shape {tuple(scores.shape)}; it returns new scores (R, V)")
        if isinstance(found, np.ndarray) != isinstance(scores, np.ndarray) or not is_floating(found):
            what = f"{type(found).__name__} of {found.dtype}"
            raise PartError(f"the processor {part} returned {what} for {type(scores).__name__} of {scores.dtype}; scores are logarithms")
        return read_only(found)

    def describe(self, rows: Sequence[int] | Ints, beside: Array, uniforms: Callable[[str], Any]) -> Rows:
        """What processors may know of rows; the tokens lie beside an array."""
        texts = [self.nodes.tokens(int(row)) for row in rows]
        lengths = np.asarray([len(text) for text in texts], np.int64)
        tokens = np.full((len(texts), int(lengths.max(initial=0))), -1, np.int64)
        for i, text in enumerate(texts):
            tokens[i, tokens.shape[1] - len(text) :] = text
        prompts = np.asarray([self.prompt_lengths[int(row) // SPAN] for row in rows], np.int64)
        return Rows(read_only(like(tokens, beside)), read_only(lengths), read_only(prompts), self.end_tokens, uniforms)

    def _advance(self, place: int) -> Callable[..., Sequence[Any]]:
        def advance(parents: list[int], values: list[Any], tokens: list[int]) -> Sequence[Any]:
            part = self.processors[place]
            entered = self._entering(place, parents) if part.reads_scores else []
            found: Sequence[Any] = counted(part, "advance", part.advance(values, tokens, entered), len(tokens))
            return found

        return advance

    def _entering(self, place: int, rows: list[int]) -> list[Array]:
        """The scores that enter a processor at rows, computed where the rows were passed over."""
        entered = self.chain[place].entered
        missing = [row for row in dict.fromkeys(rows) if row not in entered]
        if missing:
            logits = self.logits(missing)
            scores = self.process(self.describe(missing, logits, _no_uniforms), np.asarray(missing), logits, before=place)
            entered.update(zip(missing, scores, strict=True))
        return [entered[row] for row in rows]

    # --- stops --------------------------------------------------------------------------------------------------------

    def note_logits(self, rows: Ints, logits: Array) -> None:
        """Keep the logits of rows for the stops that read them."""
        if self.reading:
            self.read.update(zip(map(int, rows), logits, strict=True))

    def ended(self, seat: Seat, rows: Rows, handles: Ints, tokens: Ints) -> Flags:
        """Which candidates, rows extended by a token each, a stop ends."""
        known = seat.memory.after(handles, tokens) if seat.memory else []
        return np.asarray(counted(seat.part, "ends", seat.part.ends(rows, tokens, known), len(tokens)), bool)

    def complete(self, seat: Seat, handles: Ints, tokens: Ints) -> Flags:
        """Which candidates a processor knows to be whole."""
        assert seat.memory is not None
        found = seat.part.complete(seat.memory.after(handles, tokens))
        return np.asarray(counted(seat.part, "complete", found, len(tokens)), bool)

    def whole(self, seat: Seat, handles: Ints, tokens: Ints) -> Flags:
        """Which candidates a processor lets end."""
        assert seat.memory is not None
        found = seat.part.whole(seat.memory.after(handles, tokens))
        return np.asarray(counted(seat.part, "whole", found, len(tokens)), bool)

    def _advance_stop(self, place: int) -> Callable[..., Sequence[Any]]:
        def advance(parents: list[int], values: list[Any], tokens: list[int]) -> Sequence[Any]:
            part = self.stops[place]
            logits = self._logits_read(parents) if part.reads_logits else []
            found: Sequence[Any] = counted(part, "advance", part.advance(values, tokens, logits), len(tokens))
            return found

        return advance

    def _logits_read(self, rows: list[int]) -> list[Array]:
        """The model's logits at rows, one array for each distinct row."""
        known = self._read_before | self.read
        missing = [row for row in dict.fromkeys(rows) if row not in known]
        if missing:
            known.update(zip(missing, self.logits(missing), strict=True))
        return [known[row] for row in rows]

    def keep(self, rows: Sequence[int]) -> None:
        """Forget every other row."""
        for seat in (*self.chain, *self.ending):
            seat.keep(rows)
        needed = {row for memory in self.reading for row in memory.values}
        self.read, self._read_before = {}, {row: logits for row, logits in self.read.items() if row in needed}
        self.session.keep(rows)


@dataclass(frozen=True)
class Forward:
    """Rows of a lane that are to grow: what a search asks of whoever runs its forwards, who answers with the new rows."""

    lane: Lane
    parents: Sequence[int] | Ints
    chains: Sequence[Sequence[int] | Ints]
    every: bool = False
    """Whether the logits after each token of the chains may be asked for."""

    def run(self) -> Ints:
        """The new rows, by a forward of their own."""
        return self.lane.extend(self.parents, self.chains, self.every)


Forwards: TypeAlias = Generator[Forward, Ints, T]
"""What comes to a T by some forwards."""


def alone(work: Forwards[T]) -> T:
    """What work comes to, each of its forwards run by itself."""
    try:
        ask = next(work)
        while True:
            ask = work.send(ask.run())
    except StopIteration as over:
        found: T = over.value
        return found


class Twins:
    """For each row of one lane, the row of another lane that went on by the same tokens."""

    def __init__(self, nodes: TokenForest, lane: Lane) -> None:
        self.nodes, self.lane, self.twin = nodes, lane, dict[int, int]()

    def begin(self, rows: Ints, prompts: Sequence[Ints], taken: Sequence[Ints] | None = None) -> None:
        """The twins of the prompts' rows."""
        self.twin.update(zip(map(int, rows), map(int, self.lane.begin(prompts, taken)), strict=True))

    def __call__(self, rows: Iterable[int]) -> Ints:
        """The twins of rows, extended in one forward where they lag behind."""
        wanted = [int(row) for row in rows]
        behind: dict[int, list[int]] = {}
        reached: set[int] = set()
        for row in sorted({row for row in wanted if row not in self.twin}, key=self.nodes.length, reverse=True):
            chain, at = [], row                                          # longest first: they pass the others
            while at not in self.twin and at not in reached:
                chain.append(at)
                at = self.nodes.parent(at)
            reached.update(chain)
            if chain:
                behind[row] = chain[::-1]
        while behind:                                                    # a chain may hang from another's node: next round
            ready = [row for row, chain in behind.items() if self.nodes.parent(chain[0]) in self.twin]
            parents = [self.twin[self.nodes.parent(behind[row][0])] for row in ready]
            chains = [np.asarray([self.nodes.token(n) for n in behind[row]]) for row in ready]
            for row, last in zip(ready, self.lane.extend(parents, chains, every=True), strict=True):
                path = self.lane.nodes.path(int(last))[-len(behind[row]) :]
                self.twin.update(zip(behind.pop(row), map(int, path), strict=True))
        return np.asarray([self.twin[row] for row in wanted], np.int64)

    def logits(self, rows: Ints) -> Array:
        """The other model's logits after the twins."""
        return self.lane.logits(self(rows))

    def keep(self, rows: Iterable[int], also: Sequence[int] = ()) -> None:
        """Forget all but the nearest twins of these rows, and the other lane's rows in `also`."""
        begun = {row // SPAN for row in self.twin}                       # prompts that nobody followed here have none
        self.twin = {at: self.twin[at] for at in nearest([row for row in rows if row // SPAN in begun], self.twin, self.nodes)}
        self.lane.keep([*self.twin.values(), *also])


def open_session(model: Model, plan: Plan) -> Session:
    """A session of a model, which must take a plan."""
    try:
        signature(model.session).bind(plan)
    except TypeError:
        raise ModelError(f"{type(model).__name__}.session must take the plan of a run, as in session(self, plan=unspool.NO_PLAN)") from None
    return model.session(plan)


def counted(part: Part, verb: str, found: Any, count: int) -> Any:
    """An answer for each of so many rows, refused if it is not."""
    if found is None or not hasattr(found, "__len__") or len(found) != count:
        given = repr(found)[:60] if not hasattr(found, "__len__") else f"{len(found)} values"
        raise PartError(f"{part.role} {part}: {verb} gave {given} for {count} rows; it gives one for each")
    return found


def _no_uniforms(purpose: str) -> Any:
    raise Unsupported(f"the draw {purpose!r} cannot be repeated for a token that was passed over; put the adaptive processor before it")
