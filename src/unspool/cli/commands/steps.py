"""`unspool steps`."""

from __future__ import annotations

from typing import Any

from unspool.cli import options
from unspool.cli.commands.common import open_sink, record_of
from unspool.errors import check

_COUNT = options.option("-n", hint="How many steps.", default=True, value=8, type=int)
_ALL = options.flag("--all", "Every row that was considered, not only the best text's.")
_PROCESSED = options.flag("--processed", "The probabilities after the processors too.")

_EFFECTIVE = options.flag("--effective", "How many effective choices there were, exp(entropy), too.")


@options.command(
    options.PROMPT,
    options.FROM,
    _COUNT,
    options.CHOICES,
    _ALL,
    _PROCESSED,
    _EFFECTIVE,
    options.ONE_DECODER,
    options.PARTS,
    options.SEED,
    *options.RESULT,
    options.TRACE,
    *options.LOADED,
    options.CHAT,
)
def steps(
    prompt: str | None,
    saved: str | None,
    n: int,
    choices: int,
    all: bool,
    processed: bool,
    effective: bool,
    decoder: tuple[str, ...],
    seed: int,
    **how: Any,
) -> int:
    """Show the likeliest next tokens at every step."""
    from unspool.views.report import stepped
    from unspool.views.table import StepTable

    check(n >= 1, f"steps needs -n of at least 1; got {n}")
    check(choices >= 1, f"--choices must be at least 1; got {choices}")
    sink = open_sink(how)
    settings = {"max_new_tokens": n, "seed": seed, "choices": choices}
    record, end = record_of(sink, prompt, saved, decoder, "choices", settings, how)
    if record is not None:
        table = StepTable.from_trace(record, all=all, processed=processed, effective=effective)
        title = record.bytes_of(record.prompts[0]).decode("utf-8", "replace")
        sink.write(table.to_text(sink.width, sink.paint) if sink.form == "text" else stepped(table, title, sink.form))
    return end()
