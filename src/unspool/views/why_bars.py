"""Before and after: what each processor made of the likeliest tokens, as bars side by side, on one scale for all stages."""

from __future__ import annotations

import html
from collections.abc import Iterator

from unspool.views.characters import marked, shown
from unspool.views.terminal import Paint, bar, fit_left, fit_right, pad, wrap
from unspool.views.why_stages import Fate, StagesOfStep

PERCENTAGE, TOKEN = 8, 12
"""Columns of a percentage, and of a token with its mark at most."""
ABREAST = 56
"""Columns from which on before and after stand side by side, and not one below the other."""

WHY_STYLE = """
.unspool .before-after { margin: 0; font-size: .93rem; }
.unspool .before-after td { white-space: nowrap; padding: .08rem .8rem; border: 0; }
.unspool .before-after th { border: 0; padding: 0 .8rem; }
.unspool .before-after .bar { width: 13rem;
  background: linear-gradient(to right, var(--bar) var(--p), transparent var(--p)) center / 100% 58% no-repeat; }
.unspool .before-after .cut { color: var(--faint); white-space: normal; width: 13rem; }
.unspool .before-after .chosen { color: var(--best); font-weight: 700; }
.unspool .before-after .token { min-width: 7rem; }
"""


def _seen(p: float, largest: float, room: int) -> str:
    """A bar of a probability; one that is not 0 is seen."""
    return pad(bar(_part(p, largest), room, least=1), room)


def _part(p: float, largest: float) -> float:
    """A probability's part of the largest one; whole where a damaged record holds what is none."""
    return p / largest if p < largest else 1.0


def draw_before_after(why: StagesOfStep, width: int, paint: Paint) -> str:
    """A block for each processor: its likeliest tokens before it and after it, and of what it cut by how much that missed."""
    width = width or 80
    lines = [paint(fit_left(shown(why.input), width), "prompt")]
    largest = max((p for fate in why.fates for p in fate.probabilities), default=1.0) or 1.0
    for stage in range(1, len(why.names)):
        lines += ["", *_heading(why, stage, width, paint)]
        for fate in alive(why, stage):
            lines += _pair(fate, stage, largest, width, paint)
    if len(why.names) == 1:
        lines += ["", *(paint(text, "dim") for text in _wrapped("no processor changed anything: these are the model's own", width))]
        lines += [line for fate in why.fates for line in _alone(fate, largest, width, paint)]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def alive(why: StagesOfStep, stage: int) -> Iterator[Fate]:
    """The tokens that a stage found possible."""
    return (fate for fate in why.fates if fate.probabilities[stage - 1] > 0)


def said_of_stage(why: StagesOfStep, stage: int) -> str:
    """What a stage did, in numbers."""
    before, after = why.kept[stage - 1], why.kept[stage]
    entropy = f"entropy {why.entropy[stage - 1]:.2f} → {why.entropy[stage]:.2f} bits"
    return f"{after if before == after else f'{before} → {after}'} possible · {why.mass[stage]:.2%} let through · {entropy}"


def _heading(why: StagesOfStep, stage: int, width: int, paint: Paint) -> Iterator[str]:
    yield from (paint(text, "head") for text in _wrapped(f"{stage}  {why.names[stage]}", width))
    yield from (paint("   " + text, "dim") for text in _wrapped(said_of_stage(why, stage), width - 3))


def _pair(fate: Fate, stage: int, largest: float, width: int, paint: Paint) -> Iterator[str]:
    before, after = fate.probabilities[stage - 1], fate.probabilities[stage]
    lead = _lead(fate)
    style = "chosen" if fate.chosen else ""
    advice = "✗ " + (fate.margin.partition(": ")[2] or "cut")
    if width < ABREAST:
        room = max(1, width - 4 - PERCENTAGE - 7)
        yield paint(fit_right(lead.rstrip(), width), style)
        yield fit_right(f"    before {_seen(before, largest, room - 3)}{_share(before)}", width)
        if after:
            yield paint(fit_right(f"    after  {_seen(after, largest, room - 3)}{_share(after)}", width), style or "new")
        else:
            yield from (paint("    " + text, "dim") for text in _wrapped(advice, width - 4))
        return
    room = (width - TOKEN - 2 * PERCENTAGE - 4) // 2
    left = paint(lead, style) + _seen(before, largest, room) + _share(before) + "  "
    if after:
        yield left + paint(_seen(after, largest, room) + _share(after), style or "new")
        return
    indent = TOKEN + room + PERCENTAGE + 4
    for i, text in enumerate(_wrapped(advice, width - indent)):
        yield (left if i == 0 else " " * indent) + paint(text, "dim")


def _alone(fate: Fate, largest: float, width: int, paint: Paint) -> Iterator[str]:
    room = max(1, width - TOKEN - PERCENTAGE - 2)
    p = fate.probabilities[0]
    yield paint(fit_right(_lead(fate) + _seen(p, largest, room) + _share(p), width), "chosen" if fate.chosen else "")


def _lead(fate: Fate) -> str:
    return pad(("› " if fate.chosen else "  ") + fit_right(marked(fate.text), TOKEN - 3), TOKEN + 2)


def _share(p: float) -> str:
    return f"{p:.2%}".rjust(PERCENTAGE)


def _wrapped(text: str, width: int) -> Iterator[str]:
    return (text[a:b] for a, b in wrap(text, max(8, width)))


def html_before_after(why: StagesOfStep) -> str:
    """The same as HTML, a table for each processor."""
    largest = max((p for fate in why.fates for p in fate.probabilities), default=1.0) or 1.0
    parts = []
    for stage in range(1, len(why.names)):
        head = f"<h2>{stage}. {html.escape(why.names[stage])}</h2>\n<p class=\"faint\">{html.escape(said_of_stage(why, stage))}</p>"
        rows = "\n".join(_row(fate, stage, largest) for fate in alive(why, stage))
        columns = "<tr><th></th><th>before</th><th></th><th>after</th><th></th></tr>"
        table = f'<table class="before-after">\n<thead>{columns}</thead>\n<tbody>\n{rows}\n</tbody></table>'
        parts.append(f'{head}\n<div class="wide">{table}</div>')
    return "\n".join(parts)


def _row(fate: Fate, stage: int, largest: float) -> str:
    before, after = fate.probabilities[stage - 1], fate.probabilities[stage]
    kind = " chosen" if fate.chosen else ""
    cells = [f'<td class="token{kind}">{html.escape(marked(fate.text))}</td>', *_bar_cells(before, largest)]
    if after:
        cells += _bar_cells(after, largest)
    else:
        cells.append(f'<td class="cut" colspan="2">✗ {html.escape(fate.margin.partition(": ")[2] or "cut")}</td>')
    return f"<tr>{''.join(cells)}</tr>"


def _bar_cells(p: float, largest: float) -> list[str]:
    return [f'<td class="bar" style="--p: {_part(p, largest):.1%}"></td>', f"<td>{p:.2%}</td>"]
