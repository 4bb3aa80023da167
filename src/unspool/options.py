"""The command line's arguments and options, and the group that takes a bare prompt for `generate`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

import unspool

FORMS = ["text", "json", "jsonl", "csv", "md", "html"]
TREE_FORMS = ["text", "svg", "html", "json", "dot", "mermaid"]
BACKENDS = ["numpy", "torch", "transformers"]
DTYPES = ["float32", "float16", "bfloat16"]
SHELLS = ["bash", "zsh", "fish"]

EXAMPLES = """\b
Examples:
  unspool "Once upon a time"
  unspool "Once upon a time" -d "temperature(0.8) | top_p(0.95) | sample(3)" --seed 7
  unspool steps "Once upon a time" -n 8
  unspool score "Once upon a time" " there was a king"
"""


# --- how click is used ------------------------------------------------------------------------------------------------


class Argument(click.Argument):
    """An argument that may be left out, with a line of help."""

    def __init__(self, name: str, hint: str, metavar: str | None = None, value: str | None = None) -> None:
        super().__init__([name], required=False, metavar=metavar and f"[{metavar}]", default=value)
        self.label, self.hint = metavar or name.upper(), hint

    def get_help_record(self, ctx: click.Context) -> tuple[str, str]:
        """Its line of help."""
        return self.label, self.hint


class Command(click.Command):
    """A command whose help shows arguments above options."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the help of what it takes."""
        for title, kind in (("Arguments", click.Argument), ("Options", click.Option)):
            found = [parameter.get_help_record(ctx) for parameter in self.get_params(ctx) if isinstance(parameter, kind)]
            if lines := [line for line in found if line]:
                with formatter.section(title):
                    formatter.write_dl(lines)


class PromptFirst(click.Group):
    """Commands, of which `generate` is the one meant when the first argument is no command."""

    command_class = Command

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands in the order in which they are defined."""
        return list(self.commands)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put `generate` in front of a bare prompt or of options that are generate's."""
        own = {name for parameter in self.get_params(ctx) for name in parameter.opts}
        if args and args[0] not in self.commands and args[0].partition("=")[0] not in own:
            ctx.meta["unspool.hint"] = near_command(args[0], list(self.commands))
            args = ["generate", *args]
        return super().parse_args(ctx, args or ["--help"])


def near_command(word: str, commands: list[str]) -> str:
    """A hint if a prompt is one word that looks like a command mistyped."""
    if not (word.isalpha() and word.islower()):
        return ""
    from difflib import get_close_matches

    near = get_close_matches(word, commands, n=1, cutoff=0.7)
    return f"{word!r} is no command, so it is taken as a prompt; did you mean: unspool {near[0]}?" if near else ""


def option(*names: str, hint: str, default: bool | str = False, value: Any = None, **more: Any) -> click.Option:
    """An option; `value` is what it has if it is not given, `default` what the help says of that, True for the value itself."""
    return click.Option(list(names), help=hint, show_default=default, default=value, **more)


def repeated(*names: str, hint: str, **more: Any) -> click.Option:
    """An option that can be given several times, or none: a tuple."""
    return option(*names, hint=hint, multiple=True, value=(), **more)


def flag(name: str, hint: str, **more: Any) -> click.Option:
    """An option without a value."""
    return option(name, hint=hint, is_flag=True, value=False, **more)


# --- completion -------------------------------------------------------------------------------------------------------


