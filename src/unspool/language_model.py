"""LanguageModel: a model with its tokenizer, and what one does with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, overload

import numpy as np

from unspool.core.decoder import Decoder, Part, as_decoder
from unspool.core.loop import decode
from unspool.core.model import Model
from unspool.core.search import Search
from unspool.errors import DeadEnd, ParameterError, PromptError, Unsupported, check
from unspool.record.step import LEVELS, Hypothesis, Step
from unspool.record.trace import Trace
from unspool.score import Score, score_tokens
from unspool.shown import Shown
from unspool.stops.texts import StopStrings
from unspool.stops.tokens import End
from unspool.strategies.follow import Follow
from unspool.strategies.greedy import Greedy
from unspool.text import Detokenizer, Tokenizer, check_fit, unfinished, visible
from unspool.views.table import StepTable

Prompt = str | Sequence[int]
DecoderLike = Decoder | Part | str | None
Messages = Sequence[Mapping[str, Any]]
Chat = Callable[[Messages], str]


@dataclass(frozen=True)
class GeneratedText(Shown):
    """One generated text: its new tokens and their numbers."""

    text: str
    tokens: list[int]
    logprobs: list[float]
    """The model's own log-probability of each token."""
    processed: list[float]
    """The same after the processors."""
    score: float
    """What the strategy ranks by."""
    reason: str
    """Why it ended: end, complete, length, context, stop, loop, confidence, time or interrupted."""

    @property
    def logprob(self) -> float:
        """The sum of the model's log-probabilities."""
        return float(np.sum(self.logprobs))

    @property
    def perplexity(self) -> float:
        """exp of minus the mean log-probability of a token."""
        return float(np.exp(-np.mean(self.logprobs)))


@dataclass(frozen=True)
class Output(Shown):
    """What was generated after one prompt, best first, with the record of how."""

    prompt: str
    prompt_tokens: list[int]
    sequences: list[GeneratedText]
    recipe: dict[str, Any]
    trace: Trace = field(repr=False)

    @property
    def best(self) -> GeneratedText:
        """The best sequence."""
        return self.sequences[0]

    @property
    def text(self) -> str:
        """The best sequence's text, without the prompt."""
        return self.best.text

    @property
    def tokens(self) -> list[int]:
        """The best sequence's new tokens."""
        return self.best.tokens

    @property
    def logprob(self) -> float:
        """The best sequence's log-probability under the model."""
        return self.best.logprob

    def to_dict(self) -> dict[str, Any]:
        """All of it but the trace as plain values."""
        found = [
            {"text": s.text, "tokens": s.tokens, "logprob": s.logprob, "perplexity": s.perplexity, "score": s.score}
            | {"reason": s.reason, "logprobs": s.logprobs, "processed": s.processed}
            for s in self.sequences
        ]
        return {"prompt": self.prompt, "prompt_tokens": self.prompt_tokens, "sequences": found, "recipe": self.recipe}


class Outputs(list[Output], Shown):
    """Outputs of several prompts, a list that shows itself in a notebook."""


class Scores(list[Score], Shown):
    """Scores of several texts, a list that shows itself in a notebook."""


