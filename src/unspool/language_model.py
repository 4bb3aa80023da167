"""LanguageModel: a model with its tokenizer, and what one does with them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, cast, overload

import numpy as np

from unspool.core.decoder import Decoder, Part, as_decoder
from unspool.core.model import Model
from unspool.core.room import check_rows, prompts_together
from unspool.core.search import Search
from unspool.errors import ParameterError, PromptError, UnspoolError, Unsupported, check, is_whole, plain, whole
from unspool.models.chat import Messages, words_of
from unspool.output import Output, Outputs, Scores
from unspool.processors.heal import behind, healing
from unspool.prompt import Prompt, is_prompt, is_sequence, several
from unspool.record.step import LEVELS
from unspool.record.trace import Trace
from unspool.score import Score, score_tokens
from unspool.strategies.follow import Follow
from unspool.strategies.greedy import Greedy
from unspool.stream import Options, Stream
from unspool.text import Fitted, TokenIds, Tokenizer, begins_text, pieces, text_of
from unspool.views.table import StepTable

if TYPE_CHECKING:
    from typing_extensions import Unpack

DecoderLike: TypeAlias = Decoder | Part | str | None
Chat: TypeAlias = Callable[..., str]
"""From messages, and what else the template reads if something is given, to a prompt."""
DEFAULT_NEW_TOKENS = 100


class LanguageModel:
    """A causal language model that reads and writes text.

    model: anything with sessions (`unspool.core.model.Model`). tokenizer: its `unspool.text.Tokenizer`; without one, text is token ids.
    name: what it is called in records; info: what else is recorded of it. chat: what makes a prompt of messages, if it was trained on
    such. notes: what else its user should know, beside what the model itself says.
    """

    def __init__(
        self,
        model: Model,
        tokenizer: Tokenizer | None = None,
        name: str = "model",
        info: dict[str, Any] | None = None,
        chat: Chat | None = None,
        notes: Sequence[str] = (),
    ) -> None:
        tokenizer = TokenIds(model.vocabulary) if tokenizer is None else tokenizer
        self.chat, self._notes = chat, tuple(notes)
        self._words = tokenizer if tokenizer.size == model.vocabulary else Fitted(tokenizer, model.vocabulary)
        self.model, self.tokenizer, self.name, self.info = model, tokenizer, name, dict(info or {})

    def __repr__(self) -> str:
        return f"LanguageModel({self.name!r}, {self.model.vocabulary} tokens, context {self.model.context})"

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user of the model should know, a sentence each; usually none."""
        return (*getattr(self.model, "notes", ()), *self._notes)

    # --- generating ---------------------------------------------------------------------------------------------------

    @overload
    def generate(self, prompt: Prompt | None = None, decoder: DecoderLike = None, **options: Unpack[Options]) -> Output: ...
    @overload
    def generate(
        self, prompt: list[str] | list[list[int]] | list[tuple[int, ...]], decoder: DecoderLike = None, **options: Unpack[Options]
    ) -> Outputs: ...
    def generate(self, prompt: Any = None, decoder: DecoderLike = None, **options: Unpack[Options]) -> Output | Outputs:
        """Decode a prompt, or several together.

        prompt: a text or a list of token ids; a list of those is several prompts. decoder: processors, strategy and stops, greedy
        search if not given. options: see `unspool.stream.Options`.

        One prompt to which nothing can be generated is an error (DeadEnd); one of several has an Output without sequences that says why.
        """
        run = self.stream(prompt, decoder, **options)
        return run.outputs if prompt is not None and several(prompt) is not None else run.output

    def stream(self, prompt: Any = None, decoder: DecoderLike = None, **options: Unpack[Options]) -> Stream:
        """The same, live: iterate over its Steps, or over its `text()`."""
        given = checked(options)
        prompts = [] if prompt is None else several(prompt)
        alone = prompts is None or prompt is None
        texts, tokens, asked = self._read([prompt] if prompts is None else prompts, given)
        ids, seed = given.get("ids"), given.get("seed", 0)
        named = ids is None or (is_sequence(ids) and all(isinstance(name, str) for name in ids) and len(ids) == len(tokens))
        check(named, f"ids is a list with a name, a text, for each prompt; got {ids!r:.60} for {len(tokens)} prompts")
        chosen = as_decoder(Decoder() if decoder is None else decoder)
        new, total = given.get("max_new_tokens"), given.get("max_length")
        recipe = {"decoder": str(chosen if chosen.strategy else chosen | Greedy()), "seed": seed, "model": self.name}
        recipe |= {"revision": self.info["revision"]} if "revision" in self.info else {}
        recipe |= {"max_length": total} if total is not None else {"max_new_tokens": new or DEFAULT_NEW_TOKENS}
        resolved = self.resolve(chosen)
        heal = healing(resolved.processors)
        parts = (resolved.processors, resolved.stops) if heal is None else (behind(heal, resolved.processors), behind(heal, resolved.stops))
        stays = tokens if heal is None else [t[: heal.kept(np.asarray(t))] for t in tokens]
        limits, reasons = self._limits(stays, new, total)
        strategy = resolved.strategy or Greedy()
        together = given.get("together")
        inside: Any = strategy
        while inside is not None:                                        # a strategy in another needs its rows all the same
            if (rows := inside.most_rows()) is not None:
                check_rows(str(inside), rows, min(together or 1, len(tokens)), self.model.vocabulary)
            inside = getattr(inside, "inner", None)
        longest = max((len(t) + limit for t, limit in zip(stays, limits, strict=True)), default=0)
        search = Search(
            self.model,
            tokens,
            *parts,
            limits=limits,
            limit_reasons=reasons,
            end_tokens=self._end_tokens(given.get("end_tokens"), resolved),
            seed=seed,
            level=given.get("level", "tokens"),
            choices=given.get("choices", 5),
            names=ids,
            rows=strategy.most_rows(),
            together=together or prompts_together(self.model, strategy.most_rows(), longest),
        )
        model = {"name": self.name, "tokenizer": self.tokenizer.hash, **self.info}
        spelling = None if heal is None else heal.spelling
        return Stream(search, strategy, resolved.stops, self._words, texts, recipe, model, alone, asked, spelling)

    def resume(self, trace: Trace, decoder: DecoderLike = None, **options: Unpack[Options]) -> Stream:
        """Go on with a run that was broken off, from its record, to the texts that it would have come to.

        Every draw follows from the seed and the place of its text, so the run is the same run: the recorded steps are taken again, which
        costs what they cost, and are compared with the record; where they depart from it, that is an error. The Stream gives out
        what comes after them. Prompt, seed, limit and level are those of the record, and the decoder, unless it holds what no text can
        say, as a model or a function: then give it. options: what else was given (`end_tokens`, `ids`), or a later limit.
        """
        check(isinstance(trace, Trace) and len(trace.prompts) == 1, f"resume goes on with the trace of one prompt; got {trace!r:.80}")
        maker = trace.model.get("tokenizer", self.tokenizer.hash)
        if maker != self.tokenizer.hash:
            raise UnspoolError(f"the run was made with another tokenizer, by the model {trace.model.get('name')!r}; load that model")
        limits = {name: trace.recipe[name] for name in ("max_new_tokens", "max_length") if name in trace.recipe}
        given: Any = {"seed": trace.recipe.get("seed", 0), "level": trace.level}
        given |= {} if "max_new_tokens" in options or "max_length" in options else limits
        run = self.stream(trace.prompts[0], trace.recipe.get("decoder") if decoder is None else decoder, **(given | options))
        run.take_again(trace.steps)
        return run

    def resolve(self, decoder: DecoderLike) -> Decoder:
        """A decoder with its texts turned into tokens of this model; a text of tokens that the model lacks is refused."""
        return as_decoder(Decoder() if decoder is None else decoder).resolve(self._words)

    def steps(
        self,
        prompt: Prompt,
        decoder: DecoderLike = None,
        *,
        n: int = 8,
        all: bool = False,
        processed: bool = False,
        **options: Unpack[Options],
    ) -> StepTable:
        """The table of n steps: at each, the text so far and the likeliest next tokens with their percentages.

        It follows the best hypothesis; all=True shows every row that was considered. Percentages are the model's own
        probabilities; processed=True adds those after the processors.
        """
        whole("steps(n=...)", n, 1)
        check(several(prompt) is None, "steps shows one prompt; give a text or a list of token ids")
        given = [name for name in ("max_new_tokens", "max_length", "level") if name in options]
        check(not given, f"steps sets {', '.join(given)} itself; how many steps is n=...")
        asked = options.copy()
        asked["max_new_tokens"], asked["level"] = n, "choices"
        output: Output = self.generate(prompt, decoder, **asked)
        return StepTable.from_trace(output.trace, all=all, processed=processed)

    # --- scoring ------------------------------------------------------------------------------------------------------

    def score(self, prompt: Any, text: Any, *, stride: int | None = None) -> Any:
        """The log-probability of a text after a prompt, token by token; of a list of texts after as many prompts, a list of Scores.

        Both may be token ids in place of texts. The prompt may be empty if the model has a start token. stride: see
        `unspool.score.score_tokens`.
        """
        if is_sequence(prompt) and is_sequence(text) and len(prompt) == len(text) == 0:
            return Scores()
        prompts, texts = given_texts(prompt), given_texts(text)
        if (prompts is None) != (texts is None):
            raise PromptError(f"score takes a prompt and a text, or two lists of as many; got {prompt!r:.60} and {text!r:.60}")
        pairs = [(prompt, text)] if prompts is None or texts is None else list(zip(prompts, texts, strict=False))
        if prompts is not None and texts is not None and len(prompts) != len(texts):
            raise PromptError(f"score takes a text for each prompt; got {len(prompts)} prompts and {len(texts)} texts")
        work = [self._given(p, t) for p, t in pairs]
        found = score_tokens(self.model, work, stride)
        scores = Scores(
            Score(self._as_text(p), self._as_text(t), tokens, logprobs.tolist(), self.pieces(tokens))
            for (p, t), (_, tokens), logprobs in zip(pairs, work, found, strict=True)
        )
        return scores[0] if prompts is None else scores

    def record(self, prompt: Prompt, text: Prompt, *, choices: int = 5, stride: int | None = None) -> Trace:
        """The record of a given text after a prompt, as if it had been decoded: its tokens with what else could have come.

        Both may be token ids. The prompt may be empty if the model has a start token. choices: how many alternatives. A text longer
        than the context is read in windows, as by `score`; stride: see there.
        """
        stride = max(1, self.model.context // 2) if stride is None else stride
        check(1 <= stride < self.model.context, f"stride must lie in [1, context) = [1, {self.model.context}); got {stride}")
        start, tokens = self._given(prompt, text)
        whole_text, known, parts = [*start, *tokens], len(start), list[Trace]()
        while known < len(whole_text):
            first = 0 if known < self.model.context else known - (self.model.context - stride)
            new = tuple(whole_text[known : first + self.model.context])
            window = whole_text[first:known]
            parts.append(self.generate(window, Follow(new), max_new_tokens=len(new) + 1, level="choices", choices=choices).trace)
            known += len(new)
        joined = Trace.joined(parts)
        joined.prompts = [start]
        joined.recipe |= {"decoder": "follow", "max_new_tokens": len(tokens)}
        return joined

    def _given(self, prompt: Prompt, text: Prompt) -> tuple[list[int], list[int]]:
        """The tokens of a prompt and of a given text after it."""
        if not len(text):
            raise PromptError("there is nothing to score: the continuation is empty")
        start = self._start(prompt)
        if not isinstance(text, str):
            return start, self._known([int(t) for t in text])
        whole_text = self.tokenizer.encode_prompt(text) if begins_text(self.tokenizer, start) else []
        joined = whole_text[: len(start)] == start
        return start, whole_text[len(start) :] if joined else self.tokenizer.encode(text)

    # --- prompts ------------------------------------------------------------------------------------------------------

    def _read(self, prompts: list[Prompt], given: Options) -> tuple[list[str], list[list[int]], list[str]]:
        """The texts and the tokens of what is to be decoded, and what was said where a chat template makes the texts."""
        messages, chat = given.get("messages"), given.get("chat", False)
        check(not prompts or messages is None, "give a prompt or messages, not both")
        check(bool(prompts) or messages is not None, "give a prompt, or messages for a model with a chat template")
        if messages is not None or chat:
            if messages is None and not all(isinstance(p, str) for p in prompts):
                raise PromptError("chat=True takes what a user says, as text; token ids are given without it")
            talks = [messages] if messages is not None else [[{"role": "user", "content": p}] for p in prompts]
            texts = [self.render(talk, given.get("template")) for talk in talks]
            return texts, [self.tokens_of(self.rendered(text)) for text in texts], [words_of(talk) for talk in talks]
        check(not given.get("template"), "template=... is for messages=... or chat=True: what else the chat template reads")
        tokens = [self.tokens_of(p) for p in prompts]
        return [self._as_text(p) for p in prompts], tokens, []

    def _as_text(self, prompt: Prompt) -> str:
        return prompt if isinstance(prompt, str) else text_of(self.tokenizer, prompt)

    def render(self, messages: Messages, template: Mapping[str, Any] | None = None) -> str:
        """The prompt that the model's chat template makes of messages; special tokens are written out in it.

        template: what else the chat template reads, as {"enable_thinking": False}.
        """
        if self.chat is None:
            raise Unsupported(f"the model {self.name!r} has no chat template; give a prompt instead of messages")
        return self.chat(messages, template) if template else self.chat(messages)

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
        if not is_prompt(prompt) and not (is_sequence(prompt) and not len(prompt)):
            raise PromptError(f"a prompt is a text or a list of token ids; got {prompt!r:.80}")
        tokens = self._known(self.tokenizer.encode_prompt(prompt) if isinstance(prompt, str) else [int(t) for t in prompt])
        if not tokens:
            if self.model.start is None:
                raise PromptError("the prompt is empty and this model has no start token; give at least one character")
            tokens = [self.model.start]
        return tokens

    def _known(self, tokens: list[int]) -> list[int]:
        bad = [t for t in tokens if not 0 <= t < self.model.vocabulary]
        if bad:
            raise PromptError(f"token {bad[0]} is outside the model's vocabulary of {self.model.vocabulary}")
        return tokens

    def pieces(self, tokens: Sequence[int]) -> list[str]:
        """Each token as text; a character that several tokens make up appears where it is finished."""
        return pieces(self.tokenizer, tokens)

    # --- limits -------------------------------------------------------------------------------------------------------

    def _end_tokens(self, given: Sequence[int] | None, decoder: Decoder) -> tuple[int, ...]:
        """The model's end tokens, or those that are given, and those of the decoder's stops."""
        if given is not None and not (is_sequence(given) and all(map(is_whole, given))):
            raise ParameterError(f"end_tokens is a sequence of token ids of the model; got {given!r}")
        found = self.model.end_tokens if given is None else [int(t) for t in given]
        return tuple(dict.fromkeys((*found, *(t for stop in decoder.stops for t in stop.end_tokens))))

    def _limits(self, prompts: list[list[int]], new: int | None, total: int | None) -> tuple[list[int], list[str]]:
        """How many new tokens each prompt may get, and what it is called when they are there."""
        if new is not None and total is not None:
            raise ParameterError(f"give max_new_tokens ({new}) or max_length ({total}), not both")
        check(total is None or is_whole(total), f"max_length must be a whole number; got {total!r}")
        check(new is None or is_whole(new, 1), f"max_new_tokens must be a whole number >= 1; got {new!r}")
        limits, reasons = [], []
        for tokens in prompts:
            asked = (DEFAULT_NEW_TOKENS if new is None else new) if total is None else total - len(tokens)
            check(asked >= 1, f"max_length {total} leaves no room: the prompt alone has {len(tokens)} tokens")
            room = self.model.context - len(tokens)
            limits.append(min(asked, room))
            reasons.append("length" if asked <= room else "context")
        return limits, reasons


def given_texts(value: Any) -> list[Any] | None:
    """The texts of a list of texts; None if it is one text, or one that is empty."""
    return None if is_sequence(value) and not len(value) else several(value)


def checked(options: Options) -> Options:
    """Options of a call, refused where they are none or of the wrong kind."""
    unknown = [name for name in options if name not in Options.__annotations__]
    if unknown:
        raise not_an_option(unknown, options)
    level, choices, seed = options.get("level", "tokens"), options.get("choices", 5), options.get("seed", 0)
    check(level in LEVELS, f"level is one of {', '.join(LEVELS)}; got {level!r}")
    check(is_whole(choices, 1), f"choices must be a whole number >= 1; got {choices!r}")
    together = options.get("together")
    check(together is None or is_whole(together, 1), f"together must be a whole number >= 1; got {together!r}")
    check(is_whole(seed), f"seed must be a whole number; got {seed!r}")
    return cast("Options", {name: plain(value) for name, value in options.items()})


def not_an_option(names: list[str], options: Any) -> ParameterError:
    """The error for a keyword of other libraries: it shows the decoder to write."""
    from unspool.lab.translate import call_for  # above this module: only to say what was meant

    meant = call_for({name: options[name] for name in names})
    known = f"options are {', '.join(Options.__annotations__)}"
    hint = f"settings are parts of a decoder: generate(prompt, {meant})" if meant else known
    return ParameterError(f"there is no option {', '.join(names)}: {hint}")
