"""A run in progress: its steps as they are made, its text as it becomes certain, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypedDict

import numpy as np

from unspool.core.loop import Rounds, rounds, steps_of
from unspool.core.search import Search
from unspool.core.stop import Stop
from unspool.core.strategy import Strategy
from unspool.errors import UnspoolError, check
from unspool.models.chat import Messages
from unspool.output import GeneratedText, Output, Outputs
from unspool.record.certificate import Certificate
from unspool.record.step import LEVELS, Hypothesis, Step
from unspool.record.trace import Trace
from unspool.respelling import Respelling, RespellingDetokenizer
from unspool.text import Detokenizer, Tokenizer


class Options(TypedDict, total=False):
    """What a call may set beside its prompt and its decoder."""

    messages: Messages | None
    """A conversation, `[{"role": "user", "content": "Hello"}]`, in place of a prompt, for models with a chat template.
    If the assistant has the last word, its turn goes on."""
    chat: bool
    """Every prompt is what a user says."""
    template: Mapping[str, Any] | None
    """What else the chat template reads, as {"enable_thinking": False, "tools": [...]}."""
    max_new_tokens: int | None
    """The most new tokens of each prompt: 100 if neither it nor max_length is given."""
    max_length: int | None
    """The most tokens of prompt and new text together."""
    seed: int
    """Of all draws, 0 if not given."""
    end_tokens: Sequence[int] | None
    """The model's own if not given; () to go on regardless."""
    level: str
    """How much is recorded: "off", "tokens" if not given, "choices" or "stages"."""
    choices: int
    """How many alternatives are recorded at every place, 5 if not given."""
    ids: Sequence[str] | None
    """Names of the prompts for randomness, so that equal prompts can have different draws."""
    together: int | None
    """How many prompts run at once, which no text depends on; chosen by the decoder's rows and the memory if not given. As one ends,
    the next begins."""


