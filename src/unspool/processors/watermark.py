"""What watermarks have in common: a mark that is found again in a text by who knows its key."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unspool.arrays import Ints
from unspool.core.processor import Processor
from unspool.errors import PromptError, check, is_whole

LEAST_GRID = 1 << 14
"""Up to this many values of a score, its distribution is computed whole."""
NEGLIGIBLE = 1e-20
"""A frequency that counts for less is left out."""


@dataclass(frozen=True)
class Detection:
    """What a detector found in a text."""

    scored: int
    """How many tokens were looked at; one that would say the same as another counts once."""
    mean: float
    """The share of green tokens, or the mean of g-values, or of -log(1 - u)."""
    expected: float
    """The same on average in a text without the watermark."""
    z: float
    """Standard deviations of the mean above what is expected."""
    p_value: float
    """The chance that a text without the watermark has such a mean or a higher one."""


class Watermark(Processor):
    """A processor whose work can be found in a text."""

    role = "processor"                                                   # a base, without a name in the text form

    def detect(self, text: str | Sequence[int], model: Any) -> Detection:
        """Look for the watermark in new text without its prompt.

        text: a text, for which `model` is the LanguageModel that reads it, or token ids; for these `model` may be the number of
        tokens in the vocabulary too.
        """
        raise NotImplementedError

    def tokens_of(self, text: str | Sequence[int], model: Any) -> tuple[Ints, int]:
        """The tokens of a text, and how many there are in the vocabulary."""
        known = getattr(getattr(model, "model", None), "vocabulary", model)
        what = f"{self.name}: detect(text, model) needs a LanguageModel, or for token ids how many there are; got {model!r}"
        check(is_whole(known, 1), what)
        if isinstance(text, str):
            check(known is not model, f"{self.name}: a text needs a LanguageModel to read it; got {model!r}")
            text = model.tokenizer.encode(text)
        tokens = np.asarray(text, np.int64)
        bad = tokens[(tokens < 0) | (tokens >= known)]
        if len(bad):
            raise PromptError(f"{self.name}: token {bad[0]} is outside the vocabulary of {known}")
        return tokens, known

    def enough(self, tokens: Ints, least: int) -> None:
        """Refuse a text with nothing to score."""
        if len(tokens) < least:
            raise PromptError(f"{self.name}: {len(tokens)} tokens are too few to look for it; give at least {least}")


def fresh_context(padded: Ints, length: int, generated: int, width: int, history: int) -> Ints | None:
    """The last `width` tokens of a text that is padded on the left; None where there are too few, or where the same stood there before:
    among the last `history` contexts of the new text."""
    text = padded[len(padded) - length :]
    if len(text) < width:
        return None
    contexts = np.lib.stride_tricks.sliding_window_view(text, width)
    context, before = contexts[-1], contexts[-1 - min(generated, history) : -1]
    return None if (before == context).all(-1).any() else context


def judge(hits: Ints, n: int, share: float, weights: Ints) -> Detection:
    """Weigh the hits of each kind, in n trials of each kind that a text without the watermark wins with chance `share`."""
    score, most = int(hits @ weights), n * int(weights.sum())
    deviation = math.sqrt(n * share * (1 - share) * float(weights @ weights))
    return Detection(n, score / most, share, (score - share * most) / deviation, tail(score, n, share, weights))


def tail(score: int, n: int, share: float, weights: Ints) -> float:
    """The chance that sum_l weights[l] * B_l >= score for independent binomial B_l, each of n trials of chance `share`.

    The distribution is tilted until its mean is the score, so that far tails keep their digits, and found by its Fourier transform;
    exact but for rounding and for mass further than 9 standard deviations from the score.
    """
    most = n * int(weights.sum())
    if score >= most:
        return share ** (n * len(weights)) if score == most else 0.0
    tilt = _tilt(score, n, share, weights)
    p = _tilted(tilt, share, weights)
    deviation = math.sqrt(n * float((weights**2 * p * (1 - p)).sum()))
    size = min(most + 1, max(LEAST_GRID, int(18 * deviation)))
    first = 0 if size == most + 1 else max(round(n * float(weights @ p)) - size // 2, 0)
    at = np.arange(size // 2 + 1)                                        # the frequencies that still count
    transform, found = np.zeros(len(at), complex), np.ones(len(at), complex)
    for weight, chance in zip(weights, p, strict=True):
        found = found * (1 - chance + chance * np.exp(-2j * np.pi / size * weight * at))
        some = abs(found) > NEGLIGIBLE ** (1 / n)
        at, found = at[some], found[some]
    transform[at] = found**n * np.exp(2j * np.pi / size * first * at)
    mass = np.fft.irfft(transform, size)
    above = np.arange(max(score - first, 0), size)
    log_scale = n * float(np.logaddexp(math.log1p(-share), math.log(share) + tilt * weights).sum()) - tilt * score
    chance = math.exp(log_scale) * float(mass[above] @ np.exp(-tilt * (above + first - score)))
    return min(max(chance, 0.0), 1.0)


def _tilted(tilt: float, share: float, weights: Ints) -> Any:
    """The chance of each kind under weights exp(tilt * score)."""
    return 1 / (1 + (1 - share) / share * np.exp(-tilt * weights))


def _tilt(score: int, n: int, share: float, weights: Ints) -> float:
    """The tilt >= 0 under which the mean is the score, by bisection; 0 where the mean is above it."""
    low, high = 0.0, 1.0
    while n * float(weights @ _tilted(high, share, weights)) < score and high * weights.min() < 64:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if n * float(weights @ _tilted(middle, share, weights)) < score else (low, middle)
    return low
