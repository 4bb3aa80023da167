"""Responses: JSON, errors in OpenAI's shape, and events."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from unspool.serve.errors import Refused


class Json(Response):
    """JSON, without characters beyond ASCII, so that also what is no text can be told."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return json.dumps(content, allow_nan=False, separators=(",", ":")).encode()


class Events(StreamingResponse):
    """A stream of events; `leave` is called when it ends, or the client goes away, even before it begins."""

    def __init__(self, events: AsyncIterator[str], leave: Callable[[], None]) -> None:
        super().__init__(events, media_type="text/event-stream")
        self.leave = leave

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self.leave()


def answered(error: Refused) -> Response:
    """An error as a response."""
    return Json(error.body(), error.status, {} if error.wait is None else {"Retry-After": str(error.wait)})
