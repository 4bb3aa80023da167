"""`unspool golden`."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from typing import Any

from unspool.cli import options
from unspool.cli.commands.common import open_sink
from unspool.errors import UnspoolError, check

_ASKED = [
    options.option("--engine", hint="The engine whose vectors are written.", metavar="ENGINE"),
    options.flag("--schema", "Print the JSON schema of the files."),
    options.option(
        "checked", "--check", hint="Answer a file of vectors again, and say where that differs.", metavar="FILE", type=options.ReadName()
    ),
]
MOST_SHOWN = 20
"""Differences that are shown of a file."""


@options.command(*_ASKED, *options.PLACE)
def golden(engine: str | None, schema: bool, checked: str | None, **how: Any) -> int:
    """Golden vectors: settings and logits in, the tokens that can be drawn and their probabilities out.

    For other programs to test against. Alone, it lists the engines. With --check, the exit code is 1 if an answer differs.
    """
    from unspool.lab.engines import ENGINES
    from unspool.lab.golden import vectors

    check(sum(map(bool, (engine, schema, checked))) < 2, "give --engine, --schema or --check, one of them")
    sink = open_sink({"output": "text", **how})
    if checked:
        found = list(islice(vectors.differences(_read(checked)), MOST_SHOWN + 1))
        more = f"and more than {MOST_SHOWN} in all\n" if len(found) > MOST_SHOWN else ""
        sink.write("".join(f"{one}\n" for one in found[:MOST_SHOWN]) + more if found else f"{checked}: every case is answered as it says\n")
    else:
        found = []
        if engine:
            sink.write(vectors.written(vectors.golden(engine)))
        elif schema:
            sink.write(json.dumps(vectors.schema(), indent=1) + "\n")
        else:
            width = max(map(len, ENGINES))
            sink.write("".join(f"{one.name:{width}}  {one.title}, {one.source}\n" for one in ENGINES.values()))
    sink.close()
    return 1 if found else 0


def _read(path: str) -> Any:
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UnspoolError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise UnspoolError(f"{path} is no JSON, so it holds no golden vectors") from None
