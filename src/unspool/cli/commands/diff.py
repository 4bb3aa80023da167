"""`unspool diff`."""

from __future__ import annotations

from typing import Any

from unspool.cli import options
from unspool.cli.commands.common import open_sink
from unspool.errors import UnspoolError


@options.command(
    options.Argument("first", "A saved trace.", usage="FIRST", type=options.ReadName()),
    options.Argument("second", "Another.", usage="SECOND", type=options.ReadName()),
    options.form("Form of the result.", ["text", "json", "html"]),
    *options.PLACE,
)
def diff(first: str | None, second: str | None, **how: Any) -> int:
    """Compare two saved traces. Where their texts part, how far apart the distributions are, and which settings differ.

    Ends with 0 if the texts and distributions are the same, 1 if not, 2 if they cannot be compared.
    """
    from unspool.record.trace import Trace
    from unspool.views.diff import diff as compared

    if first is None or second is None:
        raise UnspoolError("diff compares two saved traces: unspool diff A B")
    sink = open_sink(how)
    traces = Trace.load(first), Trace.load(second)
    found = compared(*traces)
    if sink.form == "html":
        from unspool.page.pair import pair_page

        sink.write(pair_page(*traces, found))
    else:
        sink.write(found.to_json() + "\n" if sink.form == "json" else found.draw(sink.width, sink.paint))
    sink.close()
    return 0 if found.equal else 1
