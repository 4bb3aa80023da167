"""The command line: parse, call, hand the result to a view. All else is imported when a command runs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

import unspool
from unspool.errors import DeadEnd, ParameterError, PromptError, UnspoolError, check

if TYPE_CHECKING:
    from unspool.console import Sink
    from unspool.decoder import Decoder
    from unspool.language_model import LanguageModel, Output, Stream
    from unspool.score import Score

ClickException: Any = typer.BadParameter.__mro__[2]
"""The base of all errors in arguments; typer does not name it."""
INTERRUPTED = 130
TOGETHER = 16
"""Texts scored in one call."""


class Form(str, Enum):
    """Forms of results."""

    text = "text"
    json = "json"
    jsonl = "jsonl"
    csv = "csv"
    md = "md"
    html = "html"


class Color(str, Enum):
    """When there is colour."""

    auto = "auto"
    always = "always"
    never = "never"


class Backend(str, Enum):
    """What computes."""

    numpy = "numpy"
    torch = "torch"
    transformers = "transformers"


class Dtype(str, Enum):
    """Number formats."""

    float32 = "float32"
    float16 = "float16"
    bfloat16 = "bfloat16"


class PromptFirst(TyperGroup):
    """Commands, of which `generate` is the one meant when the first argument is no command."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put `generate` in front of a bare prompt or of options that are generate's."""
        own = {name for parameter in self.get_params(ctx) for name in (*parameter.opts, *parameter.secondary_opts)}
        if args and args[0] not in self.commands and args[0] not in own:
            ctx.meta["unspool.hint"] = near_command(args[0], list(self.commands))
            args = ["generate", *args]
        return super().parse_args(ctx, args or ["--help"])


def near_command(word: str, commands: list[str]) -> str:
    """A hint if a prompt is one word that looks like a command mistyped."""
    from difflib import get_close_matches

    near = get_close_matches(word, commands, n=1, cutoff=0.7) if word.isalpha() and word.islower() else []
    return f"{word!r} is no command, so it is taken as a prompt; did you mean: unspool {near[0]}?" if near else ""


EXAMPLES = """\b
Examples:
  unspool "Once upon a time"
  unspool "Once upon a time" -d "temperature(0.8) | top_p(0.95) | sample(3)" --seed 7
  unspool steps "Once upon a time" -n 8
  unspool score "Once upon a time" " there was a king"
"""

app = typer.Typer(
    cls=PromptFirst,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    subcommand_metavar="PROMPT | COMMAND [ARGS]...",
    epilog=EXAMPLES,
)


def show_version(wanted: bool) -> None:
    """Print the version and end."""
    if wanted:
        print(f"unspool {unspool.__version__}")
        raise typer.Exit


def decoder_names(incomplete: str) -> Iterator[str]:
    """Completions of a decoder's text form: the last name of it."""
    import unspool.processors
    import unspool.stop
    import unspool.strategies  # noqa: F401
    from unspool.decoder import REGISTRY

    begun, bar, last = incomplete.rpartition("|")
    lead = begun + bar + last[: len(last) - len(last.lstrip())]
    return (lead + name for name in sorted(REGISTRY) if name.startswith(last.strip()))


def model_names(incomplete: str) -> Iterator[str]:
    """Completions of a model: the bundled one, and folders that hold one."""
    folders = (str(path.parent) for path in Path().glob("*/config.json"))
    return (name for name in ("bundled", *folders) if name.startswith(incomplete))


def option(*names: str, hint: str, default: bool | str = False, **more: Any) -> Any:
    """An option; `default` is what the help says of it, True for the value itself."""
    return typer.Option(*names, help=hint, show_default=default, **more)


def argument(name: str, hint: str) -> Any:
    """An argument that may be left out."""
    return typer.Argument(metavar=name, help=hint, show_default=False)


DECODER: dict[str, Any] = {"default": "greedy", "metavar": "TEXT", "autocompletion": decoder_names}
FILES: dict[str, Any] = {"metavar": "FILE"}

