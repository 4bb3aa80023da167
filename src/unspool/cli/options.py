"""The arguments and options that commands share, and how they are made."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

import unspool

RESULT_FORMS = ["text", "json", "jsonl", "csv", "md", "html"]
BACKENDS = ["compiled", "numpy", "torch", "transformers", "llama.cpp"]
_DTYPES = ["float32", "float16", "bfloat16", "int8", "int4"]
PARTS_META = "unspool.parts"
"""Under which the context of a command keeps what --import named."""
FILE_FORMS = ["text", "jsonl", "csv", "tsv", "parquet"]
SHELLS = ["bash", "zsh", "fish"]
NAMED = {"FILE": "a file", "MODEL": "a model", "ENGINE": "an engine"}
"""What options take by name, by their metavar."""

SPELLED = {
    "prompts": "a file of prompts (-f)",
    "answers": "a column of answers in the file of prompts (--answer-column)",
    "address": "--ray-address",
}
"""Options of Python that have another name here."""

EXAMPLES = """\b
Examples:
  unspool "Once upon a time" -d "temperature(0.8) | top_p(0.9) | sample" --seed 7
  unspool "Once upon a time" -d "beam(4, n=4)" --max-new-tokens 12
  unspool steps "Once upon a time" -n 8
  unspool score "Once upon a time" " there was a king"
"""


# --- how click is used ------------------------------------------------------------------------------------------------


def spelling(name: str) -> str:
    """An option of Python as it is written here."""
    return SPELLED.get(name, "--" + name.replace("_", "-"))


class Argument(click.Argument):
    """An argument that may be left out, with a line of help."""

    def __init__(
        self, name: str, hint: str, metavar: str | None = None, value: str | None = None, usage: str | None = None, **more: Any
    ) -> None:
        """usage: how it stands in the line of usage, if not in brackets."""
        super().__init__([name], required=False, metavar=usage or (metavar and f"[{metavar}]"), default=value, **more)
        self.label, self.hint = metavar or name.upper(), hint

    def get_help_record(self, ctx: click.Context) -> tuple[str, str]:
        return self.label, self.hint


class FileNamed(click.ParamType):  # type: ignore[type-arg]
    """The name of a file, whose ~ is the user's home also where the shell did not see it, as in --output-file=~/out.json."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return os.path.expanduser(value) if isinstance(value, str) else value


class FileRead(FileNamed):
    """The name of a file that is read, or of a model; "-" is standard input."""


class FileWritten(FileNamed):
    """The name of a file that is written, in one of some forms; without any, in those of -o."""

    def __init__(self, *forms: str) -> None:
        self.forms = forms


class Command(click.Command):
    """A command whose help shows arguments above options, and that writes no file which it reads."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Refuse an empty name of a file, a model or an engine: an empty variable of a shell, more often than not."""
        left = super().parse_args(ctx, args)
        for parameter in self.get_params(ctx):
            given = ctx.params.get(str(parameter.name))
            if parameter.metavar in NAMED and "" in (given if isinstance(given, tuple) else (given,)):
                raise click.BadParameter(f"the name is empty; give {NAMED[str(parameter.metavar)]}", ctx, parameter)
        if not ctx.resilient_parsing:
            self.check_files(ctx)
        return left

    def check_files(self, ctx: click.Context) -> None:
        """Refuse to write what is read, the same file twice, or under an ending that means another form."""
        from unspool.files import check_apart, check_ending, unfinished_file

        endings = list[tuple[str, str, Sequence[str]]]()
        written, read = list[tuple[str, str]](), [("--import", name) for name in ctx.meta.get(PARTS_META, ())]
        for parameter in self.get_params(ctx):
            said = parameter.opts[0] if isinstance(parameter, click.Option) else parameter.make_metavar(ctx).strip("[].")
            given = ctx.params.get(str(parameter.name))
            for path in [one for one in (given if isinstance(given, tuple) else (given,)) if isinstance(one, str) and one]:
                if isinstance(parameter.type, FileWritten):
                    endings.append((said, path, parameter.type.forms or self.forms(ctx)))
                    written.append((said, path))
                    if (lines := str(unfinished_file(path))) != str(Path(path)):
                        written.append((said, lines))
                elif isinstance(parameter.type, FileRead) or path == "-":
                    read.append((said, path))
        check_apart(written, read)
        for said, path, forms in endings:
            check_ending(said, path, forms)

    def forms(self, ctx: click.Context) -> list[str]:
        """In which forms a result may be written by the ending of its file; none where -o says the form."""
        every = [parameter.type.choices for parameter in self.get_params(ctx) if isinstance(parameter.type, Form)]
        return [] if ctx.params.get("output") else [str(form) for forms in every for form in forms] or ["json"]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, kind in (("Arguments", click.Argument), ("Options", click.Option)):
            found = [parameter.get_help_record(ctx) for parameter in self.get_params(ctx) if isinstance(parameter, kind)]
            if lines := [line for line in found if line]:
                with formatter.section(title):
                    formatter.write_dl(lines)


