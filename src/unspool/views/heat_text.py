"""Heat in a terminal: backgrounds where there is colour, otherwise a row of marks beneath the words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from unspool.views.characters import CONTROLS, marked
from unspool.views.heat import Heat
from unspool.views.heat_tokens import Token
from unspool.views.terminal import Paint, display_width, fit_right, pad, wrap

MARKS = " ░▒▓█"
"""Of the five heats."""
NARROW = 24
"""Columns that alternatives need beside their token; otherwise they stand below it."""
WIDEST_TOKEN = 16
"""Columns of a token in the list, so that there is room for its numbers."""


def draw_heat(heat: Heat, width: int, paint: Paint, listed: int = 5) -> str:
    """The coloured text, what the colours mean with counts, and the hottest tokens with what was likelier."""
    blocks = [_text(heat, width, paint), _legend(heat, width, paint)]
    if listed and heat.tokens:
        blocks.append(_list(heat, heat.hottest(listed), width, paint))
    return "\n".join("".join(line + "\n" for line in block) for block in blocks)


def draw_growing_heat(heat: Heat, width: int, paint: Paint, height: int) -> str:
    """The end of a text that grows, as much as fits a screen, and what the colours mean."""
    legend = _legend(heat, width, paint)
    lines = _text(heat, width, paint)[-max(1, height - len(legend) - 1) :]
    return "".join(line + "\n" for line in [*lines, "", *legend])


def _text(heat: Heat, width: int, paint: Paint) -> list[str]:
    """The text's lines, each followed by its marks where there is no colour and something is hot."""
    pieces = [(_readable(heat.prompt), "prompt", 0)]
    for span in heat.spans:
        degree = heat.heat(span)
        pieces.append((_readable(span.text), f"heat{degree}" if degree else "dim" if span.special else "", degree))
    whole = "".join(text for text, _, _ in pieces)
    lines = []
    for first, last in wrap(whole, width):
        line, marks = "", ""
        for text, style, degree in _within(pieces, first, last):
            line += paint(text, style)
            marks += MARKS[degree] * display_width(text)
        lines.append(line)
        if not paint.on and marks.strip():
            lines.append(marks.rstrip())
    return lines


def _within(pieces: Sequence[tuple[str, str, int]], first: int, last: int) -> Iterator[tuple[str, str, int]]:
    """The parts of pieces between two places of the whole text."""
    start = 0
    for text, style, degree in pieces:
        if part := text[max(first - start, 0) : max(last - start, 0)]:
            yield part, style, degree
        start += len(text)
        if start >= last:
            break


def _readable(text: str) -> str:
    """A text whose line breaks are seen, too."""
    return text.translate(CONTROLS).replace("⏎", "⏎\n")


def _legend(heat: Heat, width: int, paint: Paint) -> list[str]:
    lines, used = [paint(heat.measure, "head")], display_width(heat.measure)
    for label, degree, count in heat.counts():
        name = f" {label} " if paint.on else f"{MARKS[degree]} {label}" if degree else f"  {label}"
        name = fit_right(name, max(4, width - len(str(count)) - 1)) if width else name
        size = display_width(name) + 1 + len(str(count))
        if width and used + 2 + size > width:
            lines.append("")
            used = -2
        lines[-1] += ("  " if used >= 0 else "") + paint(name, f"heat{degree}") + " " + paint(str(count), "dim")
        used += 2 + size
    return lines


def _list(heat: Heat, hottest: Sequence[tuple[int, Token]], width: int, paint: Paint) -> list[str]:
    places, texts = [str(place) for place, _ in hottest], [fit_right(marked(t.text), WIDEST_TOKEN) for _, t in hottest]
    names = places, texts, [_numbers(heat, t) for _, t in hottest]
    sizes = [max(map(display_width, column)) for column in names]
    lines = []
    for place, name, numbers, (_, token) in zip(*names, hottest, strict=True):
        lead = f"{place.rjust(sizes[0])}  {pad(name, sizes[1])}  {pad(numbers, sizes[2])}"
        beside = not width or width - display_width(lead) - 2 >= NARROW
        style = f"heat{heat.scale.heats[heat.band(token)]}"
        head = paint(place.rjust(sizes[0]), "dim") + "  " + paint(name, style) + pad("", sizes[1] - display_width(name)) + "  "
        if width and not beside:
            numbers = fit_right(numbers, max(1, width - display_width(lead) + sizes[2]))
        options = _alternatives(token, (width - display_width(lead) - 2 if beside else width - 4) if width else 0)
        line = head + (pad(numbers, sizes[2]) if beside and options else numbers)
        lines.append(line + "  " + paint(options, "dim") if beside and options else line)
        lines += ["    " + paint(options, "dim")] if options and not beside else []
    return lines


def _numbers(heat: Heat, token: Token) -> str:
    """The measure that colours it, its probability and its rank."""
    bits = {"surprisal": f"{token.surprisal:.1f} bits", "entropy": "" if token.entropy is None else f"entropy {token.entropy:.1f}"}
    bits |= {"probability": bits["surprisal"]} if token.parts else {}
    bits["effective"] = "" if token.effective is None else f"{token.effective:.1f} choices"
    rank = "" if token.rank is None else f"rank {token.rank}"
    return "  ".join(filter(None, [bits.get(heat.by, ""), f"{token.probability:.2%}", rank]))


def _alternatives(token: Token, room: int) -> str:
    """As many of the likeliest tokens as there is room for; of a word of several tokens, these."""
    several = token.parts if len(token.parts) > 1 else ()
    text = ""
    for choice in several or token.alternatives:
        more = f"{fit_right(marked(choice.text), WIDEST_TOKEN)} {choice.probability:.1%}"
        longer = f"{text}  {more}" if text else more
        if room and display_width(longer) > room:
            break
        text = longer
    return text or (fit_right(marked(token.alternatives[0].text), room) if token.alternatives and not several else "")