Prompt = Annotated[str | None, argument("PROMPT", "The prompt, or - for standard input.")]
Before = Annotated[str | None, argument("PROMPT", "What stands before the text, or - for standard input.")]
Continuation = Annotated[str | None, argument("CONTINUATION", "The text to score.")]
Which = Annotated[str | None, argument("MODEL | FOLDER", "A model to describe, or a folder whose models to list.")]
Verified = Annotated[str, argument("[MODEL]", "The bundled model, a Hugging Face folder, or a model of the hub.")]
PromptFiles = Annotated[list[str] | None, option("--file", "-f", hint="A file of prompts, one per line; repeatable.", **FILES)]
PairFiles = Annotated[
    list[str] | None,
    option("--file", "-f", hint="A file of pairs, one per line, a tab between prompt and continuation; repeatable.", **FILES),
]
Decoders = Annotated[
    list[str] | None,
    option("--decoder", "-d", hint='How to decode, as "top_p(0.9) | sample(3)"; give several to see each.', **DECODER),
]
OneDecoder = Annotated[list[str] | None, option("--decoder", "-d", hint='How to decode, as "top_p(0.9) | sample(3)".', **DECODER)]
NewTokens = Annotated[int | None, option("--max-new-tokens", hint="The most new tokens.", default="100")]
Length = Annotated[int | None, option("--max-length", hint="The most tokens, counting the prompt's.")]
Seed = Annotated[int, option("--seed", hint="Of all draws.", default=True)]
Live = Annotated[bool | None, option("--stream/--no-stream", hint="Show text as it grows, or at the end.", default="stream")]
Steps = Annotated[int, option("-n", hint="How many steps.", default=True)]
Choices = Annotated[int, option("--choices", hint="How many of the likeliest tokens.", default=True)]
All = Annotated[bool, option("--all", hint="Every row that was considered, not only the best text's.")]
Processed = Annotated[bool, option("--processed", hint="The probabilities after the processors too.")]
Stride = Annotated[int | None, option("--stride", hint="Step between the windows of a text longer than the context.", default="half of it")]
Shape = Annotated[Form | None, option("--output", "-o", hint="Form of the result.", default="text")]
OutputFile = Annotated[
    str | None,
    option("--output-file", hint="Write to a file, whole or not at all; without -o its ending, as .csv, chooses the form.", metavar="FILE"),
]
ColorWhen = Annotated[Color, option("--color", hint="Colour; auto: on a terminal, unless NO_COLOR is set.", default=True)]
TraceFile = Annotated[str | None, option("--trace", hint="Save the record of every step, as JSON lines.", metavar="FILE")]
Model = Annotated[
    str,
    option("--model", "-m", hint="bundled, a folder, or a hub's org/name[@revision].", default=True, autocompletion=model_names),
]
BackendName = Annotated[Backend | None, option("--backend", hint="What computes.", default="numpy")]
Device = Annotated[str | None, option("--device", hint="cuda, mps or cpu; auto: the first that torch can use.")]
DtypeName = Annotated[Dtype | None, option("--dtype", hint="Number format of torch.", default="float32; on a GPU the checkpoint's")]
Chat = Annotated[bool, option("--chat", hint="The prompt is what a user says to a model with a chat template.")]
Version = Annotated[bool, option("--version", hint="Show the version.", callback=show_version, is_eager=True)]


@app.callback()
def unspool_command(version: Version = False) -> None:
    """Decode text from a language model, by every strategy, in full view.

    A PROMPT alone is generated from (say `unspool generate steps` for a prompt that is a command's name).
    """


@app.command()
def generate(
    ctx: typer.Context,
    prompt: Prompt = None,
    file: PromptFiles = None,
    decoder: Decoders = None,
    max_new_tokens: NewTokens = None,
    max_length: Length = None,
    seed: Seed = 0,
    stream: Live = None,
    output: Shape = None,
    output_file: OutputFile = None,
    color: ColorWhen = Color.auto,
    trace: TraceFile = None,
    model: Model = "bundled",
    device: Device = None,
    dtype: DtypeName = None,
    backend: BackendName = None,
    chat: Chat = False,
) -> int:
    """Generate text after a prompt, or after every prompt of a file."""
    from unspool.views.report import generated

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
        sink.write(generated(outputs, sink.form))
    return finish(runs, outputs, sink, trace)


