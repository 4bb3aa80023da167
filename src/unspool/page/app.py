"""The lab's endpoints, beside those of a server: its page, and what the page asks for."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from unspool.arrays import Ints
from unspool.core.together import Together
from unspool.errors import UnspoolError
from unspool.language_model import LanguageModel
from unspool.page.asked import FIELDS, NEXT, AskedRun, asked_run, known_fields, model_of
from unspool.page.catalogue import catalogue, understood
from unspool.page.files import HEADERS, index, page_file, shell
from unspool.page.guard import Guard
from unspool.page.live import LiveRun, Telling
from unspool.page.whole_rows import MOST_COMPARED, Seen, differences, row_told, seeing, words
from unspool.serve.app import Server
from unspool.serve.bodies import json_of
from unspool.serve.errors import Refused
from unspool.serve.replies import Events, Json
from unspool.serve.streaming import event

PATH = "/lab"
Answering = Callable[[Any], Awaitable[dict[str, Any]]]


class Lab:
    """The lab of a server's model, and of others beside it; `begin` is what the page shows first."""

    def __init__(self, server: Server, others: Mapping[str, LanguageModel] | None = None, begin: Mapping[str, Any] | None = None) -> None:
        self.server, self.guard, self.begin = server, Guard(), dict(begin or {})
        self.limits = server.generating.limits
        self.models = {server.lm.name: server.lm}
        for name, lm in (others or {}).items():
            self.models[name] = LanguageModel(Together(lm.model), lm.tokenizer, name, lm.info, lm.chat, ())
        self.running: dict[str, LiveRun] = {}
        asks: dict[str, Answering] = {
            "start": self._start, "read": self._read, "stop": self._stop, "row": self._row, "words": self._words,
            "compare": self._compare,
        }  # fmt: skip
        api = {f"{PATH}/api/{name}": self._asked(ask) for name, ask in asks.items()} | {f"{PATH}/api/run": self._run}
        pages = {PATH: self._index, f"{PATH}/": self._index, f"{PATH}/shell": self._shell, f"{PATH}/{{name}}": self._file}
        self.routes = [Route(path, server.guarded(path, self._owned(to)), methods=["POST"]) for path, to in api.items()]
        self.routes += [Route(path, server.guarded(path, to), methods=["GET"]) for path, to in pages.items()]
        server.app.router.routes.extend(self.routes)

    # --- the page -----------------------------------------------------------------------------------------------------

    async def _index(self, request: Request) -> Response:
        if request.url.path == PATH:
            return RedirectResponse(f"{PATH}/")
        return Response(index(self.guard.token), media_type="text/html", headers=HEADERS)

    async def _file(self, request: Request) -> Response:
        data, kind = page_file(request.path_params["name"])
        return Response(data, media_type=kind, headers=HEADERS)

    async def _shell(self, request: Request) -> Response:
        self.guard.let_in(request)
        return Response(shell(), media_type="text/plain", headers=HEADERS)

    # --- what it asks ---------------------------------------------------------------------------------------------------

    def _owned(self, to: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        async def serve(request: Request) -> Response:
            self.guard.let_in(request)
            return await to(request)

        return serve

    def _asked(self, ask: Answering) -> Callable[[Request], Awaitable[Response]]:
        async def serve(request: Request) -> Response:
            return Json(await ask(await json_of(request, self.server.settings.body)))

        return serve

    async def _start(self, body: Any) -> dict[str, Any]:
        """What the page needs to know at once."""
        models = [await run_in_threadpool(_about, name, lm) for name, lm in self.models.items()]
        limits = {"tokens": self.limits.tokens, "rows": self.limits.rows, "compared": MOST_COMPARED}
        return {"models": models, "limits": limits, "begin": self.begin, **await run_in_threadpool(catalogue)}

    async def _read(self, body: Any) -> dict[str, Any]:
        """A decoder, taken apart."""
        fields = known_fields(body, ("decoder", "model"))
        return await run_in_threadpool(understood, str(fields.get("decoder", "")), model_of(fields, self.models))

    async def _stop(self, body: Any) -> dict[str, Any]:
        """End a run with what there is."""
        live = self.running.get(str(known_fields(body, ("id",)).get("id", "")))
        if live is not None:
            live.stop()
            self.server.engine.wake()
        return {"stopped": live is not None}

    async def _words(self, body: Any) -> dict[str, Any]:
        """The bytes of some tokens."""
        fields = known_fields(body, ("model", "tokens"))
        lm, tokens = model_of(fields, self.models), fields.get("tokens", [])
        if not isinstance(tokens, list) or not all(type(t) is int and 0 <= t < lm.model.vocabulary for t in tokens):
            raise Refused("tokens is a list of this model's token ids", "tokens")
        return words(lm, tokens)

    async def _run(self, request: Request) -> Response:
        """A run, as events: what is known, steps, and what came of it."""
        asked = await run_in_threadpool(asked_run, await json_of(request, self.server.settings.body), self.models, self.limits)
        live = LiveRun(await run_in_threadpool(asked.stream), self.server.settings, asyncio.get_running_loop())
        self.server.engine.submit([live.work])
        self.running[live.id] = live
        return Events(self._told(live, asked), partial(self.server.engine.leave, live))

    async def _told(self, live: LiveRun, asked: AskedRun) -> AsyncIterator[str]:
        telling = Telling(asked.lm, asked)
        try:
            yield event(json.dumps(telling.begin(live)))
            async for steps in live.steps():
                yield event(json.dumps(telling.steps(steps), allow_nan=False)) if steps else ": it goes on\n\n"
            yield event(json.dumps(await run_in_threadpool(telling.end, live.stream), allow_nan=False))
        except Exception as error:
            yield event(json.dumps(self.server.said(error).body()))
        finally:
            self.running.pop(live.id, None)

    async def _seen(self, asked: AskedRun, tokens: tuple[int, ...], first: int) -> tuple[list[Seen], int]:
        """The whole distributions before the tokens of a text, from a place on; and how long the prompt is."""
        seen: list[Seen] = []
        stream = await run_in_threadpool(asked.stream, seeing(tokens, first, seen.append))
        live = LiveRun(stream, self.server.settings, asyncio.get_running_loop())
        self.server.engine.submit([live.work])
        try:
            await live.end()
        finally:
            self.server.engine.leave(live)
        return seen, len(stream.prompt_tokens[0])

    async def _row(self, body: Any) -> dict[str, Any]:
        """The model's logits of every token after a text."""
        fields = known_fields(body, FIELDS) | {"only": "next"}
        asked = await run_in_threadpool(asked_run, fields, self.models, self.limits)
        tokens = (*asked.follow, NEXT)
        seen, length = await self._seen(asked, tokens, len(asked.follow))
        if not seen:
            raise Refused("the run was broken off before the row was there", status=408)
        prompt = asked.stream().prompt_tokens[0]
        return row_told(asked.lm, seen[-1][0], (*prompt, *asked.follow), length)

    async def _compare(self, body: Any) -> dict[str, Any]:
        """Two decoders, or two models, over the same text: how their distributions differ at each of its tokens."""
        fields = known_fields(body, ("prompt", "chat", "follow", "seed", "sides"))
        sides = fields.pop("sides", None)
        if not isinstance(sides, list) or len(sides) != 2 or not all(isinstance(side, dict) for side in sides):
            raise Refused("sides is a list of two: the model and the decoder of each", "sides")
        asked = [
            await run_in_threadpool(asked_run, {**fields, **side, "only": "text"}, self.models, self.limits) for side in sides
        ]
        if len({one.lm.tokenizer.hash for one in asked}) > 1:
            raise Refused("the models cut texts into different tokens, so their distributions are of different things", "sides")
        tokens = asked[0].follow[:MOST_COMPARED]
        (one, _), (other, _) = [await self._seen(some, tokens, 0) for some in asked]
        steps = await run_in_threadpool(differences, one, other, _ints(tokens))
        met = [*tokens, *(t for step in steps for t in step["best"])]
        return {"steps": steps, "cut": len(asked[0].follow) > len(tokens), **words(asked[0].lm, dict.fromkeys(met))}


def _about(name: str, lm: LanguageModel) -> dict[str, Any]:
    """What the page needs to know of a model."""
    try:
        lm.render([{"role": "user", "content": "Hello"}])
        chats = True
    except UnspoolError:
        chats = False
    about = {"name": name, "vocabulary": lm.model.vocabulary, "context": lm.model.context}
    return about | {"chat": chats, "tokenizer": lm.tokenizer.hash}


def _ints(tokens: tuple[int, ...]) -> Ints:
    return np.asarray(tokens, np.int64)
