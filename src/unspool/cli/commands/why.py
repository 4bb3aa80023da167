"""`unspool why`."""

from __future__ import annotations

from typing import Any

from unspool.cli import options
from unspool.cli.commands.common import open_sink, record_of
from unspool.errors import check

_STEP = options.option("-n", hint="Which step, from 1.", default=True, value=1, type=int)
_BARS = options.flag("--bars", "Before and after each processor, as bars side by side.")


@options.command(
    options.PROMPT,
    options.FROM,
    _STEP,
    _BARS,
    options.CHOICES,
    options.ONE_DECODER,
    options.PARTS,
    options.SEED,
    *options.RESULT,
    options.TRACE,
    *options.LOADED,
    options.CHAT,
)
def why(prompt: str | None, saved: str | None, n: int, bars: bool, choices: int, decoder: tuple[str, ...], seed: int, **how: Any) -> int:
    """Show what every processor did at one step. What became of the likeliest tokens, and by how much a token missed."""
    from unspool.views.report import explained
    from unspool.views.why import Why
    from unspool.views.why_bars import draw_before_after

    check(n >= 1, f"why needs -n of at least 1; got {n}")
    check(choices >= 1, f"--choices must be at least 1; got {choices}")
    sink = open_sink(how)
    settings = {"max_new_tokens": n, "seed": seed, "choices": choices}
    record, end = record_of(sink, prompt, saved, decoder, "stages", settings, how)
    if record is not None:
        shown = Why.from_trace(record, n)
        draw = draw_before_after if bars else Why.draw
        sink.write(draw(shown, sink.width, sink.paint) if sink.form == "text" else explained(shown, sink.form))
    return end()
