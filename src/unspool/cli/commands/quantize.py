"""`unspool quantize`."""

from __future__ import annotations

from typing import Any

import click

from unspool.cli import options
from unspool.cli.commands.common import open_sink
from unspool.errors import check

_PRICED = options.Argument(
    "model", "bundled, a folder, a .gguf, or a hub's name.", value="bundled", type=options.FileRead()
)
_FORMATS = ("bfloat16", "int8", "int4")
_ASKED = [
    options.option("--dtype", hint="A number format; may be given again.", default="all", multiple=True, type=click.Choice(_FORMATS)),
    options.option("--text", hint="A file of text to read.", default="three tales of the package", metavar="FILE", type=options.FileRead()),
]


@options.command(_PRICED, *_ASKED, *options.RESULT)
def quantize(model: str, dtype: tuple[str, ...], text: str | None, **how: Any) -> int:
    """Show what weights of fewer bits cost a model, and save: KL to float32, the same likeliest token, perplexity, size.

    Nothing is written: `--dtype int8` packs the weights when a model is loaded.
    """
    from unspool.cli.commands.given import read_whole
    from unspool.lab.quantization import held_out, price
    from unspool.loader import open_quietly
    from unspool.views.models import draw_prices
    from unspool.views.report import priced

    sink = open_sink(how)
    words = read_whole(text, "--text") if text else held_out()
    plain = open_quietly(model, backend="compiled", device=None, dtype=None)
    check(len(plain.tokenizer.encode_prompt(words)) > 1, "the text has less than two tokens, so nothing follows any of them")
    kinds = dict.fromkeys(dtype or _FORMATS)
    prices = [price(plain, open_quietly(model, backend="compiled", device=None, dtype=kind), kind, words) for kind in kinds]
    sink.write(draw_prices(prices, sink.paint) if sink.form == "text" else priced(prices, sink.form))
    sink.close()
    return 0
