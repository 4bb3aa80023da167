"""The units of a sweep: some texts read under all settings, or one setting run after some prompts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from unspool.core.decoder import parse
from unspool.errors import UnspoolError
from unspool.lab.generations import Generation
from unspool.language_model import LanguageModel
from unspool.many.unit import GivenPrompt, Unit, UnusablePrompt, recipe_of
from unspool.record.step import Step
from unspool.sweeps.known_texts import KnownTexts, ProcessorTree, check_readable
from unspool.sweeps.read_metrics import METRIC_SUMS, columns_of

Parts = tuple[float, ...]
"""The sums of one metric over one text, or the texts of one prompt."""


@dataclass(frozen=True)
class Spent:
    """What a unit cost."""

    forwards: int = 0
    tokens: int = 0
    """That went through the model."""
    new_tokens: int = 0
    """Of the texts that were drawn."""
    other_tokens: int = 0
    """Through second models."""

    def __add__(self, other: Spent) -> Spent:
        return Spent(*(a + b for a, b in zip(vars(self).values(), vars(other).values(), strict=True)))


@dataclass(frozen=True)
class ReadTexts:
    """What was read of some texts: for each setting, metric and text the sums."""

    parts: list[list[list[Parts]]]
    spent: Spent


@dataclass(frozen=True)
class ReadUnit:
    """Some texts, read under all settings: each goes through the model once."""

    number: int
    settings: tuple[int, ...]
    decoders: tuple[str, ...]
    """The text form of each setting."""
    items: tuple[int, ...]
    """Which texts."""
    texts: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]
    """(tokens before, tokens) of each."""
    metrics: tuple[str, ...]

    @property
    def span(self) -> str:
        return f"the texts {self.items[0] + 1} to {self.items[-1] + 1}"

    def make(self, lm: LanguageModel, told: Callable[[Step], None] = lambda step: None) -> ReadTexts:
        """Read them."""
        branch = ProcessorTree()
        for place, text in enumerate(self.decoders):
            decoder = lm.resolve(parse(text))
            check_readable(decoder.processors, self.metrics[0])
            ends = (*lm.model.end_tokens, *(t for stop in decoder.stops for t in stop.end_tokens))
            branch.add(place, decoder.processors, tuple(dict.fromkeys(ends)))
        known = KnownTexts(lm.model, self.texts)
        found = known.read(branch, columns_of(self.metrics))
        sums = [METRIC_SUMS[name] for name in self.metrics]
        parts = [[[tuple(text[c] for c in columns) for text in found[place]] for columns in sums] for place in range(len(self.decoders))]
        return ReadTexts(parts, Spent(known.real.forwards, known.real.tokens))


@dataclass(frozen=True)
class DrawnTexts:
    """The texts of a unit, and what they cost."""

    generations: list[Generation]
    spent: Spent


@dataclass(frozen=True)
class DrawnUnit:
    """One setting, run after some prompts with every seed; with the first alone if it draws nothing."""

    number: int
    settings: tuple[int, ...]
    decoder: str
    items: tuple[int, ...]
    """Which prompts."""
    prompts: tuple[str, ...]
    seeds: tuple[int, ...]
    max_new_tokens: int
    chat: bool

    @property
    def span(self) -> str:
        return f"{self.decoder} from prompt {self.items[0] + 1} to {self.items[-1] + 1}"

    def make(self, lm: LanguageModel, told: Callable[[Step], None] = lambda step: None) -> DrawnTexts:
        """Run it. The draws follow the prompt and the seed, so that all settings have the same ones."""
        asked = tuple(GivenPrompt(i, p, where=f"prompt {i + 1}") for i, p in zip(self.items, self.prompts, strict=True))
        made, spent = list[Generation](), Spent()
        for seed in self.seeds:
            recipe = recipe_of(parse(self.decoder), seed, self.max_new_tokens, chat=self.chat)
            found = Unit(self.number, self.decoder, self.decoder, recipe, asked).make(lm, told)
            for one in found.texts:
                if isinstance(one, UnusablePrompt):
                    raise UnspoolError(f"{one.where}: {one.why}")
            some = found.generations
            made += some
            cost = some[0].batch
            spent += Spent(cost.forwards, cost.tokens, sum(len(g.tokens) for g in some), cost.other_tokens)
            if not cost.drew:
                break
        return DrawnTexts(made, spent)
