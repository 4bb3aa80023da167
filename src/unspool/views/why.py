"""Why: at one step, what every processor did to the likeliest tokens, and what it would have taken to survive."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from unspool.errors import ParameterError
from unspool.text import unfinished, visible
from unspool.trace import Trace
from unspool.views.sheet import Sheet
from unspool.views.table import shown
from unspool.views.terminal import Paint, display_width, fit_left, fit_right, pad


@dataclass(frozen=True)
class Fate:
    """One token through all stages."""

    token: int
    text: str
    probabilities: list[float]
    """After each stage; 0 once it is cut."""
    chosen: bool
    margin: str
    """Which stage cut it, and the setting under which it would have survived."""


@dataclass(frozen=True)
class Why:
    """The stages of one step: the model, then every processor."""

    input: str
    names: list[str]
    kept: list[int]
    mass: list[float]
    """What share of the probability each stage let through."""
    entropy: list[float]
    """After each stage, in bits."""
    covering: list[int]
    """The least number of tokens that hold 95 %."""
    fates: list[Fate]

    @classmethod
    def from_trace(cls, trace: Trace, step: int = 1) -> Why:
        """The step (from 1) of the best hypothesis of a trace of level "stages"."""
        trace.require("stages", "an explanation")
        best = trace.hypotheses[0][0]
        if not 1 <= step <= len(best.tokens):
            raise ParameterError(f"step must lie in 1 to {len(best.tokens)}, the length of the text; got {step}")
        node, chosen = best.nodes[step - 1], best.tokens[step - 1]
        before = trace.bytes_of([*trace.prompts[0], *best.tokens[: step - 1]])
        records = [s.considered for s in trace.steps if s.considered is not None]
        found = next(r.take(r.nodes == node) for r in records if (r.nodes == node).any())
        stages = found.stages
        assert stages is not None
        fates = []
        for i, token in enumerate(found.tokens[0].tolist()):
            data = trace.tokens.get(token, b"")
            text = visible(data, unfinished(before)) if data else trace.names.get(token, "")
            chances = [math.exp(v) for v in stages.logprobs[0, :, i]]
            fates.append(Fate(token, text, chances, token == chosen, _margin(stages, i, chances)))
        return cls(
            visible(before),
            stages.names,
            stages.kept[0].tolist(),
            stages.mass[0].tolist(),
            [abs(float(h)) / math.log(2) for h in stages.entropy[0]],
            stages.covering[0].tolist(),
            fates,
        )

    def sheet(self) -> Sheet:
        """A line for each token, a column for each stage, then what each stage let through."""
        lines = [[shown(f.text), *map(_percent, f.probabilities), f.margin] for f in self.fates]
        lines += [["tokens possible", *map(str, self.kept), ""], ["probability let through", *map(_percent, self.mass), ""]]
        lines += [["entropy in bits", *(f"{h:.2f}" for h in self.entropy), ""], ["tokens for 95 %", *map(str, self.covering), ""]]
        return Sheet(["Token", *self.names, "Cut"], lines)

    def draw(self, width: int, paint: Paint) -> str:
        """For a terminal: the stages with what each let through, then the likeliest tokens through all stages."""
        lead = [["", "stage", "possible", "let through", "entropy", "95 % in"]]
        for i, name in enumerate(self.names):
            numbers = [str(self.kept[i]), _percent(self.mass[i]) if i else "", f"{self.entropy[i]:.2f} bits", str(self.covering[i])]
            lead.append([str(i), "the model" if i == 0 else name, *numbers])
        lines = [["  Token", *map(str, range(len(self.names))), ""]]
        for f in self.fates:
            token = ("› " if f.chosen else "  ") + fit_right(shown(f.text), 16)
            lines.append([token, *map(_percent, f.probabilities), f.margin.partition(": ")[2]])
        chosen = {i + 1 for i, f in enumerate(self.fates) if f.chosen}
        parts = [paint(fit_left(shown(self.input), width) if width else shown(self.input), "prompt")]
        parts += [*_aligned(lead, width, paint, set(), right={2, 3, 4, 5}), "", *_aligned(lines, width, paint, chosen, right=set())]
        return "\n".join(parts) + "\n"

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain values."""
        return {**vars(self), "fates": [vars(f) for f in self.fates]}

    def _repr_html_(self) -> str:
        return self.sheet().to_html()


def _aligned(lines: list[list[str]], width: int, paint: Paint, strong: set[int], right: set[int]) -> Iterator[str]:
    """Lines with aligned columns, the first a head, no wider than the screen."""
    sizes = [max(map(display_width, column)) for column in zip(*lines, strict=True)]
    for i, line in enumerate(lines):
        cells = [" " * (n - display_width(c)) + c if j in right else pad(c, n) for j, (c, n) in enumerate(zip(line, sizes, strict=True))]
        text = "  ".join(cells).rstrip()
        yield paint(fit_right(text, width) if width else text, "head" if i == 0 else "chosen" if i in strong else "")


def _percent(p: float) -> str:
    return "—" if p == 0 else f"{p:.2%}"


def _margin(stages: Any, i: int, chances: list[float]) -> str:
    """Which stage cut the i-th token, and by how much it missed."""
    cut = next((s for s, p in enumerate(chances) if p == 0), 0)
    if not cut:
        return ""
    name, before = stages.names[cut], chances[cut - 1]
    kind = name.partition("(")[0]
    if kind == "top_k":
        return f"{name}: would survive top_k({int(stages.ranks[0, cut, i]) + 1})"
    if kind == "top_p":
        return f"{name}: would survive top_p({math.floor(stages.above[0, cut, i] * 100 + 1) / 100:.2f})"
    if kind == "min_p":
        best = max(math.exp(v) for v in stages.logprobs[0, cut - 1])
        return f"{name}: would survive min_p({math.floor(before / best * 1000) / 1000:.3f})"
    return f"{name}: was number {int(stages.ranks[0, cut, i]) + 1} with {before:.2%}"
