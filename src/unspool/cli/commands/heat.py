"""`unspool heat`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from unspool.cli import options
from unspool.cli.commands.common import finish, open_model, open_sink, record_of
from unspool.errors import PromptError, check

if TYPE_CHECKING:
    from unspool.cli.console import Sink
    from unspool.record.trace import Trace

_CONTINUATION = options.Argument("continuation", "A given text after it, in place of what the model writes.")
_TEXT = options.option("--text", hint="A given text without a prompt, or - for standard input.")
_FILE = options.option("--file", "-f", hint="The same: the whole of a file of text.", metavar="FILE", type=options.ReadName())
_BY = options.option(
    "--by",
    hint="What the colours show.",
    default=True,
    value="probability",
    type=click.Choice(["probability", "surprisal", "entropy", "effective", "rank"]),
)
_WORDS = options.flag("--words", "By words: the product of their tokens' probabilities.")
_LISTED = options.option("-n", "listed", hint="How many of the hottest tokens to list.", default=True, value=5, type=int)


@options.command(
    options.PROMPT,
    _CONTINUATION,
    _TEXT,
    _FILE,
    options.FROM,
    _BY,
    _WORDS,
    _LISTED,
    options.CHOICES,
    options.ONE_DECODER,
    options.PARTS,
    options.NEW_TOKENS,
    options.SEED,
    *options.RESULT,
    options.TRACE,
    *options.LOADED,
    options.CHAT,
)
def heat(
    prompt: str | None,
    continuation: str | None,
    text: str | None,
    file: str | None,
    saved: str | None,
    by: str,
    words: bool,
    listed: int,
    choices: int,
    decoder: tuple[str, ...],
    max_new_tokens: int | None,
    seed: int,
    **how: Any,
) -> int:
    """Colour a text by how likely it was. A token's colour is its probability, surprisal or rank, or how open the choice was."""
    from unspool.views.heat import Heat
    from unspool.views.heat_text import draw_growing_heat, draw_heat
    from unspool.views.heat_tokens import BY_WORDS

    check(listed >= 0, f"-n must be at least 0; got {listed}")
    check(choices >= 1, f"--choices must be at least 1; got {choices}")
    check(not words or by in BY_WORDS, f"--words goes with --by {' or '.join(BY_WORDS)}: {by} is of single tokens")
    sink = open_sink(how)
    check(sink.form in options.FORMS, f"heat has no form {sink.form}; it has {', '.join(options.FORMS)}")
    given = given_text(prompt, continuation, text, file, saved)
    if given is not None:
        check(not decoder, "a given text is not decoded: leave out --decoder, or the text")
        record, end = record_given(sink, *given, choices, how)
    else:

        def draw(record: Trace, height: int) -> str:
            grown = Heat.from_trace(record, by)
            return draw_growing_heat(grown.by_words() if words else grown, sink.width, sink.paint, height)

        settings = {"max_new_tokens": max_new_tokens, "seed": seed, "choices": choices}
        found, end = record_of(sink, prompt, saved, decoder, "choices", settings, how, draw)
        if found is None:
            return end()
        record = found
    record.best("heat")
    heats = [Heat.from_trace(record, by, number=i + 1, choices=choices) for i in range(len(record.hypotheses[0]))]
    heats = [heat.by_words() for heat in heats] if words else heats
    if sink.form == "text":
        heads = [sink.paint(f"{i + 1}\n", "head") if len(heats) > 1 else "" for i in range(len(heats))]
        sink.write("\n".join(head + draw_heat(h, sink.width, sink.paint, listed) for head, h in zip(heads, heats, strict=True)))
    else:
        from unspool.views.report import heated

        sink.write(heated(heats, sink.form))
    return end()


def given_text(
    prompt: str | None, continuation: str | None, text: str | None, file: str | None, saved: str | None
) -> tuple[str, str] | None:
    """The prompt and the given text, if there is one."""
    from unspool.cli.commands.given import read_whole
    from unspool.cli.console import read_text

    given = {"a continuation": continuation, "--text": text, "-f": file, "--from": saved}
    ways = [name for name, value in given.items() if value is not None]
    check(len(ways) <= 1, f"give one text; got {' and '.join(ways)}")
    if continuation is not None:
        check(not prompt == continuation == "-", "only one of prompt and continuation can come from standard input")
        return read_text(prompt or ""), read_text(continuation, "continuation")
    if text is None and file is None:
        return None
    check(prompt is None, "--text and -f stand without a prompt; to give one, say: unspool heat PROMPT CONTINUATION")
    return "", read_text(text, "text") if text is not None else read_whole(str(file), "-f")


def record_given(sink: Sink, prompt: str, text: str, choices: int, how: dict[str, Any]) -> tuple[Trace, Callable[[], int]]:
    """The record of a given text, and what ends the command."""
    from unspool.files import check_writable

    check(not how["chat"], "--chat is for what the model writes; a given text is read as it is")
    if not text:
        raise PromptError("there is nothing to colour: the text is empty")
    if how["trace"]:
        check_writable(how["trace"])
    record = open_model(how).record(prompt, text, choices=choices)

    def end() -> int:
        if how["trace"]:
            record.save(how["trace"])
        return finish([], [], sink, None)

    return record, end
