"""`unspool score`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unspool.cli import options
from unspool.cli.commands.common import INTERRUPTED, open_model, open_sink
from unspool.cli.commands.many import RUN_BY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from unspool.score import Score

_BEFORE = options.Argument("prompt", "What stands before the text, or - for standard input.", usage="[PROMPT")
_CONTINUATION = options.Argument("continuation", "The text to score.", usage="CONTINUATION]")
_PAIR_FILES = options.repeated(
    "--file",
    "-f",
    hint="Pairs: one per line, a tab between, or in columns prompt and text; repeatable.",
    metavar="FILE",
    type=options.ReadName(),
)
_STRIDE = options.option("--stride", hint="Step between the windows of a text longer than the context.", default="half of it", type=int)


@options.command(_BEFORE, _CONTINUATION, _PAIR_FILES, _STRIDE, *RUN_BY, *options.RESULT, *options.LOADED)
def score(
    prompt: str | None,
    continuation: str | None,
    file: tuple[str, ...],
    stride: int | None,
    engine: str | None,
    workers: int | None,
    ray_address: str | None,
    **how: Any,
) -> int:
    """Show the log-probability of a text. It is read after a prompt, token by token."""
    from unspool.cli.commands.given import read_pairs
    from unspool.cli.console import note
    from unspool.many.executors.choose import check_engine
    from unspool.many.executors.opening import ModelOpening
    from unspool.many.scoring import score_many
    from unspool.views.report import scored
    from unspool.views.results import draw_score

    sink = open_sink(how)
    pairs = read_pairs(prompt, continuation, file)
    by = engine or "inline"
    check_engine(by, workers, ray_address)
    lm = open_model(how) if by == "inline" else ModelOpening(how["model"], how["backend"], how["device"], how["dtype"])
    scores = followed(score_many(lm, pairs, stride, engine=by, workers=workers, address=ray_address), len(pairs))
    if any(not before for before, _ in pairs):
        note("without a prompt, a text is read after the model's start token")
    texts = (draw_score(s, sink.width, sink.paint, title=len(pairs) > 1) for s in scores)
    sink.write("\n".join(texts) if sink.form == "text" else scored(scores, sink.form))
    sink.close()
    return 0 if len(scores) == len(pairs) else INTERRUPTED


def followed(work: Iterator[list[Score]], total: int) -> list[Score]:
    """Scores as they come, with a bar; after Ctrl-C those that are done."""
    from unspool.cli.long_bar import LongBar

    scores: list[Score] = []
    bar = LongBar("score", total, what="texts")
    with bar:
        bar.reached(0, made=True)
        try:
            for some in work:
                scores += some
                bar.reached(len(scores), made=True)
        except KeyboardInterrupt:
            pass
    return scores
