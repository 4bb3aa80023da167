"""Rows of scores on which llama.cpp and unspool differ: on purpose, or because of a mistake of llama.cpp's."""

from dataclasses import dataclass

import numpy as np

INF = float("inf")


@dataclass(frozen=True)
class Parting:
    """One row of scores on which the two differ, the tokens that each keeps, and why."""

    what: str
    ours: str
    theirs: tuple
    scores: tuple[float, ...]
    ours_keeps: tuple[int, ...]
    theirs_keeps: tuple[int, ...]
    why: str
    defect: bool = False
    text: tuple[int, ...] = ()

    def __str__(self) -> str:
        return self.what

    def row(self) -> np.ndarray:
        """Scores (V,) in float32."""
        return np.asarray(self.scores, np.float32)


def all_of(n):
    return tuple(range(n))


DESCENT = tuple(-0.05 * i for i in range(50))
PEAK = (float(np.log(0.4)), *[float(np.log(0.1))] * 6)
MIROSTAT = 'surprise="truncated", version=1'
PARTINGS = [
    Parting(
        "top_n_sigma(0)", "top_n_sigma(0)", ("top_n_sigma", 0.0), (1.0, 3.0, 2.0), (1,), (0, 1, 2),
        'theirs takes 0 for "off"; ours keeps what lies 0 deviations below the best, the best',
    ),
    Parting(
        "which of equals stays", "top_p(0.2)", ("top_p", 0.2, 0), (1.0,) * 8, (0, 1), (4, 7),
        "theirs sorts without a rule for equals; ours keeps those with the lowest ids, in every library and on every machine",
    ),
    Parting(
        "xtc among equals", "xtc(0.1, probability=1.0)", ("xtc", 1.0, 0.1, 0), (0.0,) * 8, (7,), (6,),
        "the same; of equals ours keeps the one with the highest id",
    ),
    Parting(
        "dynamic_temperature after a cut", "dynamic_temperature(0.5, high=1.5)", ("temp_ext", 1.0, 0.5, 1.0),
        (1.0, 0.5, 0.0, *[-INF] * 20), (0, 1, 2), (0, 1, 2),
        "theirs divides the entropy by the logarithm of how many tokens stand in its list, those with a score of -inf (of top_n_sigma, a "
        "bias, a grammar) included; ours counts those that can come",
    ),
    Parting(
        "a breaker of several tokens", "dry(1.0, allowed_length=2, breakers='o,', window=64)", ("dry", 1.0, 1.75, 2, 64, ("o,",)),
        (0.0,) * 512, all_of(512), all_of(512),
        "theirs means to end a repetition also where a breaker is spelt by several tokens, but looks for its rest with the space that "
        "the vocabulary puts before a text, and so ends it at 'o ,' in place of 'o,'; ours ends it at tokens that contain the breaker "
        "whole, as text-generation-webui does",
        text=(300, 414, 410, 432, 301, 300, 414, 410, 432),
    ),
    Parting(
        "typical with an impossible token", "typical(0.25)", ("typical", 0.25, 0), (*PEAK, -INF), (1, 2, 3), (0,),
        "one token of probability 0 (a banned one, or one 104 below the best) makes its entropy 0 * log 0, no number; the order is lost, "
        "and the likeliest tokens are kept, as by top_p",
        defect=True,
    ),
    Parting(
        "xtc(0) with an impossible token", "xtc(0.0, probability=1.0)", ("xtc", 1.0, 0.0, 0), (1.0, 0.0, 0.5, -INF), (1,), (),
        "it keeps the least likely token at or above the threshold, which is the one that cannot come; nothing is left to draw from",
        defect=True,
    ),
    Parting(
        "mirostat, version 1, with impossible tokens", f"mirostat(5.0, {MIROSTAT})", ("mirostat", 60, 11, 5.0, 0.1, 100),
        (*DESCENT, *[-INF] * 10), all_of(50), (0,),
        "a token of probability 0 among the 100 likeliest makes the fitted slope infinite or no number; one token is left, whatever tau",
        defect=True,
    ),
    Parting(
        "mirostat, version 1, of a flat distribution", f"mirostat(8.0, {MIROSTAT})", ("mirostat", 50, 11, 8.0, 0.1, 100),
        tuple(x / 100 for x in DESCENT), all_of(50), (0,),
        "the number of tokens to keep is larger than any whole number of 32 bits; it wraps to a negative one, and a single token is left "
        "where all should be",
        defect=True,
    ),
]  # fmt: skip
