"""What a metric of texts is, and what it reads of them.

A metric of many texts is a value of sums over prompts: `parts` gives the numbers of one prompt's texts, `value` makes the
metric of their sum. So it can be resampled by prompt. A metric of a whole collection (how often a word occurs anywhere) has
no such parts: `whole` takes one text for each prompt.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unspool.arrays import Floats
from unspool.errors import PartError, UnspoolError, said_number

POOLED = "pooled: counts of all texts are added, then divided"
PER_TEXT = "mean over texts"
PER_PROMPT = "mean over prompts"
COLLECTION = "of a collection with one text for each prompt; the mean over such collections where prompts have several texts"


@dataclass(frozen=True)
class TextSample:
    """One text as metrics read it."""

    units: Sequence[Hashable]
    """What n-grams are made of."""
    tokens: Sequence[int]
    """Those that stand for text; an end token does not."""
    logprobs: Sequence[float]
    """The model's log-probability of each of them."""
    size: int
    """Bytes of UTF-8."""
    ended: bool | None = None
    """Whether the model ended the text itself; None for a text that it did not write."""
    entropies: Sequence[float] | None = None
    """Of the model's distribution before each token."""
    judged: tuple[float, int, int] | None = None
    """Under a second model: sum of log-probabilities, its tokens, bytes."""
    prompt: str = ""
    text: str = ""
    answers: tuple[str, ...] = ()
    """What is right after the prompt, any of them."""
    answer: str = ""
    """What the text answers: what the pattern for answers finds, or all of it, without the white space around it."""
    features: Floats | None = None
    """The final hidden state at the text's last token, (width,)."""

    @property
    def right(self) -> bool | None:
        """Whether the text answers rightly; None where no answer is known."""
        return self.answer in [one.strip() for one in self.answers] if self.answers else None


Samples = Sequence[TextSample]


@dataclass(frozen=True)
class Metric:
    """A metric of generated texts."""

    name: str
    """With `n` where a number stands, as rep_n."""
    definition: str
    unit: str
    """What it counts, or is measured in."""
    pooling: str
    """How the texts of a collection are put together."""
    aim: str
    """Which way is better, as far as one can say."""
    elsewhere: str = ""
    """How others compute what they call the same."""
    parts: Callable[[Samples], Sequence[float]] | None = None
    """The numbers of one prompt's texts, to be added over prompts."""
    value: Callable[[Floats], Floats] = np.asarray
    """The metric of such sums (..., k)."""
    whole: Callable[[Samples], float] | None = None
    """The metric of a collection with one text for each prompt."""
    needs: str = ""
    """What beyond tokens and log-probabilities it reads of a TextSample: "entropies", "judged", "answers" or "features"."""
    least: int = 1
    """Prompts, and reference texts, that a collection has at the least."""
    decimals: int = 2
    log: bool = False
    """Whether it is drawn on a logarithmic scale."""

    def of(self, samples: Samples) -> float:
        """The metric of one prompt's texts."""
        if self.parts is None:
            return self.of_collection(samples)
        return float(self.of_sums(np.asarray(self.numbers(samples), np.float64)))

    def numbers(self, samples: Samples) -> list[float]:
        """The numbers of one prompt's texts."""
        return [said_number(f"the metric {self.name}", x) for x in self._asked(self.parts, samples)]

    def of_sums(self, sums: Floats) -> Floats:
        """The metric of sums over prompts, (..., k)."""
        return np.asarray(self._asked(self.value, sums), np.float64)

    def of_collection(self, samples: Samples) -> float:
        """The metric of one text for each prompt; nan where there are too few."""
        if self.whole is None or len(samples) < self.least:
            return math.nan
        return said_number(f"the metric {self.name}", self._asked(self.whole, samples))

    def _asked(self, function: Any, given: Any) -> Any:
        try:
            return function(given)
        except UnspoolError:
            raise
        except Exception as error:
            what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            raise PartError(f"the metric {self.name} failed: {what}") from error


def ratio(sums: Floats) -> Floats:
    """The first sum by the second; nan where that is 0."""
    over, under = sums[..., 0], sums[..., 1]
    return np.asarray(np.divide(over, under, out=np.full(np.shape(under), np.nan), where=under != 0))
