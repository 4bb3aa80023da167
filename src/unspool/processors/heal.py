"""Token healing: the end of the prompt is spelled anew, so that a text goes on from its bytes and not from where its tokens were cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import numpy as np

from unspool.arrays import Array, Flags, Ints, block, like
from unspool.core.decoder import Part
from unspool.core.processor import PROMPT_END, Processor, Rows
from unspool.core.stop import Stop
from unspool.errors import ParameterError, check, whole
from unspool.processors.when import When
from unspool.processors.within import RoleInside, Within
from unspool.respelling import Respelling, beyond
from unspool.text import TokenIds


@dataclass(frozen=True)
class Heal(Processor):
    """Take the last n tokens of the prompt back, and let new tokens spell their bytes anew (token healing).

    A prompt that ends within a word is cut into tokens that the model hardly ever saw. Here the model reads the prompt without its last n
    tokens, and while some of their bytes are owed, a token may come only if its bytes are the beginning of those owed, or begin with
    them. The text shown begins behind them; the tokens that spell them are new tokens, in numbers, limits and the record.

    So every text of the model that begins with the given bytes can come, in every spelling, and no other. The law aimed at is
    p(tokens | their bytes begin with those taken back), of the model after what stayed of the prompt. log_softmax | heal |
    exact(renormalise=False), or beams so, rank by log p(tokens), that law times p(the bytes). sequential_monte_carlo draws from it in the
    limit of many particles: each has its exact weight. Under sample the law is exact where one byte is owed; where more are, each token
    is drawn from the model's distribution over those that may come, which does not see how well the rest can be spelled after it.
    Vieira et al. 2024, arXiv 2412.03719; Phan et al. 2024, arXiv 2410.09303.

    n: at least the prompt's first token stays, and a special one with all before it. Grammars and stop strings begin behind the bytes;
    places, phrases and functions of the text count from the first token that spells them. A limit of fewer new tokens than there are bytes
    owed may cut a text before they are spelled.
    """

    aliases = ("token_healing",)
    stateful = True
    takes_back: ClassVar[bool] = True
    n: int = 1
    _spelling: Respelling | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        whole("heal(n)", self.n, 0)

    def resolve(self, tokenizer: Any) -> Part:
        """With the bytes of the tokenizer's tokens."""
        if isinstance(tokenizer, TokenIds):
            raise ParameterError(f"{self} needs a tokenizer: token ids alone have no bytes that could be spelled otherwise")
        if getattr(tokenizer, "suffixes_space", False):
            raise ParameterError(f"{self} cannot go on within a word here: this tokenizer's words carry the space after them")
        part = Heal(self.n)
        object.__setattr__(part, "_spelling", Respelling(tokenizer))
        return part

    @property
    def spelling(self) -> Respelling:
        """The tokens by their bytes; an error where nobody gave a tokenizer."""
        if self._spelling is None:
            raise ParameterError(f"{self} needs a tokenizer; decode with a LanguageModel")
        return self._spelling

    def reads(self) -> Sequence[str]:
        return (PROMPT_END,)

    def kept(self, prompt: Ints) -> int:
        """How many tokens of a prompt stay."""
        specials, kept = self.spelling.tokenizer.specials, len(prompt)
        while kept > max(1, len(prompt) - self.n) and int(prompt[kept - 1]) not in specials:
            kept -= 1
        return kept

    def begin(self, prompt: Ints) -> bytes:
        """The bytes owed."""
        return b"".join(self.spelling.tokenizer.bytes_of(int(t)) for t in prompt[self.kept(prompt) :])

    def advance(self, memories: Sequence[bytes], tokens: Sequence[int], scores: Sequence[Array]) -> list[bytes]:
        bytes_of = self.spelling.tokenizer.bytes_of
        return [beyond(owed, bytes_of(int(token)))[0] if owed else b"" for owed, token in zip(memories, tokens, strict=True)]

    def process(self, rows: Rows, scores: Array, memory: Any = None) -> Array:
        if not any(memory):
            return scores
        keep = np.ones(tuple(scores.shape), bool)
        for r, owed in enumerate(memory):
            if owed:
                allowed = self.spelling.allowed(owed)
                keep[r] = False
                keep[r, allowed[allowed < scores.shape[-1]]] = True
        return block(scores, like(keep, scores))


class _Owing(NamedTuple):
    """Where a text stands."""

    owed: bytes
    start: int
    """How many tokens stand before the part."""
    fresh: bool
    """Whether nothing stands behind the bytes."""
    inner: Any


