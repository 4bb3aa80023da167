"""A run in the engine, as the event loop sees it that tells the page of it."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

from unspool.errors import DeadEnd
from unspool.language_model import LanguageModel
from unspool.page.asked import AskedRun
from unspool.record.step import Hypothesis, Step
from unspool.record.trace import Trace, plain
from unspool.serve.batch import Work
from unspool.serve.errors import refused
from unspool.serve.settings import Settings
from unspool.serve.ticket import UNKNOWN_ROWS
from unspool.stream import Stream

QUIET_FOR = 10.0
"""Seconds without a step after which the page is told that the run is alive."""


class LiveRun:
    """A run at work: its steps as they are taken, until it is over, stopped, or nobody waits for it."""

    def __init__(self, stream: Stream, settings: Settings, loop: asyncio.AbstractEventLoop) -> None:
        self.id, self.stream, self._loop = secrets.token_hex(8), stream, loop
        self._events: asyncio.Queue[Any] = asyncio.Queue()
        rows = min(stream.strategy.most_rows() or UNKNOWN_ROWS, settings.rows)
        until = None if settings.seconds is None else time.monotonic() + settings.seconds
        self.work = Work(stream, self._tell, self._over, rows, until)

    def _tell(self, step: Step) -> None:
        self._put(step)

    def _over(self, error: Exception | None) -> None:
        self._put(error)

    def _put(self, event: Any) -> None:
        try:
            self._loop.call_soon_threadsafe(self._events.put_nowait, event)
        except RuntimeError:
            self.leave()                                                 # the event loop is gone, and so is whoever asked

    def leave(self) -> None:
        """Nobody waits any longer: its rows are given up before the next step."""
        self.work.gone = True

    def stop(self) -> None:
        """End with what there is."""
        self.work.until = 0.0

    async def steps(self) -> AsyncIterator[list[Step]]:
        """Its steps, those that have come together; none where it takes long. What went wrong is raised."""
        while True:
            try:
                events = [await asyncio.wait_for(self._events.get(), QUIET_FOR)]
            except asyncio.TimeoutError:
                yield []
                continue
            while not self._events.empty():
                events.append(self._events.get_nowait())
            if steps := [event for event in events if isinstance(event, Step)]:
                yield steps
            if not isinstance(events[-1], Step):
                if events[-1] is not None:
                    raise refused(events[-1])
                return

    async def end(self) -> None:
        """Until it is over."""
        async for _ in self.steps():
            pass


class Telling:
    """What the page is told of a run: the record's own steps and results, and the bytes of every token when it is first met."""

    def __init__(self, lm: LanguageModel, asked: AskedRun) -> None:
        self.lm, self.asked, self._known = lm, asked, set[int]()

    def begin(self, live: LiveRun) -> dict[str, Any]:
        """What is known before the first step."""
        stream = live.stream
        tokens = stream.prompt_tokens[0]
        model = {"name": self.lm.name, "tokenizer": self.lm.tokenizer.hash, **self.lm.info}
        found = {"id": live.id, "prompt": tokens, "recipe": stream.recipe, "model": model, "level": self.asked.level}
        return {"begin": found | {"limit": stream.limits[0], "end_tokens": list(self.lm.model.end_tokens)}} | self._words([tokens], [], [])

    def steps(self, steps: Sequence[Step]) -> dict[str, Any]:
        """Some steps."""
        return {"steps": [plain(step) for step in steps]} | self._words([], list(steps), [])

    def end(self, stream: Stream) -> dict[str, Any]:
        """What came of it."""
        try:
            failure, trace = "", stream.output.trace
        except DeadEnd as error:
            failure, trace = str(error), stream.so_far()
        hypotheses = [] if failure else trace.hypotheses[0]
        found: dict[str, Any] = {"hypotheses": [plain(h) for h in hypotheses], "work": trace.work, "failure": failure}
        found |= {"certificates": [plain(c) | {"said": str(c)} for c in trace.certificates], "interrupted": stream.interrupted}
        return {"end": found} | self._words([], [], hypotheses)

    def _words(self, prompts: list[list[int]], steps: list[Step], hypotheses: list[Hypothesis]) -> dict[str, Any]:
        part = Trace(prompts, steps, [hypotheses], "choices")
        tokenizer = self.lm.tokenizer
        part.mention(tokenizer.bytes_of, tokenizer.name_of, tokenizer.specials)
        fresh = {t: data.hex() for t, data in part.tokens.items() if t not in self._known}
        names = {t: part.names[t] for t in fresh if t in part.names}
        self._known |= fresh.keys()
        return {"tokens": fresh, "names": names}