@app.command()
def steps(
    prompt: Prompt = None,
    n: Steps = 8,
    choices: Choices = 5,
    all: All = False,
    processed: Processed = False,
    decoder: OneDecoder = None,
    seed: Seed = 0,
    output: Shape = None,
    output_file: OutputFile = None,
    color: ColorWhen = Color.auto,
    trace: TraceFile = None,
    model: Model = "bundled",
    device: Device = None,
    dtype: DtypeName = None,
    backend: BackendName = None,
    chat: Chat = False,
) -> int:
    """Show the likeliest next tokens at every step."""
    from unspool.views.report import stepped
    from unspool.views.table import StepTable
    from unspool.views.terminal import draw_steps

    check(n >= 1, f"steps needs -n of at least 1; got {n}")
    check(choices >= 1, f"--choices must be at least 1; got {choices}")
    sink = open_sink(output, output_file, color)
    prompts, decoders = read_decoding(prompt, None, decoder)
    check(len(decoders) == 1, f"steps shows one decoder; got {len(decoders)}")
    check_trace(trace, prompts, decoders)
    lm = load(model, device, dtype, backend)
    run = lm.stream(prompts, decoders[0], chat=chat, max_new_tokens=n, seed=seed, choices=choices, level="choices")
    outputs = follow(run, sink)
    if outputs:
        table = StepTable.from_trace(outputs[0].trace, all=all, processed=processed)
        sink.write(draw_steps(table, sink.width, sink.paint) if sink.form == "text" else stepped(table, prompts[0], sink.form))
    return finish([run], outputs, sink, trace)


@app.command()
def score(
    prompt: Before = None,
    continuation: Continuation = None,
    file: PairFiles = None,
    stride: Stride = None,
    output: Shape = None,
    output_file: OutputFile = None,
    color: ColorWhen = Color.auto,
    model: Model = "bundled",
    device: Device = None,
    dtype: DtypeName = None,
    backend: BackendName = None,
) -> int:
    """Show the log-probability of a text after a prompt, token by token."""
    from unspool.console import read_pairs
    from unspool.views.report import scored
    from unspool.views.terminal import draw_score

    sink = open_sink(output, output_file, color)
    pairs = read_pairs(prompt, continuation, file or [])
    lm = load(model, device, dtype, backend)
    scores = score_pairs(lm, pairs, stride)
    texts = (draw_score(s, sink.width, sink.paint, title=len(pairs) > 1) for s in scores)
    sink.write("\n".join(texts) if sink.form == "text" else scored(scores, sink.form))
    sink.close()
    return 0 if len(scores) == len(pairs) else INTERRUPTED


@app.command()
def models(
    model: Which = None,
    output: Shape = None,
    output_file: OutputFile = None,
    color: ColorWhen = Color.auto,
    device: Device = None,
    dtype: DtypeName = None,
    backend: BackendName = None,
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


@app.command()
def verify(
    model: Verified = "bundled",
    output: Shape = None,
    output_file: OutputFile = None,
    color: ColorWhen = Color.auto,
    device: Device = None,
    dtype: DtypeName = None,
    backend: BackendName = None,
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


def say_hint(ctx: typer.Context) -> None:
    """Say once that the prompt looks like a command."""
    from unspool.console import note

    if hint := ctx.meta.pop("unspool.hint", ""):
        note(hint)


def open_sink(output: Form | None, output_file: str | None, color: Color) -> Sink:
    """Where the result goes."""
    from unspool.console import Sink

    return Sink(output.value if output else None, output_file, color.value)


def read_decoding(prompt: str | None, files: list[str] | None, decoders: list[str] | None) -> tuple[list[str], list[Decoder]]:
    """The prompts and decoders of a command."""
    from unspool.console import read_prompts
    from unspool.decoder import parse

    return read_prompts(prompt, files or []), [parse(text) for text in decoders or ["greedy"]]


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


def load(model: str, device: str | None, dtype: Dtype | None, backend: Backend | None) -> LanguageModel:
    """The model that the options name."""
    from unspool.language_model import load

    return load(model, device=device, dtype=dtype.value if dtype else None, backend=backend.value if backend else None)


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
    except ClickException as error:
        note(usage_message(error))
    except UnspoolError as error:
        note(str(error))
    except OSError as error:
        note(f"{error.filename or 'the operating system says'}: {error.strerror}")
    except MemoryError:
        note("out of memory")
    except (KeyboardInterrupt, typer.Abort):
        note("interrupted")
        return INTERRUPTED
    return 2


def usage_message(error: Any) -> str:
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
