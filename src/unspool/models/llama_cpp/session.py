"""Rows of a model in llama.cpp.

Every row at the end of a branch has a sequence of its own, which marks the cells of its tokens; the rows before it lie on it, too.
A row at the end of a sequence grows in it, any other in a copy. Numbers are kept for the last token of each chain and computed
again, from the row's tokens, where others are asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

import numpy as np

from unspool.arrays import Array, Floats, Ints
from unspool.core.model import NO_PLAN, ROOT, Plan
from unspool.core.tree import TokenForest, last_rows
from unspool.errors import ModelError, Unsupported
from unspool.models.llama_cpp.contexts import LEAST_CELLS, TOKENS_OF_A_BATCH, Context, Full

FEW_ROWS = 8
"""So many rows get room from the start if nobody says how many there will be."""
CELLS_AT_FIRST = 2048
"""Room is made for at most so many tokens before they are there: a context takes all its memory at once."""
HELD = 64
"""The numbers of so many rows stay beside those of rows that have not grown."""


class HasContexts(Protocol):
    """What a session needs of a LlamaCppModel."""

    vocabulary: int
    context: int

    def take_context(self, cells: int) -> Context:
        """An empty one with room for so many tokens."""

    def give_back(self, context: Context) -> None:
        """It is idle."""


class LlamaCppSession:
    """The rows of one run; see `unspool.core.model.Session`."""

    def __init__(self, model: HasContexts, plan: Plan = NO_PLAN) -> None:
        self.model, self.nodes = model, TokenForest(model.vocabulary, model.context)
        self.can = frozenset({"hidden"})
        if plan.layers:
            _refuse(plan.layers[0])
        length = min(plan.length or LEAST_CELLS, model.context)
        self.context = model.take_context(min((plan.rows or FEW_ROWS) * length, CELLS_AT_FIRST))
        self.shows_states = False
        self.ends: dict[int, int] = {}                                   # of each sequence in use the row that it ends in
        self.through: dict[int, int] = {}                                # for each row a sequence that goes through it
        self.free = list(range(self.context.sequences))[::-1]
        self.found: dict[int, tuple[Floats, Floats | None]] = {}         # logits and hidden states of rows
        self.forwards = 0

    def __del__(self) -> None:
        if hasattr(self, "context"):
            self.model.give_back(self.context)

    def extend(self, parents: Sequence[int] | Ints, chains: Sequence[Sequence[int] | Ints], every: bool = False) -> Ints:
        """Grow rows, all of them in as few batches as there can be."""
        before = list(map(int, parents))
        grown = self.nodes.grow(before, chains)
        try:
            self._compute([(parent, new) for parent, new in zip(before, grown, strict=True) if len(new)], every)
        except BaseException:
            self.nodes.keep([row for row in (*self.through, *before) if row != ROOT])
            raise
        return last_rows(before, grown)

    def keep(self, rows: Iterable[int]) -> None:
        """Forget rows. Every branch that lives keeps the sequence of its last row, which is cut there; the others are free."""
        self.nodes.keep(rows)
        alive = self.nodes.alive()
        self.found = {row: numbers for row, numbers in self.found.items() if row in alive}
        inner = {self.nodes.parent(row) for row in alive}
        through, ends = dict[int, int](), dict[int, int]()
        for end in alive - inner:
            sequence, row = self.through[end], end
            ends[sequence] = end
            while row != ROOT and row not in through:
                through[row] = sequence
                row = self.nodes.parent(row)
        for sequence, end in self.ends.items():
            if sequence not in ends:
                self._cut(sequence, ROOT)
                self.free.append(sequence)
            elif ends[sequence] != end:
                self._cut(sequence, ends[sequence])
        self.through, self.ends = through, ends

    def logits(self, rows: Sequence[int] | Ints, layer: int | None = None) -> Array:
        """Those after rows, (R, V)."""
        _refuse(layer)
        return np.stack([logits for logits, _ in self._numbers(rows)])

    def hidden(self, rows: Sequence[int] | Ints, layer: int | None = None) -> Array:
        """Final hidden states (R, E); from the first question on they are kept with the logits."""
        _refuse(layer)
        if not self.shows_states:
            self.context.show_states(True)
            self.shows_states, self.found = True, {}
        return np.stack([state for _, state in self._numbers(rows) if state is not None])

    # --- computing --------------------------------------------------------------------------------------------------------

    def _compute(self, work: Sequence[tuple[int, Ints]], every: bool) -> None:
        """New rows after their parents: their tokens in batches, each in the sequence of its chain."""
        todo: list[tuple[int, int, int, bool]] = []                      # row, position, sequence, whether its numbers are wanted
        begun: list[tuple[int, int]] = []
        try:
            for parent, new in work:
                sequence = self._sequence_after(parent)
                begun.append((sequence, parent))
                self.ends[sequence] = int(new[-1])
                first = self.nodes.length(int(new[0])) - 1
                todo += [(int(row), first + i, sequence, every or i == len(new) - 1) for i, row in enumerate(new)]
            if len(self.through) + len(todo) > self.context.cells:
                self._grow(len(todo))
            for start in range(0, len(todo), TOKENS_OF_A_BATCH):
                self._run(todo[start : start + TOKENS_OF_A_BATCH])
        except BaseException:
            for sequence, parent in begun:                               # as if nothing had been asked
                if parent != ROOT and self.through[parent] == sequence:
                    self._cut(sequence, parent)
                    self.ends[sequence] = parent
                else:
                    self._cut(sequence, ROOT)
                    self.ends.pop(sequence)
                    self.free.append(sequence)
            made = {row for _, new in work for row in map(int, new)}
            self.through = {row: sequence for row, sequence in self.through.items() if row not in made}
            self.found = {row: numbers for row, numbers in self.found.items() if row not in made}
            raise
        self.forwards += 1
        self._forget_numbers(sum(wanted for *_, wanted in todo))

    def _forget_numbers(self, new: int) -> None:
        """The logits of a long text would take more room than the text: rows that have grown are computed again if they are asked."""
        if len(self.found) > 2 * len(self.ends) + new + HELD:
            ends, last = set(self.ends.values()), list(self.found)[-new - HELD :]
            self.found = {row: numbers for row, numbers in self.found.items() if row in ends} | {row: self.found[row] for row in last}

    def _sequence_after(self, parent: int) -> int:
        """A sequence that ends in a row: the row's own, if it ends there, or a copy."""
        if parent != ROOT:
            sequence = self.through[parent]
            if self.ends[sequence] == parent:
                return sequence
        sequence = self._unused()
        if parent != ROOT:
            self.context.copy(self.through[parent], sequence, self.nodes.length(parent))
        self.ends[sequence] = parent
        return sequence

    def _unused(self) -> int:
        """A sequence that is not in use."""
        if not self.free:
            raise ModelError(
                f"llama.cpp holds at most {self.context.sequences} rows at once, and more are needed here: ask for fewer samples or beams, "
                "or prompts at once (together), or use a backend without that limit (compiled)"
            )
        return self.free.pop()

    def _run(self, part: Sequence[tuple[int, int, int, bool]]) -> None:
        """Some rows in one batch; where there are no cells left, in a larger context."""
        rows, positions, sequences, wanted = map(list, zip(*part, strict=True))
        tokens = [self.nodes.token(row) for row in rows]
        try:
            self.context.run(tokens, positions, sequences, wanted)
        except Full:
            self._grow(len(part))
            self.context.run(tokens, positions, sequences, wanted)
        for place, row in enumerate(rows):
            self.through.setdefault(row, sequences[place])
            if wanted[place]:
                self.found[row] = self._at(place)

    def _at(self, place: int) -> tuple[Floats, Floats | None]:
        return self.context.logits(place), self.context.hidden(place) if self.shows_states else None

    def _grow(self, more: int) -> None:
        """Twice as many cells: what the rows hold is computed again in a new context."""
        old, cells = self.context, 2 * max(self.context.cells, len(self.through) + more)
        self.context = self.model.take_context(cells)
        self.context.show_states(self.shows_states)
        filled: dict[int, int] = {}                                      # row -> a sequence in the new context that goes through it
        for sequence in sorted(self.ends):
            path = [row for row in self.nodes.path(self.ends[sequence]).tolist() if row in self.through]
            known = next((i for i, row in enumerate(path) if row not in filled), len(path))
            if known:
                self.context.copy(filled[path[known - 1]], sequence, known)
            for part in self._read(path, known, sequence, set(path[-1:])):
                filled.update(dict.fromkeys(part, sequence))
        self.model.give_back(old)

    def _read(self, path: Sequence[int], first: int, sequence: int, wanted: set[int]) -> Iterator[Sequence[int]]:
        """The rows of a path from the first on through the model, in batches; each batch's, once it is computed."""
        for start in range(first, len(path), TOKENS_OF_A_BATCH):
            part = path[start : start + TOKENS_OF_A_BATCH]
            tokens, places = [self.nodes.token(row) for row in part], range(start, start + len(part))
            self.context.run(tokens, places, [sequence] * len(part), [row in wanted for row in part])
            yield part

    def _numbers(self, rows: Sequence[int] | Ints) -> list[tuple[Floats, Floats | None]]:
        """Logits and hidden states of rows; those that were not kept are computed again, all of a path at once."""
        handles = [int(row) for row in rows]
        self.nodes.require(handles)
        for row in handles:
            if row not in self.found:
                self._again(row, set(handles))
        return [self.found[row] for row in handles]

    def _again(self, row: int, wanted: set[int]) -> None:
        """The numbers of a row, and of those before it that are wanted, from its tokens; for which more cells are made if need be."""
        path = [int(one) for one in self.nodes.path(row)]
        while True:
            missing = {one for one in path if one in wanted and one not in self.found}
            first, sequence = next(i for i, one in enumerate(path) if one in missing), self._unused()
            try:
                if first:
                    self.context.copy(self.through[path[first]], sequence, first)
                for part in self._read(path, first, sequence, missing):
                    self.found.update((one, self._at(i)) for i, one in enumerate(part) if one in missing)
                return
            except Full:
                pass
            finally:
                self.context.cut(sequence, 0)
                self.free.append(sequence)
            self._grow(len(path))

    def _cut(self, sequence: int, end: int) -> None:
        """A sequence ends in a row."""
        self.context.cut(sequence, 0 if end == ROOT else self.nodes.length(end))


def _refuse(layer: int | None) -> None:
    if layer is not None:
        raise Unsupported(f"llama.cpp shows no layer but the last, and layer {layer} is asked for: use another backend")
