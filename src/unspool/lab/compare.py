"""Compare decoders: the same prompts, every decoder, several seeds; what comes out, how sure it is, and what it cost."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

from unspool.core.decoder import Decoder
from unspool.errors import check_options, option, whole
from unspool.files import check_ending
from unspool.lab.asked_compare import MetricsGiven, check_answers, check_decoders, check_metrics, check_pattern, check_prompts, check_seeds
from unspool.lab.comparison import Comparison
from unspool.lab.defaults import DEFAULT_SEEDS, PROMPTS_AT_ONCE, UNITS
from unspool.lab.generations import Generation, GenerationFile, key
from unspool.lab.measuring import Measuring
from unspool.lab.registry import DEFAULT
from unspool.lab.rows import corrected, row_of, row_of_human
from unspool.lab.text_metric import Metric, TextSample
from unspool.language_model import DEFAULT_NEW_TOKENS, DecoderLike, LanguageModel
from unspool.many.executors.choose import check_engine, check_model, executor_of
from unspool.many.executors.opening import ModelOpening
from unspool.many.unit import GivenPrompt, Unit, UnitTexts, making, model_of, recipe_of, sendable, written_out
from unspool.record.step import Step


def compare(
    lm: LanguageModel, prompts: str | Sequence[str], decoders: Sequence[DecoderLike] | Mapping[str, DecoderLike], **options: Any
) -> Comparison:
    """Run every decoder on every prompt with every seed, and measure the texts. Options are those of `Comparing`."""
    check_options("compare", options, Comparing.__init__)
    run = Comparing(lm, prompts, decoders, **options)
    for _ in run:
        pass
    return run.comparison


class Comparing:
    """A comparison in progress: iterate over its steps; `comparison` holds what is finished so far, `done` says how much that is.

    prompts: texts, each once. decoders: texts or Decoders, or a mapping that names them; the others are compared with the
    first. seeds: how many (0, 1, ...), or which; a decoder that draws nothing runs with the first alone. max_new_tokens: the
    most of a text. metrics: names, see `unspool.lab.registry`, or a Metric of one's own. reference: human texts, or pairs of
    prompt and text, cut to max_new_tokens tokens and measured alike. judge: a second model, for judge_perplexity and
    judge_bits_per_byte. unit: what n-grams are made of, words or tokens. answers: what is right, one or several for each prompt, for
    exact_match, pass_at_k, bleu and chrf; answer_pattern: a regular expression that finds the answer in a text. save: a file of
    generations that grows as they are made, one program's at a time; what it holds already is not made again. chat: every prompt is
    what a user says. together: how many prompts run at once. engine, workers, address: who runs them, as for `unspool.run`; opening:
    how workers open the model, if not as it was opened. watch: is given every step that is made in this process.
    """

    def __init__(
        self,
        lm: LanguageModel,
        prompts: str | Sequence[str],
        decoders: Sequence[DecoderLike] | Mapping[str, DecoderLike],
        *,
        seeds: int | Sequence[int] = DEFAULT_SEEDS,
        max_new_tokens: int = DEFAULT_NEW_TOKENS,
        metrics: Sequence[str | Metric] = DEFAULT,
        reference: Sequence[str] | Sequence[tuple[str, str]] = (),
        judge: LanguageModel | None = None,
        unit: str = UNITS[0],
        answers: Sequence[str | Sequence[str] | None] | None = None,
        answer_pattern: str | None = None,
        save: str | Path | None = None,
        chat: bool = False,
        together: int = PROMPTS_AT_ONCE,
        engine: str = "inline",
        workers: int | None = None,
        address: str | None = None,
        opening: ModelOpening | None = None,
        watch: Callable[[Step], None] = lambda step: None,
    ) -> None:
        self.lm, self.chat, self.max_new_tokens, self.together, self.watch = lm, chat, max_new_tokens, together, watch
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
            whole(option(what), value, 1)
        right = check_answers(answers, self.prompts)
        pattern = check_pattern(answer_pattern, right)
        asked = check_metrics(metrics, MetricsGiven(judge is not None, bool(right), len(self.prompts), len(reference)))
        counted = [replace(m, unit=m.unit.replace("words", unit)) for m in asked]
        self.measuring = Measuring(lm, judge, counted, unit, chat, right, pattern)
        self.model = model_of(lm)
        self.made: dict[str, list[tuple[Generation, TextSample | None]]] = {name: [] for name in self.decoders}
        for prompt in self.prompts:
            self.measuring.start(prompt)
        self.reference = self.measuring.human(reference, max_new_tokens)
        self.current = ""
        """The decoder that is running."""
        self.done = 0
        """Prompts that are done, for every decoder and seed, of `total`."""
        self.made_new = 0
        """Those of them that this run made."""
        if save is not None:
            check_ending("save", save, ("jsonl",))
        self.store = GenerationFile(save) if save is not None else None
        self.kept: dict[tuple[str, ...], list[Generation]] = {}

    def __iter__(self) -> Iterator[None]:
        """Run what is to be run, step by step, and have the file for oneself meanwhile."""
        with self.store.file.claimed() if self.store else nullcontext():
            for g in self.store.generations() if self.store else ():
                self.kept.setdefault(g.key, []).append(g)
            yield from self._run_all()

    def _run_all(self) -> Iterator[None]:
        if self.engine != "inline":
            yield from self._by_workers()
            return
        for seed in self.seeds:
            for first in range(0, len(self.prompts), self.together):
                prompts = self.prompts[first : first + self.together]
                for name, decoder in self.decoders.items():
                    self.current = name
                    if seed == self.seeds[0] or any(g.batch.drew for g, _ in self.made[name]):
                        for step in self._run(name, decoder, seed, prompts):
                            self.watch(step)
                            yield
                    else:
                        self.done += len(prompts)
                    yield

    @property
    def total(self) -> int:
        """Prompts of every decoder and seed together."""
        return len(self.seeds) * len(self.decoders) * len(self.prompts)

    def _run(self, name: str, decoder: Decoder, seed: int, prompts: list[str]) -> Iterator[Step]:
        unit = self._missing(name, decoder, seed, prompts)
        if unit is not None:
            self._take(unit, (yield from making(self.lm, unit)))

    def _missing(self, name: str, decoder: Decoder, seed: int, prompts: list[str]) -> Unit | None:
        """What of a batch is to be made; what the file holds is taken from there."""
        recipe = recipe_of(decoder, seed, self.max_new_tokens, chat=self.chat)
        found = {p: self.kept.get(key(p, recipe, self.model), []) if written_out(decoder) else [] for p in prompts}
        self.made[name] += self._measured([replace(g, decoder=name) for p in prompts for g in found[p]])
        self.done += sum(bool(found[p]) for p in prompts)
        missing = tuple(GivenPrompt(i, p, where=repr(p)) for i, p in enumerate(p for p in prompts if not found[p]))
        return Unit(next(self._number), name, self.sent[name], recipe, missing, self.together) if missing else None

    def _take(self, unit: Unit, made: UnitTexts) -> None:
        """Measure, save and keep what came of a batch."""
        measured = self._measured(made.generations)
        if self.store:
            self.store.append([g.to_measured_line(self._alone(sample)) for g, sample in measured])
        self.made[unit.name] += measured
        self.done += len(unit.asked)
        self.made_new += len(unit.asked)

    def _by_workers(self) -> Iterator[None]:
        """The same batches, run by workers: first those of the first seed, which tell what draws."""
        executor = executor_of(self.opening or self.lm, self.engine, self.workers, self.address)
        try:
            check_model(executor, self.model)
            for seeds in (self.seeds[:1], self.seeds[1:]):
                first = seeds[:1] == self.seeds[:1]
                names = [name for name in self.decoders if first or any(g.batch.drew for g, _ in self.made[name])]
                for unit, made in executor.run(self._units(seeds, names), lambda step: None):
                    self.current = unit.name
                    self._take(unit, made)
                    yield
                self.done += 0 if first else len(self.prompts) * len(seeds) * (len(self.decoders) - len(names))
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
            "finished": self.done == self.total,
        }
        return Comparison(
            corrected(rows),
            row_of_human(self.reference, measuring.metrics) if self.reference else None,
            list(measuring.metrics),
            [g for texts in made.values() for g, _ in texts],
            [self._alone(s) for texts in made.values() for _, s in texts],
            settings,
        )
