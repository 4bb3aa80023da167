"""The loop: serve what every run asks for, in as few forwards as there can be."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from unspool.core.frontier import Frontier
from unspool.core.search import Search
from unspool.core.strategy import Ask, Choice, Look, Run, Strategy, Twin
from unspool.record.step import Step


def decode(search: Search, strategy: Strategy) -> Iterator[Step]:
    """Run a strategy over all prompts of a search and yield every step; the hypotheses are then in `search.finished`.

    Choices whose rows were looked at already go first, for they need no forward; then all looks, merged by model; then
    everybody's choices in one forward.
    """
    search.require(strategy.needs)
    start = search.begin()
    at = {0: start} if strategy.many else {i: start.take(np.asarray([i])) for i in range(len(start))}
    runs = {i: strategy.run(frontier) for i, frontier in at.items()}
    asks: dict[int, Ask] = {}
    for i, frontier in at.items():
        search.start(i, frontier)
    for i in at:
        _resume(search, runs, asks, i, None)
    while asks:
        seen = {i: ask for i, ask in asks.items() if isinstance(ask, Choice) and ask.seen is not None}
        answers = {} if seen else _peek(search, asks)
        for i, answer in answers.items():
            _resume(search, runs, asks, i, answer)
        if answers:
            continue
        choices = _sharing(seen) if seen else {i: ask for i, ask in asks.items() if isinstance(ask, Choice)}
        new, step = search.grow(choices, {i: at[i] for i in choices})
        yield step
        for i in choices:
            at[i] = new if len(choices) == 1 else new.take(np.flatnonzero(new["prompt"] == i))
            _resume(search, runs, asks, i, at[i])


def _sharing(seen: dict[int, Choice]) -> dict[int, Choice]:
    """Those choices whose rows were looked at in the same forward as the first's."""
    frontiers = {i: choice.seen for i, choice in seen.items() if choice.seen is not None}
    source = next(iter(frontiers.values())).source
    return {i: seen[i] for i, frontier in frontiers.items() if frontier.source is source}


def _peek(search: Search, asks: dict[int, Ask]) -> dict[int, Frontier]:
    """Answer all looks at one lane, or all twins under one model."""
    looks = {i: ask for i, ask in asks.items() if isinstance(ask, Look)}
    if looks:
        lane = next(iter(looks.values())).frontier.lane
        return search.look({i: ask for i, ask in looks.items() if ask.frontier.lane is lane})
    twins = {i: ask for i, ask in asks.items() if isinstance(ask, Twin)}
    if twins:
        model = next(iter(twins.values())).model
        return search.twin({i: ask for i, ask in twins.items() if ask.model is model})
    return {}


def _resume(search: Search, runs: dict[int, Run], asks: dict[int, Ask], i: int, answer: Frontier | None) -> None:
    """Let a run go on to what it asks for next."""
    try:
        asks[i] = next(runs[i]) if answer is None else runs[i].send(answer)
    except StopIteration:
        asks.pop(i, None)
        search.end(i)
