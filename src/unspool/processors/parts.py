"""Rules that act in a part of the text: a processor or a stop from a phrase on, up to one, between two, or where a condition holds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, NamedTuple

import numpy as np

from unspool.arrays import Array, Flags, Floats, Ints, block, copy, like
from unspool.core.decoder import Decoder, Part, Role
from unspool.core.model import Model
from unspool.core.processor import PROMPT_END, Processor, Rows, Standing
from unspool.core.stop import Stop
from unspool.errors import ParameterError, check, is_whole, plain, whole
from unspool.processors.conditions import FROM_SCORES, Condition, Repeats, condition, measured, positions
from unspool.processors.phrases import Phrase, ids_in
from unspool.text import UNREAD, Marks, ReadSoFar, TextReader, without_marks


class _RoleInside:
    """The role of what a rule contains; a rule without contents, the class, is listed among processors."""

    def __get__(self, rule: Any, owner: Any = None) -> Role:
        return "processor" if rule is None else rule.then.role


class Within(Processor, Stop):
    """A rule around a processor or a stop, `then`: it has the role of what it contains, and says where that acts."""

    role: ClassVar[Any] = _RoleInside()
    then: Any

    def __post_init__(self) -> None:
        inner = self.then
        if isinstance(inner, Decoder):
            check(len(inner.parts) == 1, f"{self.name}(...) takes one processor or stop: write a rule for each of {inner}, joined by |")
            object.__setattr__(self, "then", inner.parts[0])
        inner = self.then
        ok = isinstance(inner, Part) and inner.role in ("processor", "stop")
        check(ok, f"{self.name}(...) takes a processor or a stop, as temperature(0.5); got {inner!r:.80}")

    def _ask(self, name: str, default: Any) -> Any:
        return getattr(self.then, name, default)

    # what is as it is with the part inside

    @property
    def by_scores(self) -> bool:  # type: ignore[override]
        return bool(self._ask("by_scores", False))

    @property
    def reads_scores(self) -> bool:  # type: ignore[override]
        return bool(self._ask("reads_scores", False))

    @property
    def completes(self) -> bool:  # type: ignore[override]
        return bool(self._ask("completes", False))

    @property
    def reads_layers(self) -> tuple[int, ...]:  # type: ignore[override]
        return tuple(self._ask("reads_layers", ()))

    @property
    def reads_logits(self) -> bool:  # type: ignore[override]
        return bool(self._ask("reads_logits", False))

    @property
    def reason(self) -> str:  # type: ignore[override]
        return str(self._ask("reason", ""))

    def token_ids(self) -> Iterable[int]:
        found: Iterable[int] = self.then.token_ids()
        return found

    def companions(self) -> Sequence[Model]:
        found: Sequence[Model] = self.then.companions() if self.then.role == "processor" else ()
        return found

    def companion_prompt(self, prompt: Ints, which: int) -> Sequence[int]:
        found: Sequence[int] = self.then.companion_prompt(prompt, which)
        return found

    def sparing(self, token: Standing) -> Processor | None:
        found = self.then.sparing(token) if self.then.role == "processor" else None
        return None if found is None else replace(self, then=found)  # type: ignore[type-var]

    # where it acts

    def _processed(self, rows: Rows, scores: Array, acts: Flags, starts: Ints, memories: Sequence[Any]) -> Array:
        """Scores after the part inside in the rows where it acts; starts: how many tokens stand before its part."""
        if not acts.any():
            return scores
        inner, at = self.then, np.flatnonzero(acts)
        if len(at) == len(acts):
            some = replace(rows, prompt_lengths=starts)
            return inner.process(some, scores, list(memories) if inner.stateful else None)
        place = like(at, scores)
        some = Rows(
            rows.tokens[like(at, rows.tokens)],
            rows.lengths[at],
            starts[at],
            rows.end_tokens,
            lambda purpose: rows.uniforms(purpose)[at],
            tuple(logits[like(at, logits)] for logits in rows.companions),
            tuple(logits[like(at, logits)] for logits in rows.layers),
        )
        found = copy(scores)
        found[place] = inner.process(some, scores[place], [memories[i] for i in at.tolist()] if inner.stateful else None)
        return found

    def _ended(self, rows: Rows, tokens: Ints, acts: Flags, starts: Ints, memories: Sequence[Any]) -> Flags:
        """Which candidates the stop inside ends, of those where it acts."""
        found, at, inner = np.zeros(len(tokens), bool), np.flatnonzero(acts), self.then
        if len(at):
            some = Rows(None, rows.lengths[at], starts[at], rows.end_tokens)
            found[at] = inner.ends(some, tokens[at], [memories[i] for i in at.tolist()] if inner.stateful else [])
        return found

    def _completed(self, acts: Flags, memories: Sequence[Any]) -> Flags:
        """Which texts the processor inside knows to be whole, of those where it acts."""
        found, at = np.zeros(len(acts), bool), np.flatnonzero(acts)
        if len(at):
            found[at] = self.then.complete([memories[i] for i in at.tolist()])
        return found


class _Place(NamedTuple):
    """Where a text stands in its parts."""

    read: ReadSoFar
    tail: str
    """The end of the text, as far as it may begin the phrase that is looked for."""
    met: int
    """How many phrases were met."""
    length: int
    """How many tokens there are."""
    text: Any
    """The tokens, newest first: (token, (token before, ...)), and last the prompt; None where nobody will ask."""
    start: int
    """How many of the tokens stand before the part in which the text is now."""
    fresh: bool
    """Whether the last token ended the phrase by which the part begins, so that nothing of the part is there."""
    inner: Any
    """The memory of what acts in the part; None outside."""


class _Tokens:
    """Tokens read as characters, one for each, so that a phrase of token ids is found like a text."""

    tokenizer = None

    def begin(self, prompt: Sequence[int]) -> ReadSoFar:
        return UNREAD

    def read(self, reading: ReadSoFar, token: int) -> tuple[str, ReadSoFar]:
        return chr(token), reading


@dataclass(frozen=True)
class _Phrased(Within):
    """A rule whose parts begin and end with phrases."""

    stateful = True
    _reader: Any = field(default=None, init=False, repr=False, compare=False)
    _forms: tuple[tuple[str, ...], ...] = field(default=(), init=False, repr=False, compare=False)
    """How each phrase is written: with its special tokens spelled out, and as their marks."""
    _known: dict[Any, Ints] = field(default_factory=dict, init=False, repr=False, compare=False)
    """Of places outside the tokens with which a part would begin wrongly."""

    def phrases(self) -> tuple[Any, ...]:
        """The phrases, as they are given."""
        raise NotImplementedError

    def sought(self, met: int) -> int | None:
        """Which phrase is looked for after so many."""
        raise NotImplementedError

    def inside(self, met: int) -> bool:
        """Whether the text is in a part after so many."""
        raise NotImplementedError

    def __post_init__(self) -> None:
        super().__post_init__()
        given = [p for p in self.phrases() if p != ""]
        for phrase in given:
            ok = isinstance(phrase, str) or is_whole(phrase, 0)
            ok = ok or (isinstance(phrase, tuple) and len(phrase) > 0 and all(is_whole(t, 0) for t in phrase))
            check(ok, f"{self.name}(...) takes a phrase as a text, a token id or a tuple of them; got {phrase!r}")
        kinds = {isinstance(phrase, str) for phrase in given}
        check(len(kinds) < 2, f"{self.name}(...) takes phrases of one kind, all texts or all token ids; got {given}")
        check(isinstance(self._prompt, bool), f"{self.name}(prompt=...) is True or False; got {self._prompt!r}")
        if True not in kinds:
            object.__setattr__(self, "_reader", _Tokens())
            written = ["".join(map(chr, (p,) if isinstance(p, int) else p)) for p in self.phrases()]
            object.__setattr__(self, "_forms", tuple((text,) for text in written))

    @property
    def _prompt(self) -> Any:
        return getattr(self, "prompt", False)

    def token_ids(self) -> Iterable[int]:
        return [*ids_in(self.phrases()), *self.then.token_ids()]

    def resolve(self, tokenizer: Any) -> Part:
        part = replace(self, **{"then": self.then.resolve(tokenizer)})
        if not isinstance(part._reader, _Tokens):
            texts = self.phrases()
            marks = Marks.of(tokenizer, texts)
            object.__setattr__(part, "_reader", TextReader(tokenizer, marks))
            object.__setattr__(part, "_forms", tuple(tuple(dict.fromkeys((text, marks.write(text)))) for text in texts))
        return part

    def reads(self) -> Sequence[str]:
        return (PROMPT_END,)

    # the memory: where the text stands, and the memory of what acts there

    def begin(self, prompt: Ints) -> _Place:
        """What stands at the prompt's end. Of the prompt itself only the phrases are read, and only if asked for."""
        if self._reader is None:
            raise ParameterError(f"{self} needs a tokenizer; decode with a LanguageModel, or give phrases as token ids")
        ids = [int(t) for t in prompt]
        met = 0
        while (at := self.sought(met)) is not None and self._forms[at] == ("",):
            met += 1
        read, tail = self._reader.begin(ids), ""
        if self._prompt:
            reading = self._reader.begin([])
            for token in ids:
                text, reading = self._reader.read(reading, token)
                met, tail, _ = self._met(met, tail + text)
        keeps = self.then.stateful and self.sought(met) is not None
        inner = self.then.begin(prompt) if self.inside(met) and self.then.stateful else None
        return _Place(read, tail, met, len(ids), (ids,) if keeps else None, len(ids), False, inner)

    def _met(self, met: int, text: str) -> tuple[int, str, str]:
        """(how many phrases are met, what may begin the next, what stands behind the last one) in a text that goes on."""
        while (at := self.sought(met)) is not None:
            forms = self._forms[at]
            ends = [place + len(form) for form in forms if (place := text.find(form)) >= 0]
            if not ends:
                longest = min(len(text), max(map(len, forms)) - 1)
                begun = next((n for n in range(longest, 0, -1) if any(f.startswith(text[len(text) - n :]) for f in forms)), 0)
                return met, text[len(text) - begun :], text
            met, text = met + 1, text[min(ends) :]
        return met, "", text

    def advance(self, memories: Sequence[_Place], tokens: Sequence[int], scores: Sequence[Array]) -> list[_Place]:
        """Where the texts stand after one more token each."""
        found = [self._moved(memory, int(token)) for memory, token in zip(memories, tokens, strict=True)]
        if self.then.stateful:
            goes = [i for i, place in enumerate(found) if not place.fresh and self.inside(place.met) and place.met == memories[i].met]
            values = [memories[i].inner for i in goes]
            after = self.then.advance(values, [tokens[i] for i in goes], [scores[i] for i in goes] if len(scores) else []) if goes else []
            for i, value in zip(goes, after, strict=True):
                found[i] = found[i]._replace(inner=value)
        return found

    def _moved(self, place: _Place, token: int) -> _Place:
        """After one more token, with the memory of a part that it begins; that of one that goes on is still to come."""
        length, text = place.length + 1, None if place.text is None else (token, place.text)
        if self.sought(place.met) is None:
            return place._replace(length=length, text=None, fresh=False)
        new, read = self._reader.read(place.read, token)
        met, tail, rest = self._met(place.met, place.tail + new)
        if self.sought(met) is None:
            text = None if met == place.met else text
        if met == place.met or not self.inside(met):
            inner = place.inner if self.inside(met) else None
            return place._replace(read=read, tail=tail, met=met, length=length, text=text, fresh=False, inner=inner)
        inner, fresh = self._begun(text, rest)
        keeps = text if self.sought(met) is not None else None
        return _Place(read, tail, met, length, keeps, length, fresh, inner)

    def _begun(self, text: Any, rest: str) -> tuple[Any, bool]:
        """The memory at the beginning of a part, and whether nothing of the part is there; rest: the end of its first token's text."""
        if not self.then.stateful:
            return None, True
        inner = self.then.begin(np.asarray(_whole_text(text), np.int64))
        if not self.then.reads_text or not rest:
            return inner, True
        for token in self._reader.tokenizer.encode(without_marks(rest)):
            (inner,) = self.then.advance([inner], [token], [])
        return inner, False

    # what it does

    def _acts(self, memory: Sequence[_Place]) -> Flags:
        return np.asarray([self.inside(place.met) for place in memory], bool)

    def process(self, rows: Rows, scores: Array, memory: Any = None) -> Array:
        starts = np.asarray([place.start for place in memory], np.int64)
        found = self._processed(rows, scores, self._acts(memory), starts, [place.inner for place in memory])
        return self._refused(found, memory) if getattr(self.then, "reads_text", False) else found

    def _refused(self, scores: Array, memory: Sequence[_Place]) -> Array:
        """Without the tokens that would begin a part with what is not allowed there."""
        cells = [(r, self._wrong(place, scores.shape[-1])) for r, place in enumerate(memory) if not self.inside(place.met)]
        cells = [(r, wrong) for r, wrong in cells if len(wrong)]
        if not cells:
            return scores
        keep = np.ones(tuple(scores.shape), bool)
        for r, wrong in cells:
            keep[r, wrong] = False
        return block(scores, like(keep, scores))

    def _wrong(self, place: _Place, vocabulary: int) -> Ints:
        """The tokens whose text ends the phrase and goes on with what the part inside does not allow there."""
        key = place.read, place.tail, place.met, vocabulary
        if key not in self._known:
            self._known[key] = np.asarray([] if isinstance(self._reader, _Tokens) else [*self._misbegun(*key)], np.int64)
        return self._known[key]

    def _misbegun(self, read: ReadSoFar, tail: str, met: int, vocabulary: int) -> Iterator[int]:
        if self.sought(met) is None:
            return
        for token in range(min(vocabulary, self._reader.tokenizer.size)):
            text, _ = self._reader.read(read, token)
            after, _, rest = self._met(met, tail + text)
            if after > met and self.inside(after):
                inner, fresh = self._begun((token, ([],)), rest)
                if not fresh and inner is None:
                    yield token

    def ends(self, rows: Rows, tokens: Ints, memory: Sequence[_Place]) -> Flags:
        """Whether the stop inside ends a candidate that is in the part, and has something in it."""
        acts = self._acts(memory) & ~np.asarray([place.fresh for place in memory], bool)
        starts = np.asarray([place.start for place in memory], np.int64)
        return self._ended(rows, tokens, acts, starts, [place.inner for place in memory])

    def complete(self, memories: Sequence[_Place]) -> Flags:
        return self._completed(self._acts(memories), [place.inner for place in memories])


