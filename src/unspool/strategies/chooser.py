"""What strategies share that choose among whole texts."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, ClassVar, TypeAlias

from unspool.core.strategy import Around, Strategy
from unspool.errors import ParameterError, PartError, as_pattern, check, is_whole, named, said_number, whole
from unspool.record.step import Hypothesis
from unspool.strategies.sample import Sample
from unspool.text import TextReader

Answer: TypeAlias = tuple[str, int, int]
"""An answer and where in its text it stands: from a character on, up to another."""


class Chooser(Around):
    """A strategy around one that finds several texts of a prompt: of these it returns the `n` best, by its own score.

    Its field `then` is that strategy, or a number of samples. What the choice was made by is in the columns of the texts it returns.
    """

    role = "strategy"
    many = False
    streams: ClassVar[bool] = False
    then: Any
    n: int
    tokenizer: Any = None
    """Of the model, once it is known."""

    def __post_init__(self) -> None:
        if is_whole(self.then):
            whole(f"{self.name}(samples)", self.then, 1)
            object.__setattr__(self, "then", Sample(int(self.then)))
        what = f"{self.name}(then) takes a number of samples, or a strategy that finds several texts, such as beam(4, n=4)"
        check(isinstance(self.then, Strategy), f"{what}; got {self.then!r}")
        whole(f"{self.name}(n=...)", self.n, 1)
        most = self.candidates()
        ok = most is None or self.n <= most
        asked = f"{self.name}(n={self.n}) asks for more texts than the {most} that it chooses among"
        check(ok, f"{asked}, then={self.then}; lower n, or let it find more")

    def resolve(self, tokenizer: Any) -> Any:
        """With the strategy inside resolved, and able to read texts."""
        return self.reading(super().resolve(tokenizer), tokenizer)

    @staticmethod
    def reading(part: Any, tokenizer: Any) -> Any:
        """A part that knows the tokenizer."""
        object.__setattr__(part, "tokenizer", tokenizer)
        return part

    def pieces(self, h: Hypothesis) -> list[str]:
        """The text of every token: characters stand where they are whole."""
        if self.tokenizer is None:
            raise ParameterError(f"{self.name}: to read texts it needs a tokenizer; decode with a LanguageModel")
        reader = TextReader(self.tokenizer)
        found, reading = reader.pieces(h.tokens)
        return [*found[:-1], found[-1] + reader.rest(reading)]

    def text(self, h: Hypothesis) -> str:
        """The new text as it was generated: a string that stopped it stands at its end."""
        return "".join(self.pieces(h))

    def best(self, texts: Sequence[Hypothesis], scores: Sequence[float], columns: Sequence[dict[str, Any]]) -> list[Hypothesis]:
        """The n best of some texts, of equals the one found first, with their scores and columns."""
        order = sorted(range(len(texts)), key=lambda i: -scores[i])[: self.n]
        return [self.chosen(texts[i], scores[i], columns[i]) for i in order]

    def chosen(self, h: Hypothesis, score: float, columns: dict[str, Any]) -> Hypothesis:
        """A text as it is returned."""
        return replace(h, score=float(score), columns=h.columns | columns | {"chosen": str(self)})

    def rank(self, finished: list[Hypothesis]) -> list[Hypothesis]:
        """The n best; what it has chosen already, it leaves."""
        if all(h.columns.get("chosen") == str(self) for h in finished):
            return finished
        return self.choose_among(finished)

    def choose_among(self, finished: list[Hypothesis]) -> list[Hypothesis]:
        """The n best of what the run found."""
        raise PartError(f"the strategy {self} lacks a method: choose_among(finished)")

    def candidates(self) -> int | None:
        """How many texts it chooses among at most; None where nobody can say."""
        return self.then.most_texts()  # type: ignore[no-any-return]

    def most_texts(self) -> int:
        return self.n

    def most_rows(self) -> int | None:
        return self.then.most_rows()  # type: ignore[no-any-return]

    def ranked(self, finished: list[Hypothesis]) -> list[Hypothesis]:
        """What the strategy inside returns of it."""
        return super().rank(finished)

    def asked(self, function: Callable[..., Any], *texts: str) -> float:
        """What a function says of texts; an error if that is no number."""
        who = f"{self.name}: {named(function)}"
        value = said_number(who, function(*texts))
        if math.isnan(value):
            raise PartError(f"{who} answered {value}; it returns a number")
        return value

    def answer_in(self, h: Hypothesis, answer: str | Callable[[str], str | None] | None) -> Answer | None:
        """The answer in a text: the last that a pattern matches, its first group if it has one; what a function says; None, its tokens."""
        if answer is None:
            return " ".join(map(str, h.tokens)), 0, 0
        text = self.text(h)
        if isinstance(answer, str):
            matches = list(re.finditer(answer, text))
            if not matches:
                return None
            match = matches[-1]
            group = 1 if match.re.groups and match[1] is not None else 0
            return match[group].strip(), *match.span(group)
        said = answer(text)
        if said is None:
            return None
        if not isinstance(said, str):
            raise PartError(f"{self.name}: {named(answer)} answered {said!r:.60}; it returns a text or None")
        place = text.rfind(said)
        return (said.strip(), place, place + len(said)) if place >= 0 else (said.strip(), 0, len(text))


def check_answer(place: str, answer: Any) -> None:
    """Refuse what finds no answer in a text."""
    check(answer is None or isinstance(answer, str) or callable(answer), f"{place} is a regular expression or a function; got {answer!r}")
    if isinstance(answer, str):
        as_pattern(place, answer)
