"""The program: its commands by name, and its answer to what is wrong with a command line."""

from __future__ import annotations

import errno
import os
import sys
from importlib import import_module

import click

from unspool.cli import options
from unspool.errors import UnspoolError, near, spelled
from unspool.files import said

COMMANDS = (
    "generate",
    "steps",
    "tree",
    "heat",
    "why",
    "explore",
    "lab",
    "score",
    "detect",
    "diff",
    "schema",
    "compare",
    "sweep",
    "plot",
    "explain",
    "translate",
    "golden",
    "serve",
    "lm-eval",
    "models",
    "verify",
    "quantize",
)
"""In the order of the help; each is a module of unspool.cli.commands, imported when it is asked for."""


class Program(click.Group):
    """Commands, of which `generate` is the one meant when the first argument is no command."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module = name.replace("-", "_")
        command: click.Command = getattr(import_module(f"unspool.cli.commands.{module}"), module)
        return command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put `generate` in front of a bare prompt or of options that are generate's."""
        own = {name for parameter in self.get_params(ctx) for name in parameter.opts}
        if args and args[0] not in COMMANDS and args[0].partition("=")[0] not in own:
            ctx.meta["unspool.hint"] = near_command(args[0])
            args = ["generate", *args]
        return super().parse_args(ctx, args or ["--help"])


def near_command(word: str) -> str:
    """A hint if a prompt is one word that looks like a command mistyped."""
    if not (word.isalpha() and word.islower()):
        return ""
    close = near(word, COMMANDS)
    return f"{word!r} is no command, so it is taken as a prompt; did you mean: unspool {close[0]}?" if close else ""


@click.group(
    cls=Program,
    params=options.PROGRAM,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    subcommand_metavar="PROMPT | COMMAND [ARGS]...",
    epilog=options.EXAMPLES,
)
def app() -> None:
    """Decode text from a language model, by every strategy, in full view.

    A PROMPT alone is generated from (say `unspool generate steps` for a prompt that is a command's name).
    """


def run(arguments: list[str] | None = None) -> int:
    """Run a command line; the exit code. What is wrong with it is said in one line."""
    from unspool.cli.console import note

    try:
        with spelled(options.spelling):
            return int(app(args=arguments, prog_name="unspool", standalone_mode=False) or 0)
    except click.ClickException as error:
        note(usage_message(error))
    except UnspoolError as error:
        note(str(error))
    except OSError as error:
        where = "standard output" if error.errno in (errno.EBADF, errno.ENOSPC) else "the operating system says"
        note(f"{error.filename or where}: {said(error)}")
    except MemoryError:
        note("out of memory")
    except (KeyboardInterrupt, click.Abort):
        note("interrupted")
        return 130
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
    from unspool.cli.console import PIPE_CLOSED, note

    open_streams()
    for file in (sys.stdout, sys.stderr):
        file.reconfigure(encoding="utf-8", errors="backslashreplace")  # type: ignore[union-attr]
    code = run()
    try:
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())    # what is left over goes nowhere when Python ends
        if isinstance(error, BrokenPipeError):
            code = code or PIPE_CLOSED
        elif code == 0:
            note(f"cannot write standard output: {said(error)}")
            code = 2
    sys.exit(code)


def open_streams() -> None:
    """Stand in for standard streams that were closed before the program began, so that no file it opens gets their numbers.

    Input and output stay closed: to read or to write them is an error. What is said on standard error is not heard.
    """
    for number, (name, mode, use) in enumerate((("stdin", "r", os.O_WRONLY), ("stdout", "w", os.O_RDONLY), ("stderr", "w", os.O_WRONLY))):
        if getattr(sys, name) is None:
            found = os.open(os.devnull, use)
            if found != number:
                os.dup2(found, number)
                os.close(found)
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115


if __name__ == "__main__":
    main()
