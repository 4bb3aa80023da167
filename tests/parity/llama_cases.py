"""What is compared with llama.cpp: pairs of processors and samplers, and the scores they are given.

Inputs are sums of whole numbers from a generator whose stream numpy has frozen, so every machine makes the same ones.
"""

from dataclasses import dataclass, field
from itertools import product
from zlib import crc32

import numpy as np

INF = float("inf")
KINDS = ("plain", "holes", "ties", "flat", "one", "far")
"""Any scores; some -inf; many equals; all equal; one token left; so far apart that probabilities are 0 in float32."""
LARGE, SMALL = (5, 40, 300, 1500), (5, 40, 120)
TEXT = (3, 1, 4, 1, 0, 2, 3, 1, 4, 1, 0, 3, 3, 2, 4, 1, 4, 3, 1)
"""What the samplers that count have read."""


@dataclass(frozen=True)
class Case:
    """Processors of ours, and the samplers that are to do the same."""

    method: str
    ours: str
    theirs: tuple[tuple, ...]
    kinds: tuple[str, ...] = KINDS
    vocabularies: tuple[int, ...] = LARGE
    texts: tuple[tuple[int, ...], ...] = (TEXT,)

    def __str__(self) -> str:
        return self.ours

    def inputs(self) -> list[tuple[np.ndarray, tuple[int, ...]]]:
        """Scores (V,) and the text before them."""
        chance = np.random.RandomState(crc32(self.ours.encode()))
        return [(scores_of(chance, *shape), text) for *shape, text in product(self.vocabularies, self.kinds, self.texts)]


def scores_of(chance: np.random.RandomState, vocabulary: int, kind: str) -> np.ndarray:
    """Nearly normal scores, exact in float32."""
    spread = {"ties": 2, "far": 120}.get(kind) or (0.25, 1, 4)[chance.randint(3)]
    scores = chance.randint(-(1 << 12), 1 << 12, (3, vocabulary)).sum(0) / (1 << 12) * spread
    if kind == "ties":
        scores = np.round(scores * 2) / 2
    if kind == "flat":
        scores[:] = 1.25
    if kind in ("holes", "one"):
        holes = chance.randint(5, size=vocabulary) < 2 if kind == "holes" else np.ones(vocabulary, bool)
        holes[chance.randint(vocabulary, size=1 if kind == "one" else 2)] = False
        scores[holes] = -INF
    return scores.astype(np.float32)


def one(method, ours, *sampler, **options):
    return Case(method, ours, (sampler,), **options)


def penalties(repeat, frequency, presence, window):
    ours = f"repetition_penalty({repeat}, window={window}) | frequency_penalty({frequency}, scope='all', window={window})"
    ours += f" | presence_penalty({presence}, scope='all', window={window})"
    method = "repetition_penalty, frequency_penalty, presence_penalty"
    return one(method, ours, "penalties", window, repeat, frequency, presence, vocabularies=SMALL, texts=(TEXT, TEXT[:2], ()))


def dry(multiplier, base, allowed, window, breakers=""):
    ours = f"dry({multiplier}, base={base}, allowed_length={allowed}, breakers={tuple(breakers)!r}, window={window})"
    return one("dry", ours, "dry", multiplier, base, allowed, window, breakers, kinds=("plain", "holes"), vocabularies=(512,), texts=LOOPS)


def loops():
    """Tokens of stories260K with many repetitions, now and then a newline (13) or an exclamation mark (443)."""
    chance = np.random.RandomState(5)
    words = np.asarray([300, 301, 302, 300, 301, 13, 443])
    sizes = ((3, 50), (5, 60), (6, 60), (7, 70), (1, 30), (2, 4), (3, 1))
    return tuple(tuple(map(int, words[chance.randint(0, n, length)])) for n, length in sizes)


LOOPS = loops()
POSSIBLE = ("plain", "ties", "flat")
"""No probability of 0, on which several samplers of theirs stumble (see DIFFERENCES in the test)."""

