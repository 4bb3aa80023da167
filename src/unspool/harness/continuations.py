"""Continuations of contexts, scored: what several of them have in common goes through the model once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from unspool.arrays import host, logsumexp, topk
from unspool.core.frontier import picked
from unspool.core.model import ROOT, Model, Plan, Session, no_numbers
from unspool.language_model import LanguageModel
from unspool.record.step import Step
from unspool.score import ROWS, TOKENS_AT_ONCE

TokenTuple = tuple[int, ...]
Continued = tuple[TokenTuple, TokenTuple]
"""A context and its continuation, neither of them empty."""
Expected = tuple[int, int, int]
"""A row, the token that comes after it, and the place of the continuation that it belongs to."""


@dataclass(frozen=True)
class ScoredContinuation:
    """How likely a continuation is, and whether greedy search would write it."""

    logprob: float
    greedy: bool


@dataclass
class ContextFamily:
    """Contexts that begin alike, and by how many tokens; of each the continuations, and which of those asked for each is."""

    contexts: list[TokenTuple]
    shared: int
    tokens: int
    """How many go through the model."""
    continuations: list[dict[TokenTuple, list[int]]] = field(default_factory=list)


@dataclass(frozen=True)
class ContinuationsUnit:
    """Some families of contexts with all their continuations, which go through a model together."""

    number: int
    families: list[ContextFamily]

    @property
    def span(self) -> str:
        """What it is, for people."""
        return f"{sum(len(found) for family in self.families for found in family.continuations)} continuations"

    def make(self, lm: LanguageModel, told: Callable[[Step], None] = lambda step: None) -> list[tuple[int, ScoredContinuation]]:
        """The place of every pair, and what its continuation's tokens come to: log p(continuation | context) in nats."""
        return list(_read(lm.model, self.families))


def continuations_units(pairs: Sequence[Continued], contexts: int | None = None) -> Iterator[ContinuationsUnit]:
    """The work of scoring pairs, named by their places.

    Equal contexts are read once, and so is the common beginning of contexts that are alike for the most part, as examples before
    questions are. contexts: the most that go through the model together; as many as make `TOKENS_AT_ONCE` tokens if not given.
    """
    wanted: dict[TokenTuple, dict[TokenTuple, list[int]]] = {}
    for i, (context, continuation) in enumerate(pairs):
        wanted.setdefault(context, {}).setdefault(continuation, []).append(i)
    for number, batch in enumerate(_batches(_families(wanted, contexts), contexts)):
        yield ContinuationsUnit(number, batch)


def _families(wanted: dict[TokenTuple, dict[TokenTuple, list[int]]], most: int | None) -> Iterator[ContextFamily]:
    """Contexts in the order of their tokens, those with a common beginning of more than half of them together."""
    family: ContextFamily | None = None
    for context in sorted(wanted):
        own = sum(len(continuation) - 1 for continuation in wanted[context])
        if family is not None:
            common = min(family.shared, _alike(family.contexts[-1], context))
            tokens = family.tokens + len(context) - common + own + len(family.contexts) * (family.shared - common)
            room = tokens <= TOKENS_AT_ONCE and (most is None or len(family.contexts) < most)
            if room and 2 * common > max(len(context), max(map(len, family.contexts))):
                family = ContextFamily([*family.contexts, context], common, tokens, [*family.continuations, wanted[context]])
                continue
            yield family
        family = ContextFamily([context], len(context), len(context) + own, [wanted[context]])
    if family is not None:
        yield family


def _alike(one: TokenTuple, other: TokenTuple) -> int:
    """How many tokens two contexts have in common from the beginning."""
    length = min(len(one), len(other))
    differ = np.flatnonzero(np.asarray(one[:length]) != np.asarray(other[:length]))
    return int(differ[0]) if len(differ) else length


def _batches(families: Iterator[ContextFamily], most: int | None) -> Iterator[list[ContextFamily]]:
    """Families in order, together as long as they have at most TOKENS_AT_ONCE tokens and so many contexts."""
    batch: list[ContextFamily] = []
    for family in families:
        tokens, contexts = sum(f.tokens for f in [*batch, family]), sum(len(f.contexts) for f in [*batch, family])
        if batch and (tokens > TOKENS_AT_ONCE or (most is not None and contexts > most)):
            yield batch
            batch = []
        batch.append(family)
    if batch:
        yield batch


def _read(model: Model, families: list[ContextFamily]) -> Iterator[tuple[int, ScoredContinuation]]:
    """All continuations of some families, in at most three forwards: common beginnings, the rest of the contexts, continuations."""
    contexts = [(i, context) for i, family in enumerate(families) for context in family.contexts]
    kinds = [found for family in families for found in family.continuations]
    work = [(i, continuation) for i, found in enumerate(kinds) for continuation in found]
    longest = max(len(contexts[i][1]) + len(continuation) - 1 for i, continuation in work)
    session = model.session(Plan(len(work), longest))
    begun = session.extend([ROOT] * len(families), [np.asarray(f.contexts[0][: f.shared], np.int64) for f in families])
    rests = [np.asarray(context[families[i].shared :], np.int64) for i, context in contexts]
    ready = session.extend([begun[i] for i, _ in contexts], rests)
    chains = [np.asarray(continuation[:-1], np.int64) for _, continuation in work]
    ends = session.extend([ready[i] for i, _ in work], chains, every=True)
    expected: list[Expected] = []
    for place, ((i, continuation), end) in enumerate(zip(work, ends, strict=True)):
        path = session.nodes.path(int(end))[len(contexts[i][1]) :]
        rows = [int(ready[i]), *map(int, path)]
        expected += [(row, token, place) for row, token in zip(rows, continuation, strict=True)]
    logprobs, greedy = _numbers(model, session, expected, len(work))
    for place, (i, continuation) in enumerate(work):
        for asked in kinds[i][continuation]:
            yield asked, ScoredContinuation(float(logprobs[place]), bool(greedy[place]))


def _numbers(model: Model, session: Session, expected: list[Expected], count: int) -> tuple[np.ndarray, np.ndarray]:
    """For each of so many continuations the sum of its tokens' log-probabilities, and whether each of them is the likeliest."""
    by_row: dict[int, list[tuple[int, int]]] = {}
    for row, token, place in expected:
        by_row.setdefault(row, []).append((token, place))
    logprobs, greedy, rows = np.zeros(count), np.ones(count, bool), list(by_row)
    for start in range(0, len(rows), ROWS):
        some = rows[start : start + ROWS]
        logits = session.logits(some)
        at = np.asarray([r for r, row in enumerate(some) for _ in by_row[row]], np.int64)
        tokens, places = np.asarray([pair for row in some for pair in by_row[row]], np.int64).T
        own = picked(logits, at, tokens) - host(logsumexp(logits)).astype(np.float64)[at, 0]
        if np.isnan(own).any():
            raise no_numbers(model)
        np.add.at(logprobs, places, own)
        np.logical_and.at(greedy, places, host(topk(logits, 1)[1])[at, 0] == tokens)
    return logprobs, greedy
