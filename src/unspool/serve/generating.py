"""Generating: how a request becomes an answer, whole or as a stream."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from unspool.language_model import LanguageModel
from unspool.serve.answers import Shape, Text, usage
from unspool.serve.bodies import json_of
from unspool.serve.engine import EngineThread
from unspool.serve.errors import Refused
from unspool.serve.fields import CHATS
from unspool.serve.metrics import Metrics
from unspool.serve.replies import Events, Json
from unspool.serve.requests import asked
from unspool.serve.settings import Settings
from unspool.serve.streaming import event
from unspool.serve.ticket import Ticket
from unspool.serve.wanted import Limits, Wanted


class Generating:
    """The endpoints that generate; `told` makes an answer of what goes wrong within a stream."""

    def __init__(
        self, lm: LanguageModel, settings: Settings, engine: EngineThread, metrics: Metrics, told: Callable[[Exception], Refused]
    ) -> None:
        self.lm, self.settings, self.engine, self.metrics, self.told = lm, settings, engine, metrics, told
        self.limits = Limits(settings.tokens or lm.model.context, settings.rows)

    async def answer(self, endpoint: str, request: Request) -> Response:
        """The answer to a request."""
        body = await json_of(request, self.settings.body)
        seed = secrets.randbelow(2**31) if self.settings.seed is None else self.settings.seed
        wanted = await run_in_threadpool(asked, endpoint, body, self.lm, self.limits, seed)
        prefix = "chatcmpl" if endpoint == CHATS else "cmpl"
        form = Shape(wanted, self.lm.tokenizer, f"{prefix}-{uuid.uuid4().hex}", int(time.time()), self.lm.name)
        ticket = await self._ticket(wanted)
        self.engine.submit(ticket.works)
        leave = partial(self.engine.leave, ticket)
        if wanted.stream:
            return Events(self._events(ticket, form), leave)
        try:
            await _unless_gone(request, ticket.wait())
        except BaseException:
            leave()
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
        """The events of a stream."""
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
            yield event(json.dumps(self.told(error).body()))


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
