"""The application: its endpoints, and who may ask them."""

from __future__ import annotations

import hmac
import logging
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, TypeAlias

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from unspool.core.together import Together
from unspool.language_model import LanguageModel
from unspool.serve.bodies import json_of
from unspool.serve.engine import EngineThread
from unspool.serve.errors import DENIED, NOT_PERMITTED, Refused, refused
from unspool.serve.fields import CHATS, COMPLETIONS
from unspool.serve.generating import Generating
from unspool.serve.metrics import TYPE, Metrics
from unspool.serve.replies import Json, answered
from unspool.serve.settings import LOOPBACK, Settings
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
        self.generating = Generating(self.lm, self.settings, self.engine, self.metrics, self.said)
        self.created = int(time.time())
        posts = {
            "/v1/completions": partial(self.generating.answer, COMPLETIONS),
            "/v1/chat/completions": partial(self.generating.answer, CHATS),
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
        routes = [Route(path, self.guarded(path, to), methods=["POST"]) for path, to in posts.items()]
        routes += [Route(path, self.guarded(path, to), methods=["GET"]) for path, to in gets.items()]
        handlers: Any = {404: self._missing, 405: self._missing}
        self.app = Starlette(routes=routes, exception_handlers=handlers, lifespan=self._lifespan)

    @asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        self.engine.start()
        try:
            yield
        finally:
            self.stop()
            await run_in_threadpool(self.engine.join)

    def stop(self) -> None:
        """Take no more requests; those at work have the settings' grace to end."""
        self.engine.stop(self.settings.grace)

    def _watch(self, rows: int) -> None:
        if rows:
            self.metrics.rows.observe(rows)

    # --- every request ------------------------------------------------------------------------------------------------

    def guarded(self, path: str, to: Endpoint) -> Endpoint:
        """An endpoint that lets in whom it may, answers what is wrong in OpenAI's shape, and is counted."""

        async def serve(request: Request) -> Response:
            began = time.monotonic()
            try:
                self._let_in(request, path)
                response = await to(request)
            except Exception as error:
                response = answered(self.said(error))
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
            said = f"this server is for its own machine, and is not called {host[:80]!r}"
            raise Refused(said, status=403, kind=NOT_PERMITTED, code="host_not_allowed")

    def said(self, error: Exception) -> Refused:
        """An error as a client hears of it; what is this program's fault is written down here."""
        found = refused(error)
        if found.status == 500:
            LOG.error("a request failed", exc_info=error)
        return found

    async def _missing(self, request: Request, error: Exception) -> Response:
        path, routes = request.url.path, [route for route in self.app.routes if isinstance(route, Route)]
        if getattr(error, "status_code", 404) == 405:
            methods = next((route.methods or set() for route in routes if route.path == path), {"GET"}) - {"HEAD"}
            return answered(Refused(f"{path[:80]} is asked by {' or '.join(sorted(methods))}, not by {request.method}", status=405))
        known = ", ".join(route.path.replace("{model:path}", "NAME") for route in routes)
        return answered(Refused(f"{request.method} {path[:80]} is nothing here; there are {known}", status=404))

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
        return Json(await run_in_threadpool(to, self.lm, await json_of(request, self.settings.body)))

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