def _whole_text(text: Any) -> list[int]:
    """The tokens of a text, oldest first."""
    new = []
    while len(text) > 1:
        token, text = text
        new.append(token)
    return [*text[0], *new[::-1]]


@dataclass(frozen=True)
class After(_Phrased):
    """A processor or a stop that acts from a phrase on: what stands after it is its text, all before it its prompt.

    A text is found in the new text however it is cut into tokens; a special token is named by its name. With "" it acts from the
    beginning. What is inside begins behind the token in which the phrase ends, and its memory with it; a grammar, and a stop that
    reads text, begin within that token, and a token that would go on with what the grammar forbids cannot come. A stop string in
    a part ends the text and stays in it. Another model that is compared with reads the whole text.

    then: or another rule. prompt: whether a phrase in the prompt counts. times: how often the phrase is looked for; each time what
    is inside begins anew; None is always.
    """

    phrase: Phrase
    then: Any
    prompt: bool = False
    times: int | None = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "phrase", _plain_phrase(self.phrase))
        super().__post_init__()
        if self.times is not None:
            whole("after(times=...)", self.times, 1)
        check(self.phrase != "" or self.times == 1, f'after("", ..., times={self.times}): what acts from the beginning begins once')

    def phrases(self) -> tuple[Any, ...]:
        return (self.phrase,)

    def sought(self, met: int) -> int | None:
        return 0 if self.times is None or met < self.times else None

    def inside(self, met: int) -> bool:
        return met > 0


