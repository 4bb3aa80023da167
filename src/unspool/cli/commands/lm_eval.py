"""`unspool lm-eval`."""

from __future__ import annotations

import click

from unspool.cli import options
from unspool.cli.commands.many import RUN_BY
from unspool.errors import check

PASSED_ON = {"ignore_unknown_options": True, "allow_interspersed_args": False}
"""Arguments are not read here."""
OWN_OPTIONS = tuple(name for parameter in RUN_BY for name in parameter.opts)


class PassingOn(options.Command):
    """A command that reads its own options wherever they stand, and passes on the rest."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        own, rest, left = list[str](), list[str](), list(args)
        while left:
            word = left.pop(0)
            mine = word.partition("=")[0] in OWN_OPTIONS
            (own if mine else rest).append(word)
            if mine and "=" not in word and left:
                own.append(left.pop(0))
        return super().parse_args(ctx, [*own, *rest])


@click.command(
    cls=PassingOn,
    name="lm-eval",
    context_settings=PASSED_ON,
    params=[*RUN_BY, click.Argument(["arguments"], nargs=-1, type=click.UNPROCESSED, metavar="[ARGUMENTS OF LM_EVAL]...")],
)
def lm_eval(arguments: tuple[str, ...], engine: str | None, workers: int | None, ray_address: str | None) -> int:
    """Run lm_eval's command line, where `--model unspool` is a model of unspool.

    As `unspool lm-eval --model unspool --model_args pretrained=MODEL,decoder="beam(4)" --tasks TASK --batch_size auto`.
    `unspool lm-eval run --help` says what else lm_eval takes.
    """
    from unspool.harness.start import MODEL_NAME, run_harness

    asked = {"engine": engine, "workers": workers, "ray_address": ray_address}
    given = [f"{name}={value}" for name, value in asked.items() if value is not None]
    other = other_model(arguments)
    mine = f"--engine, --workers and --ray-address are for --model {MODEL_NAME}"
    check(not given or other is None, f"{mine}; {other} is lm_eval's own: leave them out")
    return run_harness([*arguments, *(["--model_args", *given] if given else [])] or ["--help"])


def other_model(arguments: tuple[str, ...]) -> str | None:
    """The model that lm_eval is asked for, if it is not unspool's."""
    from unspool.harness.start import MODEL_NAME

    joined = [word.partition("=")[2] for word in arguments if word.startswith("--model=")]
    apart = [arguments[i + 1] for i, word in enumerate(arguments[:-1]) if word in ("--model", "-M")]
    return next((name for name in [*joined, *apart] if name != MODEL_NAME), None)
