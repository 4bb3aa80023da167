"""What the explorer's screen shows, as styled text of a given size."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.text import Text

from unspool.explore.explorer import Branch, Explorer, Option
from unspool.explore.state import Visit
from unspool.views.characters import CONTROLS, marked
from unspool.views.heat import Heat
from unspool.views.heat_tokens import BY
from unspool.views.page import DARK, LIGHT
from unspool.views.terminal import display_width, fit_left, fit_right, pad, wrap

COLOURED_BY = (*BY, "none")
"""What the text can be coloured by."""
BLOCKS = " ▏▎▍▌▋▊▉█"
Piece = tuple[str, str, bool]
"""A part of the text, its style, and whether the cursor is on it."""


@dataclass(frozen=True)
class Palette:
    """The colours of a light or a dark screen."""

    dark: bool = True

    @property
    def colours(self) -> dict[str, str]:
        return DARK if self.dark else LIGHT

    def heat(self, degree: int) -> str:
        """The style of a heat from 0 to 4."""
        if not degree:
            return ""
        ink = {3: "#12161d" if not self.dark else "#ffffff", 4: self.colours["on4"]}.get(degree, self.colours["ink"])
        return f"{ink} on {self.colours[f'heat{degree}']}"

    @property
    def best(self) -> str:
        return f"bold {self.colours['best']}"

    @property
    def faint(self) -> str:
        return self.colours["faint"]

    @property
    def bad(self) -> str:
        return "#ff8a80" if self.dark else "#b81f1f"


@dataclass(frozen=True)
class Scene:
    """What there is to show, read at one moment: the explorer may be at work on the next."""

    state: Visit
    pieces: list[str]
    """Of the prompt and the text, a token each."""
    logprobs: list[float]
    heat: Heat | None
    """None while not all is recorded."""
    options: list[Option]
    entropy: float | None
    full: bool
    """Whether the cursor stands where the model's context ends."""

    @classmethod
    def of(cls, explorer: Explorer) -> Scene:
        """What an explorer that is not at work has to show."""
        state, known = explorer.state, explorer.recorded
        pieces = explorer.lm.pieces((*state.prompt, *state.text))
        heat, options = (explorer.heat(), explorer.options()) if known else (None, [])
        entropy = explorer.entropy() if known else None
        return cls(state, pieces, explorer.logprobs, heat, options, entropy, state.cursor >= explorer.room)


# --- the text ---------------------------------------------------------------------------------------------------------


