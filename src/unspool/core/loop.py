"""The loop: serve what every run asks for, in as few forwards as there can be. It knows no strategy."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Any, TypeAlias

from unspool.arrays import Ints
from unspool.core.frontier import Frontier
from unspool.core.lane import Forward
from unspool.core.run import OVER, Run, misfit, resume
from unspool.core.search import Search
from unspool.core.strategy import Choice, Each, Look, Strategy, Twin
from unspool.record.step import Step

Rounds: TypeAlias = "Generator[Step | Forward, Ints | None, None]"
"""A loop at work: it gives out its steps, and asks for forwards, each of which is answered with the new rows."""


def decode(search: Search, strategy: Strategy) -> Iterator[Step]:
    """Run a strategy over all prompts of a search and yield every step; the hypotheses are then in `search.found`."""
    return steps_of(rounds(search, strategy))


def steps_of(work: Rounds) -> Iterator[Step]:
    """The steps of a loop, each of its forwards run by itself."""
    rows: Ints | None = None
    while True:
        try:
            ask = work.send(rows)
        except StopIteration:
            return
        rows = ask.run() if isinstance(ask, Forward) else None
        if not isinstance(ask, Forward):
            yield ask


def rounds(search: Search, strategy: Strategy) -> Rounds:
    """The loop, for whoever runs its forwards, perhaps with those of others in one (`unspool.core.together`)."""
    seen: dict[Run, Choice] = {}                                         # choices whose rows were looked at already
    each: dict[Run, Each] = {}
    looks: dict[Run, Look] = {}
    twins: dict[Run, Twin] = {}
    choices: dict[Run, Choice] = {}

    def go_on(run: Run | None, answer: Frontier | None) -> None:
        """Let a run go on to what it asks for next; where it is over, the one that waited for it."""
        while run is not None:
            ask: Any = resume(run, answer)
            if ask is not OVER:
                kind = seen if isinstance(ask, Choice) and ask.seen is not None else kinds.get(type(ask))
                if kind is None:
                    raise misfit(run, f"yielded {ask!r}; it yields a Choice, a Look, a Twin or an Each")
                kind[run] = ask
                return
            run = search.end(run)
            answer = None if run is None else run.frontier

    kinds: dict[type, dict[Run, Any]] = {Choice: choices, Each: each, Look: looks, Twin: twins}
    for run in (yield from search.begin(strategy)):
        go_on(run, None)

    while True:
        search.watch()
        # 1. Rows that are handed over begin runs of their own.
        if each:
            run, handed = each.popitem()
            inner = search.each(run, handed)
            for one in inner:
                go_on(one, None)
            if not inner:
                go_on(run, run.frontier)
        # 2. Prompts that waited begin where there is room.
        elif entered := (yield from search.enter()):
            for one in entered:
                go_on(one, None)
        # 3. Choices whose rows were looked at already need no forward.
        elif seen:
            yield from _commit(search, seen, go_on)
        # 4. What second models are asked: they draft, and nobody goes on before all drafts are there.
        elif drafting := [ask.frontier.source.lane for ask in looks.values() if ask.frontier.source.lane is not search.lane]:
            some = {run: looks.pop(run) for run in [run for run, ask in looks.items() if ask.frontier.source.lane is drafting[0]]}
            for run, answer in zip(some, (yield from search.peeks.look(some)), strict=True):
                go_on(run, answer)
        # 5. The same texts under another model, for all who ask for that model.
        elif twins:
            model = next(iter(twins.values())).model
            those = {run: twins.pop(run) for run in [run for run, ask in twins.items() if ask.model is model]}
            for run, answer in zip(those, search.peeks.twin(those), strict=True):
                go_on(run, answer)
        # 6. A round of the model itself: everybody's looks in one forward, everybody's choices in another. So no run is ahead of another,
        #    and the order of a prompt's record does not depend on its neighbours.
        elif looks or choices:
            now, chosen = dict(looks), dict(choices)
            looks.clear()
            choices.clear()
            for run, answer in zip(now, (yield from search.peeks.look(now)) if now else (), strict=True):
                go_on(run, answer)
            if chosen:
                yield from _commit(search, chosen, go_on)
        else:
            return


def _commit(search: Search, asked: dict[Run, Choice], go_on: Any) -> Rounds:
    """Take down the choices of some runs, let their rows grow, and let the runs go on."""
    work, steps = [], []
    for run, choice in asked.items():
        step, children = search.commit(run, choice)
        steps.append(step)
        work.append((run, choice, children))
    asked.clear()
    yield from search.grow(work, steps)
    while search.untold:
        yield search.untold.popleft()
    for run, *_ in work:
        go_on(run, run.frontier)
