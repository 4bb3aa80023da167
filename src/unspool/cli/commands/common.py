"""What the commands share: where results go, what computes, and how a run is followed to its end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unspool.errors import DeadEnd, check

if TYPE_CHECKING:
    from unspool.cli.commands.live import Draw
    from unspool.cli.console import Sink
    from unspool.core.decoder import Decoder
    from unspool.language_model import LanguageModel
    from unspool.output import Output
    from unspool.record.trace import Trace
    from unspool.stream import Stream

INTERRUPTED = 130
"""The exit code of a program that Ctrl-C ends."""


def open_sink(how: dict[str, Any]) -> Sink:
    """Where the result goes."""
    from unspool.cli.console import Sink

    return Sink(how["output"], how["output_file"], how["color"])


def open_model(how: dict[str, Any]) -> LanguageModel:
    """The model that the options name."""
    from unspool.loader import load

    return load(how["model"], device=how["device"], dtype=how["dtype"], backend=how["backend"])


def read_decoding(prompt: str | None, files: Sequence[str], decoders: Sequence[str]) -> tuple[list[str], list[Decoder]]:
    """The prompts and decoders of a command."""
    from unspool.cli.console import read_prompts
    from unspool.core.decoder import Decoder, parse

    return read_prompts(prompt, list(files)), [parse(text) for text in decoders] or [Decoder()]


def check_trace(trace: str | None, prompts: list[str], decoders: list[Decoder]) -> None:
    """Refuse a trace of several runs, or one that cannot be written."""
    from unspool.cli.console import check_writable

    if trace:
        check(len(prompts) == 1 and len(decoders) == 1, "--trace saves one prompt and one decoder")
        check_writable(Path(trace))


def record_of(
    sink: Sink,
    prompt: str | None,
    saved: str | None,
    decoder: Sequence[str],
    level: str,
    settings: dict[str, Any],
    how: dict[str, Any],
    draw: Draw | None = None,
    default: str = "greedy",
) -> tuple[Trace | None, Callable[[], int]]:
    """A record to show, from a saved trace or of a new run (None if nothing came of it), and what ends the command.

    draw: shows a new run on the terminal while it grows.
    """
    from unspool.record.trace import Trace

    if saved is not None:
        check(prompt is None, "give a prompt or a saved trace (--from), not both")
        given = [name for name, value in (("--decoder", decoder), ("--trace", how["trace"]), ("--chat", how["chat"])) if value]
        check(not given, f"a saved trace (--from) is shown as it is; leave out {', '.join(given)}")
        return Trace.load(saved), lambda: finish([], [], sink, None)
    prompts, decoders = read_decoding(prompt, [], decoder or (default,))
    check(len(decoders) == 1, f"this shows one decoder; got {len(decoders)}")
    check_trace(how["trace"], prompts, decoders)
    run = open_model(how).stream(prompts[0], decoders[0], chat=how["chat"], level=level, **settings)
    outputs = follow(run, sink, draw=draw)
    return outputs[0].trace if outputs else None, lambda: finish([run], outputs, sink, how["trace"])


def follow(run: Stream, sink: Sink, live: bool | None = None, draw: Draw | None = None) -> list[Output]:
    """Run to the end, or to Ctrl-C, and return what was generated; text is shown unless `live` is None, live if it can be.

    draw: what shows the record while it grows, in place of a progress bar.
    """
    from unspool.cli.commands.live import Live
    from unspool.cli.console import Bar
    from unspool.views.characters import safe
    from unspool.views.results import draw_output

    show, began = sink.paint, False
    with Live(sink, draw) as screen, Bar(run.recipe["decoder"], max(run.limits), wanted=screen.draw is None) as bar:
        try:
            for step in run:
                screen.show(run)
                piece = run.certain(step)
                if not live or not run.single or not len(step):
                    bar.advance()
                    continue
                before = "" if began else show(safe(run.asked[0] if run.asked else run.prompts[0]), "prompt")
                sink.write(before + show(safe(piece), "new"))
                began = True
        except KeyboardInterrupt:
            run.interrupt()
    try:
        outputs = run.outputs
    except DeadEnd:
        if began:
            sink.write("\n")
        if not run.interrupted:
            raise
        return []                                                         # stopped before the first token
    if began:
        sink.write(show(safe(run.rest()), "new") + "\n")
    elif live is not None and sink.form == "text":
        sink.write("\n".join(draw_output(output, sink.width, show, numbers=not run.single) for output in outputs))
    return outputs


def finish(runs: Sequence[Stream], outputs: Sequence[Output], sink: Sink, trace: str | None) -> int:
    """Save what is to be saved; the exit code."""
    from unspool.cli.console import note

    if outputs or not runs:
        sink.close()
    if outputs and trace:
        outputs[0].trace.save(trace)
    if not any(run.interrupted for run in runs):
        return 0
    note("interrupted" if outputs else "interrupted before the first token")
    return INTERRUPTED