def draw_text(scene: Scene, by: str, look: Palette, width: int, height: int, growing: Sequence[str] | None = None) -> Text:
    """The text around the cursor, coloured; `growing` are the tokens with which the decoder is just going on from there."""
    pieces = list(_plain(scene, growing) if scene.heat is None or growing is not None else _coloured(scene, scene.heat, by, look))
    whole = "".join(text for text, _, _ in pieces)
    lines, start, place = list(wrap(whole, max(1, width))), 0, 0
    for text, _, here in pieces:
        if here:
            place = next((i for i, (first, last) in enumerate(lines) if start + len(text) <= last or start < last), len(lines) - 1)
            break
        start += len(text)
    top = max(0, min(place - height * 2 // 3, len(lines) - height))
    return Text("\n").join(_line(pieces, first, last) for first, last in lines[top : top + height])


def _coloured(scene: Scene, heat: Heat, by: str, look: Palette) -> Iterator[Piece]:
    cursor = scene.state.cursor
    heat = heat if by == "none" else heat.coloured(by)
    yield _readable(heat.prompt), "bold", False
    for span in heat.spans:
        here = span.first <= cursor < span.last
        style = "" if by == "none" else look.heat(heat.heat(span))
        style = style or (look.faint if span.special else "")
        yield _readable(span.text), f"{style} reverse bold" if here else style, here
    if cursor == len(scene.state.text):
        yield "▌", look.best, True


def _plain(scene: Scene, growing: Sequence[str] | None) -> Iterator[Piece]:
    """Without colours: not all is recorded, or the text is growing."""
    start, cursor = len(scene.state.prompt), len(scene.state.prompt) + scene.state.cursor
    yield _readable("".join(scene.pieces[:start])), "bold", False
    if growing is not None:
        yield _readable("".join([*scene.pieces[start:cursor], *growing])), "", False
        yield "▌", "", True
        return
    for i, piece in enumerate(scene.pieces[start:], start):
        yield _readable(piece), "reverse" if i == cursor else "", i == cursor
    if cursor == len(scene.pieces):
        yield "▌", "", True


def _line(pieces: Sequence[Piece], first: int, last: int) -> Text:
    line, start = Text(no_wrap=True), 0
    for text, style, _ in pieces:
        if part := text[max(first - start, 0) : max(last - start, 0)]:
            line.append(part, style)
        start += len(text)
        if start >= last:
            break
    return line


def _readable(text: str) -> str:
    return text.translate(CONTROLS).replace("⏎", "⏎\n")


# --- the step ---------------------------------------------------------------------------------------------------------


def draw_step(scene: Scene, pick: int, look: Palette, width: int, height: int) -> Text:
    """The step at the cursor: what may come, as bars of its probability before and after the processors."""
    state, options, entropy = scene.state, scene.options, scene.entropy
    head = f"step {state.cursor + 1}" + (f" of {len(state.text)}" if state.cursor < len(state.text) else ", the next token")
    if not options:
        return Text("\n").join([_say(head, "bold", width), _say("the model's context is full" if scene.full else "…", look.faint, width)])
    lines = [_say(head + ("" if entropy is None else f"   entropy {entropy:.2f} bits"), "bold", width)]
    both = bool(state.decoder.processors)
    name, bar = _columns(options, width, both)
    titles = pad("   token", name + 4) + (pad("model", bar + 9) + "processed" if both else "model")
    lines.append(_say(titles, look.faint, width))
    room = max(1, height - 4)
    top = max(0, min(pick - room // 2, len(options) - room))
    for i, option in enumerate(options[top : top + room], top):
        lines.append(_row(option, i, i == pick, both, name, bar, look, width))
    lines += [Text() for _ in range(room - len(options))]
    note = options[pick]
    cut = note.cut or ("cut" if note.processed == 0 else "")
    where = "chosen here" if note.chosen else "visited before" if note.visited else ""
    facts = "   ".join(filter(None, [marked(note.text), f"{_percent(note.probability)}", f"token {note.token}", where]))
    lines += [_say(cut, look.bad, width) if cut else Text(), _say(facts, look.faint, width)]
    return Text("\n").join(lines)


def _columns(options: Sequence[Option], width: int, both: bool) -> tuple[int, int]:
    """The columns of a token's name and of a bar."""
    widest = max(display_width(marked(o.text)) for o in options)
    left = width - 4 - (18 if both else 9)
    name = max(4, min(widest, 16, left - (2 if both else 1)))
    return name, max(0, min(24, (left - name) // (2 if both else 1)))


def _row(option: Option, place: int, picked: bool, both: bool, name: int, bar: int, look: Palette, width: int) -> Text:
    mark = "●" if option.chosen else "○" if option.visited else " "
    line = Text(no_wrap=True)
    line.append(f"{place + 1 if place < 9 else ' '}", look.faint)
    line.append(mark + " ", look.best if option.chosen else look.faint)
    style = look.best if option.chosen else look.faint if option.processed == 0 else ""
    line.append(pad(fit_right(marked(option.text), name), name + 1), style)
    line.append(f"{_percent(option.probability):>7} ")
    line.append(pad(_bar(option.probability, bar), bar) + " ", look.faint if both else look.colours["best"])
    if both and option.processed == 0:
        line.append(fit_right("✗ " + (option.cut.partition(":")[0] or "cut"), bar + 8), look.bad)
    elif both:
        line.append(f"{_percent(option.processed):>7} ")
        line.append(_bar(option.processed, bar), look.colours["best"])
    line.truncate(width, pad=True)
    if picked:
        line.stylize(f"bold on {look.colours['heat1']}")
    return line


def _bar(share: float, width: int) -> str:
    eighths = 0 if math.isnan(share) else round(share * width * 8)
    return "█" * (eighths // 8) + BLOCKS[eighths % 8].strip()


def _percent(p: float) -> str:
    return "?" if math.isnan(p) else f"{p:.2%}" if p < 0.9995 else f"{p:.1%}"


def _say(text: str, style: str, width: int) -> Text:
    return Text(fit_right(text, width) if width else text, style, no_wrap=True)


# --- the lines below --------------------------------------------------------------------------------------------------


def draw_totals(scene: Scene, by: str, n: int, look: Palette, width: int) -> Text:
    """How likely the text is, always in view; then what decodes and what colours."""
    state, logprobs = scene.state, scene.logprobs
    known = [x for x in logprobs if not math.isnan(x)]
    whole = len(known) == len(logprobs)
    total = f"{sum(logprobs):.2f}" if whole else "…"
    perplexity = "—" if not logprobs else f"{math.exp(-sum(logprobs) / len(logprobs)):.2f}" if whole else "…"
    parts = [f"tokens {len(logprobs)}", f"log-prob {total}", f"{'perplexity' if width >= 48 else 'ppl'} {perplexity}"]
    line = Text(no_wrap=True).append(fit_right("  ".join(parts), width), "bold")
    if state.cursor < len(logprobs) and not math.isnan(x := logprobs[state.cursor]):
        more = f"    here {_percent(math.exp(x))}, {-x / math.log(2):.1f} bits"
        line.append(more if line.cell_len + len(more) <= width else "", look.faint)
    line.append("\n")
    ending = f"  seed {state.seed}  go on {n}  colour {by}"
    decoder = str(state.decoder)
    if display_width(decoder) + len(ending) > width:
        ending = f"  seed {state.seed}  {by}"
    line.append(fit_left(decoder, max(8, width - len(ending))), look.best)
    line.append(fit_right(ending, max(1, width - min(display_width(decoder), max(8, width - len(ending))))), look.faint)
    return line


def draw_branch(branch: Branch, look: Palette, width: int) -> Text:
    """A line of the tree of what was visited."""
    line = Text(no_wrap=True)
    line.append("  " * branch.depth + ("■ " if branch.leaf else "┬ "), look.faint)
    numbers = "" if branch.logprob is None else f"  {branch.logprob:.2f}"
    room = max(4, width - 2 * branch.depth - 2 - len(numbers))
    line.append(fit_right(branch.text.translate(CONTROLS), room), look.best if branch.current else "")
    line.append(numbers, look.faint)
    return line
