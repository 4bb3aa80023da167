"""Processors that put a phrase into the text: at once, where a condition holds, in place of other tokens, or when a budget is spent."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from unspool.arrays import Array, Flags, Floats, Ints, block, host, like
from unspool.core.decoder import Part
from unspool.core.processor import PROMPT_END, Processor, Rows
from unspool.errors import check, number, whole
from unspool.processors.conditions import Condition, Repeats, condition, measured, positions
from unspool.processors.force import only
from unspool.processors.measures import limited
from unspool.processors.parts import Between
from unspool.processors.penalize import texts_in
from unspool.processors.phrases import Phrase, checked_phrases, encoded, ids_in, tokens_of
from unspool.processors.within import Within


class _Said(NamedTuple):
    """How far a text has come with a phrase."""

    place: int
    """How many tokens of the phrase stand at the end of the text; 0 where it is not being said."""
    times: int
    """How often it was said."""
    position: int
    repeats: Repeats


@dataclass(frozen=True)
class Say(Processor):
    """Where a condition holds, this phrase comes next, token by token.

    when: a condition as of the rule `when`, on the distribution as it comes in. instead: a token, or a text by its first token, in whose
    place the phrase comes: where it would be the likeliest, the phrase begins, and elsewhere it cannot come until the phrase was said
    as often as it may be. times: how often at most; None is always. What earlier processors ruled out stays ruled
    out: write it before those that cut.

    With the phrase "Wait" and instead="</think>" it is budget forcing; the evidence that it helps is mixed. Muennighoff et al. 2025,
    arXiv 2501.19393.
    """

    stateful = True
    phrase: Phrase
    when: str = "always"
    instead: str | int | None = None
    times: int | None = 1

    def __post_init__(self) -> None:
        (phrase,) = checked_phrases("say", [tuple(self.phrase) if isinstance(self.phrase, list) else self.phrase], 'say(" Wait")')
        object.__setattr__(self, "phrase", phrase)
        check(isinstance(self.when, str), f'say(when=...) is a text such as "position >= 50"; got {self.when!r}')
        _ = self._read
        if self.instead is not None:
            checked_phrases("say", [self.instead], 'say(" Wait", instead="</think>")')
            check(isinstance(self.instead, str | int), f"say(instead=...) is a token id or a text; got {self.instead!r}")
        if self.times is not None:
            whole("say(times=...)", self.times, 1)

    @property
    def _read(self) -> Condition:
        return condition(self.when)

    @property
    def reads_scores(self) -> bool:  # type: ignore[override]
        return self.instead is not None or self._read.reads_scores

    def token_ids(self) -> Iterable[int]:
        return ids_in([p for p in (self.phrase, self.instead) if p is not None])

    def resolve(self, tokenizer: Any) -> Part:
        phrase, instead = self.phrase, self.instead
        if isinstance(phrase, str):
            phrase = tuple(encoded(phrase, tokenizer, "say"))
            check(len(phrase) > 0, f"say: {self.phrase!r} has no tokens in this tokenizer")
        if isinstance(instead, str):
            ids = encoded(instead, tokenizer, "say")
            named = [t for t in tokenizer.specials if tokenizer.name_of(t) == instead]
            check(bool(named or ids), f"say: {instead!r} has no tokens in this tokenizer")
            instead = (named or ids)[0]
        return replace(self, phrase=phrase, instead=instead)

    def begin(self, prompt: Ints) -> _Said:
        """Nothing was said."""
        return _Said(0, 0, 0, Repeats())

    def advance(self, memories: Sequence[_Said], tokens: Sequence[int], scores: Sequence[Array]) -> list[_Said]:
        (phrase,) = tokens_of([self.phrase], "say")
        loops, found = "loop" in self._read.measures, list[_Said]()
        for i, (memory, token) in enumerate(zip(memories, tokens, strict=True)):
            begins = memory.place > 0 or bool(self._due([memory], scores[i][None] if len(scores) else None)[0])
            place = memory.place + 1 if begins and token == phrase[memory.place] else 0
            said = place == len(phrase)
            repeats = memory.repeats.after(int(token)) if loops else memory.repeats
            found.append(_Said(0 if said else place, memory.times + said, memory.position + 1, repeats))
        return found

    def _left(self, memory: _Said) -> bool:
        return self.times is None or memory.times < self.times

    def _due(self, memories: Sequence[_Said], scores: Array | None) -> Flags:
        """Where the phrase begins: by the distributions that come in, if it depends on them."""

        def value(name: str) -> Floats:
            if name in ("position", "loop"):
                return positions(np.asarray([m.position if name == "position" else m.repeats.count for m in memories]))
            return measured(scores)(name)

        due = self._read.holds(len(memories), value) & np.asarray([m.place == 0 and self._left(m) for m in memories], bool)
        if self.instead is not None and due.any():
            (token,) = tokens_of([self.instead], "say")[0]
            table = host(scores)
            due = due & (table[:, token] > -np.inf) & (table.argmax(-1) == token)
        return np.asarray(due, bool)

    def process(self, rows: Rows, scores: Array, memory: Any = None) -> Array:
        (phrase,) = tokens_of([self.phrase], "say")
        due = self._due(memory, scores)
        said = only(scores, [[phrase[m.place]] if m.place or now else None for m, now in zip(memory, due, strict=True)])
        if self.instead is None:
            return said
        (token,) = tokens_of([self.instead], "say")[0]
        keep = np.ones(tuple(scores.shape), bool)
        keep[[r for r, m in enumerate(memory) if m.place == 0 and not due[r] and self._left(m)], token] = False
        return said if keep.all() else block(said, like(keep, said))


@dataclass(frozen=True)
class ThinkingBudget(Within):
    """Once so many tokens were thought, the thinking is closed: a message and the closing phrase come next.

    It is between(open, close, say(message + close, when="position >= tokens"), prompt=True): a token after the opening phrase is the first
    that counts, and where the model closes by itself before, nothing is done. The phrases are texts, found however they are cut into
    tokens. message: what is said before the closing phrase. prompt: whether an opening phrase in the prompt counts, as chat templates
    put it there; then the new tokens count.
    """

    stateful = True
    tokens: int
    open: str = "<think>"
    close: str = "</think>"
    message: str = ""
    prompt: bool = True
    _rule: Any = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        whole("thinking_budget(tokens)", self.tokens, 0)
        for name in ("open", "close", "message"):
            value = getattr(self, name)
            check(isinstance(value, str) and (value != "" or name == "message"), f"thinking_budget({name}=...) is a text; got {value!r}")
        said = Say(self.message + self.close, when=f"position >= {self.tokens}")
        object.__setattr__(self, "_rule", Between(self.open, self.close, said, self.prompt))

    @property
    def then(self) -> Any:
        """The rule that it is."""
        return self._rule

    def resolve(self, tokenizer: Any) -> Part:
        part = replace(self)
        object.__setattr__(part, "_rule", self._rule.resolve(tokenizer))
        return part

    def reads(self) -> Sequence[str]:
        return (PROMPT_END,)

    def begin(self, prompt: Ints) -> Any:
        return self._rule.begin(prompt)

    def advance(self, memories: Sequence[Any], tokens: Sequence[int], scores: Sequence[Array]) -> Sequence[Any]:
        found: Sequence[Any] = self._rule.advance(memories, tokens, scores)
        return found

    def process(self, rows: Rows, scores: Array, memory: Any = None) -> Array:
        return self._rule.process(rows, scores, memory)


@dataclass(frozen=True)
class Cite(Processor):
    """Favour the tokens of the prompt, so that the text keeps to its words: scores + amount for each of them.

    following: what is added beside for those that stand in the prompt right after the last token of the text, which favours whole
    phrases. After CiteFromPrompt of NVIDIA's logits-processor-zoo.
    """

    amount: float = 1.0
    following: float = 0.0

    def __post_init__(self) -> None:
        number("cite(amount)", self.amount)
        number("cite(following=...)", self.following)

    def reads(self) -> Sequence[str]:
        return (PROMPT_END,)

    def process(self, rows: Rows, scores: Array, memory: Any = None) -> Array:
        if self.amount == 0 and self.following == 0:
            return scores
        amounts = np.zeros(tuple(scores.shape), np.float32)
        for r, (prompt, text) in enumerate(zip(texts_in(rows, "prompt"), texts_in(rows, "all"), strict=True)):
            amounts[r, np.unique(prompt)] += limited(self.amount)
            amounts[r, np.unique(prompt[1:][prompt[:-1] == text[-1:]])] += limited(self.following)
        return scores + like(amounts.astype(host(scores[:1, :1]).dtype), scores)
