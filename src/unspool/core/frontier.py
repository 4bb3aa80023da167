"""A frontier: rows whose next-token distribution is known, of all prompts of a call; what a strategy sees.

Large arrays stay where the model computed them and are made when first read; what strategies get is small and on the host.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np

from unspool.arrays import INF, Array, Floats, Ints, gather, host, like, or_zero, topk
from unspool.core.call import Call
from unspool.core.candidates import Candidates, sorted_candidates
from unspool.core.distributions import Distributions, Without
from unspool.core.few import Few
from unspool.core.lane import Lane
from unspool.core.model import Model, first_layers
from unspool.core.processor import Rows
from unspool.core.randomness import Lineage, child, draw
from unspool.errors import ModelError
from unspool.record.certificate import Certificate
from unspool.record.step import Hypothesis

RANKED = 64
"""Tokens whose ranks are counted at once: each compares a whole row."""

FORBIDDEN = 2**41
"""What the number of forbidden tokens is added to, where it tells rows apart that draw."""


class Frontier:
    """R rows of one lane with their columns; `frontier["prompt"]` is a column (R,).

    Every frontier has the columns prompt, node (in the record), score, processed (the sum of processed log-probabilities) and
    lineage (what draws depend on), beside a strategy's own.
    """

    def __init__(
        self, call: Call, source: Distributions, index: Ints | None, rows: Ints, lengths: Ints, columns: dict[str, Any]
    ) -> None:
        self.call, self.source, self._index = call, source, index
        self.rows, self.lengths, self.columns = rows, lengths, columns
        self._chains: tuple[Frontier, list[Ints]] | None = None
        self.places: Places = {}
        self.found: list[Hypothesis] = []
        """What the run has found so far, in the order in which it finished."""

    @classmethod
    def of(cls, call: Call, lane: Lane, rows: Ints, lengths: Ints, columns: dict[str, Any]) -> Frontier:
        """Rows whose distributions nobody has asked for yet."""
        found = cls(call, Distributions(lane, rows), None, rows, lengths, columns)
        found.source.draw = found._draws
        return found

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, name: str) -> Any:
        return self.columns[name]

    def take(self, index: Any) -> Frontier:
        """The rows at these positions, in this order, some perhaps more than once; what is known of them is shared."""
        index = np.arange(len(self))[index]
        at = index if self._index is None else self._index[index]
        part = Frontier(self.call, self.source, at, self.rows[index], self.lengths[index], {k: v[index] for k, v in self.columns.items()})
        part.places, part.found = self.places, self.found
        if self._chains:
            whole, chains = self._chains
            part._chains = whole, [chains[i] for i in index]
        return part

    def fork(self, n: int, name: str) -> Frontier:
        """Every row n times, each with a number of its own, 0 to n - 1, in the column `name`."""
        forked = self.take(np.repeat(np.arange(len(self)), n))
        forked.columns[name] = np.tile(np.arange(n), len(self))
        return forked

    def beside(self, other: Frontier) -> Frontier:
        """These rows and then those of another view of the same distributions, which has the same columns."""
        every = np.arange(len(self.source.rows))
        both = np.concatenate([every if f._index is None else f._index for f in (self, other)])
        index = None if np.array_equal(both, every) else both            # a view of all needs no copies
        rows, lengths = np.concatenate([self.rows, other.rows]), np.concatenate([self.lengths, other.lengths])
        columns = {k: np.concatenate([v, other.columns[k]]) for k, v in self.columns.items()}
        return Frontier(self.call, self.source, index, rows, lengths, columns)

    def looked(self, whole: Frontier, chains: list[Ints]) -> Frontier:
        """This frontier as the ends of chains that were looked at: the positions in `whole` of the tokens of each."""
        self._chains = whole, chains
        return self

    def at(self, depth: int) -> Frontier:
        """Of looked-at chains, the rows after `depth + 1` tokens of each chain that is as long."""
        whole, chains = self.inside()
        return whole.take(np.asarray([c[depth] for c in chains if len(c) > depth], np.int64))

    def inside(self) -> tuple[Frontier, list[Ints]]:
        """Of looked-at chains, the rows after every token of them all, and where in it those of each chain stand."""
        if self._chains is None:
            raise ModelError("only a frontier that was looked at has chains")
        return self._chains

    @property
    def looked_along(self) -> tuple[Frontier, ...]:
        """Of looked-at chains, the one frontier of the rows after every token; nothing of others."""
        return () if self._chains is None else self._chains[:1]

    # --- the call -------------------------------------------------------------------------------------------------------

    @property
    def prompts(self) -> int:
        """How many prompts the call has; the column prompt lies below it."""
        return len(self.call.prompts)

    @property
    def end_tokens(self) -> tuple[int, ...]:
        """The tokens that end a text."""
        return self.call.end_tokens

    @property
    def model(self) -> Model:
        """The model whose rows these are."""
        return self.source.lane.model

    def first_layers(self, count: int) -> Model:
        """The model as if it ended after so many layers: the same for all rows of a call, as a Twin's."""
        exits = self.source.lane.exits
        if count not in exits:
            exits[count] = first_layers(self.model, count)
        return exits[count]

    @property
    def vocabulary(self) -> int:
        """How many tokens the model knows."""
        return self.source.lane.model.vocabulary

    @property
    def records(self) -> bool:
        """Whether what was considered and dropped is recorded."""
        return self.call.records

    def certify(self, certificate: Certificate) -> None:
        """Put down what is proved by now, in place of what was proved before of the same node of the same prompt."""
        self.call.certificates[certificate.prompt, certificate.node] = certificate

    def give_up(self, i: int, why: str) -> None:
        """Say why no text can come of the prompt of the i-th row, before its rows are let go."""
        self.call.hopeless[int(self.columns["prompt"][i])] = why

    def count(self, what: str, by: int = 1) -> None:
        """So many more of what the prompts of these rows take, for the record: `trace.work`."""
        self.call.count(set(self.columns["prompt"].tolist()), what, by)

    def place(self, row: int) -> tuple[Frontier, int]:
        """Where a living row stands, here or waiting: its frontier and its position there."""
        return self.places[int(row)]

    # --- lengths and randomness -----------------------------------------------------------------------------------------

    @cached_property
    def prompt_lengths(self) -> Ints:
        """(R,), tokens of each row's prompt."""
        return np.asarray(self.call.prompt_lengths[self.columns["prompt"]])

    @cached_property
    def generated(self) -> Ints:
        """(R,), new tokens of each row."""
        return self.lengths - self.prompt_lengths

    @cached_property
    def left(self) -> Ints:
        """(R,), tokens by which a row may still grow."""
        return np.asarray(self.call.limits[self.columns["prompt"]] - self.generated)

    def tokens(self, i: int) -> Ints:
        """The tokens of the i-th row, prompt included."""
        return self.source.lane.nodes.tokens(int(self.rows[i]))

    @cached_property
    def lineages(self) -> Lineage:
        """(R,), of the next child of each row; where a row is there more than once, of its first child, its second, and so on."""
        return child(self.columns["lineage"], order_among_siblings(self.rows), self.generated)

    def uniform(self, purpose: str, index: Any = None, of: str = "row") -> Floats:
        """Uniforms in [0, 1) for a purpose: one for each row, (R,); with `index` (I,) one for each row and index, (R, I).

        of="prompt": the same for all rows of a prompt that have as many tokens.
        """
        lineage = self.lineages if of == "row" else self.call.lineages[self.columns["prompt"]]
        if index is None:
            return self.call.uniform(lineage, self.generated, purpose)
        return self.call.uniform(lineage[:, None], self.generated[:, None], purpose, index)

    def _draws(self, purpose: str) -> Floats:
        """The uniforms of the rows themselves, for processors."""
        return self.call.uniform(self.columns["lineage"], self.generated, purpose)

    def forbid(self, tokens: Sequence[Collection[int]]) -> None:
        """Let these tokens, some for each row, not come after it, as if the processors had them at -inf; such a row draws anew."""
        if not any(tokens):
            return
        index = np.arange(len(self.source.rows)) if self._index is None else self._index
        self.source, self._index = Without(self.source, index, tokens), None
        number = np.asarray([FORBIDDEN + len(some) if some else 0 for some in tokens])
        self.columns = self.columns | {"lineage": child(self.columns["lineage"], number, self.generated)}
        self.__dict__.pop("lineages", None)

    def process(self, watch: Callable[[Array], None]) -> None:
        """Let the processors work once more; `watch` sees the scores (R, V) after each."""
        lane = self.source.lane
        lane.process(lane.describe(self.rows, self.logits, self._draws), self.rows, self.logits, watch)

    def draw(self, uniforms: Floats) -> Ints:
        """A token for each row by inverse CDF of its processed distribution, given uniforms (R,)."""
        if (few := self._few()) is None:
            return np.asarray(host(draw(self.scores, uniforms)))
        return np.asarray(gather(few.tokens, draw(few.scores, uniforms)[:, None])[:, 0])

    # --- distributions --------------------------------------------------------------------------------------------------

    def of_source(self, array: Array) -> Array:
        """The rows of this frontier from those of its source."""
        return array if self._index is None else array[like(self._index, array)]

    def _few(self) -> Few | None:
        """Of the processed scores of this frontier's rows the few above -inf, if they are few."""
        few = self.source.few
        return few if few is None or self._index is None else few.take(self._index)

    @property
    def logits(self) -> Array:
        """(R, V), the model's own."""
        return self.of_source(self.source.logits)

    @property
    def scores(self) -> Array:
        """(R, V), after the processors."""
        return self.of_source(self.source.scores)

    @property
    def total(self) -> Array:
        """(R, 1), log of the sum of exp(logits)."""
        return self.of_source(self.source.total)

    @property
    def processed_total(self) -> Array:
        """(R, 1), log of the sum of exp(scores)."""
        return self.of_source(self.source.processed_total)

    @property
    def logprobs(self) -> Array:
        """(R, V), processed log-probabilities."""
        return self.of_source(self.source.scores - or_zero(self.source.processed_total))

    def top(self, k: int, renormalise: bool = True) -> tuple[Floats, Ints]:
        """The k best tokens of every row, best first, on the host: processed log-probabilities and tokens, (R, k)."""
        values, tokens = self._top(k)
        values = host(values).astype(np.float64)
        if renormalise:
            values = values - or_zero(host(self.processed_total))
        return values, host(tokens)

    def _top(self, k: int) -> tuple[Array, Array]:
        """The k best scores of every row and their tokens."""
        few = self._few()
        if few is not None and k <= few.scores.shape[-1]:
            values, columns = topk(few.scores, k)
            if (values[:, -1] > -INF).all():
                return values, gather(few.tokens, columns)
        return topk(self.scores, k)

    def pick(self, at: Ints, tokens: Ints) -> tuple[Floats, Floats]:
        """For (position, token) pairs: the model's log-probabilities and the processed ones, float64."""
        source, at = self.source, at if self._index is None else self._index[at]
        raw = picked(source.logits, at, tokens) - host(source.total)[at, 0]
        if source.plain:
            return raw, raw
        scores = source.few.at(at, tokens).astype(np.float64) if source.few else picked(source.scores, at, tokens)
        return raw, scores - or_zero(host(source.processed_total))[at, 0]

    def ranks(self, at: Ints, tokens: Ints) -> Ints:
        """For (position, token) pairs: how many tokens are likelier under the model."""
        found, logits = np.zeros(len(at), np.int64), self.logits
        for first in range(0, len(at), RANKED):
            some = slice(first, first + RANKED)
            rows = logits[like(at[some], logits)]
            own = gather(rows, like(np.asarray(tokens[some], np.int64)[:, None], logits))
            found[some] = host((rows > own).sum(-1))
        return found

    def note(self, name: str) -> Floats:
        """(R,), a number of the model's own distribution of every row: see `Strategy.notes`."""
        numbers = self.source.note(name)
        return numbers if self._index is None else numbers[self._index]

    def hidden(self, layer: int | None = None) -> Array:
        """(R, E), final hidden states, or those after a layer."""
        return self.source.lane.session.hidden(self.rows) if layer is None else self.source.lane.session.hidden(self.rows, layer)

    def hidden_before(self, i: int) -> Array:
        """(T, E), final hidden states at every token of the i-th row, its last included."""
        lane = self.source.lane
        return lane.session.hidden(lane.nodes.path(int(self.rows[i])))

    # --- candidates -----------------------------------------------------------------------------------------------------

    def candidates(self, scores: Floats, tokens: Ints, by: Ints | None = None) -> Candidates:
        """Children that a strategy weighs, (R, K) of them, in order: those of each group together, best first.

        by: the group of each row, (R,); its prompt if not given. Those that cannot come, of score -inf, are left out.
        """
        return sorted_candidates(self.rows, self.columns["prompt"] if by is None else by, scores, tokens)

    def reasons(self, at: Ints, tokens: Ints) -> Any:
        """Why each candidate, a (position, token) pair, would be finished, "" if it would go on: (N,)."""
        at, tokens = np.asarray(at, np.int64), np.asarray(tokens, np.int64)
        found = np.full(len(tokens), "", dtype=object)
        if not len(tokens):
            return found
        lane, call = self.source.lane, self.call
        if lane.ending or (lane.chain and not call.end_tokens):
            self._ask_stops(at, tokens, found)
        full = (found == "") & (self.left[at] <= 1)
        if full.any():
            found[full] = call.limit_reasons[self.columns["prompt"][at[full]]]
            for seat in lane.chain:
                if seat.part.completes and seat.memory:
                    cut = np.flatnonzero(full)
                    found[cut[~lane.whole(seat, self.rows[at[cut]], tokens[cut])]] = "unfinished"
        for token in call.end_tokens:
            found[tokens == token] = "end"
        return found

    def _ask_stops(self, at: Ints, tokens: Ints, found: Any) -> None:
        """The reasons of stops; without end tokens also of processors that know when a text is whole."""
        lane, handles = self.source.lane, self.rows[at]
        if lane.reading:
            lane.note_logits(self.rows, self.logits)
        rows = Rows(None, self.lengths[at], self.prompt_lengths[at], self.call.end_tokens)
        for seat in lane.ending:
            found[(found == "") & lane.ended(seat, rows, handles, tokens)] = seat.part.reason
        if not self.call.end_tokens:
            for seat in lane.chain:
                if seat.part.completes and seat.memory:
                    found[(found == "") & lane.complete(seat, handles, tokens)] = "complete"


def picked(x: Array, at: Ints, tokens: Ints) -> Floats:
    """x[at, tokens] on the host, float64."""
    return np.asarray(host(x[like(at, x), like(np.asarray(tokens, np.int64), x)]), np.float64)


def order_among_siblings(parents: Ints) -> Ints:
    """For each child, how many earlier ones have the same parent: (N,)."""
    if len(parents) < 2 or len(set(parents.tolist())) == len(parents):
        return np.zeros(len(parents), np.int64)
    seen: dict[int, int] = {}
    order = []
    for p in parents.tolist():
        order.append(seen.get(p, 0))
        seen[p] = order[-1] + 1
    return np.asarray(order, np.int64)


Places: TypeAlias = dict[int, tuple[Frontier, int]]
"""Where each living row of a run stands: a frontier, and the position there."""
