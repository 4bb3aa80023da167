"""Rules that act in a part of the text: a processor or a stop from a phrase on, up to one, or between two."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from unspool.errors import check, plain, whole
from unspool.processors.phrased import Phrased
from unspool.processors.phrases import Phrase


@dataclass(frozen=True)
class After(Phrased):
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
class Until(Phrased):
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
class Between(Phrased):
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
