"""The rows of the tables: what is run, after which prompts, and how many tokens of it are counted."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

TEMPERATURE, TOP_K, TOP_P = 0.8, 50, 0.95
"""Of the sampling rows; top-k, top-p and temperature in that order or another: engines differ, and the work is the same."""
CONTRASTIVE_K, CONTRASTIVE_ALPHA = 4, 0.6
DRAFTED = 4
"""Tokens that are guessed at once, by a smaller model or from the prompt."""
KINDS = ("greedy", "sample", "beam", "score", "contrastive", "dola", "speculative", "lookup", "exact")


def early_layers(layers: int) -> list[int]:
    """Which layers DoLa sets against the last one: every other of the lower half, the first being 1."""
    return list(range(1, max(layers // 2, 2), 2))


@dataclass(frozen=True)
class Workload:
    """One row: `prompts` prompts of `length` tokens, `new` tokens after each.

    n is the number of samples or of beams; of beams one text is returned, and its tokens are counted. Of scoring, every token but a
    text's first is counted; of exact search, the nodes that are visited (`new`). repeats: whether the prompt is one phrase again and again.
    """

    name: str
    kind: str
    prompts: int = 1
    length: int = 32
    new: int = 128
    n: int = 1
    repeats: bool = False

    @property
    def counted(self) -> int:
        if self.kind == "score":
            return self.prompts * (self.length - 1)
        return self.prompts * self.new * (self.n if self.kind == "sample" else 1)

    @property
    def unit(self) -> str:
        return {"score": "tokens scored", "exact": "nodes"}.get(self.kind, "new tokens")

    @property
    def room(self) -> int:
        """Positions of a context that it needs; guesses of speculative search may run past the end."""
        return self.length + self.new + (2 * DRAFTED if self.kind in ("speculative", "lookup") else 0)

    @property
    def forwards(self) -> int:
        """How often the weights are read at least: once for the prompt, and once for each further token; 0 where it is not known."""
        return {"score": 1, "greedy": self.new, "sample": self.new, "beam": self.new}.get(self.kind, 0)

    def smaller(self) -> Workload:
        """The same for a quick look."""
        return replace(self, new=max(self.new // 8, 1) if self.new else 0, prompts=-(-self.prompts // 2))

    def tokens(self, vocabulary: int, seed: int = 0) -> list[list[int]]:
        """The prompts of a seed, the same at every call and in every process; no other row has them."""
        chance = random.Random(f"{self.name} {seed}")
        if self.repeats:
            phrase = [chance.randrange(256, vocabulary - 1) for _ in range(8)]
            return [(phrase * self.length)[: self.length] for _ in range(self.prompts)]
        return [[chance.randrange(256, vocabulary - 1) for _ in range(self.length)] for _ in range(self.prompts)]


ROWS = (
    Workload("greedy", "greedy"),
    Workload("greedy, 8 prompts", "greedy", prompts=8, new=64),
    Workload("greedy, 32 prompts", "greedy", prompts=32, new=64),
    Workload("sample", "sample"),
    Workload("sample, n = 8", "sample", n=8, new=64),
    Workload("beam 4", "beam", n=4, new=64),
    Workload("beam 16", "beam", n=16, new=64),
    Workload("512 + 128", "greedy", length=512),
    Workload("score 8 x 512", "score", prompts=8, length=512, new=0),
    Workload("contrastive", "contrastive", new=64),
    Workload("DoLa", "dola", new=64),
    Workload("speculative", "speculative", length=64, new=64, repeats=True),
    Workload("prompt lookup", "lookup", length=64, new=64, repeats=True),
    Workload("exact search", "exact", length=8, new=200),
)
FIRST = Workload("first token", "greedy", new=1)
PEAK = Workload("peak memory", "greedy", new=64)
COMPARED = (Workload("greedy", "greedy", new=32), Workload("greedy, 8 prompts", "greedy", prompts=8, new=32))
"""Whose tokens are compared before anything is timed."""
