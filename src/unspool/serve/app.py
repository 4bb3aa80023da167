"""The application: its endpoints, and how a request becomes an answer."""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import math
import re
import secrets
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, TypeAlias

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from unspool.core.together import Together
from unspool.language_model import LanguageModel
from unspool.serve.answers import Shape, Text, usage
from unspool.serve.engine import EngineThread
from unspool.serve.errors import DENIED, Refused, refused
from unspool.serve.fields import CHATS, COMPLETIONS
from unspool.serve.metrics import TYPE, Metrics
from unspool.serve.requests import Limits, Wanted, asked
from unspool.serve.settings import LOOPBACK, Settings
from unspool.serve.streaming import event
from unspool.serve.ticket import Leaver, Ticket
from unspool.serve.words import detokenized, tokenized, tokenizer_info

LOG = logging.getLogger("unspool.serve")
Endpoint: TypeAlias = Callable[[Request], Awaitable[Response]]


class Server:
    """A model behind OpenAI's endpoints; `app` is the ASGI application."""

    def __init__(self, lm: LanguageModel, settings: Settings | None = None) -> None:
        self.settings = settings or Settings()
        self.together = Together(lm.model)
        self.lm = LanguageModel(self.together, lm.tokenizer, lm.name, lm.info, lm.chat, ())
        self.metrics = Metrics()
        self.engine = EngineThread(self.settings.rows, self.settings.queue, self._watch)
        self.limits = Limits(self.settings.tokens or lm.model.context, self.settings.rows)
        self.created = int(time.time())
        posts = {
            "/v1/completions": partial(self._generate, COMPLETIONS),
            "/v1/chat/completions": partial(self._generate, CHATS),
            "/tokenize": partial(self._words, tokenized),
            "/detokenize": partial(self._words, detokenized),
        }
        gets: dict[str, Endpoint] = {
            "/v1/models": self._models,
            "/v1/models/{model:path}": self._model,
            "/tokenizer_info": self._tokenizer,
            "/health": self._health,
            "/metrics": self._metrics,
        }
        routes = [Route(path, self._guarded(path, to), methods=["POST"]) for path, to in posts.items()]
        routes += [Route(path, self._guarded(path, to), methods=["GET"]) for path, to in gets.items()]
        handlers: Any = {404: self._missing, 405: self._missing}
        self.app = Starlette(routes=routes, exception_handlers=handlers, lifespan=self._lifespan)

    @asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        self.engine.start()
        try:
            yield
        finally:
            await run_in_threadpool(self.engine.stop, self.settings.grace)

    def _watch(self, rows: int) -> None:
        if rows:
            self.metrics.rows.observe(rows)

    # --- every request ------------------------------------------------------------------------------------------------

    def _guarded(self, path: str, to: Endpoint) -> Endpoint:
        """An endpoint that lets in whom it may, answers what is wrong in OpenAI's shape, and is counted."""

        async def serve(request: Request) -> Response:
            began = time.monotonic()
            try:
                self._let_in(request, path)
                response = await to(request)
            except Exception as error:
                response = answered(self._said(error))
            self.metrics.requests.labels(path, str(response.status_code)).inc()
            self.metrics.seconds.labels(path).observe(time.monotonic() - began)
            return response

        return serve

    def _let_in(self, request: Request, path: str) -> None:
        key, settings = request.headers.get("authorization", ""), self.settings
        if settings.key is not None and path != "/health" and not hmac.compare_digest(key.encode(), f"Bearer {settings.key}".encode()):
            raise Refused("this server needs its API key, as Authorization: Bearer KEY", status=401, kind=DENIED, code="invalid_api_key")
        host = re.sub(r":\d+$", "", request.headers.get("host", "")).strip("[]").lower()
        if settings.local and settings.key is None and host not in LOOPBACK:
            raise Refused(f"this server is for its own machine, and is not called {host[:80]!r}", status=403, kind=DENIED)

    def _said(self, error: Exception) -> Refused:
        """An error as a client hears of it; what is this program's fault is written down here."""
        found = refused(error)
        if found.status == 500:
            LOG.error("a request failed", exc_info=error)
        return found

    async def _body(self, request: Request) -> Any:
        """The JSON of a request."""
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise Refused("the body is JSON: send it with Content-Type: application/json", status=415)
        data = bytearray()
        async for part in request.stream():
            data += part
            if len(data) > self.settings.body:
                raise Refused(f"the body has more than {self.settings.body} bytes, the most that this server takes", status=413)
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

    guarded, body, said = _guarded, _body, _said
    """The same for endpoints that stand beside these, as those of `unspool.page`."""

    async def _missing(self, request: Request, error: Exception) -> Response:
        path, routes = request.url.path, [route for route in self.app.routes if isinstance(route, Route)]
        if getattr(error, "status_code", 404) == 405:
            methods = next((route.methods or set() for route in routes if route.path == path), {"GET"}) - {"HEAD"}
            return answered(Refused(f"{path[:80]} is asked by {' or '.join(sorted(methods))}, not by {request.method}", status=405))
        known = ", ".join(route.path.replace("{model:path}", "NAME") for route in routes)
        return answered(Refused(f"{request.method} {path[:80]} is nothing here; there are {known}", status=404))

    # --- generating -------------------------------------------------------------------------------------------------------

    async def _generate(self, endpoint: str, request: Request) -> Response:
        body = await self._body(request)
        seed = secrets.randbelow(2**31) if self.settings.seed is None else self.settings.seed
        wanted = await run_in_threadpool(asked, endpoint, body, self.lm, self.limits, seed)
        prefix = "chatcmpl" if endpoint == CHATS else "cmpl"
        form = Shape(wanted, self.lm.tokenizer, f"{prefix}-{uuid.uuid4().hex}", int(time.time()), self.lm.name)
        ticket = await self._ticket(wanted)
        self.engine.submit(ticket.works)
        if wanted.stream:
            return Events(self._events(ticket, form), ticket, self.engine)
        try:
            await _unless_gone(request, ticket.wait())
        except BaseException:
            ticket.leave()
            self.engine.wake()
            raise
        texts = await run_in_threadpool(ticket.texts)
        found = form.head() | {"choices": [form.choice(text) for text in texts], "usage": self._used(ticket)} | form.said()
        if wanted.trace and ticket.run:
            found["trace"] = [list(output.trace.lines()) for output in ticket.run.outputs]
        return Json(found)

    async def _ticket(self, wanted: Wanted) -> Ticket:
        loop = asyncio.get_running_loop()
        return await run_in_threadpool(Ticket, wanted, self.lm, self.settings, loop)

    def _used(self, ticket: Ticket) -> dict[str, int]:
        """What a request took, counted."""
        found = usage(sum(map(len, ticket.prompts)), ticket.new_tokens())
        self.metrics.prompt_tokens.inc(found["prompt_tokens"])
        self.metrics.new_tokens.inc(found["completion_tokens"])
        return found

    async def _events(self, ticket: Ticket, form: Shape) -> AsyncIterator[str]:
        """The events of a stream; whoever goes away gives up his rows."""
        wanted, began, first = form.asked, time.monotonic(), True

        def said(texts: list[Text], more: dict[str, Any] | None = None) -> str:
            return event(json.dumps(form.head(piece=True) | {"choices": [form.choice(t, piece=True) for t in texts]} | (more or {})))

        try:
            if form.chat:
                roles = [{"index": i, "delta": {"role": "assistant", "content": ""}, "finish_reason": None} for i in range(wanted.texts)]
                yield event(json.dumps(form.head(piece=True) | {"choices": roles} | form.said()))
            if wanted.echo:
                yield said([Text(i, text.text, text.tokens) for i, text in enumerate(ticket.echoed())])
            async for pieces in ticket.pieces():
                if first and pieces:
                    self.metrics.first.observe(time.monotonic() - began)
                    first = False
                yield said(pieces) if pieces else ": it goes on\n\n"
            yield said(await run_in_threadpool(ticket.last_pieces), form.said())
            used = self._used(ticket)
            if wanted.usage:
                yield said([], {"usage": used})
            yield event("[DONE]")
        except Exception as error:
            yield event(json.dumps(self._said(error).body()))

    # --- the rest ---------------------------------------------------------------------------------------------------------

    def _told(self) -> dict[str, Any]:
        found = {"id": self.lm.name, "object": "model", "created": self.created, "owned_by": "unspool"}
        return found | {"max_model_len": self.lm.model.context}

    async def _models(self, request: Request) -> Response:
        return Json({"object": "list", "data": [self._told()]})

    async def _model(self, request: Request) -> Response:
        name = request.path_params["model"]
        if name != self.lm.name:
            raise Refused(f"there is no model {name[:80]!r}; this server has {self.lm.name!r}", "model", 404, code="model_not_found")
        return Json(self._told())

    async def _words(self, to: Callable[[LanguageModel, Any], dict[str, Any]], request: Request) -> Response:
        return Json(await run_in_threadpool(to, self.lm, await self._body(request)))

    async def _tokenizer(self, request: Request) -> Response:
        return Json(tokenizer_info(self.lm))

    async def _health(self, request: Request) -> Response:
        if not self.engine.alive:
            raise Refused("the engine has ended", status=503)
        return Json({"status": "ok"})

    async def _metrics(self, request: Request) -> Response:
        self.metrics.working.set(len(self.engine.batch.work))
        self.metrics.waiting.set(len(self.engine.waiting))
        self.metrics.alive.set(self.together.held)
        return Response(self.metrics.page(), media_type=TYPE)


class Json(Response):
    """JSON, without characters beyond ASCII, so that also what is no text can be told."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return json.dumps(content, allow_nan=False, separators=(",", ":")).encode()


class Events(StreamingResponse):
    """A stream; whoever goes away, even before it begins, gives up his rows."""

    def __init__(self, events: AsyncIterator[str], ticket: Leaver, engine: EngineThread) -> None:
        super().__init__(events, media_type="text/event-stream")
        self.ticket, self.engine = ticket, engine

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self.ticket.leave()
            self.engine.wake()


def answered(error: Refused) -> Response:
    """An error as a response."""
    return Json(error.body(), error.status, {} if error.wait is None else {"Retry-After": str(error.wait)})


def _no_number(name: str) -> Any:
    raise ValueError(f"a number of JSON is none of {name}")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"a number in the body is too large: {text[:40]}")
    return number


async def _unless_gone(request: Request, work: Awaitable[None]) -> None:
    """Wait for work, unless the client goes away before."""

    async def gone() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    tasks = [asyncio.ensure_future(work), asyncio.ensure_future(gone())]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if not tasks[0].done():
            raise Refused("the client has gone away", status=499)
        await tasks[0]
    finally:
        for task in tasks:
            task.cancel()
