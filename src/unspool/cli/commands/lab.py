"""`unspool lab`."""

from __future__ import annotations

from typing import Any

import click

from unspool.cli import options
from unspool.cli.commands.common import open_model
from unspool.errors import check

_MODELS = options.repeated(
    "--model",
    "-m",
    hint="bundled, a word of `models get`, a folder, a .gguf, or a hub's name; two to compare them.",
    default="bundled",
    metavar="TEXT",
    shell_complete=options.model_names,
)


@options.command(
    options.Argument("prompt", "The prompt that the page begins with."),
    _MODELS,
    *options.ENGINE,
    options.ONE_DECODER,
    options.PARTS,
    options.SEED,
    options.option("--port", hint="The port; 0 for a free one.", default=True, type=click.IntRange(0, 65535), value=8008),
    options.flag("--no-browser", "Say the address, and open no browser."),
)
def lab(
    prompt: str | None, model: tuple[str, ...], decoder: tuple[str, ...], seed: int, port: int, no_browser: bool, **how: Any
) -> int:
    """Open the lab in a browser: watch decoding live, branch it by hand, move the sliders. On this machine alone."""
    from unspool.core.decoder import parse
    from unspool.page.start import open_lab
    from unspool.serve.settings import Settings

    check(len(decoder) <= 1, f"the lab begins with one decoder; got {len(decoder)}: the page has a second beside it")
    for text in decoder:
        parse(text)
    names = model or ("bundled",)
    check(len(names) <= 2, f"the lab compares two models; got {len(names)}")
    models = {}
    for name in names:
        lm = open_model({**how, "model": name})
        lm.name = lm.name if lm.name not in models else f"{lm.name} (2)"
        models[lm.name] = lm
    begin = {"prompt": prompt, "decoder": decoder[0] if decoder else None, "seed": seed}
    given = {name: value for name, value in begin.items() if value is not None}
    open_lab(models, port, given, not no_browser, Settings(seed=seed))
    return 0