def command(*parameters: click.Parameter, kind: type[Command] = Command) -> Callable[[Callable[..., int]], Command]:
    """Make a function a command that takes these."""

    def make(function: Callable[..., int]) -> Command:
        return click.command(cls=kind, params=list(parameters))(function)

    return make


def option(*names: str, hint: str, default: bool | str = False, value: Any = None, **more: Any) -> click.Option:
    """An option; `value` is what it has if it is not given, `default` what the help says of that, True for the value itself."""
    return click.Option(list(names), help=hint, show_default=default, default=value, **more)


def repeated(*names: str, hint: str, **more: Any) -> click.Option:
    """An option that can be given several times, or none: a tuple."""
    return option(*names, hint=hint, multiple=True, value=(), **more)


def flag(name: str, hint: str, **more: Any) -> click.Option:
    """An option without a value."""
    return option(name, hint=hint, is_flag=True, value=False, **more)


class Form(click.Choice):  # type: ignore[type-arg]
    """One of some forms. The name of a file, as other programs take it here, is told where it belongs."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, str) and value not in self.choices and ("." in value or "/" in value):
            self.fail(f"{value!r} is no form; to write a file, whose ending chooses the form, say: --output-file {value}", param, ctx)
        return super().convert(value, param, ctx)


class Seed(click.ParamType):  # type: ignore[type-arg]
    """A whole number, or "random": one that is drawn, said and recorded."""

    name = "integer|random"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if value == "random":
            from secrets import randbits

            from unspool.cli.console import note

            drawn = randbits(32)
            if ctx is None or not ctx.resilient_parsing:
                note(f"--seed {drawn}")
            return drawn
        return int(click.INT.convert(value, param, ctx))


def form(hint: str, forms: Sequence[str], default: str = "text") -> click.Option:
    """The option that chooses the form of a result."""
    return option("--output", "-o", hint=hint, default=default, type=Form(forms))


# --- completion -------------------------------------------------------------------------------------------------------


def decoder_names(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Completions of a decoder's text form: the last name of it."""
    from unspool.core.decoder import announced_parts, own_parts

    announced_parts()
    begun, bar, last = incomplete.rpartition("|")
    lead = begun + bar + last[: len(last) - len(last.lstrip())]
    return [lead + name for name in sorted(own_parts()) if name.startswith(last.strip())]


