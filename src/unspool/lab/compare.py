"""Compare decoders: the same prompts, every decoder, several seeds; what comes out, how sure it is, and what it cost."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

from unspool.core.decoder import Decoder, as_decoder
from unspool.errors import ModelError, PromptError, check, is_whole, plain, whole
from unspool.lab.comparison import Comparison
from unspool.lab.generations import Generation, GenerationFile, key
from unspool.lab.measuring import Measuring
from unspool.lab.registry import DEFAULT, Metric, TextSample, metric_named
from unspool.lab.rows import row_of, row_of_human
from unspool.language_model import DEFAULT_NEW_TOKENS, DecoderLike, LanguageModel
from unspool.many.executors.choose import check_engine, executor_of
from unspool.many.executors.opening import ModelOpening
from unspool.many.unit import GivenPrompt, Unit, UnitTexts, making, model_of, recipe_of, sendable, written_out
from unspool.record.step import Step
from unspool.strategies.greedy import Greedy

PROMPTS_AT_ONCE = 16
"""Prompts that run together."""


def compare(
    lm: LanguageModel, prompts: str | Sequence[str], decoders: Sequence[DecoderLike] | Mapping[str, DecoderLike], **options: Any
) -> Comparison:
    """Run every decoder on every prompt with every seed, and measure the texts. Options are those of `Comparing`."""
    run = Comparing(lm, prompts, decoders, **options)
    for _ in run:
        pass
    return run.comparison


class Comparing:
    """A comparison in progress: iterate over its steps; `comparison` holds what is finished so far.

    prompts: texts, each once. decoders: texts or Decoders, or a mapping that names them; the others are compared with the
    first. seeds: how many (0, 1, ...), or which; a decoder that draws nothing runs with the first alone. max_new_tokens: the
    most of a text. metrics: names, see `unspool.lab.registry`, or a Metric of one's own. reference: human texts, or pairs of
    prompt and text, cut to max_new_tokens tokens and measured alike. judge: a second model, for judge_perplexity and
    judge_bits_per_byte. unit: what n-grams are made of, words or tokens. save: a file of generations that grows as they are
    made; what it holds already is not made again. chat: every prompt is what a user says. together: how many prompts run at
    once. engine, workers, address: who runs them, as for `unspool.run`; opening: how workers open the model, if not as it was opened.
    """

    def __init__(
        self,
        lm: LanguageModel,
        prompts: str | Sequence[str],
        decoders: Sequence[DecoderLike] | Mapping[str, DecoderLike],
        *,
        seeds: int | Sequence[int] = 3,
        max_new_tokens: int = DEFAULT_NEW_TOKENS,
        metrics: Sequence[str | Metric] = DEFAULT,
        reference: Sequence[str] | Sequence[tuple[str, str]] = (),
        judge: LanguageModel | None = None,
        unit: str = "words",
        save: str | Path | None = None,
        chat: bool = False,
        together: int = PROMPTS_AT_ONCE,
        engine: str = "inline",
        workers: int | None = None,
        address: str | None = None,
        opening: ModelOpening | None = None,
    ) -> None:
        self.lm, self.chat, self.max_new_tokens, self.together = lm, chat, max_new_tokens, together
        self.prompts = check_prompts(prompts)
        self.decoders = check_decoders(decoders)
        check_engine(engine, workers, address)
        self.engine, self.workers, self.address, self.opening = engine, workers, address, opening
        self.sent: dict[str, Decoder | str] = dict(self.decoders)
        if engine != "inline":
            self.sent = {name: sendable(d, f"the engine {engine}") for name, d in self.decoders.items()}
        self._number = count()
        self.seeds = check_seeds(seeds)
        for value, what in ((together, "together"), (max_new_tokens, "max_new_tokens")):
            whole(what, value, 1)
        counted = [replace(m, unit=m.unit.replace("words", unit)) for m in check_metrics(metrics, judged=judge is not None)]
        self.measuring = Measuring(lm, judge, counted, unit, chat)
        self.model = model_of(lm)
        self.made: dict[str, list[tuple[Generation, TextSample | None]]] = {name: [] for name in self.decoders}
        for prompt in self.prompts:
            self.measuring.start(prompt)
        self.reference = self.measuring.human(reference, max_new_tokens)
        self.current = ""
        """The decoder that is running."""
        self.store = GenerationFile(save) if save is not None else None
        self.kept: dict[tuple[str, ...], list[Generation]] = {}
        for g in self.store.kept if self.store else ():
            self.kept.setdefault(g.key, []).append(g)

    def __iter__(self) -> Iterator[int]:
        """Run what is to be run; a number of tokens after each step, up to `total`."""
        if self.engine != "inline":
            yield from self._by_workers()
            return
        for seed in self.seeds:
            for first in range(0, len(self.prompts), self.together):
                prompts = self.prompts[first : first + self.together]
                for name, decoder in self.decoders.items():
                    self.current, spent = name, 0
                    if seed == self.seeds[0] or any(g.batch.drew for g, _ in self.made[name]):
                        for _ in self._run(name, decoder, seed, prompts):
                            spent += 1
                            yield 1
                    yield max(0, self.max_new_tokens - spent)

    @property
    def total(self) -> int:
        """The sum of what iteration gives, if no search takes more steps than a text has tokens."""
        return len(self.seeds) * len(self.decoders) * math.ceil(len(self.prompts) / self.together) * self.max_new_tokens

    def _run(self, name: str, decoder: Decoder, seed: int, prompts: list[str]) -> Iterator[Step]:
        unit = self._missing(name, decoder, seed, prompts)
        if unit is not None:
            self._take(name, (yield from making(self.lm, unit)))

    def _missing(self, name: str, decoder: Decoder, seed: int, prompts: list[str]) -> Unit | None:
        """What of a batch is to be made; what the file holds is taken from there."""
        recipe = recipe_of(decoder, seed, self.max_new_tokens, chat=self.chat)
        found = {p: self.kept.get(key(p, recipe, self.model), []) if written_out(decoder) else [] for p in prompts}
        self.made[name] += self._measured([replace(g, decoder=name) for p in prompts for g in found[p]])
        missing = tuple(GivenPrompt(i, p, where=repr(p)) for i, p in enumerate(p for p in prompts if not found[p]))
        return Unit(next(self._number), name, self.sent[name], recipe, missing, self.together) if missing else None

    def _take(self, name: str, made: UnitTexts) -> None:
        """Measure, save and keep what came of a batch."""
        measured = self._measured(made.generations)
        if self.store:
            self.store.append([g.to_measured_line(self._alone(sample)) for g, sample in measured])
        self.made[name] += measured

    def _by_workers(self) -> Iterator[int]:
        """The same batches, run by workers: first those of the first seed, which tell what draws."""
        executor = executor_of(self.opening or self.lm, self.engine, self.workers, self.address)
        try:
            if (theirs := executor.model()) != self.model:
                raise ModelError(f"the workers opened another model: {theirs} in place of {self.model}")
            for seeds in (self.seeds[:1], self.seeds[1:]):
                first = seeds[:1] == self.seeds[:1]
                names = [name for name in self.decoders if first or any(g.batch.drew for g, _ in self.made[name])]
                for unit, made in executor.run(self._units(seeds, names), lambda step: None):
                    self.current = unit.name
                    self._take(unit.name, made)
                    yield self.max_new_tokens
        finally:
            executor.close()

    def _units(self, seeds: Sequence[int], names: Sequence[str]) -> Iterator[Unit]:
        for seed in seeds:
            for first in range(0, len(self.prompts), self.together):
                for name in names:
                    unit = self._missing(name, self.decoders[name], seed, self.prompts[first : first + self.together])
                    if unit is not None:
                        yield unit

    def _measured(self, some: Sequence[Generation]) -> list[tuple[Generation, TextSample | None]]:
        """Generations as metrics read them; None where there is no text."""
        samples = iter(self.measuring.generated([g for g in some if not g.failure]))
        return [(g, None if g.failure else next(samples)) for g in some]

    def _alone(self, sample: TextSample | None) -> dict[str, float | None]:
        return dict.fromkeys(m.name for m in self.measuring.metrics) if sample is None else self.measuring.alone(sample)

    @property
    def comparison(self) -> Comparison:
        """What is finished so far."""
        made = {name: texts for name, texts in self.made.items() if texts}
        base = next(iter(made), "")
        measuring = self.measuring
        rows = [row_of(name, texts, None if name == base else made[base], measuring.metrics) for name, texts in made.items()]
        settings = {
            "model": self.model,
            "prompts": len(self.prompts),
            "seeds": list(self.seeds),
            "max_new_tokens": self.max_new_tokens,
            "unit": measuring.unit,
            "judge": measuring.judge.name if measuring.judge else None,
        }
        return Comparison(
            rows,
            row_of_human(self.reference, measuring.metrics) if self.reference else None,
            list(measuring.metrics),
            [g for texts in made.values() for g, _ in texts],
            [self._alone(s) for texts in made.values() for _, s in texts],
            settings,
        )


# --- what is asked for --------------------------------------------------------------------------------------------------


def check_prompts(prompts: str | Sequence[str]) -> list[str]:
    """Texts, each once: equal prompts have equal draws, and would count twice."""
    found = [prompts] if isinstance(prompts, str) else list(prompts)
    check(len(found) > 0, "compare needs at least one prompt")
    for i, prompt in enumerate(found):
        if not isinstance(prompt, str):
            raise PromptError(f"compare takes prompts as texts; got {prompt!r}")
        first = found.index(prompt)
        if first < i:
            raise PromptError(f"prompt {i + 1} is prompt {first + 1} again, and would count twice; give it once: {prompt[:60]!r}")
    return found


def check_decoders(decoders: Sequence[DecoderLike] | Mapping[str, DecoderLike]) -> dict[str, Decoder]:
    """Decoders by name, all different; without a strategy they are greedy."""
    check(not isinstance(decoders, str | Decoder), f"give a list of decoders, or a mapping that names them; got {decoders!r}")
    check(len(decoders) > 0, "give at least one decoder")
    pairs = list(decoders.items()) if isinstance(decoders, Mapping) else [(None, d) for d in decoders]
    found: dict[str, Decoder] = {}
    for i, (name, value) in enumerate(pairs, 1):
        decoder = as_decoder(Decoder() if value is None else value)
        decoder = decoder if decoder.strategy else decoder | Greedy()
        text = str(decoder) if name is None else str(name)
        for other, known in found.items():
            same = other == text or (str(known) == str(decoder) and known == decoder)
            check(not same, f"decoder {i}, {text}, is {other} again; give each once")
        found[text] = decoder
    return found


def check_seeds(seeds: int | Sequence[int]) -> list[int]:
    """Seeds, all different, from a list or a number of them."""
    given: Any = plain(seeds)
    if is_whole(given):
        check(given >= 1, f"seeds is how many (at least 1), or a list of them; got {seeds}")
        return list(range(given))
    check(isinstance(seeds, Sequence) and not isinstance(seeds, str), f"seeds is how many, or a list of whole numbers; got {seeds!r}")
    found = list(map(plain, given))
    check(len(found) > 0, "seeds is empty; give at least one")
    check(all(map(is_whole, found)), f"seeds are whole numbers; got {found}")
    check(len(set(found)) == len(found), f"a seed is there twice: {found}")
    return found


def check_metrics(names: Sequence[str | Metric], judged: bool) -> list[Metric]:
    """Metrics by name, or one's own; those that need a second model are refused where there is none."""
    check(not isinstance(names, str), f"metrics is a list of names; got {names!r}")
    found = [name if isinstance(name, Metric) else metric_named(name) for name in dict.fromkeys(names)]
    check(len(found) > 0, "metrics is empty; give at least one")
    twice = next((m.name for i, m in enumerate(found) if m.name in {n.name for n in found[:i]}), None)
    check(twice is None, f"two metrics are called {twice!r}; their values could not be told apart")
    for metric in found:
        check(metric.needs != "judged" or judged, f"{metric.name} needs a second model: judge=..., or --judge")
    return found