class Stream:
    """A run in progress: iterate over its Steps; `output` is there when it has ended.

    If the iteration is broken off (Ctrl-C, or `close`), what was generated so far is the output, with the reason "interrupted".
    `prompts` are the texts, `recipe` what makes the run again. alone: one prompt, not a list of them, so that it is an error if
    nothing comes of it. asked: what is shown in place of prompts that a chat template made. spelling: where the ends of prompts are spelled
    anew, by which tokens.
    """

    def __init__(
        self,
        search: Search,
        strategy: Strategy,
        stops: Sequence[Stop],
        tokenizer: Tokenizer,
        prompts: Sequence[str],
        recipe: dict[str, Any],
        model: dict[str, Any],
        alone: bool = True,
        asked: Sequence[str] = (),
        spelling: Respelling | None = None,
    ) -> None:
        self.prompts, self.recipe, self.asked, self.strategy = list(prompts), recipe, list(asked), strategy
        self._spelling = spelling
        self._search, self._tokenizer, self._model, self._alone = search, tokenizer, model, alone
        waits = [(s, stop.cuts_after) for stop in stops for s in stop.cuts]
        self._cuts = dict(sorted(waits, key=lambda wait: -wait[1]))       # of several with one string the first to count
        self._wanted = strategy.most_texts()
        self.single = strategy.streams
        """Whether the first prompt has had one row throughout, so that its text can be shown as it grows."""
        self.interrupted = False
        self._writer, self._written = self.writer(0), ""
        self._kept: list[Step] = []
        self.rounds: Rounds = rounds(search, strategy)
        """The loop at work, for whoever runs its forwards beside those of others; its steps are then to be given to `keep`."""
        self._steps = steps_of(self.rounds)
        self._outputs: Outputs | None = None

    # --- what was asked for, and what it took ------------------------------------------------------------------------

    @property
    def prompt_tokens(self) -> list[list[int]]:
        """The token ids of every prompt; under heal those that stay."""
        return [p.tolist() for p in self._search.call.prompts]

    @property
    def limits(self) -> list[int]:
        """The most new tokens of every prompt."""
        limits: list[int] = self._search.call.limits.tolist()
        return limits

    @property
    def drew(self) -> bool:
        """Whether anything random was asked for so far: without a draw, every seed gives the same texts."""
        return self._search.call.drew

    @property
    def certificate(self) -> Certificate | None:
        """What the last search to say so has proved by now; None where nothing is."""
        return next(reversed(self._search.call.certificates.values()), None)

    def watch(self, beat: Callable[[], object]) -> None:
        """Have something called again and again while the run is at work, also where it only looks ahead and makes no step for long."""
        self._search.watch = beat

    def cost(self) -> dict[str, int]:
        """What models were asked to run: forwards and tokens of the model itself, other_forwards and other_tokens of other models."""
        counts = {"forwards": 0, "tokens": 0, "other_forwards": 0, "other_tokens": 0}
        for lane in self._search.lanes():
            other = "" if lane.model is self._search.lane.model else "other_"
            counts[other + "forwards"] += lane.forwards
            counts[other + "tokens"] += lane.tokens
        return counts

    def record(self, level: str) -> None:
        """From the next step on record at another level."""
        check(level in LEVELS, f"level is one of {', '.join(LEVELS)}; got {level!r}")
        self._search.record(level)

    # --- as it goes ---------------------------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[Step]:
        try:
            for step in self._steps:
                self.keep(step)
                yield step
                if self.interrupted:
                    return
        except (KeyboardInterrupt, GeneratorExit):
            self.interrupt()
            raise

    def keep(self, step: Step) -> None:
        """Take a step down, if steps are recorded."""
        if self._search.recorder.level != "off":
            self._kept.append(step)

    def take_again(self, steps: Sequence[Step]) -> None:
        """Take the recorded steps of an earlier run; an error where this run departs from them. What it gives out then comes after them."""
        recorded = [step for step in steps if len(step)]
        for number, old in enumerate(recorded, 1):
            new = next((step for step in self._taken() if len(step)), None)
            if new is None or not (np.array_equal(new.tokens, old.tokens) and np.array_equal(new.parents, old.parents)):
                self.interrupt()
                where = f"step {number} of the {len(recorded)} that were recorded"
                raise UnspoolError(
                    f"the run departs from its record at {where}: the model, the decoder, the seed or an option is not the one of then"
                )

    def _taken(self) -> Iterator[Step]:
        for step in self._steps:
            self.keep(step)
            self.certain(step)
            yield step

    def interrupt(self) -> None:
        """End now: what was generated so far is the output. A run that is over stays as it is."""
        if not self.interrupted and not self._search.over:
            self.interrupted, self._steps = True, iter(())
            while self._search.untold:
                self.keep(self._search.untold.popleft())
            self._search.interrupt()

    def leaves(self, prompt: int) -> list[tuple[int, dict[str, Any]]]:
        """Where the texts of a prompt stand, growing or ended: the node of each, and its columns. What all of them share is certain."""
        return self._search.leaves(prompt)

    def path(self, prompt: int, node: int, after: int = 0) -> list[int]:
        """The nodes from one on, the prompt's own if not given, to a later one."""
        return self._search.recorder.path(prompt, node, after)

    def born(self, prompt: int, node: int) -> tuple[int, int, float]:
        """Of a node the one before it, its token, and its log-probability under the model."""
        return self._search.recorder.nodes[prompt][node][:3]

    def give_up(self) -> None:
        """Free every row, after an error that nobody can go on from."""
        self.interrupted, self._steps = True, iter(())
        for lane in self._search.lanes():
            lane.session.keep([])

    def text(self) -> Iterator[str]:
        """The first prompt's text as it becomes certain; with several rows, only once the best is known."""
        for step in self:
            if piece := self.certain(step):
                yield piece
        if piece := self.rest():
            yield piece

    def certain(self, step: Step) -> str:
        """What a step makes certain of the first prompt's text: nothing once several rows compete for it (see `single`)."""
        mine = np.flatnonzero(step.prompt == 0)
        self.single = self.single and len(mine) <= 1 and self._search.rows_of(0) <= 1
        piece = self._writer.add(int(step.tokens[mine[0]])) if self.single and len(mine) else ""
        self._written += piece
        return piece

    def rest(self) -> str:
        """What of the first prompt's text was not certain before the end."""
        text = self.output.text
        return text[len(self._written) :] if text.startswith(self._written) else "\n" + text

    # --- what came of it ----------------------------------------------------------------------------------------------

    @property
    def outputs(self) -> Outputs:
        """One Output for each prompt."""
        if self._outputs is None:
            for _ in self:
                pass
            steps = told(self._kept, range(len(self.prompts)))
            self._outputs = Outputs(self._output(i, steps[i]) for i in range(len(self.prompts)))
        if self._alone:
            _ = self._outputs[0].best                                    # an error if there is none
        return self._outputs

    @property
    def output(self) -> Output:
        """The first prompt's Output."""
        return self.outputs[0]

    def _output(self, prompt: int, steps: list[Step]) -> Output:
        found = self._search.found[prompt]
        tokens, texts = self._search.call.prompts[prompt].tolist(), [self._sequence(h) for h in found]
        failure = "" if found else self._failure(prompt)
        asked = self.asked[prompt] if self.asked else ""
        trace, fewer = self._trace(prompt, found, steps), self._fewer(found)
        return Output(self.prompts[prompt], tokens, texts, self.recipe, trace, failure, asked, fewer)

    def _fewer(self, found: Sequence[Hypothesis]) -> str:
        """That fewer texts came than were asked for, if some came."""
        if not found or self.interrupted or self._wanted is None or len(found) >= self._wanted:
            return ""
        return f"{self.recipe['decoder']} asks for {self._wanted} texts and {len(found)} came"

    def _failure(self, prompt: int) -> str:
        """Why nothing came of a prompt."""
        if prompt in self._search.dead:
            return str(self._search.dead[prompt])
        if self.interrupted:
            return f"the run was interrupted before the first token of the prompt {self.prompts[prompt][:60]!r}"
        about = "the processors leave no token" if self._search.lane.processors else "the strategy chose no text"
        about = self._search.call.hopeless.get(prompt, about)
        return f"no hypothesis is left for the prompt {self.prompts[prompt][:60]!r}: {about} under {self.recipe['decoder']}"

    def so_far(self) -> Trace:
        """The record of the first prompt as it stands, best first; texts that may still grow come last, for the reason "growing"."""
        finished, growing = self._search.found[0], self._search.growing("growing", 0)
        if self._search.runs:                                            # what it found is ranked when it is over
            finished = sorted(finished, key=lambda h: -h.score)
        untold = () if self._search.recorder.level == "off" else self._search.untold
        steps = told([*self._kept, *untold], [0])[0]
        return self._trace(0, [*finished, *sorted(growing, key=lambda h: -h.score)], steps)

    def _trace(self, prompt: int, found: list[Hypothesis], steps: list[Step]) -> Trace:
        tokens, level = self._search.call.prompts[prompt].tolist(), self._search.recorder.level
        trace = Trace([tokens], steps, [[replace(h, prompt=0) for h in found]], level, self.recipe, self._model)
        trace.certificates = [replace(c, prompt=0) for c in self._search.call.certificates.values() if c.prompt == prompt]
        trace.work = dict(self._search.call.work[prompt])
        trace.mention(self._tokenizer.bytes_of, self._tokenizer.name_of, self._tokenizer.specials)
        return trace

    def _sequence(self, h: Hypothesis) -> GeneratedText:
        writer = self.writer(h.prompt)
        text = "".join(map(writer.add, h.tokens)) + writer.finish()
        return GeneratedText(text, h.tokens, h.logprobs, h.processed, h.score, h.reason)

    def writer(self, prompt: int) -> Detokenizer:
        """What makes text of a prompt's new tokens as it becomes certain."""
        stays, taken = self._search.call.prompts[prompt].tolist(), self._search.call.taken[prompt].tolist()
        if self._spelling is None:
            return Detokenizer(self._tokenizer, self._cuts, stays)
        owed = b"".join(map(self._tokenizer.bytes_of, taken))
        return RespellingDetokenizer(self._spelling, self._cuts, [*stays, *taken], owed)


def told(steps: Sequence[Step], prompts: Sequence[int]) -> dict[int, list[Step]]:
    """Of each of some prompts what the steps say of it, in order."""
    found: dict[int, list[Step]] = {prompt: [] for prompt in prompts}
    for step in steps:
        for prompt in step.prompts():
            if prompt in found:
                found[prompt].append(step.only(prompt))
    return found
