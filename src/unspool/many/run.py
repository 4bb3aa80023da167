"""Generate after many prompts, into a file that goes on where it was broken off."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unspool.errors import ParameterError, PromptError, check, check_options, is_whole, whole
from unspool.files import check_apart, check_ending, source_name, unfinished_file
from unspool.lab.asked_compare import check_decoders
from unspool.language_model import DEFAULT_NEW_TOKENS, DecoderLike, LanguageModel
from unspool.many.executors.choose import check_engine, executor_of
from unspool.many.executors.opening import ModelOpening
from unspool.many.executors.order import Executor
from unspool.many.parquet import parquet_groups, to_parquet
from unspool.many.reading import Columns, count_asked, given_asked, read_asked
from unspool.many.saved import Kept, SavedTexts, lines_of, rest_of
from unspool.many.unit import GivenPrompt, Unit, UnusablePrompt, check_ids, recipe_of, sendable, versions_of
from unspool.record.step import Step

UNIT_PROMPTS = 256
"""Prompts that are run and saved together."""
BAD = ("stop", "skip")


@dataclass
class Saving:
    """How far a run has come."""

    path: Path
    lines: Path
    """Where texts lie until the run is finished: the file itself, or one beside it."""
    total: int | None
    """How many prompts there are, about; None if nobody knows."""
    decoders: int = 1
    prompts: int = 0
    """Those that are done, each counted once."""
    done: int = 0
    """How often a prompt was run, under whichever decoder, or was there; in the end `prompts` times `decoders`."""
    texts: int = 0
    kept: int = 0
    """Texts that the file held already."""
    failed: int = 0
    """How often a prompt came to no text."""
    refused: int = 0
    """Prompts that could not be used."""
    finished: bool = False
    """Whether the file is whole."""

    def take(self, unit: Unit, texts: int, first: bool) -> None:
        """Count a unit; first: it is of the first decoder."""
        self.prompts += len(unit.asked) * first
        self.done += len(unit.asked)
        self.texts += texts


def run(
    lm: LanguageModel | ModelOpening,
    prompts: Iterable[Any] | Path,
    decoders: DecoderLike | Sequence[DecoderLike] | Mapping[str, DecoderLike] = None,
    *,
    save: str | Path,
    **options: Any,
) -> Saving:
    """Generate after many prompts into a file. What it holds already, from a run that was broken off, is not made again.

    lm: the model, or for workers how it is opened. prompts: any iterable, which is never held whole: of texts, token ids, messages, or
    mappings with "prompt" or "messages" and perhaps "id"; or the Path of a file. decoders: one, or several, which take turns. save: the
    file, JSON lines or, by its ending, .parquet. Options are those of `SavingRun`.
    """
    check_options("run", options, SavingRun.__init__)
    several = isinstance(decoders, Sequence | Mapping) and not isinstance(decoders, str)
    work = SavingRun(lm, prompts, decoders if several else [decoders], save=save, **options)  # type: ignore[arg-type, list-item]
    for _ in work:
        pass
    return work.state


class SavingRun:
    """A run in progress: iterate over it, and `state` says how far it has come.

    max_new_tokens or max_length: the limit of each text. seed: of all draws, which follow each prompt, or its id. chat: a prompt is
    what a user says; template: what else the chat template reads. together: how many prompts grow at once. unit: how many are run and
    saved together; what a run that is killed loses at most. bad: "stop" at a prompt that cannot be used, or "skip" it; told: is given
    each that is skipped. prompt_column, id_column, form: of files, see `unspool.many.reading`. engine: "inline", "processes" or "ray", with
    workers, address (of a Ray cluster), cpus and gpus (of each actor). watch: is given every step that is made in this process.
    """

    def __init__(
        self,
        lm: LanguageModel | ModelOpening,
        prompts: Iterable[Any] | Path | Sequence[Path],
        decoders: Sequence[DecoderLike] | Mapping[str, DecoderLike],
        *,
        save: str | Path,
        max_new_tokens: int | None = None,
        max_length: int | None = None,
        seed: int = 0,
        chat: bool = False,
        template: Mapping[str, Any] | None = None,
        together: int | None = None,
        unit: int = UNIT_PROMPTS,
        bad: str = "stop",
        told: Callable[[UnusablePrompt], None] = lambda refused: None,
        prompt_column: str | None = None,
        id_column: str | None = None,
        form: str | None = None,
        engine: str = "inline",
        workers: int | None = None,
        address: str | None = None,
        cpus: float = 1,
        gpus: float = 0,
        watch: Callable[[Step], None] = lambda step: None,
    ) -> None:
        whole("unit", unit, 1)
        whole("seed", seed)
        for value, what in ((together, "together"), (max_new_tokens, "max_new_tokens"), (max_length, "max_length")):
            check(value is None or is_whole(value, 1), f"{what} must be a whole number >= 1; got {value!r}")
        if max_new_tokens is not None and max_length is not None:
            raise ParameterError(f"give max_new_tokens ({max_new_tokens}) or max_length ({max_length}), not both")
        check(bad in BAD, f"bad is one of {', '.join(BAD)}; got {bad!r}")
        check_engine(engine, workers, address)
        check(not isinstance(prompts, str | bytes), "run takes many prompts, or a Path; got one text: put it in a list")
        new = None if max_length is not None else (max_new_tokens or DEFAULT_NEW_TOKENS)
        self.decoders = check_decoders(decoders)
        self.recipes = {name: recipe_of(d, seed, new, max_length, chat, template and dict(template)) for name, d in self.decoders.items()}
        self.sent: dict[str, Any] = dict(self.decoders)
        if engine != "inline":
            self.sent = {name: sendable(d, f"the engine {engine}") for name, d in self.decoders.items()}
        self.unit, self.together, self.bad, self.told, self.watch = unit, together, bad, told, watch
        check_ending("save", save, ("jsonl", "parquet"))
        self.lines = unfinished_file(save)
        self.parquet = self.lines != Path(save)
        """Where texts come to first."""
        if isinstance(prompts, Path):
            prompts = [prompts]
        count = len(prompts) if isinstance(prompts, Sequence) else None
        self.first = next(iter(self.decoders))
        self.names = list[str]()
        if count and all(isinstance(one, Path) for one in prompts):
            check_apart([("save", str(save)), ("save", str(self.lines))][: 1 + self.parquet], [("run", str(one)) for one in prompts])
            self.names = [source_name(one) for one in prompts]
            count = count_asked(prompts, form)
            self.prompts = read_asked(prompts, Columns(prompt_column, id_column), form)
        else:
            self.prompts = given_asked(prompts)
        self.state = Saving(Path(save), self.lines, count, len(self.decoders))
        if self.parquet:
            from unspool.files import check_writable
            from unspool.many.reading import pyarrow_library

            pyarrow_library()
            check_writable(self.state.path)
        self.opening = (lm, engine, workers, address, cpus, gpus)

    def __iter__(self) -> Iterator[Saving]:
        """Go on to the end of the next unit."""
        file = SavedTexts(self.lines)
        with file.file.claimed():
            executor = executor_of(*self.opening)
            try:
                model = executor.model()
                kept = Kept(model, versions_of(model), self.unit)
                finished = self.parquet and self.state.path.exists() and next(file.file.lines(), None) is None
                held = parquet_groups(self.state.path) if finished else file.groups_of_units()
                yield from self._run(executor, rest_of(self._units(), held, self.state.path, kept), file, kept, finished)
                if not self.state.prompts:
                    raise PromptError(self._nothing())
                if self.parquet and not finished:
                    to_parquet(file.groups_of_units(), self.state.path)
            finally:
                executor.close()
        if self.parquet and not finished:
            os.unlink(self.lines)
        self.state.finished = True

    def _nothing(self) -> str:
        """What is wrong where no prompt was run."""
        lacking = f"none of the {self.state.refused} prompts can be used" if self.state.refused else "there is no prompt"
        return f"{lacking} in {', '.join(self.names) or 'what was given'}"

    def _run(self, executor: Executor, rest: Iterator[Any], file: SavedTexts, kept: Kept, finished: bool) -> Iterator[Saving]:
        first = list[Unit]()
        for one in rest:
            if isinstance(one, Unit):
                first.append(one)
                break
            unit, lines = one
            texts = sum(line["number"] > 0 for line in lines)
            self.state.take(unit, texts, unit.name == self.first)
            self.state.failed += len(lines) - texts
            self.state.kept += texts
            yield self.state
        if first and finished:
            raise PromptError(f"{self.state.path} is finished, and there are more prompts now; give another file")
        for unit, made in executor.run(itertools.chain(first, rest), self.watch):
            for texts in made.texts:
                if isinstance(texts, UnusablePrompt):
                    self._refuse(texts, again=unit.name != self.first)
                else:
                    self.state.failed += texts[0].reason == "failed"
            if lines_made := lines_of(unit, made, kept):
                file.append(lines_made)
            self.state.take(unit, sum(g.number > 0 for g in made.generations), unit.name == self.first)
            yield self.state

    def _units(self) -> Iterator[Unit]:
        """The units, as the input is read."""
        number = itertools.count()
        while some := list(itertools.islice(self.prompts, self.unit)):
            for one in some:
                if isinstance(one, UnusablePrompt):
                    self._refuse(one)
            asked = tuple(one for one in some if isinstance(one, GivenPrompt))
            check_ids(asked)
            for name in self.decoders:
                place = next(number)
                if asked:
                    yield Unit(place, name, self.sent[name], self.recipes[name], asked, self.together)

    def _refuse(self, one: UnusablePrompt, again: bool = False) -> None:
        """again: it was told for another decoder."""
        if self.bad == "stop":
            raise PromptError(f"{one.where}: {one.why} (--bad-lines skip leaves such out)")
        if not again:
            self.state.refused += 1
            self.told(one)
