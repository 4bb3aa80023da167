"""`unspool explore`."""

from __future__ import annotations

import os
import sys
from typing import Any

from unspool.cli import options
from unspool.cli.commands.common import open_model
from unspool.errors import MissingExtra, ParameterError, check

_START = options.Argument("prompt", "The prompt; none begins at the model's start token.")
_COUNT = options.option("--choices", hint="How many of the likeliest tokens.", default=True, value=24, type=int)
_LIGHT = options.flag("--light", "A light screen; L in the program changes it.")


@options.command(
    _START, options.FROM, _COUNT, options.ONE_DECODER, options.PARTS, options.SEED, _LIGHT, *options.LOADED, options.CHAT
)
def explore(prompt: str | None, saved: str | None, choices: int, decoder: tuple[str, ...], seed: int, light: bool, **how: Any) -> int:
    """Explore a prompt with the keyboard. Walk, choose other tokens, undo, switch the decoder, save and load the trace."""
    check(prompt is None or saved is None, "give a prompt or a saved trace (--from), not both")
    check(len(decoder) <= 1, f"explore has one decoder at a time; got {len(decoder)}: d switches it")
    try:
        import textual  # noqa: F401
    except ImportError:
        raise MissingExtra('explore needs Textual: pip install "unspool[explore]"') from None
    if not (sys.stdin.isatty() and sys.stdout.isatty() and sys.stderr.isatty()) or os.environ.get("TERM") == "dumb":
        raise ParameterError("explore needs a terminal for its keys and its screen; unspool steps and unspool why write to a pipe")
    from unspool.cli.console import read_text
    from unspool.explore.app import Explore
    from unspool.explore.explorer import Explorer

    text, lm = read_text(prompt or ""), open_model(how)
    start = lm.stream(text, chat=True).prompt_tokens[0] if how["chat"] else text
    explorer = Explorer(lm, start, decoder[0] if decoder else None, seed=seed, choices=choices)
    if saved is not None:
        explorer.load(saved)
    Explore(explorer, saved, light).run()
    return 0
