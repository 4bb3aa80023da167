"""A ticket: a request in the engine, as the event loop that answers it sees it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

from unspool.language_model import LanguageModel
from unspool.record.step import Step
from unspool.serve.answers import Text, Told, texts_of
from unspool.serve.batch import Work
from unspool.serve.errors import Refused, refused, stopping
from unspool.serve.reading import PromptReading
from unspool.serve.settings import Settings
from unspool.serve.streaming import Certain
from unspool.serve.wanted import Wanted
from unspool.text import text_of

UNKNOWN_ROWS = 8
"""Rows that are kept free for a prompt whose strategy cannot say how many it needs."""
SILENCE = 15.0
"""Seconds without a piece after which a stream says that it is alive."""


class Ticket:
    """The runs of a request: its decoding, and where its prompts are to be scored a reading of each."""

    def __init__(self, asked: Wanted, lm: LanguageModel, settings: Settings, loop: asyncio.AbstractEventLoop) -> None:
        self.asked, self.lm = asked, lm
        self.run = asked.run(lm) if asked.tokens else None
        self.prompts = self.run.prompt_tokens if self.run else asked.read(lm)
        scored = asked.echo and asked.likeliest is not None
        self.readings = [PromptReading(lm, tokens, asked.likeliest or 0) for tokens in self.prompts] if scored else []
        self.certain = Certain(self.run, len(self.prompts), asked.texts, asked.likeliest is not None) if self.run and asked.stream else None
        rows = self.run.strategy.most_rows() if self.run else 1
        until = None if settings.seconds is None else time.monotonic() + settings.seconds
        self.works = [Work(reading, until=until) for reading in self.readings]
        self.works += [Work(self.run, rows=min(len(self.prompts) * (rows or UNKNOWN_ROWS), settings.rows), until=until)] if self.run else []
        self._events: asyncio.Queue[Any] = asyncio.Queue()
        self._loop = loop
        self._left = len(self.works)
        for work in self.works:
            work.over = self._over
        if self.certain:
            self.works[-1].told = self._step

    # --- told by the engine's thread --------------------------------------------------------------------------------------

    def _tell(self, event: Any) -> None:
        try:
            self._loop.call_soon_threadsafe(self._events.put_nowait, event)
        except RuntimeError:
            self.leave()                                                 # the event loop is gone, and so is whoever asked

    def _over(self, error: Exception | None) -> None:
        self._tell(error)

    def _step(self, step: Step) -> None:
        assert self.certain is not None
        if pieces := self.certain.after(step):
            self._tell(pieces)

    # --- seen by the event loop ---------------------------------------------------------------------------------------

    def leave(self) -> None:
        """Nobody waits any longer: the engine gives up its rows before the next step."""
        for work in self.works:
            work.gone = True

    async def pieces(self) -> AsyncIterator[list[Text]]:
        """What becomes certain, until all runs are over; nothing in between where it takes long. What went wrong is raised."""
        while self._left:
            try:
                event = await asyncio.wait_for(self._events.get(), SILENCE)
            except asyncio.TimeoutError:
                yield []
                continue
            if isinstance(event, list):
                yield event
                continue
            self._left -= 1
            if event is not None:
                raise refused(event)

    async def wait(self) -> None:
        """Until all runs are over."""
        async for _ in self.pieces():
            pass

    # --- what came of it ----------------------------------------------------------------------------------------------

    def texts(self) -> list[Text]:
        """The texts, prompt by prompt; with their prompts before them, if that is asked for."""
        found = []
        for prompt, tokens in enumerate(self.prompts):
            own = self._generated(prompt) if self.run else [Text(prompt, "", [], "length")]
            for text in own:
                if self.asked.echo:
                    text.tokens = [*self._read(prompt, tokens), *text.tokens]
                    text.text = self._prompt_text(prompt, tokens) + text.text
                text.prompt_ids = tokens
            found += own
        return found

    def echoed(self) -> list[Text]:
        """The prompts, as a stream begins with them."""
        texts = [Text(0, self._prompt_text(i, tokens), []) for i, tokens in enumerate(self.prompts)]
        return [text for text in texts for _ in range(self.asked.texts)]

    def _generated(self, prompt: int) -> list[Text]:
        assert self.run is not None
        output = self.run.outputs[prompt]
        if not output.sequences:
            if not self.run.interrupted:
                raise Refused(output.failure, code="dead_end")
            raise self._broken_off(output.failure)
        return texts_of(output, prompt * max(self.asked.texts, 1))

    def _broken_off(self, late: str) -> Refused:
        """Why there is nothing yet: the server stops, or it took too long."""
        return stopping() if any(work.stopped for work in self.works) else Refused(late, status=408, code="time_limit")

    def _prompt_text(self, prompt: int, tokens: list[int]) -> str:
        given = self.asked.prompts[prompt]
        return given if isinstance(given, str) else text_of(self.lm.tokenizer, tokens)

    def _read(self, prompt: int, tokens: list[int]) -> list[Told]:
        """The prompt's tokens, scored if that is asked for."""
        if not self.readings:
            return [Told(token, None) for token in tokens]
        places = self.readings[prompt].places
        if len(places) < len(tokens) - 1:
            raise self._broken_off("the time limit came before the prompt was read")
        scored = [Told(t, p.logprob, [*zip(p.tokens, p.logprobs, strict=True)]) for t, p in zip(tokens[1:], places, strict=True)]
        return [Told(tokens[0], None), *scored]

    def last_pieces(self) -> list[Text]:
        """What was not streamed of the texts before their end was known."""
        assert self.run is not None
        assert self.certain is not None
        found = []
        for prompt in range(len(self.prompts)):
            pairs = zip(self._generated(prompt), self.run.outputs[prompt].trace.hypotheses[0], strict=True)
            found += [self.certain.rest(prompt, i, text, h) for i, (text, h) in enumerate(pairs)]
        return found

    def new_tokens(self) -> int:
        """How many tokens the texts have that were returned."""
        return sum(len(s.tokens) for output in self.run.outputs for s in output.sequences) if self.run else 0

