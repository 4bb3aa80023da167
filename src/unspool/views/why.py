"""Why: at one step, what every processor did to the likeliest tokens, and what it would have taken to survive."""

from __future__ import annotations

import html
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from unspool.errors import ParameterError, UnspoolError
from unspool.record.step import Stages
from unspool.record.trace import Trace
from unspool.text import unfinished, visible
from unspool.views.characters import shown
from unspool.views.page import fragment
from unspool.views.sheet import Sheet
from unspool.views.terminal import Paint, display_width, fit_left, fit_right, pad, wrap
from unspool.views.why_bars import WHY_STYLE, html_before_after
from unspool.views.why_stages import Fate, StagesOfStep


@dataclass(frozen=True)
class Why(StagesOfStep):
    """The stages of one step, read from a record, as tables and pages."""

    @classmethod
    def from_trace(cls, trace: Trace, step: int = 1) -> Why:
        """The step (from 1) of the best hypothesis of a trace of level "stages"."""
        trace.require("stages", "an explanation")
        best = trace.best("an explanation")
        if not 1 <= step <= len(best.tokens):
            raise ParameterError(f"step must lie in 1 to {len(best.tokens)}, the length of the text; got {step}")
        node, chosen = best.nodes[step - 1], best.tokens[step - 1]
        before = trace.bytes_of([*trace.prompts[0], *best.tokens[: step - 1]])
        records = [s.considered for s in trace.steps if s.considered is not None]
        found = next((r.take(r.nodes == node) for r in records if (r.nodes == node).any()), None)
        stages = found.stages if found else None
        if found is None or stages is None:
            raise UnspoolError(f"this trace does not hold the stages of step {step}")
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

    def to_html(self) -> str:
        """What each stage let through, the likeliest tokens through all stages, and before and after each processor as bars."""
        before = f'<p class="text">{html.escape(shown(self.input))}</p>'
        return before + "\n" + self.stages().to_html("stages") + self.sheet().to_html("tokens") + html_before_after(self)

    def stages(self) -> Sheet:
        """A line for each stage: what it let through, and how sure the distribution is after it."""
        lines = []
        for i, name in enumerate(self.names):
            numbers = [str(self.kept[i]), _percent(self.mass[i]) if i else "", f"{self.entropy[i]:.2f} bits", str(self.covering[i])]
            lines.append([str(i), "the model" if i == 0 else name, *numbers])
        return Sheet(["", "stage", "possible", "let through", "entropy", "95 % in"], lines)

    def draw(self, width: int, paint: Paint) -> str:
        """For a terminal: the stages with what each let through, then the likeliest tokens through all stages."""
        sheet = self.stages()
        lead = [list(line) for line in (sheet.columns, *sheet.lines)]
        lines = [["  Token", *map(str, range(len(self.names))), ""]]
        for f in self.fates:
            token = ("› " if f.chosen else "  ") + fit_right(shown(f.text), 16)
            lines.append([token, *map(_percent, f.probabilities), f.margin.partition(": ")[2]])
        chosen = {i + 1 for i, f in enumerate(self.fates) if f.chosen}
        parts = [paint(fit_left(shown(self.input), width) if width else shown(self.input), "prompt")]
        if width and max(map(_width, (lead, lines))) > width:
            return "\n".join([*parts, *self._narrow(width, paint)]) + "\n"
        parts += [*_aligned(lead, paint, set(), right={2, 3, 4, 5}), "", *_aligned(lines, paint, chosen, right=set())]
        return "\n".join(parts) + "\n"

    def _narrow(self, width: int, paint: Paint) -> Iterator[str]:
        """The same stage by stage, one below the other, for a screen that has no room for columns."""
        for i, (_, name, possible, through, entropy, _) in enumerate(self.stages().lines):
            numbers = "  ".join(filter(None, [f"{possible} possible", through, entropy]))
            for style, text in (("head", name), ("dim", f"  {numbers}")):
                yield from (paint(text[a:b], style) for a, b in wrap(text, width))
            for f in self.fates:
                if i and f.probabilities[i - 1] == 0:
                    continue
                lead = ("› " if f.chosen else "  ") + pad(fit_right(shown(f.text), 10), 10)
                yield paint(fit_right(f"{lead} {_percent(f.probabilities[i]).rjust(7)}".rstrip(), width), "chosen" if f.chosen else "")
                if f.probabilities[i] == 0:
                    advice = "  " + f.margin.partition(": ")[2]
                    yield from (paint(advice[a:b], "dim") for a, b in wrap(advice, width))

    def to_dict(self) -> dict[str, Any]:
        return {**vars(self), "fates": [vars(f) for f in self.fates]}

    def _repr_html_(self) -> str:
        return fragment(self.to_html(), style=WHY_STYLE)


def _width(lines: list[list[str]]) -> int:
    return sum(max(map(display_width, column)) + 2 for column in zip(*lines, strict=True)) - 2


def _aligned(lines: list[list[str]], paint: Paint, strong: set[int], right: set[int]) -> Iterator[str]:
    sizes = [max(map(display_width, column)) for column in zip(*lines, strict=True)]
    for i, line in enumerate(lines):
        cells = [" " * (n - display_width(c)) + c if j in right else pad(c, n) for j, (c, n) in enumerate(zip(line, sizes, strict=True))]
        yield paint("  ".join(cells).rstrip(), "head" if i == 0 else "chosen" if i in strong else "")


def _percent(p: float) -> str:
    return "—" if p == 0 else f"{p:.2%}"


def _margin(stages: Stages, i: int, chances: list[float]) -> str:
    """Which stage cut the i-th token, and by how much it missed."""
    cut = next((s for s, p in enumerate(chances) if p == 0), 0)
    if not cut:
        return ""
    spared = "" if stages.sparing is None else stages.sparing[0, i]
    advice = f"would survive {spared}" if spared else f"was number {int(stages.ranks[0, cut, i]) + 1} with {chances[cut - 1]:.2%}"
    return f"{stages.names[cut]}: {advice}"
