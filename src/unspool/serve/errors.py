"""What is answered where a request cannot be served, in the shape that OpenAI's clients read."""

from __future__ import annotations

from typing import Any

from unspool.errors import DeadEnd, ModelError, UnspoolError

INVALID, DENIED, NOT_PERMITTED = "invalid_request_error", "authentication_error", "permission_error"
BUSY, BROKEN = "rate_limit_error", "server_error"
"""The kinds of errors, by OpenAI's names for them."""
WAIT = 1
"""Seconds after which a request that found no room may come again."""


class Refused(Exception):
    """A request that is not served: what is wrong with it, the field at fault, and how HTTP says it."""

    def __init__(
        self,
        message: str,
        param: str | None = None,
        status: int = 400,
        kind: str = INVALID,
        code: str | None = None,
        wait: int | None = None,
    ) -> None:
        super().__init__(message)
        self.param, self.status, self.kind, self.code, self.wait = param, status, kind, code, wait
        """wait: after how many seconds it may be tried again."""

    def body(self) -> dict[str, Any]:
        """OpenAI's error object."""
        return {"error": {"message": str(self), "type": self.kind, "param": self.param, "code": self.code}}


def stopping() -> Refused:
    """That a server which is to stop has no answer; another, or this one once it is there again, may have."""
    return Refused("the server is stopping", status=503, kind=BUSY, code="stopping", wait=WAIT)


def refused(error: Exception, param: str | None = None) -> Refused:
    """What an error is to a client: its own fault, or this program's."""
    if isinstance(error, Refused):
        return error
    if isinstance(error, DeadEnd):
        return Refused(str(error), param, code="dead_end")
    if isinstance(error, UnspoolError) and not isinstance(error, ModelError):
        return Refused(str(error), param)
    if isinstance(error, ModelError):
        return Refused(str(error), status=500, kind=BROKEN)
    return Refused("the server failed; its log says how", status=500, kind=BROKEN)
