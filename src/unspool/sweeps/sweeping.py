"""Sweep a decoder's settings: run what is planned, keep what comes of it, and judge it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from unspool.arrays import Floats
from unspool.errors import check, check_options
from unspool.lab.defaults import SWEPT_FOR
from unspool.language_model import LanguageModel
from unspool.many.executors.choose import check_engine, check_model, executor_of
from unspool.many.executors.opening import ModelOpening
from unspool.many.executors.order import Executor
from unspool.sweeps.choosing import RanSetting, choose
from unspool.sweeps.judging import estimate_of, losses_of, noise_of, ranked
from unspool.sweeps.plan import SweepPlan
from unspool.sweeps.result import Sweep
from unspool.sweeps.saved import SweepFile, UnitNumbers
from unspool.sweeps.units import DrawnTexts, DrawnUnit, Parts, ReadUnit, Spent


def sweep(lm: LanguageModel, decoder: str, metrics: str | Sequence[str] = SWEPT_FOR, **options: Any) -> Sweep:
    """Run a decoder at many settings, and say which to take.

    decoder: a text form with sets and ranges in braces, "temperature({0.5..1.5 by 0.25}) | top_p({0.8, 0.9, 1}) | sample". metrics: one,
    or two for a trade-off, as texts. Both, and the options, are those of `Sweeping`.
    """
    work = Sweeping(lm, decoder, metrics, **options)
    for _ in work:
        pass
    return work.result


class Sweeping:
    """A sweep in progress: iterate over it, and `done` says how many of `plan.total` runs of a prompt under a setting are finished.

    decoder: see `unspool.sweeps.axes`. metrics: names of `unspool.sweeps.read_metrics`, for which given texts are read under all settings
    at once, or of those of `compare`, for which texts are drawn; a name may say which way is better, "name:min", "name:max",
    "name:near=3", "name:human". prompts: those that texts are drawn after. reference: human texts, or pairs of prompt and text, each cut to
    max_new_tokens tokens: those that are read, by default passages of the package's own; or those that drawn texts are to be like. search:
    "grid", "random" or "halving", in which one setting of `keep` goes on to more prompts; the last two draw as many settings as `settings`
    or a `budget` of runs says. seed: of what is drawn so, and of the order in which halving takes prompts. seeds, max_new_tokens, judge,
    unit, chat: as for `compare`. save: a file that grows with every unit; a sweep that was broken off goes on from it. engine, workers,
    address: who runs it, as for `unspool.run`; opening: how workers open the model, if not as it was opened.
    """

    def __init__(
        self,
        lm: LanguageModel,
        decoder: str,
        metrics: str | Sequence[str] = SWEPT_FOR,
        *,
        save: str | Path | None = None,
        engine: str = "inline",
        workers: int | None = None,
        address: str | None = None,
        opening: ModelOpening | None = None,
        **options: Any,
    ) -> None:
        check_options("sweep", options, Sweeping.__init__, SweepPlan.__init__)
        check_engine(engine, workers, address)
        self.file = SweepFile(save) if save is not None else None
        self.plan = SweepPlan(lm, decoder, metrics, **options)
        self.opening, self.run_by = opening or lm, (engine, workers, address)
        self.done = self.kept = 0
        self.seconds = 0.0
        count = len(self.plan.settings)
        self.alive = list(range(count))
        """The settings of the rung at work."""
        self.parts: list[list[dict[int, Parts | None]]] = [[{} for _ in self.plan.goals] for _ in range(count)]
        """Of each setting and metric the sums of its items."""
        self.spent, self.shared = [Spent()] * count, Spent()
        """What each setting cost, and all of it together."""
        self._executor: Executor | None = None

    def __iter__(self) -> Iterator[int]:
        """Go on to the end of the next unit: how many runs it was."""
        began = time.perf_counter()
        with self.file.file.claimed() if self.file else contextlib.nullcontext(), contextlib.ExitStack() as opened:
            if self.file:
                self.file.open(self.plan.asked)
            self.alive, first, number = list(range(len(self.plan.settings))), 0, 0
            for rung in self.plan.rungs:
                self.alive = self._best(self.alive, rung.settings)
                units = self.plan.units(self.alive, first, rung.prompts, number)
                for unit, numbers in self._made(list(units), opened):
                    self._take(unit, numbers)
                    self.seconds = time.perf_counter() - began
                    yield len(unit.settings) * len(unit.items)
                first, number = rung.prompts, number + len(units)

    def _made(
        self, units: list[ReadUnit | DrawnUnit], opened: contextlib.ExitStack
    ) -> Iterator[tuple[ReadUnit | DrawnUnit, UnitNumbers]]:
        """What comes of units: that of the first from the file, as far as it goes."""
        held = self.file.held if self.file else None
        while units and held:
            self.kept += 1
            yield units.pop(0), held.popleft()
        if not units:
            return
        executor = self._open(opened)
        for unit, made in executor.run(iter(units), lambda step: None):
            numbers = self._drawn(made, unit) if isinstance(made, DrawnTexts) else UnitNumbers(made.parts, made.spent)
            if self.file:
                self.file.append(unit.number, numbers)
            yield unit, numbers

    def _open(self, opened: contextlib.ExitStack) -> Executor:
        """Whoever runs the units, once something is to be run."""
        if self._executor is None:
            self._executor = executor_of(self.opening if self.run_by[0] != "inline" else self.plan.lm, *self.run_by)
            opened.callback(self._executor.close)
            check_model(self._executor, self.plan.model)
        return self._executor

    def _drawn(self, made: DrawnTexts, unit: ReadUnit | DrawnUnit) -> UnitNumbers:
        """Measure the texts of a unit."""
        assert isinstance(unit, DrawnUnit)
        whole = [g for g in made.generations if not g.failure]
        samples = self.plan.measuring.generated(whole)
        parts: list[list[Parts | None]] = []
        for goal in self.plan.goals:
            assert goal.metric.parts is not None
            groups = [[s for s, g in zip(samples, whole, strict=True) if g.prompt == prompt] for prompt in unit.prompts]
            parts.append([tuple(map(float, goal.metric.parts(group))) if group else None for group in groups])
        return UnitNumbers([parts], made.spent)

    def _take(self, unit: ReadUnit | DrawnUnit, numbers: UnitNumbers) -> None:
        for place, setting in enumerate(unit.settings):
            for goal, items in zip(self.parts[setting], numbers.parts[place], strict=True):
                goal.update(zip(unit.items, items, strict=True))
        if isinstance(unit, DrawnUnit):
            self.spent[unit.settings[0]] += numbers.spent
        self.shared += numbers.spent
        self.done += len(unit.settings) * len(unit.items)

    def _arrays(self, setting: int, items: Collection[int]) -> tuple[Floats, ...]:
        """Of each metric the sums (items, k) of some items, in their order; nan where one came to no text."""
        found = []
        for values in self.parts[setting]:
            width = next((len(v) for v in values.values() if v is not None), 1)
            lines = [v if (v := values[item]) is not None else (np.nan,) * width for item in sorted(items)]
            found.append(np.asarray(lines, np.float64).reshape(len(lines), width))
        return tuple(found)

    def _best(self, alive: list[int], count: int) -> list[int]:
        """The settings that go on to the next rung, in their order."""
        if count >= len(alive):
            return alive
        pairs = [list(zip(self.plan.goals, self._arrays(s, self.parts[s][0]), strict=True)) for s in alive]
        estimates = [[estimate_of(goal, parts) for goal, parts in some] for some in pairs]
        return sorted(alive[place] for place in ranked(losses_of(self.plan.goals, estimates), noise_of(estimates))[:count])

    @property
    def result(self) -> Sweep:
        """What is finished so far: settings of the rung at work are compared on the items that all of them have."""
        plan = self.plan
        held = {s: set(parts[0]) for s, parts in enumerate(self.parts) if parts[0]}
        check(bool(held), "nothing is finished yet")
        going = [s for s in self.alive if s in held]
        held |= dict.fromkeys(going, set.intersection(*(held[s] for s in going)))
        ran = [RanSetting(plan.settings[s], self._arrays(s, items), self.spent[s], s in going) for s, items in held.items()]
        found = choose(plan.goals, ran, plan.items)
        settings = {k: v for k, v in plan.asked.items() if k != "hashes"} | {
            "runs": self.done,
            "finished": self.done == plan.total,
        }
        return Sweep(
            plan.template.text, plan.template.axes, tuple(plan.goals), found.rows, found.best, found.recommended, found.why, found.needed,
            found.needed_for, plan.count, self.shared, self.seconds, self.kept, settings,
        )  # fmt: skip
