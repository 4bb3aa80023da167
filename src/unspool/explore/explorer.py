"""A hand-made tree of texts after one prompt: what was chosen, what can be undone, and the record of all that is shown.

Choosing is a strategy too. Every answer comes from a run through the one loop, which follows the chosen tokens and goes on
from there, so that what is recorded of a text made by hand is what is recorded of any other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from unspool.core.decoder import Decoder, Part, as_decoder
from unspool.core.model import check_ids
from unspool.errors import UnspoolError, check
from unspool.explore.state import Tokens, Visit
from unspool.language_model import LanguageModel
from unspool.models.remembering import Remembering
from unspool.prompt import Prompt
from unspool.record.step import Hypothesis, Step
from unspool.record.trace import Trace
from unspool.strategies.follow import Follow
from unspool.strategies.greedy import Greedy
from unspool.stream import Stream
from unspool.text import unfinished, visible
from unspool.views.heat import Heat
from unspool.views.why import Why

Watch = Callable[[Sequence[int]], bool]
"""Is told the tokens of a text as they become certain, and answers whether to go on."""

NEAR = 8
"""How many steps to both sides of the cursor are recorded with all stages."""
ANY = 0
"""The token that is taken after a text so that the distribution there is recorded; which one does not matter."""


@dataclass(frozen=True)
class Option:
    """A token that may come at the cursor."""

    token: int
    text: str
    probability: float
    """Under the model."""
    processed: float
    """After the processors."""
    cut: str = ""
    """Which processor cut it, and the setting under which it would have survived; "" if it is possible or not known."""
    chosen: bool = False
    """Whether it is the text's own."""
    visited: bool = False
    """Whether a text that was visited goes on with it."""


@dataclass(frozen=True)
class Branch:
    """A part of the tree of texts between two forks."""

    path: Tokens
    """Up to its end."""
    start: int
    """The place of its first token."""
    depth: int
    text: str
    logprob: float | None
    """The model's, of the whole path, if it is known."""
    current: bool
    """Whether it lies on the text that is shown."""
    leaf: bool


