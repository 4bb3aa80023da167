"""What others compute under the same names, for numbers that are to be compared with theirs.

Each follows the definition of the code it is named after, and is tested against values of that code.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from unspool.lab.metrics import Units, distinct, ngrams, repetition, zipf


def repetition_simctg(texts: Iterable[Units], n: int) -> float:
    """rep-n of SimCTG's measure_repetition_and_diversity: without every text's last n-gram, rounded to a hundredth of a percent."""
    return round(100 * repetition([text[:-1] for text in texts], n), 2) / 100


def diversity_simctg(texts: Sequence[Units]) -> float:
    """The product of 1 - repetition_simctg for n = 2, 3, 4."""
    return math.prod(1 - repetition_simctg(texts, n) for n in (2, 3, 4))


def distinct_per_text(texts: Sequence[Units], n: int) -> float:
    """The mean over texts of each text's distinct-n."""
    return float(np.mean([distinct([text], n) for text in texts]))


def distinct_once(texts: Iterable[Units], n: int) -> float:
    """distinct_n.py of Holtzman et al. 2020: n-grams that occur exactly once in all texts together / all n-grams."""
    counts = Counter(gram for text in texts for gram in ngrams(text, n))
    return sum(count == 1 for count in counts.values()) / counts.total() if counts else 0.0


def loops_holtzman(texts: Sequence[Units], longest: int = 90) -> float:
    """repetition.py of Holtzman et al. 2020: the share of texts that end in a phrase said again and again.

    It is the phrase of at most `longest` tokens that is said most often in a row at the end, and it counts if it has at least
    3 tokens and is said twice, or is said more than 50 times.
    """
    return sum(map(_repeats, texts, [longest] * len(texts))) / len(texts) if texts else 0.0


def _repeats(text: Units, longest: int) -> bool:
    times = {}
    for length in range(1, min(longest, len(text)) + 1):
        said = 1
        while text[len(text) - length * (said + 1) : len(text) - length * said] == text[-length:] and length * (said + 1) <= len(text):
            said += 1
        times[length] = said
    phrase = max(times, key=lambda length: (times[length], -length), default=0)
    return phrase > 0 and times[phrase] > 1 and (phrase >= 3 or times[phrase] > 50)


def zipf_of_frequent(texts: Iterable[Units], most: int = 5000) -> float:
    """zipf.py of Holtzman et al. 2020: the coefficient over the most frequent units alone."""
    return zipf(texts, most)


def perplexity_per_text(logprobs: Sequence[Sequence[float]]) -> float:
    """The mean over texts of each text's perplexity, as the library evaluate has it, from the log-probabilities of their tokens."""
    return float(np.mean([math.exp(-np.mean(text)) for text in logprobs]))
