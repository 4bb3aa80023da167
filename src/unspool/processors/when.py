"""A rule that acts at the steps where a condition holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from unspool.arrays import Array, Flags, Floats, Ints
from unspool.core.decoder import Part
from unspool.core.processor import PROMPT_END, Rows
from unspool.errors import check
from unspool.processors.conditions import FROM_SCORES, Condition, Repeats, condition, measured, positions
from unspool.processors.within import Within


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

    def whole(self, memories: Sequence[_Watched]) -> Flags:
        """Only where the condition always holds is what the processor inside asks for asked of the text."""
        acts = np.full(len(memories), self.condition.strip() == "always")
        return self._whole(acts, [m.inner for m in memories])
