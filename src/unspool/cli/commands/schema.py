"""`unspool schema`."""

from __future__ import annotations

from typing import Any

from unspool.cli import options
from unspool.cli.commands.common import open_sink


@options.command(options.form("Form of the result.", ["json"], "json"), *options.PLACE)
def schema(**how: Any) -> int:
    """Print the JSON schema of a trace's lines. Those that --trace and a server's `trace` write."""
    from unspool.packaged import packaged

    sink = open_sink(how)
    sink.write(packaged("trace.schema.json"))
    sink.close()
    return 0