CASES = [
    *(one("temperature", f"temperature({t})", "temp", t, vocabularies=SMALL) for t in (0.0, 0.05, 0.7, 1.0, 2.5)),
    *(one("top_k", f"top_k({k})", "top_k", k) for k in (1, 3, 39, 200, 1000, 100_000)),
    *(one("top_p", f"top_p({p})", "top_p", p, 0) for p in (0.0, 0.1, 0.5, 0.9, 0.99, 1.0)),
    *(one("min_p", f"min_p({p})", "min_p", p, 0) for p in (0.0, 0.01, 0.3, 0.9, 1.0)),
    *(one("typical", f"typical({p})", "typical", p, 0, kinds=POSSIBLE) for p in (0.0, 0.1, 0.5, 0.9, 0.99, 1.0)),
    *(one("top_n_sigma", f"top_n_sigma({n})", "top_n_sigma", n) for n in (0.1, 0.7, 1.0, 2.5, 9.0)),
    *(
        one("dynamic_temperature", f"dynamic_temperature({low}, high={high}, exponent={e})",
            "temp_ext", (low + high) / 2, (high - low) / 2, e, kinds=(*POSSIBLE, "far"), vocabularies=SMALL)
        for low, high, e in ((0.5, 1.5, 1.0), (0.1, 3.0, 0.5), (0.25, 0.75, 3.0))
    ),
    *(one("xtc", f"xtc({t}, probability=1.0)", "xtc", 1.0, t, 0) for t in (0.01, 0.1, 0.3, 0.5)),
    one("xtc", "xtc(0.1, probability=0.0)", "xtc", 0.0, 0.1, 0),
    one("bias", "bias({1: 1.5, 3: -20.0, 0: 0.25})", "logit_bias", ((1, 1.5), (3, -20.0), (0, 0.25)), vocabularies=SMALL),
    one("banned", "banned(1, 4)", "logit_bias", ((1, -INF), (4, -INF)),
        kinds=("plain", "holes", "ties", "flat", "far"), vocabularies=SMALL),
    *(penalties(*settings) for settings in ((1.3, 0.0, 0.0, 64), (0.8, 0.0, 0.0, 6), (1.0, 0.7, 0.0, 64), (1.0, 0.0, 0.9, 3))),
    *(penalties(*settings) for settings in ((1.0, -0.4, -0.3, 10), (1.1, 0.3, 0.2, 8), (2.0, 1.5, 1.0, 1))),
    *(dry(*settings) for settings in ((0.8, 1.75, 2, 64), (0.8, 1.75, 1, 10), (2.0, 3.0, 4, 64, "\n"))),
    *(dry(*settings) for settings in ((0.5, 1.2, 2, 64, "\n!"), (1.0, 1.0, 1, 20, "!"))),
    Case(
        "the default chain",
        "bias({7: 2.0}) | repetition_penalty(1.1, window=64) | top_k(40) | typical(0.9) | top_p(0.95) | min_p(0.05)"
        " | xtc(0.1, probability=1.0) | dynamic_temperature(0.5, high=1.1)",
        (("logit_bias", ((7, 2.0),)), ("penalties", 64, 1.1, 0.0, 0.0), ("top_k", 40), ("typical", 0.9, 0), ("top_p", 0.95, 0),
         ("min_p", 0.05, 0), ("xtc", 1.0, 0.1, 0), ("temp_ext", 0.8, 0.3, 1.0)),
        kinds=("plain",), vocabularies=(40, 300, 1500, 41, 301, 1501),
    ),
    Case(
        "the default chain",
        "frequency_penalty(0.2, scope='all', window=64) | top_n_sigma(1.5) | top_k(40) | top_p(0.95) | min_p(0.05) | temperature(0.8)",
        (("penalties", 64, 1.0, 0.2, 0.0), ("top_n_sigma", 1.5), ("top_k", 40), ("typical", 1.0, 0), ("top_p", 0.95, 0),
         ("min_p", 0.05, 0), ("xtc", 0.0, 0.1, 0), ("temp_ext", 0.8, 0.0, 1.0)),
        kinds=("plain", "holes"), vocabularies=(40, 300, 1500, 41, 301, 1501),
    ),
    Case(
        "chains in another order",
        "temperature(1.5) | min_p(0.1) | top_k(12)",
        (("temp", 1.5), ("min_p", 0.1, 0), ("top_k", 12)), kinds=("plain", "holes", "far"),
    ),
    Case(
        "chains in another order",
        "top_p(0.9) | typical(0.8) | temperature(0.5) | top_p(0.7)",
        (("top_p", 0.9, 0), ("typical", 0.8, 0), ("temp", 0.5), ("top_p", 0.7, 0)), kinds=("plain",), vocabularies=(40, 300, 1500, 41),
    ),
]  # fmt: skip


