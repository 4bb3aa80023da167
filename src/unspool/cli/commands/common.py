"""What the commands share: where results go, what computes, and how a run is followed to its end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unspool.errors import DeadEnd, check

if TYPE_CHECKING:
    import click

    from unspool.cli.commands.live import Draw
    from unspool.cli.console import Sink
    from unspool.core.decoder import Decoder
    from unspool.language_model import LanguageModel
    from unspool.output import Output
    from unspool.record.trace import Trace
    from unspool.stream import Stream

INTERRUPTED = 130
"""The exit code of a program that Ctrl-C ends."""
EXPECTED = ("end", "complete", "length", "followed", "interrupted")
"""Why a text ends without surprise, or with a line of its own."""
EARLY = {"unfinished": "unfinished, for max_new_tokens cut it before it was whole"}
"""Reasons that need a word more."""
NAMED_IN = 28
"""Columns for a decoder beside what its search has proved."""
FAILED = 2
"""The exit code if a prompt came to no text; the others are shown all the same."""


def open_sink(how: dict[str, Any]) -> Sink:
    """Where the result goes; what else is written goes elsewhere."""
    from unspool.cli.console import Sink

    return Sink(how["output"], how["output_file"], how["color"])


def check_unheeded(ctx: click.Context, names: Sequence[str], why: str) -> None:
    """Refuse options that were given and that nothing would heed."""
    given = [p.opts[0] for p in ctx.command.params if p.name in names and str(p.name) in ctx.params and _was_given(ctx, str(p.name))]
    check(not given, f"{why}: leave out {', '.join(given)}")


def _was_given(ctx: click.Context, name: str) -> bool:
    source = ctx.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def open_model(how: dict[str, Any]) -> LanguageModel:
    """The model that the options name."""
    from unspool.cli.console import Bar, note
    from unspool.loader import open_quietly
    from unspool.models.progress import watched

    name = Path(how["model"] or "bundled").name
    with Bar(f"opening {name}", 100) as bar, watched(lambda done, total: bar.at(100 * done // max(total, 1))):
        lm = open_quietly(how["model"], device=how["device"], dtype=how["dtype"], backend=how["backend"])
    for text in lm.notes:
        note(text)
    return lm


def check_trace(trace: str | None, prompts: Sequence[Any], decoders: Sequence[Decoder]) -> None:
    """Refuse a trace of several runs, or one that cannot be written."""
    from unspool.files import check_writable

    if trace:
        check(len(prompts) == 1 and len(decoders) == 1, "--trace saves one prompt and one decoder")
        check_writable(trace)


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
    dead: bool = False,
) -> tuple[Trace | None, Callable[[], int]]:
    """A record to show, from a saved trace or of a new run (None if nothing came of it), and what ends the command.

    draw: shows a new run on the terminal while it grows. dead: a run that came to no text is shown, too; otherwise it is an error.
    """
    from unspool.cli.console import read_prompt
    from unspool.core.decoder import parse
    from unspool.record.trace import Trace

    if saved is not None:
        check(prompt is None, "give a prompt or a saved trace (--from), not both")
        given = [name for name, value in (("--decoder", decoder), ("--trace", how["trace"]), ("--chat", how["chat"])) if value]
        check(not given, f"a saved trace (--from) is shown as it is; leave out {', '.join(given)}")
        return Trace.load(saved), lambda: finish([], [], sink, None)
    text, decoders = read_prompt(prompt), [parse(one) for one in decoder or (default,)]
    check(len(decoders) == 1, f"this shows one decoder; got {len(decoders)}")
    check_trace(how["trace"], [text], decoders)
    run = open_model(how).stream([text], decoders[0], chat=how["chat"], level=level, **settings)
    (output,) = follow(run, sink, draw=draw) or (None,)
    if output and not output.sequences and not dead:
        save(output, how["trace"])
        raise DeadEnd(output.failure)
    return output.trace if output else None, lambda: finish([run], [output] if output else [], sink, how["trace"])


def follow(run: Stream, sink: Sink, live: bool | None = None, draw: Draw | None = None, among: bool = False) -> list[Output]:
    """Run to the end, or to Ctrl-C, and return what was generated; text is shown unless `live` is None, live if it can be.

    draw: what shows the record while it grows, in place of a progress bar. among: other texts are shown too, so that a prompt that
    came to none has a line among them.
    """
    from unspool.cli.commands.live import Live
    from unspool.cli.console import Bar
    from unspool.views.characters import safe
    from unspool.views.results import draw_failure, draw_output

    show, began = sink.paint, False
    question = not run.asked or len(run.prompts) > 1                      # whoever asks a chat model one thing knows what he asked
    with Live(sink, draw) as screen, Bar(run.recipe["decoder"], max(run.limits), wanted=screen.draw is None) as bar:
        run.watch(lambda: bar.show(progress_of(run)))
        try:
            for step in run:
                screen.show(run)
                piece = run.certain(step)
                if not live or not run.single or not len(step):
                    bar.advance()
                    continue
                before = "" if began or run.asked else show(safe(run.prompts[0]), "prompt")
                sink.write(before + show(safe(piece), "new"))
                began = True
        except KeyboardInterrupt:
            run.interrupt()
    outputs: list[Output] = run.outputs
    if run.interrupted and not any(output.sequences for output in outputs):
        sink.write("\n" * began)
        return []                                                         # stopped before the first token
    if began and outputs[0].sequences:
        sink.write(show(safe(run.rest()), "new") + "\n")
    elif began:
        sink.write("\n" + (draw_failure(outputs[0], sink.width, show) if among else ""))
    elif live is not None and sink.form == "text":
        shown = [output for output in outputs if output.sequences or among]
        sink.write("\n".join(draw_output(output, sink.width, show, not run.single, question) for output in shown))
    if live is not None and sink.form == "text" and run.single:
        say_endings(outputs)
    if live is not None and sink.form == "text":
        say_work(outputs)
    return outputs


def broken_off(sink: Sink, others: Sequence[str | None], saved: str | None, what: str) -> int:
    """Say of a run over many prompts that Ctrl-C ended it, and which files it therefore left as they were; the exit code."""
    from unspool.cli.console import note

    files = [str(path) for path in (sink.path, *others) if path]
    left = f"; {', '.join(files)} {'is' if len(files) == 1 else 'are'} not written" if files else ""
    note("interrupted" + what + left + ("; the same command goes on from here" if saved else ""))
    return INTERRUPTED


def progress_of(run: Stream) -> str:
    """Who is at work, and how far it has come: what a search has proved, or what it took."""
    from unspool.views.terminal import fit_right

    decoder, certificate = str(run.recipe["decoder"]), run.certificate
    if certificate is None:
        return f"{fit_right(decoder, NAMED_IN)}  {times(run.cost()['forwards'], 'forward')}"
    best = f"{certificate.found[0]:.4g}" if certificate.found else "none"
    return f"{fit_right(decoder, NAMED_IN)}  best {best}  bound {certificate.bound:.4g}"


def times(count: int, what: str) -> str:
    """A number of things."""
    return f"{count} {what}{'' if count == 1 else 's'}"


def say_endings(outputs: Sequence[Output]) -> None:
    """Say of texts that stand without their numbers why they ended, where that is not what one expects."""
    from unspool.cli.console import note

    reasons = [s.reason for output in outputs for s in output.sequences]
    for reason in dict.fromkeys(reasons):
        if reason not in EXPECTED:
            which = "the text" if len(reasons) == 1 else f"{reasons.count(reason)} of {len(reasons)} texts"
            note(f"{which} ended early: {EARLY.get(reason, reason)}")


def say_work(outputs: Sequence[Output]) -> None:
    """Say what it took where a strategy counts more than its forwards, as how often a text was taken back."""
    from unspool.cli.console import note

    counts: dict[str, int] = {}
    for output in outputs:
        for what, count in output.trace.work.items():
            counts[what] = counts.get(what, 0) + count
    if len(counts) > 1:
        note(", ".join(times(count, "forward") if what == "forwards" else f"{what}: {count}" for what, count in counts.items()))


def save(output: Output, trace: str | None) -> None:
    """Save the record of what was generated, if that is asked for."""
    if trace:
        output.trace.save(trace)


def finish(runs: Sequence[Stream], outputs: Sequence[Output], sink: Sink, trace: str | None) -> int:
    """Save what is to be saved, then say which prompts came to no text; the exit code."""
    from unspool.cli.console import note

    if outputs or not runs:
        sink.close()
    if outputs:
        save(outputs[0], trace)
    failed = [output for output in outputs if not output.sequences]
    if failed and not any(run.interrupted for run in runs):
        others = f" ({len(failed)} of {len(outputs)} came to no text)" if len(outputs) > 1 else ""
        note(failed[0].failure + others)
        for certificate in failed[0].trace.certificates:
            note(str(certificate))
        return FAILED
    few = [output for output in outputs if output.fewer]
    if few:
        note(few[0].fewer + (f" ({len(few)} of {len(outputs)} prompts came to fewer)" if len(outputs) > 1 else ""))
    if not any(run.interrupted for run in runs):
        return 0
    note("interrupted" if outputs else "interrupted before the first token")
    return INTERRUPTED