class LanguageModel:
    """A causal language model that reads and writes text.

    model: anything with sessions (`unspool.core.model.Model`). tokenizer: its `unspool.text.Tokenizer`. name: what it is called
    in records; info: what else is recorded of it. chat: what makes a prompt of messages, if it was trained on such.
    """

    def __init__(
        self, model: Model, tokenizer: Tokenizer, name: str = "model", info: dict[str, Any] | None = None, chat: Chat | None = None
    ) -> None:
        check_fit(tokenizer, model.vocabulary)
        self.chat = chat
        self.model, self.tokenizer, self.name, self.info = model, tokenizer, name, dict(info or {})

    def __repr__(self) -> str:
        return f"LanguageModel({self.name!r}, {self.model.vocabulary} tokens, context {self.model.context})"

    @overload
    def generate(self, prompt: str | None = None, decoder: DecoderLike = None, **options: Any) -> Output: ...
    @overload
    def generate(self, prompt: list[str], decoder: DecoderLike = None, **options: Any) -> list[Output]: ...
    def generate(self, prompt: str | list[str] | None = None, decoder: DecoderLike = None, **options: Any) -> Output | list[Output]:
        """Decode a prompt, or several together.

        decoder: processors, strategy and stops, greedy search if not given. Options are those of `stream`.
        """
        run = self.stream(prompt, decoder, **options)
        for _ in run:
            pass
        return run.outputs if isinstance(prompt, list) else run.output

    def stream(
        self,
        prompt: str | list[str] | None = None,
        decoder: DecoderLike = None,
        *,
        messages: Messages | None = None,
        chat: bool = False,
        max_new_tokens: int | None = None,
        max_length: int | None = None,
        seed: int = 0,
        end_tokens: Sequence[int] | None = None,
        level: str = "tokens",
        choices: int = 5,
        ids: Sequence[str] | None = None,
    ) -> Stream:
        """The same, live: iterate over its Steps, or over its `text()`.

        messages: a conversation, `[{"role": "user", "content": "Hello"}]`, in place of a prompt, for models with a chat template;
        chat: every prompt is what a user says. max_new_tokens: 100 if neither it nor max_length is given. max_length: prompt and
        new tokens together. seed: of all draws. end_tokens: the model's own if not given; () to go on regardless. level: how much
        is recorded ("off", "tokens", "choices", "stages"); choices: how many alternatives. ids: names of the prompts for
        randomness, so that equal prompts can have different draws.
        """
        check(prompt is None or messages is None, "give a prompt or messages, not both")
        check(prompt is not None or messages is not None, "give a prompt, or messages for a model with a chat template")
        prompts = prompt if isinstance(prompt, list) else [] if prompt is None else [prompt]
        talks = [messages] if messages is not None else [[{"role": "user", "content": p}] for p in prompts] if chat else None
        if talks is not None:
            prompts = [self.render(talk) for talk in talks]
        check(len(prompts) > 0, "give at least one prompt; the list is empty")
        for p in prompts:
            if not isinstance(p, str | list | tuple) or not all(isinstance(t, str | int) for t in p):
                raise PromptError(f"a prompt is a text, and a list holds several prompts, each a text or its token ids; got {p!r}")
        check(level in LEVELS, f"level is one of {', '.join(LEVELS)}; got {level!r}")
        check(isinstance(choices, int) and choices >= 1, f"choices must be a whole number >= 1; got {choices!r}")
        check(isinstance(seed, int), f"seed must be a whole number; got {seed!r}")
        check(ids is None or len(ids) == len(prompts), "ids needs one name for each prompt")
        chosen = as_decoder(Decoder() if decoder is None else decoder)
        tokens = [self.tokens_of(p if talks is None else self.rendered(p)) for p in prompts]
        limits, reasons = self._limits(tokens, max_new_tokens, max_length)
        check(end_tokens is None or isinstance(end_tokens, Sequence), f"end_tokens is a sequence of token ids; got {end_tokens!r}")
        ends = self.model.ends if end_tokens is None else tuple(end_tokens)
        recipe = {"decoder": str(chosen if chosen.strategy else chosen | Greedy()), "seed": seed, "model": self.name}
        recipe |= {"revision": self.info["revision"]} if "revision" in self.info else {}
        recipe |= {"max_length": max_length} if max_length is not None else {"max_new_tokens": max_new_tokens or DEFAULT_NEW_TOKENS}
        resolved = chosen.resolve(self.tokenizer)
        ends = (*ends, *(t for stop in resolved.stops if isinstance(stop, End) for t in stop.tokens if t not in ends))
        search = Search(
            self.model,
            tokens,
            resolved.processors,
            resolved.stops,
            limits=limits,
            limit_reasons=reasons,
            ends=ends,
            seed=seed,
            level=level,
            choices=choices,
            names=ids,
        )
        return Stream(self, search, resolved, prompts, recipe)

    def steps(
        self,
        prompt: str,
        decoder: DecoderLike = None,
        *,
        n: int = 8,
        choices: int = 5,
        all: bool = False,
        processed: bool = False,
        **options: Any,
    ) -> StepTable:
        """The table of n steps: at each, the text so far and the likeliest next tokens with their percentages.

        It follows the best hypothesis; all=True shows every row that was considered. Percentages are the model's own
        probabilities; processed=True adds those after the processors.
        """
        check(isinstance(n, int) and n >= 1, f"steps needs n >= 1; got {n!r}")
        check(not isinstance(prompt, list), "steps shows one prompt; give a text")
        output = self.generate(prompt, decoder, max_new_tokens=n, choices=choices, level="choices", **options)
        return StepTable.from_trace(output.trace, all=all, processed=processed)

    def score(self, prompt: str | list[str], text: str | list[str], *, stride: int | None = None) -> Any:
        """The log-probability of a text after a prompt, token by token; with two lists, a list of Scores.

        The prompt may be empty if the model has a start token. stride: see `unspool.score.score_tokens`.
        """
        one = isinstance(prompt, str) and isinstance(text, str)
        prompts: Any = [prompt] if one else prompt
        texts: Any = [text] if one else text
        if not isinstance(prompts, list) or not isinstance(texts, list) or not all(isinstance(t, str) for t in [*prompts, *texts]):
            raise PromptError(f"score takes two texts, or two lists of texts; got {prompt!r} and {text!r}")
        if len(prompts) != len(texts):
            raise PromptError(f"score takes a text for each prompt; got {len(prompts)} prompts and {len(texts)} texts")
        pairs = list(zip(prompts, texts, strict=True))
        work = [self._given(p, t) for p, t in pairs]
        found = score_tokens(self.model, work, stride)
        scores = Scores(
            Score(p, t, tokens, logprobs.tolist(), self.pieces(tokens))
            for (p, t), (_, tokens), logprobs in zip(pairs, work, found, strict=True)
        )
        return scores[0] if one else scores

    def record(self, prompt: str, text: str, *, choices: int = 5, stride: int | None = None) -> Trace:
        """The record of a given text after a prompt, as if it had been decoded: its tokens with what else could have come.

        The prompt may be empty if the model has a start token. choices: how many alternatives. A text longer than the context is
        read in windows, as by `score`; stride: see there.
        """
        stride = max(1, self.model.context // 2) if stride is None else stride
        check(1 <= stride < self.model.context, f"stride must lie in [1, context) = [1, {self.model.context}); got {stride}")
        start, tokens = self._given(prompt, text)
        whole, known, parts = [*start, *tokens], len(start), list[Trace]()
        while known < len(whole):
            first = 0 if known < self.model.context else known - (self.model.context - stride)
            window: Any = [whole[first:known]]
            new = tuple(whole[known : first + self.model.context])
            parts.append(self.generate(window, Follow(new), max_new_tokens=len(new) + 1, level="choices", choices=choices)[0].trace)
            known += len(new)
        joined = Trace.joined(parts)
        joined.prompts = [start]
        joined.recipe |= {"decoder": "follow", "max_new_tokens": len(tokens)}
        return joined

    def _given(self, prompt: str, text: str) -> tuple[list[int], list[int]]:
        """The tokens of a prompt and of a given text after it."""
        if not text:
            raise PromptError("there is nothing to score: the continuation is empty")
        start = self._start(prompt)
        whole = self.tokenizer.encode_prompt(text) if self.begins(start) else []
        joined = whole[: len(start)] == start
        return start, whole[len(start) :] if joined else self.tokenizer.encode(text)

    def render(self, messages: Messages) -> str:
        """The prompt that the model's chat template makes of messages; special tokens are written out in it."""
        if self.chat is None:
            raise Unsupported(f"the model {self.name!r} has no chat template; give a prompt instead of messages")
        return self.chat(messages)

    def rendered(self, prompt: str) -> list[int]:
        """The tokens of a rendered prompt: it spells its special tokens, the start token among them."""
        return self.tokenizer.encode_prompt(prompt)[len(getattr(self.tokenizer, "begins", ())) :]

    def tokens_of(self, prompt: Prompt) -> list[int]:
        """The tokens of a prompt: a text, or tokens already; the start token for an empty one."""
        tokens = self._start(prompt)
        if len(tokens) >= self.model.context:
            raise PromptError(
                f"the prompt has {len(tokens)} tokens and the model's context is {self.model.context}: shorten it to at most "
                f"{self.model.context - 1}"
            )
        return tokens

    def _start(self, prompt: Prompt) -> list[int]:
        tokens = self.tokenizer.encode_prompt(prompt) if isinstance(prompt, str) else [int(t) for t in prompt]
        bad = [t for t in tokens if not 0 <= t < self.model.vocabulary]
        if bad:
            raise PromptError(f"token {bad[0]} is outside the model's vocabulary of {self.model.vocabulary}")
        if not tokens:
            if self.model.start is None:
                raise PromptError("the prompt is empty and this model has no start token; give at least one character")
            tokens = [self.model.start]
        return tokens

    def begins(self, prompt: Sequence[int]) -> bool:
        """Whether text begins after these tokens, and with a space that is the tokenizer's own."""
        return self.tokenizer.prefixes_space and all(t in self.tokenizer.specials for t in prompt)

    def pieces(self, tokens: Sequence[int]) -> list[str]:
        """Each token as text; a character that several tokens make up appears where it is finished."""
        pieces, pending = [], b""
        for t in tokens:
            data = pending + self.tokenizer.bytes_of(t)
            pending = unfinished(data)
            done = data[: len(data) - len(pending)]
            pieces.append(visible(done) if done or not pending else "")
        if pending:
            pieces[-1] += visible(pending)
        return pieces

    def _limits(self, prompts: list[list[int]], new: int | None, total: int | None) -> tuple[list[int], list[str]]:
        """How many new tokens each prompt may get, and what it is called when they are there."""
        if new is not None and total is not None:
            raise ParameterError(f"give max_new_tokens ({new}) or max_length ({total}), not both")
        check(total is None or isinstance(total, int), f"max_length must be a whole number; got {total!r}")
        check(new is None or (isinstance(new, int) and new >= 1), f"max_new_tokens must be a whole number >= 1; got {new!r}")
        limits, reasons = [], []
        for tokens in prompts:
            asked = (DEFAULT_NEW_TOKENS if new is None else new) if total is None else total - len(tokens)
            check(asked >= 1, f"max_length {total} leaves no room: the prompt alone has {len(tokens)} tokens")
            room = self.model.context - len(tokens)
            limits.append(min(asked, room))
            reasons.append("length" if asked <= room else "context")
        return limits, reasons


DEFAULT_NEW_TOKENS = 100


class Stream:
    """A run in progress: iterate over its Steps; `output` is there when it has ended.

    If the iteration is broken off (Ctrl-C, or `close`), what was generated so far is the output, with the reason
    "interrupted".
    """

    def __init__(self, lm: LanguageModel, search: Search, decoder: Decoder, prompts: list[str], recipe: dict[str, Any]) -> None:
        self.lm, self.search, self.prompts, self.recipe = lm, search, prompts, recipe
        self.strategy = decoder.strategy or Greedy()
        self.stop_strings = tuple(s for stop in decoder.stops if isinstance(stop, StopStrings) for s in stop.strings)
        self.single = self.strategy.streams
        """Whether the first prompt has had one row throughout, so that its text can be shown as it grows."""
        self.interrupted = False
        self._writer, self._written = self._new_writer(0), ""
        self._kept: list[Step] = []
        self._steps = decode(search, self.strategy)
        self._outputs: list[Output] | None = None

    def _new_writer(self, prompt: int) -> Detokenizer:
        return Detokenizer(self.lm.tokenizer, self.stop_strings, self.lm.begins(self.search.prompts[prompt].tolist()))

    def __iter__(self) -> Iterator[Step]:
        try:
            for step in self._steps:
                if self.search.level != "off":
                    self._kept.append(step)
                yield step
        except (KeyboardInterrupt, GeneratorExit):
            self.interrupt()
            raise

    def interrupt(self) -> None:
        """End now: what was generated so far is the output."""
        if not self.interrupted:
            self.interrupted, self._steps = True, iter(())
            self.search.partial()

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
        rows = sum(int(frontier["prompt"][i]) == 0 for frontier, i in self.search.live.values())
        self.single = self.single and len(mine) <= 1 and rows + len(self.search.finished[0]) <= 1
        piece = self._writer.add(int(step.tokens[mine[0]])) if self.single and len(mine) else ""
        self._written += piece
        return piece

    def rest(self) -> str:
        """What of the first prompt's text was not certain before the end."""
        text = self.output.text
        return text[len(self._written) :] if text.startswith(self._written) else "\n" + text

    @property
    def outputs(self) -> list[Output]:
        """One Output for each prompt."""
        if self._outputs is None:
            self._outputs = self._collect()
        return self._outputs

    @property
    def output(self) -> Output:
        """The first prompt's Output."""
        return self.outputs[0]

    def _collect(self) -> list[Output]:
        for _ in self:
            pass
        ranked = [self.strategy.rank(found) for found in self.search.finished]
        for prompt, found in zip(self.prompts, ranked, strict=True):
            if not found:
                raise DeadEnd(
                    f"no hypothesis is left for the prompt {str(prompt)[:60]!r}: the constraints of {self.recipe['decoder']} allow no token"
                )
        outputs = Outputs()
        for i, found in enumerate(ranked):
            texts = [self._sequence(h) for h in found]
            outputs.append(Output(self.prompts[i], self.search.prompts[i].tolist(), texts, self.recipe, self._trace(i, found)))
        return outputs

    def so_far(self) -> Trace:
        """The record of the first prompt as it stands; texts that may still grow have the reason "growing" and come last."""
        growing = sorted((h for h in self.search.growing("growing") if h.prompt == 0), key=lambda h: -h.score)
        return self._trace(0, [*self.strategy.rank(list(self.search.finished[0])), *growing])

    def _trace(self, prompt: int, found: list[Hypothesis]) -> Trace:
        steps, tokenizer = _of_prompt(self._kept, prompt), self.lm.tokenizer
        trace = Trace([self.search.prompts[prompt].tolist()], steps, [found], self.search.level, self.recipe, self._model())
        trace.mention(tokenizer.bytes_of, tokenizer.name_of, tokenizer.specials)
        return trace

    def _sequence(self, h: Hypothesis) -> GeneratedText:
        writer = self._new_writer(h.prompt)
        text = "".join(map(writer.add, h.tokens)) + writer.finish()
        return GeneratedText(text, h.tokens, h.logprobs, h.processed, h.score, h.reason)

    def _model(self) -> dict[str, Any]:
        return {"name": self.lm.name, "tokenizer": self.lm.tokenizer.hash, **self.lm.info}


def _of_prompt(steps: list[Step], prompt: int) -> list[Step]:
    """The steps of one prompt alone."""
    return steps if all((s.prompt == prompt).all() for s in steps) else [s.only(prompt) for s in steps if (s.prompt == prompt).any()]


def load(
    name: Any = None,
    *,
    tokenizer: Any = None,
    backend: str | None = None,
    device: str | None = None,
    dtype: str | None = None,
) -> LanguageModel:
    """A LanguageModel: the bundled one if no name is given, a Hugging Face folder, or a model of the hub.

    name: "bundled", a folder, or as on the hub: "gpt2", "org/name", "org/name@revision"; "hf:gpt2" if a folder has the name too.
    It computes in numpy on the CPU; backend="torch", a device ("cuda", "mps", or "auto" for the best there is) or a dtype
    ("bfloat16") chooses torch; backend="transformers" runs any causal model through that library. name may also be a model object
    of transformers, which is used where it is and left as it is. tokenizer: in place of the model's own, one of transformers or of
    the tokenizers library, or a folder; a model object needs it.
    """
    if name is not None and not isinstance(name, str | Path):
        return _hold(name, tokenizer, backend, device, dtype)
    from unspool.models.chat import FolderChat, template_of
    from unspool.models.loading import find, fingerprint, read_model, read_tokenizer

    found = find(name)
    model, engine = read_model(found.folder, backend, device, dtype)
    info = {"fingerprint": fingerprint(found.folder), "architecture": model.architecture, "backend": engine.backend}
    info |= {"device": engine.device, "dtype": engine.dtype} | ({"revision": found.revision} if found.revision else {})
    reads = read_tokenizer(found.folder) if tokenizer is None else _reader(tokenizer)
    return LanguageModel(model, reads, found.name, info, template_of(tokenizer) or FolderChat(found.folder))


def _hold(held: Any, tokenizer: Any, backend: str | None, device: str | None, dtype: str | None) -> LanguageModel:
    """A LanguageModel of a model object that the caller holds."""
    from unspool.models.chat import template_of
    from unspool.models.hf import TransformersModel

    ready, kind = hasattr(held, "session"), type(held).__name__
    check(ready or hasattr(held, "get_input_embeddings"), f"load takes a name, a folder or a model object of transformers; got {kind}")
    check(tokenizer is not None, f"a model object needs its tokenizer: load(model, tokenizer=...), here a {kind}")
    check(
        backend in (None, "transformers") and device is None and dtype is None,
        "a model object is used where it is and as it is: leave out backend, device and dtype",
    )
    model = held if ready else TransformersModel(held)
    name = str(getattr(getattr(held, "config", None), "name_or_path", "") or kind)
    info = {"architecture": getattr(model, "architecture", kind)}
    if isinstance(model, TransformersModel):
        info |= {"backend": "transformers", "device": str(model.device), "dtype": str(model.dtype).removeprefix("torch.")}
    return LanguageModel(model, _reader(tokenizer), name, info, template_of(tokenizer))


def _reader(tokenizer: Any) -> Tokenizer:
    """A tokenizer that the caller gives, as an object or a folder."""
    from unspool.models.hf_tokenizer import as_tokenizer
    from unspool.models.loading import read_tokenizer

    return read_tokenizer(Path(tokenizer)) if isinstance(tokenizer, str | Path) else as_tokenizer(tokenizer)
