"""The body of a request, read as JSON; what is none is refused."""

from __future__ import annotations

import json
import math
from typing import Any

from starlette.requests import Request

from unspool.serve.errors import Refused


async def json_of(request: Request, most: int) -> Any:
    """The JSON of a request of so many bytes at most."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Refused("the body is JSON: send it with Content-Type: application/json", status=415)
    data = bytearray()
    async for part in request.stream():
        data += part
        if len(data) > most:
            raise Refused(f"the body has more than {most} bytes, the most that this server takes", status=413)
    return _read(bytes(data))


def _read(data: bytes) -> Any:
    try:
        return json.loads(data, parse_constant=_no_number, parse_float=_finite)
    except RecursionError:
        raise Refused("the body is nested too deeply") from None
    except UnicodeDecodeError:
        raise Refused("the body is no UTF-8") from None
    except json.JSONDecodeError as error:
        raise Refused(f"the body is no JSON: {error}") from None
    except ValueError as error:
        raise Refused(str(error) if str(error).startswith("a number") else "a number in the body is too long") from None


def _no_number(name: str) -> Any:
    raise ValueError(f"a number of JSON is none of {name}")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"a number in the body is too large: {text[:40]}")
    return number