class Explorer:
    """One prompt, explored. lm: any LanguageModel; decoder: what goes on when asked; choices: how many tokens a step shows.

    What changes the texts or the decoder can be undone. A call that fails raises an UnspoolError and changes nothing.
    """

    def __init__(
        self, lm: LanguageModel, prompt: Prompt = "", decoder: Decoder | Part | str | None = None, *, seed: int = 0, choices: int = 24
    ) -> None:
        check(isinstance(choices, int) and choices >= 1, f"choices must be a whole number >= 1; got {choices!r}")
        self.lm = LanguageModel(Remembering(lm.model), lm.tokenizer, lm.name, lm.info, lm.chat)
        self.choices = min(choices, lm.model.vocabulary)
        self.state = Visit(tuple(lm.tokens_of(prompt)), self._usable(Decoder() if decoder is None else decoder), seed=seed)
        self._past: list[Visit] = []
        self._future: list[Visit] = []
        self._steps: dict[tuple[Tokens, tuple[Part, ...], int], dict[Tokens, Step]] = {}
        self._drawing: set[tuple[Part, ...]] = set()
        """Decoders whose processors draw, so that their record depends on the seed."""
        self._logprobs: dict[tuple[Tokens, Tokens], float] = {}           # (prompt, path) -> the model's, of its last token

    # --- choosing ----------------------------------------------------------------------------------------------------

    def move(self, by: int) -> None:
        self.go_to(self.state.cursor + by)

    def go_to(self, cursor: int) -> None:
        """Walk to a place of the text, the nearest if there is none."""
        self.state = replace(self.state, cursor=min(max(cursor, 0), len(self.state.text)))

    def take(self, token: int) -> None:
        """Choose the token at the cursor. What stood after it stays in the tree; a branch that was there is gone back to."""
        self._insert((int(token),))

    def write(self, text: str) -> None:
        """Choose the tokens of a text of one's own at the cursor."""
        tokens = tuple(self.lm.tokenizer.encode(text))
        check(len(tokens) > 0, "there is nothing to write: the text is empty")
        self._insert(tokens)

    def _insert(self, tokens: Tokens) -> None:
        state = self.state
        check_ids("the text", tokens, self.lm.model.vocabulary)
        text = state.text[: state.cursor] + tokens
        check(len(text) <= self.room, f"the model's context of {self.lm.model.context} tokens is full")
        self._change(state.showing(text, len(text)))

    def visit(self, path: Tokens, cursor: int) -> None:
        """Go back to a text of the tree that begins with this path."""
        self._change(self.state.showing(path, cursor))

    def use(self, decoder: str, watch: Watch | None = None) -> None:
        """Switch the decoder, given in its text form; one that cannot be run over this text is refused."""
        before = self.state
        self.state = replace(before, decoder=self._usable(decoder))
        try:
            self.look(watch)
        finally:
            after, self.state = self.state, before
        self._change(after)

    def grow(self, n: int, watch: Watch | None = None) -> str:
        """Let the decoder go on from the cursor by at most n tokens; why it ended.

        What stood there stays in the tree, and so does what the strategy found beside the best text.
        """
        check(n >= 1, f"the decoder goes on by 1 token or more; got {n}")
        return self._grow(self.state, self.state.cursor, n, watch)

    def grow_again(self, watch: Watch | None = None) -> str:
        """Go on from where the decoder last did, with the next seed; why it ended."""
        if self.state.grown is None:
            raise UnspoolError("the decoder did not go on last, so there is nothing to draw again")
        return self._grow(replace(self.state, seed=self.state.seed + 1), *self.state.grown, watch)

    def _grow(self, state: Visit, start: int, n: int, watch: Watch | None) -> str:
        here = state.text[:start]
        count = min(n, self.room - start)
        check(count >= 1, f"the model's context of {self.lm.model.context} tokens is full")
        run = self._run(state, Follow(here, state.decoder.strategy) if here else state.decoder.strategy, start + count, "off")
        certain: list[int] = []
        for step in run:
            run.certain(step)
            certain += step.tokens.tolist() if run.single else []
            if watch and not watch(certain[start:]):
                run.interrupt()
                break
        found = run.output.trace.hypotheses[0]
        for h in reversed(found):
            self._note(h.tokens, h.logprobs)
            state = state.showing(tuple(h.tokens), len(h.tokens))
        if len(found[0].tokens) > start:
            self._change(replace(state, grown=(start, n)))
        return found[0].reason

    @property
    def room(self) -> int:
        """How many new tokens the model's context holds."""
        return self.lm.model.context - len(self.state.prompt)

    # --- undoing -----------------------------------------------------------------------------------------------------

    def _change(self, state: Visit) -> None:
        if state != self.state:
            self._past.append(self.state)
            self._future.clear()
            self.state = state

    def undo(self) -> None:
        self._travel(self._past, self._future, "undo")

    def redo(self) -> None:
        self._travel(self._future, self._past, "redo")

    def _travel(self, source: list[Visit], target: list[Visit], name: str) -> None:
        if not source:
            raise UnspoolError(f"there is nothing to {name}")
        target.append(self.state)
        self.state = source.pop()

    # --- recording ---------------------------------------------------------------------------------------------------

    def look(self, watch: Watch | None = None) -> None:
        """Record what is not known yet: every token of the text and what may come next, with all stages near the cursor."""
        state, known = self.state, self._known
        path = self._path
        if self.ready:
            return
        wanted = [i for i in range(len(path)) if self._lacks(known.get(path[: i + 1]), abs(i - state.cursor) <= NEAR)]
        run = self._run(state, Follow(path[: wanted[-1] + 1]), wanted[-1] + 1, "choices")
        steps = iter(run)
        for i in range(wanted[-1] + 1):
            run.record("tokens" if i not in wanted else "stages" if abs(i - state.cursor) <= NEAR else "choices")
            step = next(steps)
            if run.drew and self._parts not in self._drawing:      # what is known so far was of this seed
                self._steps[state.prompt, self._parts, state.seed] = known = self._steps.pop((state.prompt, self._parts, 0))
                self._drawing.add(self._parts)
            if i in wanted:
                known[path[: i + 1]] = step
            if watch and not watch(path[: i + 1]):
                break
        numbers = [known[path[: i + 1]].logprob[0] for i in range(wanted[-1] + 1) if path[: i + 1] in known]
        self._note(path[: len(numbers)], numbers)

    @property
    def recorded(self) -> bool:
        """Whether every token is recorded, and what may come at every place."""
        return not any(self._lacks(self._known.get(self._path[: i + 1]), False) for i in range(len(self._path)))

    @property
    def ready(self) -> bool:
        """Whether the stages at the cursor are recorded, too."""
        return self.recorded and (self._full or not self._lacks(self._known.get(self._path[: self.state.cursor + 1]), True))

    @property
    def _full(self) -> bool:
        """Whether the cursor stands where the context ends."""
        return self.state.cursor == len(self._path)

    @staticmethod
    def _lacks(step: Step | None, stages: bool) -> bool:
        return step is None or step.considered is None or (stages and step.considered.stages is None)

    @property
    def _known(self) -> dict[Tokens, Step]:
        """The steps that were recorded under the present processors."""
        return self._steps.setdefault((self.state.prompt, self._parts, self.state.seed if self._parts in self._drawing else 0), {})

    @property
    def _parts(self) -> tuple[Part, ...]:
        """What of the decoder bears on the record."""
        return tuple(p for p in self.state.decoder.parts if p.role != "strategy")

    @property
    def _path(self) -> Tokens:
        """The text and one token more, if there is room for it."""
        text = self.state.text
        return (*text, ANY) if len(text) < self.room else text

    def _run(self, state: Visit, strategy: Part, limit: int, level: str) -> Stream:
        decoder = Decoder((*state.decoder.processors, strategy, *state.decoder.stops))
        return self.lm.stream(state.prompt, decoder, max_new_tokens=limit, seed=state.seed, level=level, choices=self.choices)

    def _note(self, tokens: Sequence[int], logprobs: Sequence[float]) -> None:
        path = tuple(tokens)
        self._logprobs |= {(self.state.prompt, path[: i + 1]): x for i, x in enumerate(logprobs)}

    # --- what is shown -----------------------------------------------------------------------------------------------

    @property
    def logprobs(self) -> list[float]:
        """The model's log-probability of each token of the text."""
        state = self.state
        return [self._logprobs.get((state.prompt, state.text[: i + 1]), math.nan) for i in range(len(state.text))]

    @property
    def perplexity(self) -> float:
        """exp of minus the mean log-probability of a token."""
        return float(np.exp(-np.mean(self.logprobs))) if self.state.text else math.nan

    def pieces_after(self, tokens: Sequence[int]) -> list[str]:
        """Each of some tokens as it reads at the cursor."""
        before = (*self.state.prompt, *self.state.text[: self.state.cursor])
        return self.lm.pieces((*before, *tokens))[len(before) :]

    def heat(self, by: str = "probability") -> Heat:
        return Heat.from_trace(self._trace(self.state.text, "choices"), by, choices=0)

    def options(self) -> list[Option]:
        """What may come at the cursor, likeliest first; the text's own token and those visited are among them."""
        state = self.state
        here, own = state.text[: state.cursor], state.text[state.cursor : state.cursor + 1]
        path = self._path
        if self._full:
            return []
        step = self._known[path[: state.cursor + 1]]
        found = step.considered
        assert found is not None
        cuts = {}
        if found.stages is not None:
            cuts = {f.token: f.margin for f in Why.from_trace(self._trace(path[: state.cursor + 1], "stages"), state.cursor + 1).fates}
        visited = {t[len(here)] for t in state.texts if t[: len(here)] == here and len(t) > len(here)}
        options = [
            self._option(token, p, q, cuts.get(token, ""), own, visited)
            for token, p, q in zip(found.tokens[0].tolist(), found.logprobs[0], found.processed[0], strict=True)
        ]
        listed = {o.token for o in options}
        if own and own[0] not in listed:
            options.append(self._option(own[0], step.logprob[0], step.processed[0], "", own, visited))
        for token in sorted(visited - listed - set(own)):
            earlier = self._known.get((*here, token))
            logprob = self._logprobs.get((state.prompt, (*here, token)), math.nan)
            options.append(self._option(token, logprob, earlier.processed[0] if earlier else math.nan, "", own, visited))
        return options

    def _option(self, token: int, logprob: float, processed: float, cut: str, own: Tokens, visited: set[int]) -> Option:
        state = self.state
        before = b"".join(map(self.lm.tokenizer.bytes_of, (*state.prompt, *state.text[: state.cursor])))
        data = self.lm.tokenizer.bytes_of(token)
        text = visible(data, unfinished(before)) if data else self.lm.tokenizer.name_of(token)
        return Option(token, text, math.exp(logprob), math.exp(processed), cut, (token,) == own, token in visited)

    def entropy(self) -> float | None:
        """Of the model's distribution at the cursor, in bits."""
        found = None if self._full else self._known[self._path[: self.state.cursor + 1]].considered
        return None if found is None or found.entropy is None else abs(float(found.entropy[0])) / math.log(2)

    def branches(self) -> list[Branch]:
        """The tree of all texts, from the top; of every fork the earliest branch first."""
        state, found = self.state, list[Branch]()

        def walk(texts: list[Tokens], start: int, depth: int) -> None:
            for first in dict.fromkeys(t[start] for t in texts):
                some = [t for t in texts if t[start] == first]
                end = start + 1
                while all(len(t) > end and t[end] == some[0][end] for t in some):
                    end += 1
                path = some[0][:end]
                pieces = self.lm.pieces((*state.prompt, *path))[len(state.prompt) + start :]
                sums = [self._logprobs.get((state.prompt, path[: i + 1])) for i in range(end)]
                total = None if any(x is None for x in sums) else float(sum(x for x in sums if x is not None))
                below = [t for t in some if len(t) > end]
                found.append(Branch(path, start, depth, "".join(pieces), total, state.text[:end] == path, not below))
                walk(below, end, depth + 1)

        walk(list(state.texts), 0, 0)
        return found

    def _trace(self, path: Tokens, level: str) -> Trace:
        """The record of one text, put together of steps that are known."""
        known, state = self._known, self.state
        steps = [known[path[: i + 1]] for i in range(len(path))]
        numbers = [float(s.logprob[0]) for s in steps], [float(s.processed[0]) for s in steps]
        h = Hypothesis(0, list(path), *numbers, sum(numbers[1]), "followed", list(range(len(path) + 1)))
        trace = Trace([list(state.prompt)], steps, [[h]], level, {"decoder": str(state.decoder)}, {})
        trace.mention(self.lm.tokenizer.bytes_of, self.lm.tokenizer.name_of, self.lm.tokenizer.specials)
        return trace

    # --- files -------------------------------------------------------------------------------------------------------

    def trace(self) -> Trace:
        """The record of all texts that were visited, at every stage, the present one first: a run that follows them."""
        state = self.state
        check(len(state.texts) > 0, "there is nothing to save yet: choose a token first")
        texts = tuple(dict.fromkeys((state.text, *reversed(state.texts))))
        run = self._run(state, Follow(texts), min(max(map(len, texts)) + 1, self.room), "stages")
        trace = run.output.trace
        trace.recipe["explore"] = {"decoder": str(state.decoder), "seed": state.seed, "cursor": state.cursor}
        return trace

    def save(self, path: str | Path) -> None:
        self.trace().save(path)

    def load(self, path: str | Path) -> None:
        """Explore on from a saved trace, one of exploring or any other: its prompt, its texts, and its decoder if it can be read."""
        trace = Trace.load(path)
        check(len(trace.prompts) > 0 and len(trace.hypotheses) > 0 and len(trace.hypotheses[0]) > 0, f"{path} holds no text")
        maker = trace.model.get("tokenizer")
        if maker not in (None, self.lm.tokenizer.hash):
            raise UnspoolError(f"{path} was made with another tokenizer, by the model {trace.model.get('name')!r}; load that model")
        prompt, texts = tuple(trace.prompts[0]), [tuple(h.tokens) for h in trace.hypotheses[0]]
        longest = len(prompt) + max(map(len, texts))
        check(longest <= self.lm.model.context, f"{path} has {longest} tokens and the model's context is {self.lm.model.context}")
        size, tokens = self.lm.model.vocabulary, (*prompt, *(t for text in texts for t in text))
        check(all(isinstance(t, int) and 0 <= t < size for t in tokens), f"{path} has tokens that this model lacks")
        made = trace.recipe.get("explore")
        made = made if isinstance(made, dict) else trace.recipe
        decoder, seed = self._readable(str(made.get("decoder", ""))), made.get("seed")
        state = Visit(prompt, decoder or self.state.decoder, seed=seed if isinstance(seed, int) else 0)
        for text in reversed(texts):
            state = state.showing(text, len(text))
        cursor = made.get("cursor", 0)
        self._change(replace(state, cursor=min(max(cursor, 0), len(state.text)) if isinstance(cursor, int) else 0))
        for h in trace.hypotheses[0]:
            self._note(h.tokens, h.logprobs)

    def _usable(self, decoder: Decoder | Part | str) -> Decoder:
        """A decoder that this tokenizer can resolve, of tokens that the model has, with its strategy."""
        parsed = as_decoder(decoder)
        for part in self.lm.resolve(parsed).parts:
            check_ids(part.name, part.token_ids(), self.lm.model.vocabulary)
        return parsed if parsed.strategy else parsed | Greedy()

    def _readable(self, decoder: str) -> Decoder | None:
        try:
            parsed = self._usable(decoder)
        except UnspoolError:                                              # no text form, live objects, or parts that are not installed
            return None
        return None if isinstance(parsed.strategy, Follow) else parsed
