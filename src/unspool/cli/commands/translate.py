"""`unspool translate`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import click

from unspool.cli import options
from unspool.cli.commands.common import open_model, open_sink
from unspool.errors import check

_SETTINGS = options.Argument("settings", "JSON, a .json file, a call in Python, or llama.cpp's flags.", nargs=-1, type=click.UNPROCESSED)
_FROM = options.option("there", "--from", hint="The engine whose settings these are.", metavar="ENGINE")
_TO = options.option("--to", hint="The engine to write settings for.", metavar="ENGINE")
_DECODER = options.option("--decoder", "-d", hint="A decoder to write as settings.", metavar="TEXT")
_MAX_NEW_TOKENS = options.option("--max-new-tokens", hint="Written too.", type=int)
_SEED = options.option("--seed", hint="Written too.", type=int)
_MODEL = options.option("--model", "-m", hint="Whose tokens stand for texts, where an engine takes token ids.", metavar="MODEL")


@options.command(
    _SETTINGS,
    _FROM,
    _TO,
    _DECODER,
    _MAX_NEW_TOKENS,
    _SEED,
    _MODEL,
    options.form("Form of the result.", ["text", "json"]),
    *options.PLACE,
)
def translate(
    settings: tuple[str, ...],
    there: str | None,
    to: str | None,
    decoder: str | None,
    max_new_tokens: int | None,
    seed: int | None,
    model: str | None,
    **how: Any,
) -> int:
    """Translate the settings of other engines. Into a decoder, or a decoder into settings; alone, it lists the engines."""
    from unspool.cli.console import note
    from unspool.core.decoder import parse
    from unspool.lab.engines import ENGINES
    from unspool.lab.translate import from_engine, to_engine
    from unspool.views.sheet import to_json
    from unspool.views.translation import draw_engines, draw_settings, remarks

    sink = open_sink(how)
    given = {name: value for name, value in (("max_new_tokens", max_new_tokens), ("seed", seed)) if value is not None}
    notes: list[str] = []
    if there is None and to is None:
        check(not settings and decoder is None, "say from which engine (--from) or to which (--to)")
        known = {e.name: {"title": e.title, "source": e.source, "settings": sorted(e.names)} for e in ENGINES.values()}
        sink.write(to_json(known) + "\n" if sink.form == "json" else draw_engines(ENGINES.values(), sink.width, sink.paint))
        sink.close()
        return 0
    check((there is None) != (decoder is None), "give settings (--from) or a decoder (-d), one of them")
    check(there is not None or not settings, f"settings need --from; got {' '.join(settings)!r}")
    if there is not None:
        found = from_engine(there, list(settings) if len(settings) > 1 else settings[0] if settings else {})
        found = replace(found, options=found.options | given)
        wanted, given, notes = found.decoder, found.options, found.notes
    else:
        wanted = parse(decoder or "")
    if to is not None:
        if model is not None:
            wanted = open_model(how | {"model": model, "device": None, "dtype": None, "backend": None}).resolve(wanted)
        found = to_engine(to, wanted, **given)
        found = replace(found, notes=[*notes, *found.notes])
    if sink.form == "json":
        sink.write(to_json(found.to_dict()) + "\n")
    else:
        sink.write(draw_settings(found) if to is not None else f"{found.decoder}\n")
        for line in found.notes if to is not None else remarks(found):
            note(line)
    sink.close()
    return 0


translate.ignore_unknown_options = True  # llama.cpp's flags are settings
