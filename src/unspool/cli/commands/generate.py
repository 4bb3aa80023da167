"""`unspool generate`, and the program without a command."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from unspool.cli import options
from unspool.cli.commands.common import check_trace, finish, follow, open_model, open_sink
from unspool.cli.commands.many import MANY, PROMPTS_SKIPPED, check_alone, save_many, skipped
from unspool.errors import ParameterError, check

if TYPE_CHECKING:
    from unspool.cli.console import Sink
    from unspool.core.decoder import Decoder
    from unspool.lab.search_error import SearchError
    from unspool.language_model import LanguageModel
    from unspool.output import Output

_LENGTH = options.option("--max-length", hint="The most tokens, counting the prompt's.", type=int)
_RECORDED = options.option("--choices", hint="Record so many of the likeliest tokens at every place; JSON shows them.", type=int)
_STREAM = options.option("--stream/--no-stream", hint="Show text as it grows, or at the end.", default="stream")

_COMPARE = options.repeated(
    "--compare",
    hint="Say how far this decoder's text falls short of the best, where -d is exact search; repeatable.",
    metavar="TEXT",
    shell_complete=options.decoder_names,
)


LOOP, LONG_ENOUGH, MOST_REPEATED = 4, 20, 0.3
"""Tokens in a row, and the share of those that have come before above which a text of so many tokens is said to repeat itself."""
INSTEAD = "temperature(0.8) | top_p(0.9) | sample"
"""What a first text is better written by."""


@options.command(
    options.PROMPT,
    options.PROMPT_FILES,
    *options.PROMPTS_BY,
    *PROMPTS_SKIPPED,
    options.DECODERS,
    _COMPARE,
    options.PARTS,
    options.NEW_TOKENS,
    _LENGTH,
    _RECORDED,
    options.SEED,
    _STREAM,
    *options.RESULT,
    options.TRACE,
    *options.LOADED,
    options.CHAT,
    options.TEMPLATE,
    *MANY,
)
@click.pass_context
def generate(
    ctx: click.Context,
    /,
    prompt: str | None,
    file: tuple[str, ...],
    decoder: tuple[str, ...],
    compare: tuple[str, ...],
    max_new_tokens: int | None,
    max_length: int | None,
    choices: int | None,
    seed: int,
    stream: bool | None,
    trace: str | None,
    chat: bool,
    template: str | None,
    **how: Any,
) -> int:
    """Generate text after a prompt, or after every prompt of a file; with --save into a file that goes on where a run was broken off."""
    if hint := ctx.meta.pop("unspool.hint", ""):
        from unspool.cli.console import note

        note(hint)
    check(choices is None or choices >= 1, f"--choices must be at least 1; got {choices}")
    if how["save"] is not None:
        parts = ctx.meta.get(options.PARTS_META, ())
        given = {"--trace": trace, "--choices": choices, "--compare": compare, "--stream": stream, "--output-file": how["output_file"]}
        limits = {"max_new_tokens": max_new_tokens, "max_length": max_length}
        options_of: dict[str, Any] = limits | {"seed": seed, "chat": chat, "template": read_variables(template)}
        return save_many(prompt, file, decoder, given | {"--output": how["output"]}, options_of, parts, how)
    check_alone(how)
    from unspool.cli.commands.given import read_prompts, to_stream, usable
    from unspool.core.decoder import Decoder, parse
    from unspool.many.reading import Columns

    sink = open_sink(how)
    told = skipped if how["bad_lines"] == "skip" else None
    check(bool(file) or how["bad_lines"] is None, "--bad-lines is for files of prompts: -f FILE")
    prompts = read_prompts(prompt, file, Columns(how["prompt_column"], how["id_column"]), how["file_form"], told)
    decoders = [parse(text) for text in decoder] or [Decoder()]
    check_streaming(stream, sink, prompts)
    check_trace(trace, prompts, decoders)
    others = check_compared(compare, decoders, sink)
    lm, variables = open_model(how), read_variables(template)
    recipe = {"chat": chat, "template": variables, "max_length": max_length}
    prompts = usable(lm, prompts, recipe, told) if file else prompts
    asked: dict[str, Any] = {"max_new_tokens": max_new_tokens, "max_length": max_length}
    asked |= {"level": "choices" if trace or choices else "off", "choices": choices or 5}
    prompted = to_stream(lm, prompts, recipe)
    runs = [lm.stream(decoder=d, **prompted, **asked, seed=seed) for d in decoders]
    if stream and not all(run.single for run in runs):
        raise ParameterError("there is nothing to stream: this decoder has several texts, or knows only at the end which one it returns")
    outputs: list[Output] = []
    for run in runs:
        if len(runs) > 1 and sink.form == "text":
            sink.write(("\n" if outputs else "") + sink.paint(run.recipe["decoder"], "dim") + "\n")
        among = len(prompts) * len(decoders) > 1
        outputs += follow(run, sink, live=stream is not False and can_stream(sink, prompts), among=among)
        if run.interrupted:
            break
    compared = [] if runs[0].interrupted else [search_errors_of(lm, decoders[0], outputs, other, asked, seed) for other in others]
    if sink.form == "text" and not decoder:
        say_loops(outputs)
    if sink.form != "text":
        from unspool.views.report import generated

        sink.write(generated(outputs, sink.form, compared))
    elif compared:
        from unspool.lab.search_error import summary

        sink.write("\n" * (len(outputs) > 1) + "".join(draw_lines(summary(errors), sink) for errors in compared))
    return finish(runs, outputs, sink, trace)


def say_loops(outputs: Sequence[Output]) -> None:
    """Say that a text of greedy search, which nobody asked for by name, repeats itself, and what does not."""
    from unspool.cli.console import note
    from unspool.lab.metrics import ngrams, repetition

    texts = [list(output.best.tokens) for output in outputs if output.sequences]
    looping = [text for text in texts if len(text) >= LONG_ENOUGH and repetition([text], LOOP) > MOST_REPEATED]
    if not looping:
        return
    grams = list(ngrams(looping[0], LOOP))
    first = next(i + 1 for i, gram in enumerate(grams) if grams.index(gram) < i)
    which = f"it repeats itself from token {first} on" if len(texts) == 1 else f"{len(looping)} of {len(texts)} texts repeat themselves"
    note(f'{which}, as greedy search does, which runs without -d: try -d "{INSTEAD}" (why it loops is a lesson of `unspool lab`)')


def check_compared(texts: Sequence[str], decoders: Sequence[Decoder], sink: Sink) -> list[Decoder]:
    """The decoders that are compared with exact search; refused where there is none."""
    from unspool.core.decoder import parse

    exact = len(decoders) == 1 and decoders[0].strategy is not None and decoders[0].strategy.name == "exact"
    check(not texts or exact, "--compare measures against exact search: give one decoder with it, as -d 'exact(nodes=1000)'")
    shown = sink.form in ("text", "json", "jsonl")
    check(not texts or shown, f"--compare is shown as text or JSON; the form {sink.form} has no place for it")
    return [parse(text) for text in texts]


def search_errors_of(
    lm: LanguageModel, decoder: Decoder, outputs: Sequence[Output], other: Decoder, asked: dict[str, Any], seed: int
) -> list[SearchError]:
    """How far another decoder falls short after every prompt, with the same limits."""
    from unspool.lab.search_error import search_errors

    limits = {name: asked[name] for name in ("max_new_tokens", "max_length")}
    return search_errors(lm, decoder, outputs, other, seed=seed, **limits)


def draw_lines(text: str, sink: Sink) -> str:
    """A line, or lines where the screen is narrower."""
    from unspool.views.terminal import wrap

    return "".join(sink.paint(text[i:j], "dim") + "\n" for i, j in wrap(text, sink.width))


def read_variables(template: str | None) -> Any:
    """What else a chat template reads, from its JSON."""
    if template is None:
        return None
    try:
        found = json.loads(template)
    except (ValueError, RecursionError):
        found = None
    check(isinstance(found, dict), f"--template takes a JSON object, as '{{\"enable_thinking\": false}}'; got {template[:60]!r}")
    return found


def can_stream(sink: Sink, prompts: Sequence[Any]) -> bool:
    """Whether text can be shown as it grows."""
    return sink.form == "text" and sink.path is None and len(prompts) == 1


def check_streaming(stream: bool | None, sink: Sink, prompts: Sequence[Any]) -> None:
    """Refuse --stream where there is nothing to be seen growing."""
    check(not stream or sink.form == "text", f"--stream shows text as it grows; the form {sink.form} is written at the end")
    check(not stream or sink.path is None, "--stream shows text as it grows; --output-file is written at the end")
    check(not stream or len(prompts) == 1, f"--stream needs one prompt; got {len(prompts)}")
