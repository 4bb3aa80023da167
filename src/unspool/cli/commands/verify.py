"""`unspool verify`."""

from __future__ import annotations

from typing import Any

from unspool.cli import options
from unspool.cli.commands.common import open_model, open_sink

_VERIFIED = options.Argument(
    "model", "bundled, a folder, a .gguf, or a hub's name.", value="bundled", type=options.FileRead()
)


@options.command(_VERIFIED, *options.RESULT, *options.ENGINE)
def verify(**how: Any) -> int:
    """Check a model against recorded facts, or for what holds of every model. The exit code is 1 if it differs."""
    from unspool.lab.facts import verify_live
    from unspool.views.models import draw_check
    from unspool.views.report import verified

    sink, checks = open_sink(how), []
    for one in verify_live(open_model(how)):
        checks.append(one)
        if sink.form == "text":
            sink.write(draw_check(one, sink.width, sink.paint))
    if sink.form != "text":
        sink.write(verified(checks, sink.form))
    sink.close()
    return 0 if all(one.ok for one in checks) else 1
