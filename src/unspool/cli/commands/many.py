"""`unspool generate --save`: many prompts into a file."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from unspool.cli import options
from unspool.cli.commands.common import FAILED, broken_off, open_model, times
from unspool.errors import ParameterError, check

if TYPE_CHECKING:
    from unspool.many.run import Saving
    from unspool.many.unit import UnusablePrompt
    from unspool.record.step import Step

ENGINE_NAMES = ["inline", "processes", "ray"]
RUN_BY = [
    options.option("--engine", hint="Who runs the prompts.", default="inline", type=click.Choice(ENGINE_NAMES)),
    options.option("--workers", hint="How many processes or actors, each with the model.", default="a processor each; ray: 1", type=int),
    options.option("--ray-address", hint="Of a Ray cluster; auto: the one around.", default="Ray on this machine", metavar="ADDRESS"),
]
"""Who runs many prompts."""
MANY = [
    options.option(
        "--save",
        hint="Save the texts of many prompts, as .jsonl or .parquet; those there are kept.",
        metavar="FILE",
        type=options.FileWritten("jsonl", "parquet"),
    ),
    options.option("--unit", hint="Prompts that are run and saved together.", default="256", type=int),
    options.option("--together", hint="How many prompts grow at once.", default="by the memory", type=int),
    *RUN_BY,
]
"""What only --save takes, and itself."""
OPTION_OF = {str(parameter.name): parameter.opts[0] for parameter in MANY}


PROMPTS_SKIPPED = [
    options.option("--id-column", hint="A column of names, which draws then follow in place of the prompts.", metavar="NAME"),
    options.option("--bad-lines", hint="At a prompt that cannot be used.", default="stop", type=click.Choice(["stop", "skip"])),
]
"""What generate takes more of files of prompts."""


def check_alone(how: dict[str, Any]) -> None:
    """Refuse what belongs to --save where that is not given, and take it out."""
    given = [option for name, option in OPTION_OF.items() if how.pop(name) is not None]
    check(not given, f"{', '.join(given)} belongs to --save FILE; give both")


def save_many(
    prompt: str | None,
    files: Sequence[str],
    decoders: Sequence[str],
    refused: dict[str, Any],
    asked: dict[str, Any],
    parts: Sequence[str],
    how: dict[str, Any],
) -> int:
    """Run, with a bar, and say what came of it; the exit code. refused: options that mean nothing here, and whether they were given."""
    from unspool.cli.console import Sink, note
    from unspool.cli.long_bar import LongBar
    from unspool.core.decoder import Decoder, parse
    from unspool.many.executors.opening import ModelOpening
    from unspool.many.run import UNIT_PROMPTS, SavingRun

    given = [name for name, value in refused.items() if value]
    check(not given, f"--save writes every text with its numbers; leave out {', '.join(given)}")
    if prompt is not None:
        raise ParameterError("--save takes the prompts of files: -f FILE, or -f - for standard input")
    check(bool(files), "--save takes the prompts of files: give -f FILE, or -f - for standard input")
    inline = how["engine"] in (None, "inline")
    lm = open_model(how) if inline else ModelOpening(how["model"], how["backend"], how["device"], how["dtype"], parts=tuple(parts))
    bar = LongBar("generate", None)
    work = SavingRun(
        lm,
        [Path(name) for name in files],
        [parse(text) for text in decoders] or [Decoder()],
        save=how["save"],
        **asked,
        together=how["together"],
        unit=UNIT_PROMPTS if how["unit"] is None else how["unit"],
        bad=how["bad_lines"] or "stop",
        told=lambda one: told(one),
        prompt_column=how["prompt_column"],
        id_column=how["id_column"],
        form=how["file_form"],
        engine=how["engine"] or "inline",
        workers=how["workers"],
        address=how["ray_address"],
        watch=lambda step: seen(step),
    )

    def told(one: UnusablePrompt) -> None:
        bar.hide()
        skipped(one)

    def seen(step: Step) -> None:
        bar.step(len(step), int((step.reason != "").sum()))

    bar.total = None if work.state.total is None else work.state.total * work.state.decoders
    began, interrupted = time.monotonic(), False
    with bar:
        try:
            for state in work:
                bar.reached(state.done, made=state.texts > state.kept)
        except KeyboardInterrupt:
            interrupted = True
    sink = Sink("text", None, how["color"])
    sink.write(summary(work.state, time.monotonic() - began))
    if interrupted:
        return broken_off(sink, [], how["save"], "")
    if work.state.failed:
        runs = "prompts" if work.state.decoders == 1 else "runs of a prompt under a decoder"
        note(f"{work.state.failed} of {work.state.done} {runs} came to no text; their lines say why")
    return FAILED if work.state.failed else 0


def skipped(one: UnusablePrompt) -> None:
    """Say of a prompt that cannot be used that it is left out."""
    from unspool.cli.console import note

    note(f"{one.where} is skipped: {one.why}")


def summary(state: Saving, seconds: float) -> str:
    """A line about a run: of one that was broken off, how much there is to come, and where its texts lie."""
    there = f", of which {state.kept} were there" if state.kept else ""
    left_out = f"; {state.refused} skipped" if state.refused else ""
    some = times(state.prompts, "prompt")
    if not state.finished and state.total is not None:
        some = f"the first {state.prompts} of {state.total} prompts"
    where = state.path if state.finished else state.lines
    return f"{where}: {state.texts} texts of {some}{there}{left_out}; {seconds:.1f} s\n"