@dataclass(frozen=True)
class Until(_Phrased):
    """A processor or a stop that acts up to a phrase, with the token in which it ends; with "" it never acts.

    All that `after` says of phrases and of what is inside holds here. prompt: whether a phrase in the prompt counts.
    """

    phrase: Phrase
    then: Any
    prompt: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "phrase", _plain_phrase(self.phrase))
        super().__post_init__()

    def phrases(self) -> tuple[Any, ...]:
        return (self.phrase,)

    def sought(self, met: int) -> int | None:
        return 0 if met == 0 else None

    def inside(self, met: int) -> bool:
        return met == 0


@dataclass(frozen=True)
class Between(_Phrased):
    """A processor or a stop that acts from an opening phrase up to a closing one, and so in every such part of the text.

    The phrases may be the same, as with quotation marks. What is inside begins anew in every part; all that `after` says of
    phrases and of what is inside holds here. prompt: whether phrases in the prompt count.
    """

    open: Phrase
    close: Phrase
    then: Any
    prompt: bool = False

    def __post_init__(self) -> None:
        for name in ("open", "close"):
            object.__setattr__(self, name, _plain_phrase(getattr(self, name)))
            check(getattr(self, name) != "", f"between({name}=...) needs a phrase that is not empty")
        super().__post_init__()

    def phrases(self) -> tuple[Any, ...]:
        return (self.open, self.close)

    def sought(self, met: int) -> int | None:
        return met % 2

    def inside(self, met: int) -> bool:
        return met % 2 == 1


