"""Rules whose parts of the text begin and end with phrases: where a text stands, and the memory of what acts there."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, NamedTuple

import numpy as np

from unspool.arrays import Array, Flags, Ints, block, like
from unspool.core.decoder import Part
from unspool.core.processor import PROMPT_END, Rows
from unspool.errors import ParameterError, check, is_whole
from unspool.processors.phrases import ids_in
from unspool.processors.within import RoleInside, Within
from unspool.text import UNREAD, Marks, ReadSoFar, TextReader, without_marks


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


def character(token: int) -> str:
    """A token as a character; what is no token of any model, which is refused when the model is known, as the last one."""
    return chr(min(token, sys.maxunicode))


class _Tokens:
    """Tokens read as characters, one for each, so that a phrase of token ids is found like a text."""

    tokenizer = None

    def begin(self, prompt: Sequence[int]) -> ReadSoFar:
        return UNREAD

    def read(self, reading: ReadSoFar, token: int) -> tuple[str, ReadSoFar]:
        return character(token), reading


@dataclass(frozen=True)
class Phrased(Within):
    """A rule whose parts begin and end with phrases."""

    role: ClassVar[Any] = RoleInside()                                    # its own, so that it is no part that has a name
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
            written = ["".join(map(character, (p,) if isinstance(p, int) else p)) for p in self.phrases()]
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

    def whole(self, memories: Sequence[_Place]) -> Flags:
        return self._whole(self._acts(memories), [place.inner for place in memories])


def _whole_text(text: Any) -> list[int]:
    """The tokens of a text, oldest first."""
    new = []
    while len(text) > 1:
        token, text = text
        new.append(token)
    return [*text[0], *new[::-1]]
