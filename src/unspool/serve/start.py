"""Starting: the application behind uvicorn, until it is stopped."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from typing import Any

from unspool.errors import MissingExtra, UnspoolError
from unspool.language_model import LanguageModel
from unspool.serve.settings import LOOPBACK, Settings

__all__ = ["LOOPBACK", "Settings", "listen"]


BACKLOG = 2048
"""Connections that wait to be taken, from before the first is."""


def listen(lm: LanguageModel, host: str, port: int, settings: Settings, beside: Callable[[Any, str], str] | None = None) -> None:
    """Serve a model at an address, until SIGINT or SIGTERM; then the requests at work may end.

    beside: is given the Server and its address before it answers anybody, may add to it, and returns what is said of it.
    """
    try:
        from unspool.serve.app import Server
        from unspool.serve.runner import StoppableServer
    except ImportError as error:
        raise MissingExtra(f"the server needs {str(error.name).partition('.')[0]}: pip install 'unspool[serve]'") from None
    bound = _bound(host, port)
    shown = f"[{host}]" if ":" in host else host
    server, url = Server(lm, settings), f"http://{shown}:{bound.getsockname()[1]}"
    print(beside(server, url) if beside else f"unspool serves {lm.name} at {url}/v1", file=sys.stderr, flush=True)
    try:
        StoppableServer(server).run(sockets=[bound])
    except KeyboardInterrupt:                                             # uvicorn has stopped in order, and says so in this way
        print("unspool: stopped", file=sys.stderr, flush=True)


def _bound(host: str, port: int) -> socket.socket:
    """A socket that listens at an address."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        why = str(error.strerror or error).partition(" (while")[0]
        raise UnspoolError(f"cannot listen at {host}, port {port}: {why}; give another --port") from None
