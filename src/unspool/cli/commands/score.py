"""`unspool score`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unspool.cli import options
from unspool.cli.commands.common import INTERRUPTED, open_model, open_sink
from unspool.errors import PromptError

if TYPE_CHECKING:
    from unspool.language_model import LanguageModel
    from unspool.score import Score

_PAIRS_AT_ONCE = 16
"""Texts scored in one call."""

_BEFORE = options.Argument("prompt", "What stands before the text, or - for standard input.")
_CONTINUATION = options.Argument("continuation", "The text to score.")
_PAIR_FILES = options.repeated(
    "--file", "-f", hint="A file of pairs, one per line, a tab between prompt and continuation; repeatable.", metavar="FILE"
)
_STRIDE = options.option("--stride", hint="Step between the windows of a text longer than the context.", default="half of it", type=int)


@options.command(_BEFORE, _CONTINUATION, _PAIR_FILES, _STRIDE, *options.RESULT, *options.LOADED)
def score(prompt: str | None, continuation: str | None, file: tuple[str, ...], stride: int | None, **how: Any) -> int:
    """Show the log-probability of a text. It is read after a prompt, token by token."""
    from unspool.cli.console import note, read_pairs
    from unspool.views.report import scored
    from unspool.views.results import draw_score

    sink = open_sink(how)
    pairs = read_pairs(prompt, continuation, list(file))
    scores = score_pairs(open_model(how), pairs, stride)
    if any(not before for before, _ in pairs):
        note("without a prompt, a text is read after the model's start token")
    texts = (draw_score(s, sink.width, sink.paint, title=len(pairs) > 1) for s in scores)
    sink.write("\n".join(texts) if sink.form == "text" else scored(scores, sink.form))
    sink.close()
    return 0 if len(scores) == len(pairs) else INTERRUPTED


def score_pairs(lm: LanguageModel, pairs: list[tuple[str, str]], stride: int | None) -> list[Score]:
    """Scores of pairs; after Ctrl-C of those that are done."""
    from unspool.cli.console import Bar

    for _, text in pairs:
        if not text:
            raise PromptError("there is nothing to score: the continuation is empty")
    scores: list[Score] = []
    with Bar("score", len(pairs)) as bar:
        try:
            for i in range(0, len(pairs), _PAIRS_AT_ONCE):
                some = pairs[i : i + _PAIRS_AT_ONCE]
                scores += lm.score([p for p, _ in some], [t for _, t in some], stride=stride)
                bar.advance(len(some))
        except KeyboardInterrupt:
            pass
    return scores
