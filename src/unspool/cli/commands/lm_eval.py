"""`unspool lm-eval`."""

from __future__ import annotations

import click

from unspool.cli import options

PASSED_ON = {"ignore_unknown_options": True, "allow_interspersed_args": False}
"""Arguments are not read here."""


@click.command(
    cls=options.Command,
    name="lm-eval",
    context_settings=PASSED_ON,
    params=[click.Argument(["arguments"], nargs=-1, type=click.UNPROCESSED, metavar="[ARGUMENTS OF LM_EVAL]...")],
)
def lm_eval(arguments: tuple[str, ...]) -> int:
    """Run lm_eval's command line, where `--model unspool` is a model of unspool.

    As `unspool lm-eval --model unspool --model_args pretrained=MODEL,decoder="beam(4)" --tasks TASK --batch_size auto`.
    `unspool lm-eval run --help` says what else lm_eval takes.
    """
    from unspool.harness.start import run_harness

    return run_harness(arguments or ["--help"])