def _plain_phrase(phrase: Any) -> Any:
    return plain(tuple(phrase) if isinstance(phrase, list) else phrase)


class _Watched(NamedTuple):
    """What a condition has to know of a text."""

    position: int
    repeats: Repeats
    held: bool
    """Whether the condition held where the last token was chosen."""
    inner: Any


@dataclass(frozen=True)
class When(Within):
    """A processor or a stop that acts only at the steps where a condition holds.

    Measures are `entropy` in nats, `varentropy` in squared nats and `top_probability` of the distribution as it comes in, in place of
    which a stop sees the model's own; `position`, how many new tokens there are; `loop`, how often the phrase of at most 32 tokens in
    which the new text ends stands there in a row, 1 where none is repeated. Conditions too are "always" and "never". A stop is asked
    about a token by what held where the token was chosen. The memory of what is inside follows all of the text, also where it does
    not act.
    """

    condition: str
    then: Any

    def __post_init__(self) -> None:
        super().__post_init__()
        check(isinstance(self.condition, str), f'when(condition) is a text such as "entropy > 2"; got {self.condition!r}')
        _ = self._read

    @property
    def _read(self) -> Condition:
        return condition(self.condition)

    @property
    def stateful(self) -> bool:  # type: ignore[override]
        return self.then.stateful or self.then.role == "stop" or "loop" in self._read.measures

    @property
    def by_scores(self) -> bool:  # type: ignore[override]
        return super().by_scores and not (self._read.measures - set(FROM_SCORES))

    @property
    def reads_logits(self) -> bool:  # type: ignore[override]
        return super().reads_logits or (self.then.role == "stop" and self._read.reads_scores)

    def reads(self) -> Sequence[str]:
        own = (PROMPT_END,) if "position" in self._read.measures else ()
        return tuple(dict.fromkeys((*own, *(self.then.reads() if self.then.role == "processor" else ()))))

    def resolve(self, tokenizer: Any) -> Part:
        return replace(self, then=self.then.resolve(tokenizer))

    def begin(self, prompt: Ints) -> _Watched:
        """Nothing of the text is there."""
        return _Watched(0, Repeats(), False, self.then.begin(prompt) if self.then.stateful else None)

    def advance(self, memories: Sequence[_Watched], tokens: Sequence[int], scores: Sequence[Array]) -> list[_Watched]:
        held = np.zeros(len(tokens), bool)
        if self.then.role == "stop" and len(tokens):
            held = self._holds(memories, lambda name: np.asarray([measured(row[None])(name)[0] for row in scores]))
        passed = scores if self._ask("reads_scores", False) or self._ask("reads_logits", False) else []
        inner = self.then.advance([m.inner for m in memories], tokens, passed) if self.then.stateful else [None] * len(tokens)
        loops = "loop" in self._read.measures
        return [
            _Watched(m.position + 1, m.repeats.after(int(token)) if loops else m.repeats, bool(flag), value)
            for m, token, flag, value in zip(memories, tokens, held, inner, strict=True)
        ]

    def _holds(self, memories: Sequence[_Watched], value: Callable[[str], Floats]) -> Flags:
        """At rows with these memories."""
        texts = {"position": lambda m: m.position, "loop": lambda m: m.repeats.count}
        return self._read.holds(
            len(memories), lambda name: positions(np.asarray([texts[name](m) for m in memories])) if name in texts else value(name)
        )

    def process(self, rows: Rows, scores: Array, memory: Any = None) -> Array:
        def value(name: str) -> Floats:
            if name == "position":
                return positions(rows.generated)
            return positions(np.asarray([m.repeats.count for m in memory])) if name == "loop" else measured(scores)(name)

        acts = self._read.holds(len(rows.lengths), value)
        return self._processed(rows, scores, acts, rows.prompt_lengths, [m.inner for m in memory] if self.then.stateful else [])

    def ends(self, rows: Rows, tokens: Ints, memory: Sequence[_Watched]) -> Flags:
        acts = np.asarray([m.held for m in memory], bool)
        return self._ended(rows, tokens, acts, rows.prompt_lengths, [m.inner for m in memory])

    def complete(self, memories: Sequence[_Watched]) -> Flags:
        """Only where the condition always holds is what the processor inside knows the last word."""
        acts = np.full(len(memories), self.condition.strip() == "always")
        return self._completed(acts, [m.inner for m in memories])

