"""A lane: the rows of one model, and the memories that follow them.

Whatever belongs to a row and is not an array column (a processor's state, the tail of a text, a companion's row) is a
Memory: a cache that is computed, when it is read, from the nearest ancestor that has it. So chains, speculation, waiting
and rewinding need no code of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from unspool.arrays import Array, Ints, like
from unspool.core.model import ROOT, SPAN, Model, TokenForest, sound
from unspool.core.processor import Processor, Rows
from unspool.core.stop import Stop
from unspool.errors import Unsupported

Advance = Callable[[list[int], list[Any], list[int]], Sequence[Any]]
"""advance(parents, their values, tokens) -> values of the rows that these tokens make of them."""


class Memory:
    """A value for each row, computed from the nearest ancestor that has one."""

    def __init__(self, nodes: TokenForest, advance: Advance) -> None:
        self.nodes, self.advance, self.values = nodes, advance, dict[int, Any]()

    def __call__(self, rows: Iterable[int]) -> list[Any]:
        """The values of rows."""
        wanted = [int(row) for row in rows]
        missing = [row for row in dict.fromkeys(wanted) if row not in self.values]
        if missing:
            parents = [self.nodes.parent(row) for row in missing]
            tokens = [self.nodes.token(row) for row in missing]
            self.values.update(zip(missing, self.advance(parents, self(parents), tokens), strict=True))
        return [self.values[row] for row in wanted]

    def after(self, rows: Iterable[int], tokens: Iterable[int]) -> Sequence[Any]:
        """The values that rows would have after one more token each."""
        parents = [int(row) for row in rows]
        return self.advance(parents, self(parents), [int(token) for token in tokens])

    def keep(self, rows: Iterable[int]) -> None:
        """Forget all but what these rows need."""
        kept = {}
        for row in rows:
            at = int(row)
            while at not in self.values:
                at = self.nodes.parent(at)
            kept[at] = self.values[at]
        self.values = kept


class Lane:
    """The session of one model with the processors and stops that read its rows."""

    def __init__(
        self, model: Model, processors: Sequence[Processor] = (), stops: Sequence[Stop] = (), ends: Sequence[int] = ()
    ) -> None:
        self.model, self.processors, self.stops, self.ends = model, tuple(processors), tuple(stops), tuple(ends)
        self.forwards = self.tokens = 0
        """What the session was asked to run: how often, and how many tokens."""
        self.prompt_lengths: dict[int, int] = {}                         # by tree
        self.session = model.session()
        self.nodes = self.session.nodes
        self.entered: list[dict[int, Array]] = [{} for _ in self.processors]
        self.memories = [Memory(self.nodes, self._advance(i, p)) if p.stateful else None for i, p in enumerate(self.processors)]
        self.stop_memories = [Memory(self.nodes, self._advance_stop(s)) if s.stateful else None for s in self.stops]
        self.reading = [m for m, s in zip(self.stop_memories, self.stops, strict=True) if m and s.reads_logits]
        self.read: dict[int, Array] = {}                                 # logits of rows for these, since the last `keep`
        self._read_before: dict[int, Array] = {}                         # and from before it
        self.companions = [Lane(c) if (c := p.companion()) is not None else None for p in self.processors]
        self.twins = [Twins(self.nodes, lane) if lane else None for lane in self.companions]

    def begin(self, prompts: Sequence[Ints]) -> Ints:
        """One row for each prompt."""
        rows = self.extend([ROOT] * len(prompts), prompts)
        self.prompt_lengths |= {int(row) // SPAN: len(prompt) for row, prompt in zip(rows, prompts, strict=True)}
        parts: list[Any] = [*self.processors, *self.stops]
        for part, memory in zip(parts, [*self.memories, *self.stop_memories], strict=True):
            if memory:
                memory.values.update((int(row), part.begin(prompt)) for row, prompt in zip(rows, prompts, strict=True))
        for processor, twins in zip(self.processors, self.twins, strict=True):
            if twins:
                chains = [np.asarray(processor.companion_prompt(prompt), np.int64) for prompt in prompts]
                twins.begin(rows, chains)
        return rows

    def extend(self, parents: Sequence[int] | Ints, chains: Sequence[Sequence[int] | Ints]) -> Ints:
        """Grow the session's rows, and count it."""
        self.forwards += len(chains) > 0
        self.tokens += sum(map(len, chains))
        return self.session.extend(parents, chains)

    def all(self) -> Iterator[Lane]:
        """This lane and those of its processors' companions."""
        yield self
        for lane in self.companions:
            if lane:
                yield from lane.all()

    def process(self, rows: Rows, handles: Ints, logits: Array, watch: Callable[[Array], None] | None = None) -> Array:
        """The scores of rows after every processor; `watch` sees those after each."""
        scores = logits
        for i, processor in enumerate(self.processors):
            memory, twins = self.memories[i], self.twins[i]
            if processor.reads_scores:
                self.entered[i].update((int(row), scores[j]) for j, row in enumerate(handles))
            known: Any = memory(handles) if memory else twins.logits(handles) if twins else None
            scores = processor.process(rows, scores, known)
            if watch is not None:
                watch(scores)
        return scores

    def describe(self, rows: Sequence[int] | Ints, beside: Array, uniforms: Callable[[str], Any]) -> Rows:
        """What processors may know of rows; the tokens lie beside an array."""
        texts = [self.nodes.tokens(int(row)) for row in rows]
        tokens = np.full((len(texts), max(map(len, texts), default=0)), -1, np.int64)
        for i, text in enumerate(texts):
            tokens[i, tokens.shape[1] - len(text) :] = text
        prompts = np.asarray([self.prompt_lengths[int(row) // SPAN] for row in rows], np.int64)
        return Rows(like(tokens, beside), np.asarray([len(t) for t in texts], np.int64), prompts, self.ends, uniforms)

    def keep(self, rows: Sequence[int]) -> None:
        """Forget every other row."""
        for memory in (*self.memories, *self.stop_memories):
            if memory:
                memory.keep(rows)
        for i, memory in enumerate(self.memories):
            if memory and self.entered[i]:
                needed = {*map(int, rows), *memory.values}
                self.entered[i] = {row: scores for row, scores in self.entered[i].items() if row in needed}
        needed = {row for memory in self.reading for row in memory.values}
        self.read, self._read_before = {}, {row: logits for row, logits in self.read.items() if row in needed}
        for twins in self.twins:
            if twins:
                twins.keep(rows)
        self.session.keep(rows)

    def _advance(self, i: int, processor: Processor) -> Advance:
        def advance(parents: list[int], values: list[Any], tokens: list[int]) -> Sequence[Any]:
            return processor.advance(values, tokens, self._entering(i, parents) if processor.reads_scores else [])

        return advance

    def _entering(self, i: int, rows: list[int]) -> list[Array]:
        """The scores that enter the i-th processor at rows, computed where the rows were passed over."""
        missing = [row for row in dict.fromkeys(rows) if row not in self.entered[i]]
        if missing:
            logits = self.session.logits(missing)
            self.process(self.describe(missing, logits, _no_uniforms), np.asarray(missing), logits)
        return [self.entered[i][row] for row in rows]

    def _advance_stop(self, stop: Stop) -> Advance:
        def advance(parents: list[int], values: list[Any], tokens: list[int]) -> Sequence[Any]:
            return stop.advance(values, tokens, self._logits(parents) if stop.reads_logits else [])

        return advance

    def _logits(self, rows: list[int]) -> list[Array]:
        """The model's logits at rows, one array for each distinct row."""
        known = self._read_before | self.read
        missing = [row for row in dict.fromkeys(rows) if row not in known]
        if missing:
            known.update(zip(missing, sound(self.session.logits(missing)), strict=True))
        return [known[row] for row in rows]


def _no_uniforms(purpose: str) -> Any:
    raise Unsupported(f"the draw {purpose!r} cannot be repeated for a token that was passed over; put the adaptive processor before it")


class Twins:
    """For each row of one lane, the row of another lane that went on by the same tokens."""

    def __init__(self, nodes: TokenForest, lane: Lane) -> None:
        self.nodes, self.lane, self.twin = nodes, lane, dict[int, int]()

    def begin(self, rows: Ints, prompts: Sequence[Ints]) -> None:
        """The twins of the prompts' rows."""
        self.twin.update(zip(map(int, rows), map(int, self.lane.begin(prompts)), strict=True))

    def __call__(self, rows: Iterable[int]) -> Ints:
        """The twins of rows, extended in one forward where they lag behind."""
        wanted = [int(row) for row in rows]
        behind: dict[int, list[int]] = {}
        reached: set[int] = set()
        for row in sorted(dict.fromkeys(wanted), key=self.nodes.length, reverse=True):    # longest first: they pass the others
            chain, at = [], row
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
            for row, last in zip(ready, self.lane.extend(parents, chains), strict=True):
                path = self.lane.nodes.path(int(last))[-len(behind[row]) :]
                self.twin.update(zip(behind.pop(row), map(int, path), strict=True))
        return np.asarray([self.twin[row] for row in wanted], np.int64)

    def logits(self, rows: Ints) -> Array:
        """The other model's logits after the twins."""
        return self.lane.session.logits(self(rows))

    def keep(self, rows: Iterable[int], also: Sequence[int] = ()) -> None:
        """Forget all but the nearest twins of these rows, and the other lane's rows in `also`."""
        kept = {}
        for row in rows:
            at = int(row)
            while at not in self.twin:
                at = self.nodes.parent(at)
            kept[at] = self.twin[at]
        self.twin = kept
        self.lane.keep([*kept.values(), *also])
