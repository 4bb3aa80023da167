"""`unspool models`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from unspool.cli import options
from unspool.cli.commands.common import open_model, open_sink

_SHOWN = options.Argument("model", "A model to describe, or a folder whose models to list.", metavar="MODEL | FOLDER")


@options.command(_SHOWN, *options.RESULT, *options.ENGINE)
def models(model: str | None, **how: Any) -> int:
    """List models, or describe one. Without an argument: the bundled model and those of the hub that are cached."""
    from unspool.models.details import details
    from unspool.models.listing import bundled, is_shelf, models_cached, models_in
    from unspool.views.models import draw_details, draw_models
    from unspool.views.report import detailed, listed

    sink = open_sink(how)
    if model is None or (model and is_shelf(model)):
        found = [bundled(), *(models_in(Path(model)) if model else models_cached())]
        sink.write(draw_models(found, sink.paint) if sink.form == "text" else listed(found, sink.form))
    else:
        one = details(open_model({**how, "model": model}))
        sink.write(draw_details(one, sink.paint) if sink.form == "text" else detailed(one, sink.form))
    sink.close()
    return 0