@dataclass(frozen=True)
class Course:
    """A sampler that remembers, over several steps; theirs chooses the tokens."""

    method: str
    ours: str
    theirs: tuple
    vocabulary: int
    steps: int = 30
    spread: float = 2.0

    def __str__(self) -> str:
        return f"{self.ours} of {self.vocabulary}"

    def inputs(self) -> list[np.ndarray]:
        """Scores (V,) at every step."""
        chance = np.random.RandomState(crc32(str(self).encode()))
        numbers = chance.randint(-(1 << 12), 1 << 12, (self.steps, 3, self.vocabulary)).sum(1)
        return list((numbers / (1 << 12) * self.spread).astype(np.float32))


def mirostat_2(tau, eta, vocabulary, **options):
    ours = f'mirostat({tau}, eta={eta}, surprise="truncated")'
    return Course("mirostat, version 2", ours, ("mirostat_v2", 11, tau, eta), vocabulary, **options)


def mirostat_1(tau, eta, vocabulary, **options):
    ours = f'mirostat({tau}, eta={eta}, surprise="truncated", version=1)'
    return Course("mirostat, version 1", ours, ("mirostat", vocabulary, 11, tau, eta, 100), vocabulary, **options)


def adaptive_p(target, decay, vocabulary, **options):
    return Course("adaptive_p", f"adaptive_p({target}, decay={decay})", ("adaptive_p", target, decay, 11), vocabulary, **options)


COURSES = [
    *(make(3.0, 0.1, v) for make in (mirostat_2, mirostat_1) for v in (40, 300, 1500)),
    *(make(1.0, 0.7, v) for make in (mirostat_2, mirostat_1) for v in (40, 300)),
    *(adaptive_p(*settings) for settings in ((0.5, 0.9, 40), (0.1, 0.5, 120), (0.9, 0.0, 40), (0.0, 0.99, 5), (1.0, 0.9, 40))),
]

CHANCES = [(0.1, 0.3), (0.02, 0.85)]
"""Of xtc, threshold and probability; how often it cuts is counted."""
DRAWS = 2000


@dataclass(frozen=True)
class Telling:
    """A text of stories260K, the likeliest token at a time."""

    prompt: str
    ours: str = ""
    theirs: tuple[tuple, ...] = field(default=())

    def __str__(self) -> str:
        return f"{self.ours} | greedy after {self.prompt!r}".removeprefix(" | ")


PROMPTS = ("Once upon a time", "The dog", "Lily said: \"I don't know!\"\n", "Zo\u00eb was 7 years old", "")
DRY = "dry(2.0, base=1.75, allowed_length=2, breakers='\\n', window=256)"
TELLINGS = [
    *(Telling(prompt) for prompt in PROMPTS),
    *(Telling(p, "repetition_penalty(1.3, window=64)", (("penalties", 64, 1.3, 0.0, 0.0),)) for p in PROMPTS[:2]),
    *(Telling(p, DRY, (("dry", 2.0, 1.75, 2, 256, "\n"),)) for p in PROMPTS[:2]),
]
NEW = 120
