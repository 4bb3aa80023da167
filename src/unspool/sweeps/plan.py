"""What a sweep will run: its goals, texts or prompts, settings and rungs, all checked before anything is run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

from unspool.arrays import Ints
from unspool.core.randomness import uniform, word
from unspool.errors import PromptError, check, option, whole
from unspool.lab.asked_compare import check_prompts, check_seeds
from unspool.lab.defaults import FEWEST, KEEP, PROMPTS_AT_ONCE, SEARCHES, UNITS
from unspool.lab.measuring import Measuring
from unspool.lab.rows import row_of_human
from unspool.language_model import DEFAULT_NEW_TOKENS, LanguageModel
from unspool.many.unit import model_of, versions_of
from unspool.sweeps.axes import read_template
from unspool.sweeps.goals import Goal, read_goals
from unspool.sweeps.halving import Rung, afforded, rungs_of, runs_of
from unspool.sweeps.known_texts import check_readable
from unspool.sweeps.passages import Passage, own_passages, passages_of
from unspool.sweeps.settings import SweepSetting, check_search, key_of, settings_of
from unspool.sweeps.units import DrawnUnit, ReadUnit
from unspool.views.terminal import fit_right

TOKENS_IN_UNIT = 2048
"""Of texts that are read together; one text at least."""


class SweepPlan:
    """See `unspool.sweeps.sweeping.Sweeping`, whose options these are but for those that say where it is saved and who runs it."""

    def __init__(
        self,
        lm: LanguageModel,
        decoder: str,
        metrics: str | Sequence[str],
        *,
        prompts: str | Sequence[str] = (),
        reference: Sequence[str] | Sequence[tuple[str, str]] = (),
        search: str = SEARCHES[0],
        settings: int | None = None,
        budget: int | None = None,
        keep: int | None = None,
        seed: int = 0,
        seeds: int | Sequence[int] = 1,
        max_new_tokens: int = DEFAULT_NEW_TOKENS,
        judge: LanguageModel | None = None,
        unit: str = UNITS[0],
        chat: bool = False,
    ) -> None:
        check(isinstance(decoder, str), f"a sweep takes a decoder's text form with sets and ranges in braces; got {decoder!r:.60}")
        check(not isinstance(reference, str), f"{option('reference')} is a list of texts, or of pairs of prompt and text; got one text")
        whole(option("max_new_tokens"), max_new_tokens, 1)
        whole(option("seed"), seed)
        check(keep is None or search == "halving", f"{option('keep')} goes with {option('search')} halving")
        self.template = read_template(decoder)
        check_search(self.template, search, settings, budget)
        if settings is None and budget is None:
            self.template = self.template.spread()
        self.goals = read_goals(metrics, human=len(reference) > 0, judged=judge is not None)
        self.lm, self.max_new_tokens, self.chat, self.search = lm, max_new_tokens, chat, search
        self.keep, self.seeds, self.model = KEEP if keep is None else keep, tuple(check_seeds(seeds)), model_of(lm)
        self.measuring = Measuring(lm, judge, [goal.metric for goal in self.goals], unit, chat, {}, None)
        self.texts = self._texts(prompts, reference) if self.read else []
        self.prompts = [] if self.read else self._prompts(prompts)
        check(self.count >= FEWEST, f"a sweep needs at least {FEWEST} {self.items} to tell settings from noise; got {self.count}")
        self.goals = self._aimed(reference)
        self.settings = self._settings(settings, budget, seed)
        self.rungs = rungs_of(len(self.settings), self.count, self.keep) if self.halving else [Rung(len(self.settings), self.count)]
        self.order = self._order(seed)
        """In which the items are taken."""
        self.asked = self._asked(judge)

    @property
    def read(self) -> bool:
        """Whether texts are read, and none drawn."""
        return self.goals[0].read

    @property
    def halving(self) -> bool:
        """Whether settings are dropped on the way."""
        return self.search == "halving"

    @property
    def items(self) -> str:
        """What the samples are called."""
        return "texts" if self.read else "prompts"

    @property
    def count(self) -> int:
        """How many of them there are."""
        return len(self.texts) or len(self.prompts)

    @property
    def total(self) -> int:
        """How often a prompt is run, or a text read, under a setting."""
        return runs_of(self.rungs)

    # --- what is checked ----------------------------------------------------------------------------------------------

    def _texts(self, prompts: Any, reference: Any) -> list[Passage]:
        name = self.goals[0].name
        given = f"{name} is read off given texts ({option('reference')}), and no prompts are run"
        check(not len(prompts), f"{given}; {drawn_instead()}")
        check(not self.chat, f"{name} is read off given texts; {option('chat')} is for prompts")
        most = self.max_new_tokens
        return passages_of(self.lm, reference, most) if len(reference) else own_passages(self.lm, most)

    def _prompts(self, given: Any) -> list[str]:
        check(len(given) > 0, f"{self.goals[0].name} is of texts that are drawn: give {option('prompts')}, {FEWEST} of them at least")
        prompts = check_prompts(given)
        for number, prompt in enumerate(prompts, 1):
            length, most = len(self.measuring.start(prompt)), self.lm.model.context
            if not 0 < length < most:
                raise PromptError(f"prompt {number} has {length} tokens; the model's context holds {most}, and new ones have to fit, too")
        return prompts

    def _aimed(self, reference: Any) -> list[Goal]:
        """The goals, those that are to be near human text with what it has."""
        if not any(goal.human for goal in self.goals):
            return self.goals
        few = f"{FEWEST} human texts at least tell what to be near to; got {len(reference)}: give more, or a number (:near=NUMBER)"
        check(len(reference) >= FEWEST, few)
        human = row_of_human(self.measuring.human(reference, self.max_new_tokens), [goal.metric for goal in self.goals]).values
        goals = [goal.near(human[goal.name]) if goal.human else goal for goal in self.goals]
        lost = next((goal.name for goal in goals if goal.human and not np.isfinite(goal.target)), None)
        check(lost is None, f"the human texts have no {lost}: it is of several texts of one prompt; say {lost}:min or :max")
        return goals

    def _settings(self, count: int | None, budget: int | None, seed: int) -> list[SweepSetting]:
        """The settings; those that cannot be told apart are refused, and those whose distributions are not stored."""
        wanted = count if budget is None else afforded(budget, self.count, self.keep if self.halving else None, self.items)
        settings = settings_of(self.template, wanted, seed)
        check(len(settings) > 1, f"{fit_right(self.template.text, 60)} has one setting alone; give several values")
        seen: dict[Hashable, str] = {}
        for one in settings:
            resolved = self.lm.resolve(one.decoder)
            if self.read:
                check_readable(resolved.processors, self.goals[0].name)
                chain = key_of(one.decoder.processors)
                same = f"{self.goals[0].name} looks at processors alone, and {seen.get(chain)} and {one.text} have the same"
                check(chain not in seen, f"{same}; {drawn_instead()}")
                seen[chain] = one.text
        return settings

    def _order(self, seed: int) -> Ints:
        """Shuffled for halving, so that items of one kind do not decide early rungs."""
        draws = uniform(seed, np.asarray([word("order")], np.uint64), np.arange(self.count), "sweep")
        return np.argsort(draws, kind="stable") if self.halving else np.arange(self.count)

    def _asked(self, judge: LanguageModel | None) -> dict[str, Any]:
        """All that the numbers depend on, as the file's first line keeps it."""
        found: dict[str, Any] = {
            "decoder": self.template.text,
            "metrics": [str(goal) for goal in self.goals],
            "search": self.search,
            "settings": len(self.settings),
            "max_new_tokens": self.max_new_tokens,
            self.items: self.count,
            "rungs": [[rung.settings, rung.prompts] for rung in self.rungs],
            "model": self.model,
            "versions": versions_of(self.model),
            "hashes": {
                self.items: _hash(self.texts or self.prompts),
                "settings": _hash([[one.text for one in self.settings], self.order.tolist(), [repr(g.target) for g in self.goals]]),
            },
        }
        drawn = {"seeds": list(self.seeds), "unit": self.measuring.unit, "chat": self.chat, "judge": model_of(judge) if judge else None}
        return found | ({} if self.read else drawn)

    # --- what is run --------------------------------------------------------------------------------------------------

    def units(self, alive: Sequence[int], first: int, last: int, number: int) -> list[ReadUnit | DrawnUnit]:
        """The units of some settings over the items from one place of the order to another, numbered from `number` on."""
        items = self.order[first:last].tolist()
        if self.read:
            some: list[ReadUnit | DrawnUnit] = [self._reading(number + i, alive, block) for i, block in enumerate(self._blocks(items))]
            return some
        blocks = [items[at : at + PROMPTS_AT_ONCE] for at in range(0, len(items), PROMPTS_AT_ONCE)]
        pairs = [(block, setting) for block in blocks for setting in alive]
        return [self._drawing(number + i, setting, block) for i, (block, setting) in enumerate(pairs)]

    def _blocks(self, items: Sequence[int]) -> list[list[int]]:
        blocks: list[list[int]] = [[]]
        room = TOKENS_IN_UNIT
        for item in items:
            size = sum(map(len, self.texts[item]))
            if blocks[-1] and size > room:
                blocks.append([])
                room = TOKENS_IN_UNIT
            blocks[-1].append(item)
            room -= size
        return blocks if blocks[0] else []

    def _reading(self, number: int, alive: Sequence[int], items: Sequence[int]) -> ReadUnit:
        decoders, texts = tuple(self.settings[s].text for s in alive), tuple(self.texts[i] for i in items)
        return ReadUnit(number, tuple(alive), decoders, tuple(items), texts, tuple(goal.name for goal in self.goals))

    def _drawing(self, number: int, setting: int, items: Sequence[int]) -> DrawnUnit:
        prompts, text = tuple(self.prompts[i] for i in items), self.settings[setting].text
        return DrawnUnit(number, (setting,), text, tuple(items), prompts, self.seeds, self.max_new_tokens, self.chat)


def drawn_instead() -> str:
    """The way out where a metric that is read does not fit."""
    return f"take a metric of drawn texts, as {option('metrics')} diversity"


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:16]