def decoder_names(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Completions of a decoder's text form: the last name of it."""
    import unspool.processors
    import unspool.stop
    import unspool.strategies  # noqa: F401
    from unspool.decoder import REGISTRY

    begun, bar, last = incomplete.rpartition("|")
    lead = begun + bar + last[: len(last) - len(last.lstrip())]
    return [lead + name for name in sorted(REGISTRY) if name.startswith(last.strip())]


def model_names(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Completions of a model: the bundled one, and folders that hold one."""
    folders = (str(path.parent) for path in Path().glob("*/config.json"))
    return [name for name in ("bundled", *folders) if name.startswith(incomplete)]


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
BEFORE = Argument("prompt", "What stands before the text, or - for standard input.")
CONTINUATION = Argument("continuation", "The text to score.")
SHOWN = Argument("model", "A model to describe, or a folder whose models to list.", metavar="MODEL | FOLDER")
VERIFIED = Argument("model", "The bundled model, a Hugging Face folder, or a model of the hub.", value="bundled")

_HOW = 'How to decode, as "top_p(0.9) | sample(3)"'
_DECODER: dict[str, Any] = {"default": "greedy", "metavar": "TEXT", "shell_complete": decoder_names}

PROMPT_FILES = repeated("--file", "-f", hint="A file of prompts, one per line; repeatable.", metavar="FILE")
PAIR_FILES = repeated(
    "--file", "-f", hint="A file of pairs, one per line, a tab between prompt and continuation; repeatable.", metavar="FILE"
)
DECODERS = repeated("--decoder", "-d", hint=f"{_HOW}; give several to see each.", **_DECODER)
ONE_DECODER = repeated("--decoder", "-d", hint=f"{_HOW}.", **_DECODER)
NEW_TOKENS = option("--max-new-tokens", hint="The most new tokens.", default="100", type=int)
LENGTH = option("--max-length", hint="The most tokens, counting the prompt's.", type=int)
SEED = option("--seed", hint="Of all draws.", default=True, value=0, type=int)
STREAM = option("--stream/--no-stream", hint="Show text as it grows, or at the end.", default="stream")
COUNT = option("-n", hint="How many steps.", default=True, value=8, type=int)
CHOICES = option("--choices", hint="How many of the likeliest tokens.", default=True, value=5, type=int)
ALL = flag("--all", "Every row that was considered, not only the best text's.")
PROCESSED = flag("--processed", "The probabilities after the processors too.")
STRIDE = option("--stride", hint="Step between the windows of a text longer than the context.", default="half of it", type=int)
TRACE = option("--trace", hint="Save the record of every step, as JSON lines.", metavar="FILE")

STEP = option("-n", hint="Which step, from 1.", default=True, value=1, type=int)
FROM = option("saved", "--from", hint="A saved trace, in place of a prompt.", metavar="FILE")
PRUNED = option("--pruned/--no-pruned", hint="Candidates that were not taken too.", default="pruned", value=True)
LINES = option("--lines", hint="The most lines on the screen; 0: all.", default=True, value=400, type=int)
TREE_FORM = option("--output", "-o", hint="Form of the tree.", default="text", type=click.Choice(TREE_FORMS))

FORM = option("--output", "-o", hint="Form of the result.", default="text", type=click.Choice(FORMS))
PLACE = [
    option("--output-file", hint="Write to a file, whole or not at all; without -o its ending, as .csv, chooses the form.", metavar="FILE"),
    option(
        "--color",
        hint="Colour; auto: on a terminal, unless NO_COLOR is set.",
        default=True,
        value="auto",
        type=click.Choice(["auto", "always", "never"]),
    ),
]
"""Where the result goes, and how it looks."""
RESULT = [FORM, *PLACE]
ENGINE = [
    option("--device", hint="cuda, mps or cpu; auto: the first that torch can use."),
    option("--dtype", hint="Number format of torch.", default="float32; on a GPU the checkpoint's", type=click.Choice(DTYPES)),
    option("--backend", hint="What computes.", default="numpy", type=click.Choice(BACKENDS)),
]
"""What computes, where and in which numbers."""
MODEL = option(
    "--model",
    "-m",
    hint="bundled, a folder, or a hub's org/name[@revision].",
    default=True,
    value="bundled",
    shell_complete=model_names,
)
CHAT = flag("--chat", "The prompt is what a user says to a model with a chat template.")
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

# --- what each command takes ------------------------------------------------------------------------------------------

GENERATE = [PROMPT, PROMPT_FILES, DECODERS, NEW_TOKENS, LENGTH, SEED, STREAM, *RESULT, TRACE, MODEL, *ENGINE, CHAT]
STEPS = [PROMPT, COUNT, CHOICES, ALL, PROCESSED, ONE_DECODER, SEED, *RESULT, TRACE, MODEL, *ENGINE, CHAT]
SCORE = [BEFORE, CONTINUATION, PAIR_FILES, STRIDE, *RESULT, MODEL, *ENGINE]
MODELS = [SHOWN, *RESULT, *ENGINE]
TREE = [PROMPT, FROM, ONE_DECODER, NEW_TOKENS, SEED, PRUNED, LINES, TREE_FORM, *PLACE, TRACE, MODEL, *ENGINE, CHAT]
WHY = [PROMPT, FROM, STEP, CHOICES, ONE_DECODER, SEED, *RESULT, TRACE, MODEL, *ENGINE, CHAT]
VERIFY = [VERIFIED, *RESULT, *ENGINE]
