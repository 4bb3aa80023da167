"""Processors: functions from next-token scores to next-token scores, under any strategy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np

from unspool.arrays import Array, Flags, Floats, Ints, host
from unspool.core.decoder import Part
from unspool.core.few import Few
from unspool.core.model import Model
from unspool.core.randomness import uniform, word
from unspool.errors import PartError, Unsupported

PROMPT_END, END_TOKENS = "where the prompt ends", "the end tokens"
"""What tokens and scores alone do not tell."""


def no_draws(purpose: str) -> Floats:
    """The draws of rows that were made by hand without any."""
    raise Unsupported(f"these rows hold no draws, as {purpose!r} needs: make them with Rows.of(tokens), or give Rows(..., uniforms=...)")


@dataclass
class Rows:
    """What a processor may know about the R rows whose scores it sees."""

    tokens: Array
    """(R, T), left-padded with -1, beside the scores."""
    lengths: Ints
    """(R,), tokens of each row without padding."""
    prompt_lengths: Ints
    """(R,), how many of them are the prompt's."""
    end_tokens: tuple[int, ...] = ()
    uniforms: Callable[[str], Floats] = no_draws
    """A uniform in [0, 1) for each row, for a purpose of the processor's own naming."""
    companions: tuple[Array, ...] = ()
    """The logits (R, V) of the processor's `companions`, in their order."""
    layers: tuple[Array, ...] = ()
    """The logits (R, V) that the model would have after each of the processor's `reads_layers`."""

    @property
    def generated(self) -> Ints:
        """(R,), tokens after the prompt."""
        return self.lengths - self.prompt_lengths

    @classmethod
    def of(cls, tokens: Array, prompt_length: int = 0, end_tokens: Sequence[int] = ()) -> Rows:
        """Rows of tokens (R, T), as Hugging Face's `input_ids`; what they draw depends on their tokens alone."""
        texts = host(tokens)
        lengths = (texts >= 0).sum(-1)
        lineage = np.asarray([word(text[text >= 0].astype(np.int64).tobytes()) for text in texts], np.uint64)
        return cls(tokens, lengths, np.full(len(lengths), prompt_length), tuple(end_tokens), partial(uniform, 0, lineage, lengths))


@dataclass(frozen=True)
class Standing:
    """How one token stood in a distribution."""

    probability: float
    rank: int
    """How many tokens were likelier."""
    above: float
    """The probability of those together."""
    best: float
    """The probability of the likeliest."""
    entropy: float
    """Of the distribution, in nats."""


class Processor(Part):
    """A map from scores (R, V) to scores (R, V).

    Subclasses are frozen dataclasses that implement `process`; nothing lives in self. One with a memory also implements
    `begin` and `advance`: a memory is an immutable value for each row, and follows the rows wherever they fork.
    """

    role = "processor"
    stateful: ClassVar[bool] = False
    reads_scores: ClassVar[bool] = False
    """Whether `advance` needs the scores that entered the processor."""
    completes: ClassVar[bool] = False
    """Whether it knows where a text is whole: by `complete`, that nothing can follow, asked if there are no end tokens; and by `whole`,
    that it may end, asked where a limit cuts it."""
    by_scores: ClassVar[bool] = False
    """Whether it looks at nothing but the scores above -inf and their order, so that it may be given those alone, (R, K) of them in
    ascending order of token, and rows filled up with -inf: by sums that left out zeros do not change (`unspool.arrays.summed`)."""
    reads_text: ClassVar[bool] = False
    """Whether its memory follows the text, however it is cut into tokens, and is None where the text cannot be: then it may begin in the
    middle of a token, as where a rule has it act from a phrase on."""
    reads_layers: tuple[int, ...] = ()
    """The layers of the model whose early logits it reads: k for those after k of them; a field or a class variable."""

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        if "process" in vars(cls) and "few" not in vars(cls):            # what a class it is made of says of few is not of this `process`
            cls.few = Processor.few  # type: ignore[method-assign]

    def process(self, rows: Rows, scores: Array, memory: Any = None) -> Array:
        """New scores (R, V); the arguments are left as they are.

        scores (R, V): unnormalised log-probabilities, -inf for what cannot come. memory: a list of R values, where it is stateful.
        """
        raise PartError(f"the processor {self} lacks a method: process(rows, scores, memory)")

    def few(self, rows: Rows, scores: Array, memory: Any = None) -> Few | None:
        """What `process` leaves of the same arguments, where that is so little that it is better told by itself; None where `process` is to
        be asked. For rules that find what they keep without looking at the rest."""
        return None

    def begin(self, prompt: Ints) -> Any:
        """The memory of a row that holds just the prompt."""

    def advance(self, memories: Sequence[Any], tokens: Sequence[int], scores: Sequence[Array]) -> Sequence[Any]:
        """The memories after one more token each; scores: what entered `process` before it, where `reads_scores`."""
        return memories

    def complete(self, memories: Sequence[Any]) -> Flags:
        """For each memory whether the text is whole and nothing can follow, so that it ends."""
        raise PartError(f"the processor {self} says that it completes, and lacks a method: complete(memories)")

    def whole(self, memories: Sequence[Any]) -> Flags:
        """For each memory whether the text may end as it is; of one that may not, and is cut by a limit, the reason is "unfinished"."""
        return self.complete(memories)

    def sparing(self, token: Standing) -> Processor | None:
        """This processor with the setting nearest its own at which it would have kept a token; None if it cannot say."""
        return None

    def kept(self, prompt: Ints) -> int:
        """How many tokens of a prompt the model reads; the others are taken back. Asked of one that `takes_back`."""
        return len(prompt)

    def companions(self) -> Sequence[Model]:
        """Other models whose logits `process` finds in its rows; their rows are extended by the same tokens."""
        return ()

    def companion_prompt(self, prompt: Ints, which: int) -> Sequence[int]:
        """What a companion reads in place of the prompt."""
        return list(map(int, prompt))

    def reads(self) -> Sequence[str]:
        """What it reads of its rows that tokens and scores alone do not tell: "where the prompt ends", "the end tokens"."""
        return ()

    def __call__(self, input_ids: Array, scores: Array) -> Array:
        """Hugging Face's signature, for processors without memory that read nothing but tokens and scores."""
        if self.stateful or self.companions() or self.reads_layers:
            raise TypeError(f"{self} needs more than the tokens, and cannot be called on scores alone")
        if self.reads():
            way = "process(Rows.of(input_ids, prompt_length, end_tokens), scores)"
            raise TypeError(f"{self} reads {' and '.join(self.reads())}, which tokens and scores alone do not tell; call {way}")
        return self.process(Rows.of(input_ids), scores)
