"""`unspool serve`."""

from __future__ import annotations

import os
from typing import Any

import click

from unspool.cli import options
from unspool.cli.commands.common import open_model
from unspool.errors import check

KEY_NAME = "UNSPOOL_API_KEY"
"""The environment variable that holds the key, which a command line would show to all users of the machine."""

_NUMBERS = (
    options.option("--rows", hint="The most rows of all requests that grow together.", default=True, type=int, value=64),
    options.option("--queue", hint="The most requests that wait; more are answered 429.", default=True, type=int, value=256),
    options.option("--max-tokens", hint="The most new tokens of a text.", default="the context", type=int),
    options.option("--max-body", hint="The most bytes of a request.", default=True, type=int, value=8_000_000),
    options.option("--time-limit", hint="The most seconds of a request, waiting included.", default=True, type=float, value=600.0),
    options.option("--grace", hint="Seconds that requests have to end when the server stops.", default=True, type=float, value=10.0),
)


@options.command(
    *options.LOADED,
    options.option("--host", hint="The address to listen at; on another than this machine's own a key is needed.", default=True,
                   value="127.0.0.1"),
    options.option("--port", hint="The port; 0 for a free one.", default=True, type=click.IntRange(0, 65535), value=8000),
    options.option("--name", hint="What clients call the model.", default="its own name"),
    options.option("--seed", hint="Of requests that give none.", default="drawn for each", type=int),
    *_NUMBERS,
)  # fmt: skip
def serve(
    host: str, port: int, name: str | None, seed: int | None, rows: int, queue: int, max_tokens: int | None, max_body: int,
    time_limit: float, grace: float, **how: Any,
) -> int:  # fmt: skip
    """Serve a model to clients of OpenAI's API, all requests in one batch. The key is read of UNSPOOL_API_KEY."""
    from unspool.serve.start import LOOPBACK, Settings, listen

    key = os.environ.get(KEY_NAME) or None
    check(host in LOOPBACK or key is not None, f"--host {host} can be reached by others: set {KEY_NAME} to a key that clients must show")
    for option, value in (("--rows", rows), ("--queue", queue), ("--max-tokens", max_tokens), ("--max-body", max_body)):
        check(value is None or value >= 1, f"{option} must be at least 1; got {value}")
    check(time_limit > 0 and grace >= 0, f"--time-limit is above 0 and --grace not below; got {time_limit:g} and {grace:g}")
    lm = open_model(how)
    lm.name = name or lm.name
    local = host in LOOPBACK
    listen(lm, host, port, Settings(key, local, rows, queue, max_tokens, time_limit, max_body, seed, grace))
    return 0
