"""A frontier: rows whose next-token distribution is known, of all prompts of a call.

Large arrays stay where the model computed them and are made when first read; what strategies get is small and on the host.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from unspool.arrays import Array, Floats, Ints, finite, host, like, logsumexp, topk
from unspool.core.lane import Lane
from unspool.core.model import sound
from unspool.core.processor import Rows
from unspool.core.randomness import Lineage, child
from unspool.errors import ModelError

if TYPE_CHECKING:
    from unspool.core.search import Search

RANKED = 64
"""Tokens whose ranks are counted at once: each compares a whole row."""


class Frontier:
    """R rows of one lane with their columns; `frontier["prompt"]` is a column (R,)."""

    def __init__(self, search: Search, lane: Lane, rows: Ints, columns: dict[str, Any]) -> None:
        self.search, self.lane, self.rows, self.columns = search, lane, rows, columns
        self._whole: Frontier | None = None
        self._index: Any = None
        self.chains: tuple[Frontier, list[Ints]] | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, name: str) -> Any:
        return self.columns[name]

    def take(self, index: Any) -> Frontier:
        """The rows at these positions; what is known of them is shared."""
        part = Frontier(self.search, self.lane, self.rows[index], {k: v[index] for k, v in self.columns.items()})
        part._whole, part._index = self, np.arange(len(self))[index] if isinstance(index, slice) else index
        if self.chains:
            whole, chains = self.chains
            part.chains = whole, [chains[i] for i in np.arange(len(self))[index]]
        return part

    @property
    def source(self) -> Frontier:
        """What it was taken from: distributions are known there."""
        return self if self._whole is None else self._whole

    @classmethod
    def together(cls, parts: Sequence[Frontier]) -> Frontier:
        """The rows of several frontiers that were taken from one."""
        return parts[0] if len(parts) == 1 else parts[0].source.take(np.concatenate([p._index for p in parts]))

    @property
    def fresh(self) -> bool:
        """Whether it shares nothing and no distribution of it is known."""
        return self._whole is None and "logits" not in self.__dict__

    def settle(self, runs: int) -> None:
        """Where several runs share it, compute the distributions now: one run's next choice may free its rows."""
        if runs > 1 and len(self):
            _ = self.raw_total, self.total

    def at(self, depth: int) -> Frontier:
        """Of looked-at chains, the rows after `depth + 1` tokens of each chain that is as long."""
        if self.chains is None:
            raise ModelError("only a frontier that was looked at has chains")
        whole, chains = self.chains
        return whole.take(np.asarray([c[depth] for c in chains if len(c) > depth], np.int64))

    # --- lengths and randomness ---------------------------------------------------------------------------------

    @cached_property
    def lengths(self) -> Ints:
        """(R,), tokens of each row, prompt included."""
        return np.asarray([self.lane.nodes.length(int(row)) for row in self.rows], np.int64)

    @cached_property
    def prompt_lengths(self) -> Ints:
        """(R,)"""
        return np.asarray(self.search.prompt_lengths[self["prompt"]])

    @property
    def generated(self) -> Ints:
        """(R,), new tokens of each row."""
        return self.lengths - self.prompt_lengths

    @property
    def left(self) -> Ints:
        """(R,), tokens by which a row may still grow."""
        return np.asarray(self.search.limits[self["prompt"]] - self.generated)

    def tokens(self, i: int) -> Ints:
        """The tokens of the i-th row, prompt included."""
        return self.lane.nodes.tokens(int(self.rows[i]))

    def lineages(self, at: Ints) -> Lineage:
        """The lineage of each child, given the positions of their parents in the order of the choice."""
        return child(self["lineage"][at], order_among_siblings(at), self.generated[at])

    def uniform(self, purpose: str, at: Ints | None = None) -> Floats:
        """A uniform for each row, or for each child whose parent's position is in `at`."""
        if at is None:
            return self.search.uniform(self["lineage"], self.generated, purpose)
        return self.search.uniform(self.lineages(at), self.generated[at], purpose)

    # --- distributions ------------------------------------------------------------------------------------------

    @cached_property
    def logits(self) -> Array:
        """(R, V), the model's own."""
        if self._whole is not None:
            return self._whole.logits[self._index]
        return sound(self.lane.session.logits(self.rows))

    @cached_property
    def scores(self) -> Array:
        """(R, V), after the processors."""
        if not self.lane.processors:
            return self.logits
        if self._whole is not None:
            return self._whole.scores[self._index]
        rows = self.lane.describe(self.rows, self.logits, self.uniform)
        return self.lane.process(rows, self.rows, self.logits)

    @cached_property
    def raw_total(self) -> Array:
        """(R, 1), log of the sum of exp(logits)."""
        return self._whole.raw_total[self._index] if self._whole is not None else logsumexp(self.logits)

    @cached_property
    def total(self) -> Array:
        """(R, 1), log of the sum of exp(scores)."""
        if not self.lane.processors:
            return self.raw_total
        return self._whole.total[self._index] if self._whole is not None else logsumexp(self.scores)

    @property
    def logprobs(self) -> Array:
        """(R, V), processed log-probabilities."""
        return self.scores - finite(self.total)

    def top(self, k: int, renormalise: bool = True) -> tuple[Floats, Ints]:
        """The k best tokens of every row, best first, on the host: processed log-probabilities and tokens, (R, k)."""
        values, tokens = topk(self.scores, k)
        values = host(values).astype(np.float64)
        if renormalise:
            values = values - finite(host(self.total))
        return values, host(tokens)

    def pick(self, at: Ints, tokens: Ints) -> tuple[Floats, Floats]:
        """For (position, token) pairs: the model's log-probabilities and the processed ones, float64."""
        place = like(at, self.logits)
        column = like(np.asarray(tokens, np.int64), self.logits)
        raw = host(self.logits[place, column]).astype(np.float64) - host(self.raw_total)[at, 0]
        if self.scores is self.logits:
            return raw, raw
        processed = host(self.scores[place, column]).astype(np.float64) - finite(host(self.total))[at, 0]
        return raw, processed

    def ranks(self, at: Ints, tokens: Ints) -> Ints:
        """For (position, token) pairs: how many tokens are likelier under the model."""
        found = np.zeros(len(at), np.int64)
        for first in range(0, len(at), RANKED):
            some = slice(first, first + RANKED)
            place, column = like(at[some], self.logits), like(np.asarray(tokens[some], np.int64), self.logits)
            found[some] = host((self.logits[place] > self.logits[place, column][:, None]).sum(-1))
        return found

    def hidden(self) -> Array:
        """(R, E), final hidden states."""
        return self.lane.session.hidden(self.rows)

    # --- endings ------------------------------------------------------------------------------------------------

    def ends(self, at: Ints, tokens: Ints) -> Any:
        """Why each candidate (position, token) would be finished, "" if it would go on."""
        at, tokens = np.asarray(at, np.int64), np.asarray(tokens, np.int64)
        why = np.full(len(tokens), "", dtype=object)
        if not len(tokens):
            return why
        rows = Rows(None, self.lengths[at], self.prompt_lengths[at], self.search.ends)
        if self.lane.reading:
            self.lane.read.update(zip(map(int, self.rows), self.logits, strict=True))
        for stop, memory in zip(self.lane.stops, self.lane.stop_memories, strict=True):
            known = memory.after(self.rows[at], tokens) if memory else []
            why[(why == "") & stop.ends(rows, tokens, known)] = stop.reason
        if not self.search.ends:
            for processor, memory in zip(self.lane.processors, self.lane.memories, strict=True):
                if processor.completes and memory:
                    why[(why == "") & processor.complete(memory.after(self.rows[at], tokens))] = "complete"
        full = (why == "") & (self.left[at] <= 1)
        why[full] = self.search.limit_reasons[self["prompt"][at[full]]]
        why[np.isin(tokens, self.search.ends)] = "end"
        return why


def order_among_siblings(parents: Ints) -> Ints:
    """For each child, how many earlier ones have the same parent."""
    seen: dict[int, int] = {}
    order = []
    for p in np.asarray(parents).tolist():
        order.append(seen.get(p, 0))
        seen[p] = order[-1] + 1
    return np.asarray(order, np.int64)
