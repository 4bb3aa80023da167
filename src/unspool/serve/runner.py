"""uvicorn, told how this server stops."""

from __future__ import annotations

import socket

import uvicorn

from unspool.serve.app import Server

LAST_READS = 5
"""Seconds beyond the grace in which answers may still be read."""


class StoppableServer(uvicorn.Server):
    """Runs a server until it is stopped; from then on no more requests are taken, and those at work end within the grace."""

    def __init__(self, server: Server) -> None:
        ending = int(server.settings.grace) + LAST_READS
        super().__init__(uvicorn.Config(server.app, log_level="warning", access_log=False, timeout_graceful_shutdown=ending))
        self._stop = server.stop

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Break off what does not end, before uvicorn waits for those who are still answered."""
        self._stop()
        await super().shutdown(sockets)
