"""Rules around a processor or a stop, which say where it acts: what all of them share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from unspool.arrays import Array, Flags, Ints, copy, like
from unspool.core.decoder import Decoder, Part, Role
from unspool.core.model import Model
from unspool.core.processor import Processor, Rows, Standing
from unspool.core.stop import Stop
from unspool.errors import check


class RoleInside:
    """The role of what a rule contains; a rule without contents, the class, is listed among processors."""

    def __get__(self, rule: Any, owner: Any = None) -> Role:
        return "processor" if rule is None else rule.then.role


class Within(Processor, Stop):
    """A rule around a processor or a stop, `then`: it has the role of what it contains, and says where that acts."""

    role: ClassVar[Any] = RoleInside()
    then: Any

    def __post_init__(self) -> None:
        inner = self.then
        if isinstance(inner, Decoder):
            check(len(inner.parts) == 1, f"{self.name}(...) takes one processor or stop: write a rule for each of {inner}, joined by |")
            object.__setattr__(self, "then", inner.parts[0])
        inner = self.then
        ok = isinstance(inner, Part) and inner.role in ("processor", "stop")
        check(ok, f"{self.name}(...) takes a processor or a stop, as temperature(0.5); got {inner!r:.80}")
        check(not inner.takes_back, f"{inner} stands for itself, not in {self.name}(...): it takes tokens of the prompt back")

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

    def _whole(self, acts: Flags, memories: Sequence[Any]) -> Flags:
        """Which texts the processor inside lets end; where it does not act, all."""
        found, at = np.ones(len(acts), bool), np.flatnonzero(acts)
        if len(at):
            found[at] = self.then.whole([memories[i] for i in at.tolist()])
        return found

    def _completed(self, acts: Flags, memories: Sequence[Any]) -> Flags:
        """Which texts the processor inside knows to be whole, of those where it acts."""
        found, at = np.zeros(len(acts), bool), np.flatnonzero(acts)
        if len(at):
            found[at] = self.then.complete([memories[i] for i in at.tolist()])
        return found