def model_names(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Completions of a model: the bundled one, folders that hold one, and those that go by one word."""
    folders = (str(path.parent) for path in Path().glob("*/config.json"))
    known = known_names(ctx, parameter, incomplete)
    return [name for name in ("bundled", *folders) if name.startswith(incomplete)] + known


def known_names(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Completions of a model that goes by one word."""
    from unspool.models.known import KNOWN

    return [name for name in KNOWN if name.startswith(incomplete)]


def import_named(ctx: click.Context, parameter: click.Parameter, names: tuple[str, ...]) -> None:
    """Import the parts of files and modules before anything else is done."""
    if names:
        from unspool.core.decoder import import_parts

        ctx.meta[PARTS_META] = names

        for name in names:
            import_parts(name)


def show_completion(ctx: click.Context, parameter: click.Parameter, shell: str | None) -> None:
    """Print the script that makes a shell complete unspool's arguments, and end."""
    if shell is None or ctx.resilient_parsing:
        return
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None, "click knows the shells of SHELLS"
    script = kind(ctx.command, {}, "unspool", "_UNSPOOL_COMPLETE")
    print(script.source_template % script.source_vars())
    ctx.exit()


def show_version(ctx: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    """Print the version and end."""
    if wanted and not ctx.resilient_parsing:
        print(f"unspool {unspool.__version__}")
        ctx.exit()


# --- arguments and options --------------------------------------------------------------------------------------------

PROMPT = Argument("prompt", "The prompt, or - for standard input.")
FROM = option("saved", "--from", hint="A saved trace, in place of a prompt.", metavar="FILE", type=FileRead())
PROMPT_FILES = repeated(
    "--file",
    "-f",
    hint="Prompts: one per line, or a .jsonl, .csv, .tsv or .parquet with columns; repeatable.",
    metavar="FILE",
    type=FileRead(),
)
PROMPTS_BY = [
    option("--prompt-column", hint="The column of the prompts.", default="prompt, or messages", metavar="NAME"),
    option("--file-form", hint="What -f is.", default="by its ending; text", type=click.Choice(FILE_FORMS)),
]
"""How files of prompts are read."""
PARTS = repeated(
    "parts",
    "--import",
    hint="A file or module of your own strategies, processors and stops, known by name from then on; repeatable.",
    metavar="FILE | MODULE",
    callback=import_named,
    is_eager=True,
    expose_value=False,
)

_HOW = 'How to decode, as "top_p(0.9) | sample(3)"'
_DECODER: dict[str, Any] = {"default": "greedy", "metavar": "TEXT", "shell_complete": decoder_names}
DECODERS = repeated("--decoder", "-d", hint=f"{_HOW}; give several to see each.", **_DECODER)
ONE_DECODER = repeated("--decoder", "-d", hint=f"{_HOW}.", **_DECODER)
NEW_TOKENS = option("--max-new-tokens", hint="The most new tokens.", default="100", type=int)
SEED = option("--seed", hint="Of all draws; random: a new one, which is said and recorded.", default=True, value=0, type=Seed())
CHOICES = option("--choices", hint="How many of the likeliest tokens.", default=True, value=5, type=int)
TRACE = option("--trace", hint="Save the record of every step, as JSON lines.", metavar="FILE", type=FileWritten("jsonl"))
TEMPLATE = option("template", "--template", hint='What else the chat template reads, as \'{"enable_thinking": false}\'.', metavar="JSON")
CHAT = flag("--chat", "The prompt is what a user says to a model with a chat template.")

PLACE = [
    option(
        "--output-file",
        hint="Write to a file, whole or not at all; without -o its ending, as .csv, chooses the form.",
        metavar="FILE",
        type=FileWritten(),
    ),
    option(
        "--color",
        hint="Colour; auto: on a terminal, unless NO_COLOR is set.",
        default=True,
        value="auto",
        type=click.Choice(["auto", "always", "never"]),
    ),
]
"""Where the result goes, and how it looks."""
RESULT = [form("Form of the result.", RESULT_FORMS), *PLACE]
ENGINE = [
    option("--device", hint="cuda, mps or cpu; auto: the first that torch can use."),
    option("--dtype", hint="Number format.", default="float32; on a GPU the checkpoint's", type=click.Choice(_DTYPES)),
    option("--backend", hint="What computes.", default="compiled, or numpy where there are no kernels", type=click.Choice(BACKENDS)),
]
"""What computes, where and in which numbers."""
MODEL = option(
    "--model",
    "-m",
    hint="bundled, a word of `models get`, a folder, a .gguf, or a hub's name.",
    default=True,
    value="bundled",
    shell_complete=model_names,
    type=FileRead(),
)
LOADED = [MODEL, *ENGINE]
"""Which model, and what computes."""
PROGRAM = [
    flag("--version", "Show the version.", callback=show_version, is_eager=True, expose_value=False),
    option(
        "--show-completion",
        hint="Print the script with which a shell completes arguments.",
        type=click.Choice(SHELLS),
        callback=show_completion,
        is_eager=True,
        expose_value=False,
    ),
]
"""What the program takes without a command."""
