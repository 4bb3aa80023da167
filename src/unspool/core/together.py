"""Together: the rows of many calls in one session, and what they ask for in one forward.

A call's numbers are its own: it has its lane, its record and its draws, and a session's rows know nothing of each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from unspool.arrays import Array, Ints, like
from unspool.core.lane import Forward, open_session
from unspool.core.model import NO_PLAN, ROOT, Model, Plan, Session, first_layers

SPARE_ROWS = 8
"""Rows that nobody needs before they are freed; beyond it, a quarter of those that are needed."""


class Together:
    """The same model; all calls that decode with it share a session, one for each set of layers that are asked for."""

    def __init__(self, model: Any) -> None:
        self.model, self.vocabulary, self.context = model, model.vocabulary, model.context
        self.end_tokens, self.start = model.end_tokens, model.start
        self.joint: dict[tuple[int, ...], Joint] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["model"], name)                     # what else a model may say of itself

    def first_layers(self, count: int) -> Model:
        """That of the model itself, whose rows are shared with nobody."""
        return first_layers(self.model, count)

    def session(self, plan: Plan = NO_PLAN) -> Session:
        """A call's part of the session."""
        found = self.joint.get(plan.layers)
        if found is None:                                                # of two threads that come here the first one's counts
            found = self.joint.setdefault(plan.layers, Joint(open_session(self.model, Plan(layers=plan.layers))))
        return Share(found)

    @property
    def held(self) -> int:
        """How many rows calls have asked to keep; any thread may ask."""
        return sum(len(part.alive) for joint in [*self.joint.values()] for part in [*joint.parts])

    @property
    def rows(self) -> int:
        """How many rows are alive: tokens of the trees of all calls."""
        return sum(len(joint.inner.nodes) for joint in [*self.joint.values()])


class Joint:
    """A session that calls share."""

    def __init__(self, inner: Session) -> None:
        self.inner, self.parts = inner, set[Share]()
        self.gone, self.due = 0, False
        self.fresh: dict[int, int] = {}
        """The rows of the last forwards, and where they stand in what the head makes of them all."""
        self.made: Array | None = None

    def grow(self, asks: Sequence[Forward]) -> list[Ints]:
        """The new rows of every ask: in one forward those that begin, in another those that go on."""
        self.sweep()
        self.fresh, self.made = {}, None
        answers: dict[int, Ints] = {}
        begins = [i for i, ask in enumerate(asks) if len(ask.parents) and int(ask.parents[0]) == ROOT]
        for some in (begins, [i for i in range(len(asks)) if i not in begins]):
            if some:
                answers |= zip(some, self._grown([asks[i] for i in some]), strict=True)
        return [answers[i] for i in range(len(asks))]

    def _grown(self, asks: list[Forward]) -> list[Ints]:
        parents = np.concatenate([np.asarray(ask.parents, np.int64) for ask in asks])
        rows = self.inner.extend(parents, [chain for ask in asks for chain in ask.chains], any(ask.every for ask in asks))
        for row in rows.tolist():
            self.fresh.setdefault(row, len(self.fresh))
        ends = np.cumsum([len(ask.chains) for ask in asks])
        answers = np.split(rows, ends[:-1])
        for ask, own in zip(asks, answers, strict=True):
            ask.lane.count(ask.chains)
            ask.lane.session.alive.update(own.tolist())  # type: ignore[attr-defined]
        return answers

    def logits(self, rows: Sequence[int] | Ints, layer: int | None) -> Array:
        """Logits after rows: those of the last forwards come from one product, whoever asks first."""
        if layer is not None or not all(int(row) in self.fresh for row in rows):
            return self.inner.logits(rows, layer)
        if self.made is None:
            self.made = self.inner.logits(list(self.fresh))
        return self.made[like(np.asarray([self.fresh[int(row)] for row in rows], np.int64), self.made)]

    def sweep(self, at_once: bool = False) -> None:
        """Free the rows that no call needs, once they are enough, or one of the calls has come to its end."""
        alive = [part.alive for part in [*self.parts]]
        if not (at_once or self.due or self.gone >= max(SPARE_ROWS, sum(map(len, alive)) / 4)):
            return
        self.gone, self.due, self.fresh, self.made = 0, False, {}, None
        self.inner.keep([row for rows in alive for row in rows])


class Share:
    """A call's rows of a joint session; see `unspool.core.model.Session`."""

    def __init__(self, joint: Joint) -> None:
        self.joint, self.can, self.nodes = joint, joint.inner.can, joint.inner.nodes
        self.alive: set[int] = set()

    def extend(self, parents: Sequence[int] | Ints, chains: Sequence[Sequence[int] | Ints], every: bool = False) -> Ints:
        """Grow rows in a forward of their own."""
        self.joint.parts.add(self)
        rows = self.joint.inner.extend(parents, chains, every)
        self.alive.update(rows.tolist())
        return rows

    def keep(self, rows: Iterable[int]) -> None:
        """These rows are all that the call needs; the others are freed with those of other calls."""
        before, self.alive = len(self.alive), {int(row) for row in rows if row != ROOT}
        self.joint.gone += max(0, before - len(self.alive))
        if not self.alive:
            self.joint.due = True
            self.joint.parts.discard(self)

    def logits(self, rows: Sequence[int] | Ints, layer: int | None = None) -> Array:
        return self.joint.logits(rows, layer)

    def hidden(self, rows: Sequence[int] | Ints, layer: int | None = None) -> Array:
        return self.joint.inner.hidden(rows, layer)


def run(asks: Sequence[Forward]) -> list[Ints]:
    """The new rows of every ask, in as few forwards as there can be: one for those whose calls share a session."""
    answers: dict[int, Ints] = {}
    shared: dict[Joint, list[int]] = {}
    for i, ask in enumerate(asks):
        session = ask.lane.session
        if isinstance(session, Share):
            session.joint.parts.add(session)
            shared.setdefault(session.joint, []).append(i)
        else:
            answers[i] = ask.run()
    for joint, some in shared.items():
        answers |= zip(some, joint.grow([asks[i] for i in some]), strict=True)
    return [answers[i] for i in range(len(asks))]
