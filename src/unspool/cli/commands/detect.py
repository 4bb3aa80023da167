"""`unspool detect`."""

from __future__ import annotations

from typing import Any

from unspool.cli import options
from unspool.cli.commands.common import open_model, open_sink
from unspool.errors import check

_TEXT = options.Argument("text", "The text, without its prompt, or - for standard input.")
_TEXT_FILES = options.repeated(
    "--file", "-f", hint="Texts: one per line, or in a column text; repeatable.", metavar="FILE", type=options.ReadName()
)
_MARKS = options.repeated(
    "--decoder", "-d", hint='The watermark and its key, as "watermark_kgw(hashing_key=7)", or the decoder it is in.', metavar="TEXT"
)


@options.command(_TEXT, _TEXT_FILES, _MARKS, options.PARTS, *options.RESULT, *options.LOADED)
def detect(text: str | None, file: tuple[str, ...], decoder: tuple[str, ...], **how: Any) -> int:
    """Look for a watermark in a text. The p-value says how often a text without it looks as marked."""
    from unspool.cli.commands.given import read_texts
    from unspool.cli.console import read_text
    from unspool.core.decoder import parse
    from unspool.processors.watermark import Watermark
    from unspool.views.detection import draw_detections
    from unspool.views.report import detected

    sink = open_sink(how)
    check((text is None) != (not file), "give a text, - for standard input, or files of texts (-f)")
    marks = [part for written in decoder for part in parse(written).processors if isinstance(part, Watermark)]
    check(len(marks) > 0, 'say which watermark to look for and its key, as in -d "watermark_kgw(hashing_key=7)"')
    texts = [one.text for one in read_texts(file)] if text is None else [read_text(text, "text")]
    lm = open_model(how)
    found = [(text, str(mark), mark.detect(text, lm)) for mark in marks for text in texts]
    sink.write(draw_detections(found, sink.width, sink.paint) if sink.form == "text" else detected(found, sink.form))
    sink.close()
    return 0