@dataclass(frozen=True)
class _Behind(Within):
    """A processor or a stop that reads text, behind the bytes that are spelled anew; it may begin within a token."""

    role: ClassVar[Any] = RoleInside()
    stateful = True
    takes_back: ClassVar[bool] = True
    heal: Heal
    then: Any
    _known: dict[bytes, Ints] = field(default_factory=dict, init=False, repr=False, compare=False)
    """Of bytes owed the tokens that go on with what is not allowed behind them."""

    @property
    def name(self) -> str:  # type: ignore[override]
        return str(self.then.name)

    def __str__(self) -> str:
        return str(self.then)

    def begin(self, prompt: Ints) -> _Owing:
        """All of the prompt is read; nothing stands behind it."""
        return _Owing(self.heal.begin(prompt), self.heal.kept(prompt), True, self.then.begin(prompt))

    def advance(self, memories: Sequence[_Owing], tokens: Sequence[int], scores: Sequence[Array]) -> list[_Owing]:
        spelling, found = self.heal.spelling, list(memories)
        goes = [i for i, memory in enumerate(memories) if not memory.owed]
        inner = self.then.advance([memories[i].inner for i in goes], [int(tokens[i]) for i in goes], []) if goes else []
        for i, value in zip(goes, inner, strict=True):
            found[i] = memories[i]._replace(inner=value, fresh=False)
        for i, memory in enumerate(memories):
            if memory.owed:
                owed, rest = beyond(memory.owed, spelling.tokenizer.bytes_of(int(tokens[i])))
                found[i] = _Owing(owed, memory.start + 1, not rest, self._after(memory.inner, rest))
        return found

    def _after(self, inner: Any, rest: bytes) -> Any:
        """The memory of what is inside after bytes behind those owed."""
        for token in self.heal.spelling.of(rest):
            (inner,) = self.then.advance([inner], [token], [])
        return inner

    def _acts(self, memory: Sequence[_Owing]) -> tuple[Flags, Ints, list[Any]]:
        """Where the bytes are spelled, where the part begins, and the memories of what is inside."""
        acts, starts = np.asarray([not m.owed for m in memory], bool), np.asarray([m.start for m in memory], np.int64)
        return acts, starts, [m.inner for m in memory]

    def process(self, rows: Rows, scores: Array, memory: Any = None) -> Array:
        found = self._processed(rows, scores, *self._acts(memory))
        if not any(m.owed for m in memory):
            return found
        keep = np.ones(tuple(scores.shape), bool)
        for r, place in enumerate(memory):
            keep[r, self._wrong(place, scores.shape[-1])] = not place.owed
        return block(found, like(keep, scores))

    def _wrong(self, place: _Owing, vocabulary: int) -> Ints:
        if not place.owed:
            return np.asarray([], np.int64)
        if place.owed not in self._known:
            spelling = self.heal.spelling
            rests = {t: beyond(place.owed, spelling.tokenizer.bytes_of(t))[1] for t in spelling.covering(place.owed)}
            wrong = [t for t, rest in rests.items() if rest and self._after(place.inner, rest) is None]
            self._known[place.owed] = np.asarray(wrong, np.int64)
        known = self._known[place.owed]
        return known[known < vocabulary]

    def ends(self, rows: Rows, tokens: Ints, memory: Sequence[_Owing]) -> Flags:
        acts, starts, inner = self._acts(memory)
        return self._ended(rows, tokens, acts & ~np.asarray([m.fresh for m in memory], bool), starts, inner)

    def complete(self, memories: Sequence[_Owing]) -> Flags:
        acts, _, inner = self._acts(memories)
        return self._completed(acts, inner)

    def whole(self, memories: Sequence[_Owing]) -> Flags:
        acts, _, inner = self._acts(memories)
        return self._whole(acts, inner)


def healing(processors: Sequence[Processor]) -> Heal | None:
    """The processor that takes tokens back, if there is one; two are refused."""
    found = [p for p in processors if isinstance(p, Heal)]
    check(len(found) < 2, f"a prompt is healed once; got {' | '.join(map(str, found))}")
    return found[0] if found and found[0].n else None


def behind(heal: Heal, parts: Sequence[Any]) -> tuple[Processor | Stop, ...]:
    """Processors and stops as they are under healing: those that read text begin behind the bytes that are spelled anew."""
    for part in parts:
        rule = isinstance(part, Within) and _reads_text(part)
        check(not rule, f"{heal} cannot stand beside {part}: a rule for a part of the text would begin in what is spelled anew")
    return tuple(_Behind(heal, part) if part.reads_text else part for part in parts)


def _reads_text(part: Any) -> bool:
    if isinstance(part, When):
        return _reads_text(part.then)
    return isinstance(part, Within) or bool(part.reads_text)
