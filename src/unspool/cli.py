"""The command line: parse, call, hand the result to a view. All else is imported when a command runs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from unspool import options
from unspool.errors import DeadEnd, ParameterError, PromptError, UnspoolError, check

if TYPE_CHECKING:
    from unspool.console import Sink
    from unspool.decoder import Decoder
    from unspool.language_model import LanguageModel, Output, Stream
    from unspool.score import Score
    from unspool.trace import Trace

INTERRUPTED = 130
TOGETHER = 16
"""Texts scored in one call."""


@click.group(
    cls=options.PromptFirst,
    params=options.PROGRAM,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    subcommand_metavar="PROMPT | COMMAND [ARGS]...",
    epilog=options.EXAMPLES,
)
def app() -> None:
    """Decode text from a language model, by every strategy, in full view.

    A PROMPT alone is generated from (say `unspool generate steps` for a prompt that is a command's name).
    """


@app.command(params=options.GENERATE)
@click.pass_context
def generate(
    ctx: click.Context,
    prompt: str | None,
    file: tuple[str, ...],
    decoder: tuple[str, ...],
    max_new_tokens: int | None,
    max_length: int | None,
    seed: int,
    stream: bool | None,
    output: str | None,
    output_file: str | None,
    color: str,
    trace: str | None,
    model: str,
    device: str | None,
    dtype: str | None,
    backend: str | None,
    chat: bool,
) -> int:
    """Generate text after a prompt, or after every prompt of a file."""
    say_hint(ctx)
    sink = open_sink(output, output_file, color)
    prompts, decoders = read_decoding(prompt, file, decoder)
    check_streaming(stream, sink, prompts)
    check_trace(trace, prompts, decoders)
    lm = load(model, device, dtype, backend)
    limits: dict[str, Any] = {"max_new_tokens": max_new_tokens, "max_length": max_length}
    runs = [lm.stream(prompts, d, **limits, chat=chat, seed=seed, level="choices" if trace else "off") for d in decoders]
    if stream and not all(run.single for run in runs):
        raise ParameterError("there is nothing to stream: beams compare several texts and know the best only at the end")
    outputs: list[Output] = []
    for run in runs:
        if len(runs) > 1 and sink.form == "text":
            sink.write(("\n" if outputs else "") + sink.paint(run.recipe["decoder"], "dim") + "\n")
        outputs += follow(run, sink, live=stream is not False and can_stream(sink, prompts))
        if run.interrupted:
            break
    if sink.form != "text":
        from unspool.views.report import generated

        sink.write(generated(outputs, sink.form))
    return finish(runs, outputs, sink, trace)


@app.command(params=options.STEPS)
def steps(
    prompt: str | None,
    n: int,
    choices: int,
    all: bool,
    processed: bool,
    decoder: tuple[str, ...],
    seed: int,
    output: str | None,
    output_file: str | None,
    color: str,
    trace: str | None,
    model: str,
    device: str | None,
    dtype: str | None,
    backend: str | None,
    chat: bool,
) -> int:
    """Show the likeliest next tokens at every step."""
    from unspool.views.report import stepped
    from unspool.views.table import StepTable
    from unspool.views.terminal import draw_steps

    check(n >= 1, f"steps needs -n of at least 1; got {n}")
    check(choices >= 1, f"--choices must be at least 1; got {choices}")
    sink = open_sink(output, output_file, color)
    prompts, decoders = read_decoding(prompt, [], decoder)
    check(len(decoders) == 1, f"steps shows one decoder; got {len(decoders)}")
    check_trace(trace, prompts, decoders)
    lm = load(model, device, dtype, backend)
    run = lm.stream(prompts, decoders[0], chat=chat, max_new_tokens=n, seed=seed, choices=choices, level="choices")
    outputs = follow(run, sink)
    if outputs:
        table = StepTable.from_trace(outputs[0].trace, all=all, processed=processed)
        sink.write(draw_steps(table, sink.width, sink.paint) if sink.form == "text" else stepped(table, prompts[0], sink.form))
    return finish([run], outputs, sink, trace)


@app.command(params=options.TREE)
def tree(
    prompt: str | None,
    saved: str | None,
    decoder: tuple[str, ...],
    max_new_tokens: int | None,
    seed: int,
    pruned: bool,
    lines: int,
    output: str | None,
    output_file: str | None,
    color: str,
    **how: Any,
) -> int:
    """Show the tree of a search: what was kept, finished and pruned, with scores; of samples, where they agree."""
    from unspool.views.tree import Tree
    from unspool.views.tree_text import draw_tree

    check(lines >= 0, f"--lines must be at least 0; got {lines}")
    sink = open_sink(output, output_file, color)
    check(sink.form in options.TREE_FORMS, f"a tree has no form {sink.form}; it has {', '.join(options.TREE_FORMS)}")
    settings = {"max_new_tokens": 8 if max_new_tokens is None else max_new_tokens, "seed": seed}
    record, end = record_of(sink, prompt, saved, decoder or ("beam(3)",), "choices", settings, how)
    if record is not None:
        shown = Tree.from_trace(record, pruned=pruned)
        sink.write(draw_tree(shown, sink.width, sink.paint, lines) if sink.form == "text" else shown.to_form(sink.form))
    return end()


@app.command(params=options.WHY)
def why(
    prompt: str | None,
    saved: str | None,
    n: int,
    choices: int,
    decoder: tuple[str, ...],
    seed: int,
    output: str | None,
    output_file: str | None,
    color: str,
    **how: Any,
) -> int:
    """Show what every processor did to the likeliest tokens at one step, and by how much a token missed."""
    from unspool.views.report import explained
    from unspool.views.why import Why

    check(n >= 1, f"why needs -n of at least 1; got {n}")
    check(choices >= 1, f"--choices must be at least 1; got {choices}")
    sink = open_sink(output, output_file, color)
    settings = {"max_new_tokens": n, "seed": seed, "choices": choices}
    record, end = record_of(sink, prompt, saved, decoder, "stages", settings, how)
    if record is not None:
        shown = Why.from_trace(record, n)
        sink.write(shown.draw(sink.width, sink.paint) if sink.form == "text" else explained(shown, sink.form))
    return end()


@app.command(params=options.SCORE)
def score(
    prompt: str | None,
    continuation: str | None,
    file: tuple[str, ...],
    stride: int | None,
    output: str | None,
    output_file: str | None,
    color: str,
    model: str,
    device: str | None,
    dtype: str | None,
    backend: str | None,
) -> int:
    """Show the log-probability of a text after a prompt, token by token."""
    from unspool.console import read_pairs
    from unspool.views.report import scored
    from unspool.views.terminal import draw_score

    sink = open_sink(output, output_file, color)
    pairs = read_pairs(prompt, continuation, list(file))
    lm = load(model, device, dtype, backend)
    scores = score_pairs(lm, pairs, stride)
    texts = (draw_score(s, sink.width, sink.paint, title=len(pairs) > 1) for s in scores)
    sink.write("\n".join(texts) if sink.form == "text" else scored(scores, sink.form))
    sink.close()
    return 0 if len(scores) == len(pairs) else INTERRUPTED


@app.command(params=options.MODELS)
def models(
    model: str | None,
    output: str | None,
    output_file: str | None,
    color: str,
    device: str | None,
    dtype: str | None,
    backend: str | None,
) -> int:
    """List the bundled model and those of the hub that are cached, or those in a folder; or describe one model."""
    from unspool.models.details import details
    from unspool.models.listing import bundled, is_shelf, models_cached, models_in
    from unspool.views.models import draw_details
    from unspool.views.report import detailed, listed
    from unspool.views.terminal import draw_models

    sink = open_sink(output, output_file, color)
    if model is None or is_shelf(model):
        found = [bundled(), *(models_in(Path(model)) if model else models_cached())]
        sink.write(draw_models(found, sink.paint) if sink.form == "text" else listed(found, sink.form))
    else:
        one = details(load(model, device, dtype, backend))
        sink.write(draw_details(one, sink.paint) if sink.form == "text" else detailed(one, sink.form))
    sink.close()
    return 0


@app.command(params=options.VERIFY)
def verify(
    model: str,
    output: str | None,
    output_file: str | None,
    color: str,
    device: str | None,
    dtype: str | None,
    backend: str | None,
) -> int:
    """Check a model against recorded facts; the exit code is 1 if it differs."""
    from unspool.facts import verify_live
    from unspool.views.models import draw_check
    from unspool.views.report import verified

    sink, checks = open_sink(output, output_file, color), []
    for one in verify_live(load(model, device, dtype, backend)):
        checks.append(one)
        if sink.form == "text":
            sink.write(draw_check(one, sink.width, sink.paint))
    if sink.form != "text":
        sink.write(verified(checks, sink.form))
    sink.close()
    return 0 if all(one.ok for one in checks) else 1


# --- what the commands share ------------------------------------------------------------------------------------------


def say_hint(ctx: click.Context) -> None:
    """Say once that the prompt looks like a command."""
    from unspool.console import note

    if hint := ctx.meta.pop("unspool.hint", ""):
        note(hint)


def open_sink(output: str | None, output_file: str | None, color: str) -> Sink:
    """Where the result goes."""
    from unspool.console import Sink

    return Sink(output, output_file, color)


def read_decoding(prompt: str | None, files: Sequence[str], decoders: Sequence[str]) -> tuple[list[str], list[Decoder]]:
    """The prompts and decoders of a command."""
    from unspool.console import read_prompts
    from unspool.decoder import Decoder, parse

    return read_prompts(prompt, list(files)), [parse(text) for text in decoders] or [Decoder()]


def can_stream(sink: Sink, prompts: list[str]) -> bool:
    """Whether text can be shown as it grows."""
    return sink.form == "text" and sink.path is None and len(prompts) == 1


def check_streaming(stream: bool | None, sink: Sink, prompts: list[str]) -> None:
    """Refuse --stream where there is nothing to be seen growing."""
    check(not stream or sink.form == "text", f"--stream shows text as it grows; the form {sink.form} is written at the end")
    check(not stream or sink.path is None, "--stream shows text as it grows; --output-file is written at the end")
    check(not stream or len(prompts) == 1, f"--stream needs one prompt; got {len(prompts)}")


def check_trace(trace: str | None, prompts: list[str], decoders: list[Decoder]) -> None:
    """Refuse a trace of several runs, or one that cannot be written."""
    from unspool.console import check_writable

    if trace:
        check(len(prompts) == 1 and len(decoders) == 1, "--trace saves one prompt and one decoder")
        check_writable(Path(trace))


def record_of(
    sink: Sink, prompt: str | None, file: str | None, decoder: Sequence[str], level: str, settings: dict[str, Any], how: dict[str, Any]
) -> tuple[Trace | None, Callable[[], int]]:
    """A record to show, from a saved trace or of a new run, and what ends the command."""
    from unspool.trace import Trace

    if file is not None:
        check(prompt is None, "give a prompt or a saved trace (--from), not both")
        return Trace.load(file), lambda: finish([], [], sink, None)
    prompts, decoders = read_decoding(prompt, [], decoder)
    check(len(decoders) == 1, f"this shows one decoder; got {len(decoders)}")
    check_trace(how["trace"], prompts, decoders)
    lm = load(how["model"], how["device"], how["dtype"], how["backend"])
    run = lm.stream(prompts, decoders[0], chat=how["chat"], level=level, **settings)
    outputs = follow(run, sink)
    return outputs[0].trace if outputs else None, lambda: finish([run], outputs, sink, how["trace"])


def load(model: str, device: str | None, dtype: str | None, backend: str | None) -> LanguageModel:
    """The model that the options name."""
    from unspool.language_model import load

    return load(model, device=device, dtype=dtype, backend=backend)


def follow(run: Stream, sink: Sink, live: bool | None = None) -> list[Output]:
    """Run to the end, or to Ctrl-C, and return what was generated; text is shown unless `live` is None, live if it can be."""
    from unspool.console import Bar
    from unspool.views.terminal import draw_output, safe

    show, began = sink.paint, False
    with Bar(run.recipe["decoder"], int(run.search.limits.max())) as bar:
        try:
            for step in run:
                piece = run.certain(step)
                if not live or not run.single or not len(step):
                    bar.advance()
                    continue
                sink.write(("" if began else show(safe(run.prompts[0]), "prompt")) + show(safe(piece), "new"))
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


def finish(runs: list[Stream], outputs: list[Output], sink: Sink, trace: str | None) -> int:
    """Save what is to be saved; the exit code."""
    from unspool.console import note

    if outputs:
        sink.close()
        if trace:
            outputs[0].trace.save(trace)
    if not any(run.interrupted for run in runs):
        return 0
    note("interrupted" if outputs else "interrupted before the first token")
    return INTERRUPTED


def score_pairs(lm: LanguageModel, pairs: list[tuple[str, str]], stride: int | None) -> list[Score]:
    """Scores of pairs; after Ctrl-C of those that are done."""
    from unspool.console import Bar

    for _, text in pairs:
        if not text:
            raise PromptError("there is nothing to score: the continuation is empty")
    scores: list[Score] = []
    with Bar("score", len(pairs)) as bar:
        try:
            for i in range(0, len(pairs), TOGETHER):
                some = pairs[i : i + TOGETHER]
                scores += lm.score([p for p, _ in some], [t for _, t in some], stride=stride)
                bar.advance(len(some))
        except KeyboardInterrupt:
            pass
    return scores


def run(arguments: list[str] | None = None) -> int:
    """Run a command line; the exit code. What is wrong with it is said in one line."""
    from unspool.console import note

    try:
        return int(app(args=arguments, prog_name="unspool", standalone_mode=False) or 0)
    except click.ClickException as error:
        note(usage_message(error))
    except UnspoolError as error:
        note(str(error))
    except OSError as error:
        note(f"{error.filename or 'the operating system says'}: {error.strerror}")
    except MemoryError:
        note("out of memory")
    except (KeyboardInterrupt, click.Abort):
        note("interrupted")
        return INTERRUPTED
    return 2


def usage_message(error: click.ClickException) -> str:
    """What is wrong with the arguments, and what may have been meant."""
    message = str(error.format_message()).rstrip(".")
    ctx = getattr(error, "ctx", None)
    if "unexpected extra argument" in message:
        message += "; put a text of several words in quotes"
    hint = ctx.meta.get("unspool.hint") if ctx else ""
    return f"{message} ({hint})" if hint else f"{message} (see {ctx.command_path} --help)" if ctx else message


def main() -> None:
    """The program `unspool`."""
    for file in (sys.stdout, sys.stderr):
        file.reconfigure(encoding="utf-8", errors="replace")  # type: ignore[union-attr]
    sys.exit(run())


if __name__ == "__main__":
    main()
