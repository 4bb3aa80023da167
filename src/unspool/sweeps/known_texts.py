"""Texts whose next-token distributions are known: what many chains of processors make of them, after one forward of each text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from unspool.arrays import Array, Floats, Ints, Remembered, found_once, host, logsumexp
from unspool.core.few import FewOrWhole
from unspool.core.lane import Lane
from unspool.core.model import NO_PLAN, ROOT, Model, Plan, no_numbers
from unspool.core.tree import SPAN, TokenForest, last_rows
from unspool.errors import ParameterError, Unsupported
from unspool.sweeps.read_metrics import Positions

POSITIONS_AT_ONCE = 64
"""Positions whose distributions are held at once."""
Chain = Sequence[Any]
"""Processors, in their order."""


def check_readable(chain: Chain, name: str) -> None:
    """Refuse processors whose distributions are not a function of the text and of the model's own."""
    for part in chain:
        why = (
            "asks a second model" if part.companions()
            else "reads earlier layers of the model" if part.reads_layers
            else "takes back the end of a prompt" if part.takes_back
            else ""
        )  # fmt: skip
        if why:
            raise Unsupported(f"{name} is read off stored distributions, and {part} {why}; take a metric of drawn texts, as diversity")


class KnownTexts:
    """Some (prompt, text) pairs after one forward, as a model whose sessions compute nothing."""

    def __init__(self, model: Model, texts: Sequence[tuple[Sequence[int], Sequence[int]]]) -> None:
        self.vocabulary, self.context, self.start, self.end_tokens = model.vocabulary, model.context, model.start, model.end_tokens
        self.texts, self.model, self.real = texts, model, Lane(model)
        rows = self.real.extend([ROOT] * len(texts), [[*prompt, *text[:-1]] for prompt, text in texts], every=True)
        self.paths = [self.real.nodes.path(int(row)) for row in rows]
        """Of each text, the rows of its tokens."""
        self.tokens: Ints = np.concatenate([np.asarray(text, np.int64) for _, text in texts])

    def session(self, plan: Plan = NO_PLAN) -> KnownRows:
        return KnownRows(self)

    def read(self, branch: ProcessorTree, columns: Sequence[str]) -> dict[int, list[dict[str, float]]]:
        """For each setting and text the sums of some numbers over the positions of the text."""
        for one in branch.all():
            one.open(self)
        places = np.concatenate([path[len(prompt) - 1 :] for path, (prompt, _) in zip(self.paths, self.texts, strict=True)])
        found: dict[int, dict[str, list[Floats]]] = {}
        for first in range(0, len(places), POSITIONS_AT_ONCE):
            some = slice(first, first + POSITIONS_AT_ONCE)
            logits = self.real.logits(places[some])
            total = logsumexp(logits)
            if not (host(total) < np.inf).all():
                raise no_numbers(self.model)
            for setting, left in branch.walk(some, logits):
                seen = Positions(left, logits, total, self.tokens[some], self.vocabulary)
                kept = found.setdefault(setting, {name: [] for name in columns})
                for name in columns:
                    kept[name].append(getattr(seen, name))
        ends = np.cumsum([len(text) for _, text in self.texts])[:-1]
        return {setting: _by_text(kept, ends) for setting, kept in found.items()}


def _by_text(kept: dict[str, list[Floats]], ends: Ints) -> list[dict[str, float]]:
    columns = {name: np.split(np.concatenate(parts), ends) for name, parts in kept.items()}
    return [dict(zip(columns, (float(x.sum()) for x in text), strict=True)) for text in zip(*columns.values(), strict=True)]


class KnownRows:
    """Rows of KnownTexts, which were all computed before; see `unspool.core.model.Session`."""

    can: frozenset[str] = frozenset()

    def __init__(self, known: KnownTexts) -> None:
        self.known, self.nodes = known, TokenForest(known.vocabulary, known.context)

    def extend(self, parents: Sequence[int] | Ints, chains: Sequence[Sequence[int] | Ints], every: bool = False) -> Ints:
        return last_rows(parents, self.nodes.grow(parents, chains))

    def keep(self, rows: Iterable[int]) -> None:
        self.nodes.keep(rows)

    def logits(self, rows: Sequence[int] | Ints, layer: int | None = None) -> Array:
        """Those of the rows that stand for the same tokens: a tree for each text, in their order."""
        return self.known.real.logits([int(self.known.paths[int(r) // SPAN][self.nodes.length(int(r)) - 1]) for r in rows])

    def hidden(self, rows: Sequence[int] | Ints, layer: int | None = None) -> Array:
        raise Unsupported("known texts have no hidden states")


@dataclass
class ProcessorTree:
    """Chains of processors as a tree: what begins alike is processed once."""

    part: Any = None
    """The processor here; at the root there is none."""
    ends: tuple[int, ...] = ()
    """The end tokens that the processors are told."""
    settings: list[int] = field(default_factory=list)
    """Those whose chain ends here."""
    branches: dict[tuple[str, ...], ProcessorTree] = field(default_factory=dict)
    lane: Lane | None = None
    handles: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    """The lane's rows before each token."""

    def add(self, setting: int, chain: Chain, ends: tuple[int, ...]) -> None:
        """Put a setting's processors where they belong."""
        at = self
        for part in chain:
            at = at.branches.setdefault((*map(str, ends), str(part)), ProcessorTree(part, ends))
        at.settings.append(setting)

    def all(self) -> Iterator[ProcessorTree]:
        """This branch and those behind it."""
        yield self
        for branch in self.branches.values():
            yield from branch.all()

    def open(self, known: KnownTexts) -> None:
        """Rows of its own along the texts, so that what follows them can be remembered."""
        self.lane = Lane(known, () if self.part is None else (self.part,), end_tokens=self.ends)
        starts = self.lane.begin([np.asarray(prompt, np.int64) for prompt, _ in known.texts])
        ends = self.lane.extend(starts, [np.asarray(text[:-1], np.int64) for _, text in known.texts], every=True)
        paths = [self.lane.nodes.path(int(end))[len(prompt) - 1 :] for end, (prompt, _) in zip(ends, known.texts, strict=True)]
        self.handles = np.concatenate(paths)

    def walk(self, some: slice, logits: Array) -> Iterator[tuple[int, FewOrWhole]]:
        """What the processors of each setting leave of some positions' logits (R, V)."""
        assert self.lane is not None, "it was opened"
        rows = self.lane.describe(self.handles[some], logits, self._no_draws)
        yield from self._walk(some, rows, logits)

    def _walk(self, some: slice, rows: Any, left: FewOrWhole, known: Remembered | None = None) -> Iterator[tuple[int, FewOrWhole]]:
        """known: what was found in the scores that all branches here begin with."""
        if self.part is not None:
            assert self.lane is not None, "it was opened"
            rows.uniforms, rows.end_tokens = self._no_draws, self.ends
            with found_once({} if known is None else known):
                left = self.lane.left(rows, self.handles[some], left)
        yield from ((setting, left) for setting in self.settings)
        shared: Remembered = {}
        for branch in self.branches.values():
            yield from branch._walk(some, rows, left, shared)

    def _no_draws(self, purpose: str) -> Floats:
        raise ParameterError(f"{self.part} draws at random, so what it leaves no text tells; take a metric of drawn texts, as diversity")
