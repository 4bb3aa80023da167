"""Results as a person reads them in a terminal: coloured, aligned, and no wider than the screen."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from unspool.views.table import CONTROLS, Choice, StepTable, shown

if TYPE_CHECKING:
    from unspool.models.listing import ModelInfo
    from unspool.output import GeneratedText, Output
    from unspool.score import Score

STYLES = {"prompt": "1", "new": "36", "chosen": "1;36", "dim": "2", "head": "1", "bad": "31"}
STYLES |= {f"heat{i}": f"38;5;{ink};48;5;{ground}" for i, (ink, ground) in enumerate([(16, 110), (16, 222), (16, 208), (231, 160)], 1)}
STYLES["heat0"] = ""
"""Heats name their ink too, so that they can be read on a dark and on a light ground."""


@dataclass(frozen=True)
class Paint:
    """Puts a text in a style, or leaves it as it is where there is no colour."""

    on: bool

    def __call__(self, text: str, style: str) -> str:
        """The text in a style of STYLES; "" is none."""
        return f"\x1b[{STYLES[style]}m{text}\x1b[0m" if self.on and text and STYLES.get(style) else text


def safe(text: str) -> str:
    """A text without control characters that would steer the terminal; line breaks and tabs stay."""
    return text.translate({k: v for k, v in CONTROLS.items() if chr(k) not in "\n\t"})


def display_width(text: str) -> int:
    """Columns that a text takes in a terminal: two for wide characters, none for combining ones."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def pad(text: str, width: int) -> str:
    """A text filled with spaces up to a width in columns."""
    return text + " " * (width - display_width(text))


def fit_left(text: str, width: int) -> str:
    """The end of a text, if it is wider than this."""
    if display_width(text) <= width:
        return text
    text = text[-4 * width :]
    while text and display_width(text) > width - 1:
        text = text[1:]
    return "…" + text


def fit_right(text: str, width: int) -> str:
    """The beginning of a text, if it is wider than this."""
    if display_width(text) <= width:
        return text
    while text and display_width(text) > width - 1:
        text = text[:-1]
    return text + "…"


# --- the step table ---------------------------------------------------------------------------------------------------

Cell = list[tuple[str, str]]
"""Pieces of text with their styles, side by side."""
LEAST_INPUT = 16
"""Columns that the Input has at least; otherwise the choices give way."""


def draw_steps(table: StepTable, width: int, paint: Paint) -> str:
    """The step table: a line for each step where that fits, otherwise two with the percentages below the tokens.

    Where even that does not fit, the last choices are left out and a line below the table says so.
    """
    if not len(table):
        return "no steps\n"
    most = max(len(r.choices) for r in table)
    forms = [(most, 0, False), (most, 16, True), *((count, 9, True) for count in range(min(most, width // 8), 1, -1)), (1, 9, True)]
    count, lines = most, []
    for count, widest, below in forms:
        lines = _lines_of(table, count, widest, below)
        if not width or _room(lines, width, table.all) >= min(LEAST_INPUT, _widest_input(table)):
            break
    text = _join_lines(lines, width, table.all, paint)
    if count < most:
        hint = f"{count} of {most} choices shown: widen the terminal, or use -o csv"
        text += "".join(paint(hint[first:last], "dim") + "\n" for first, last in wrap(hint, width))
    return text


def _lines_of(table: StepTable, count: int, widest: int, below: bool) -> list[list[Cell]]:
    """Lines of cells, the header first."""
    front = ["Step", "Row", "Input"] if table.all else ["Input"]
    lines: list[list[Cell]] = [[[(name, "head")] for name in [*front, *(f"Choice {i + 1}" for i in range(count))]]]
    for r in table:
        numbers = [str(r.step + 1), str(r.row + 1)] if table.all else []
        cells = [_cell(c, c.token in r.chosen, table.processed, widest, below) for c in r.choices[:count]]
        height = max(map(len, cells), default=1)
        for i in range(height):
            left: list[Cell] = [[(n if i == 0 else "", "dim")] for n in numbers] + [[(shown(r.input) if i == 0 else "", "")]]
            lines.append([*left, *(c[i] for c in cells)])
    return lines


def _cell(choice: Choice, chosen: bool, processed: bool, widest: int, below: bool) -> list[Cell]:
    """A choice in one line, as most (9.76%); or the token, its percentage below it, and below that the one after the processors."""
    token = shown(choice.text)
    name = (fit_right(token, widest) if widest else token, "chosen" if chosen else "")
    if not below:
        second = f" → {choice.processed:.2%}" if processed else ""
        return [[name, (f" ({choice.probability:.2%}{second})", "dim")]]
    lines: list[Cell] = [[name], [(f"{choice.probability:.2%}", "dim")]]
    return [*lines, [(f"→ {choice.processed:.2%}", "dim")]] if processed else lines


def _sizes(lines: list[list[Cell]]) -> list[int]:
    columns = max(map(len, lines))
    return [max(sum(display_width(t) for t, _ in line[i]) for line in lines if i < len(line)) for i in range(columns)]


def _widest_input(table: StepTable) -> int:
    return max(display_width(shown(r.input)) for r in table)


def _room(lines: list[list[Cell]], width: int, all: bool) -> int:
    """The columns left for the input."""
    sizes, place = _sizes(lines), 2 if all else 0
    return width - sum(sizes) + sizes[place] - 2 * (len(sizes) - 1)


def _join_lines(lines: list[list[Cell]], width: int, all: bool, paint: Paint) -> str:
    sizes, place = _sizes(lines), 2 if all else 0
    if width:
        sizes[place] = max(1, min(sizes[place], _room(lines, width, all)))
    out = []
    for line in lines:
        parts = []
        for i, (cell, size) in enumerate(zip(line, sizes)):
            texts = [(fit_left(t, size), s) for t, s in cell] if i == place else cell
            blank = " " * (size - sum(display_width(t) for t, _ in texts)) if i + 1 < len(line) else ""
            parts.append("".join(paint(t, s) for t, s in texts) + blank)
        out.append("  ".join(parts).rstrip())
    return "\n".join(out) + "\n"


# --- generated texts --------------------------------------------------------------------------------------------------


def draw_output(output: Output, width: int, paint: Paint, numbers: bool = True) -> str:
    """What was generated after one prompt, best first; with numbers, each with its rank and scores."""
    several = len(output.sequences) > 1
    indent = len(str(len(output.sequences))) + 2 if several else 0
    blocks = []
    for rank, s in enumerate(output.sequences, 1):
        lead = pad(str(rank), indent) if several else ""
        lines = _two_styles(safe(output.prompt), safe(s.text), width - indent if several and width else 0, paint)
        lines += [paint(_numbers(s), "dim")] if numbers else []
        blocks.append("".join((paint(lead, "head") if i == 0 else " " * indent * bool(line)) + line + "\n" for i, line in enumerate(lines)))
    return "\n".join(blocks)


def _numbers(s: GeneratedText) -> str:
    return f"log-prob {s.logprob:.2f}  score {s.score:.3f}  tokens {len(s.tokens)}  {s.reason}"


def _two_styles(prompt: str, text: str, width: int, paint: Paint) -> list[str]:
    """The lines of a prompt and its continuation, each in its style."""
    whole, border = prompt + text, len(prompt)
    lines = []
    for first, last in wrap(whole, width):
        middle = min(max(border, first), last)
        lines.append(paint(whole[first:middle], "prompt") + paint(whole[middle:last], "new"))
    return lines


def wrap(text: str, width: int) -> Iterator[tuple[int, int]]:
    """Where the lines of a text begin and end when it is broken at spaces to fit a width (0: only at its line breaks)."""
    start = 0
    for line in text.split("\n"):
        end = start + len(line)
        first = start
        while width and display_width(text[first:end]) > width:
            last = first + 1
            while display_width(text[first : last + 1]) <= width:
                last += 1
            space = text.rfind(" ", first + 1, last + 1)
            last = space if space > first else last
            yield first, last
            first = last + (text[last] == " ")
        yield first, end
        start = end + 1


# --- scores, models ---------------------------------------------------------------------------------------------------


def draw_score(score: Score, width: int, paint: Paint, title: bool = False) -> str:
    """A line for each token, then the sum and the means; with a title, below the text itself."""
    head = "".join(line + "\n" for line in _two_styles(safe(score.prompt), safe(score.text), 0, paint)) if title else ""
    lines = [["Token", "Log-prob", "Probability"]]
    lines += [[_piece(p), f"{x:.4f}", f"{math.exp(x):.2%}"] for p, x in zip(score.pieces, score.logprobs, strict=True)]
    text = draw_columns(lines, paint, right={1, 2}, style={0: "new", 2: "dim"}, widest=max(8, width - 24) if width else 0)
    counts = f"{len(score.tokens)} tokens, {len(score.text.encode())} bytes, {len(score.text)} characters"
    sums = [
        ["sum of log-probs", f"{score.logprob:.4f}", counts],
        ["per token", f"{score.per_token:.4f}", ""],
        ["per byte", f"{score.per_byte:.4f}", ""],
        ["per character", f"{score.per_character:.4f}", ""],
        ["bits per byte", f"{score.bits_per_byte:.4f}", ""],
        ["perplexity", f"{score.perplexity:.4f}", ""],
    ]
    return head + text + "\n" + draw_columns(sums, paint, right={1}, style={2: "dim"}, header=False)


def _piece(piece: str) -> str:
    return shown(piece) or "·"


def draw_models(models: Sequence[ModelInfo], paint: Paint) -> str:
    """A line for each model."""
    lines = [["Name", "Architecture", "Parameters", "Context", "Vocabulary", "Size"]]
    for m in models:
        numbers = [_count(m.parameters), str(m.context), str(m.vocabulary), f"{_count(m.bytes)}B"]
        lines.append([m.name, m.problem] if m.problem else [m.name, m.architecture, *numbers])
    whole = [line for line in lines if len(line) == 6]
    text = draw_columns(whole, paint, right={2, 3, 4, 5}, style={0: "chosen"})
    return text + "".join(f"{paint(name, 'chosen')}  {paint(problem, 'bad')}\n" for name, problem in (x for x in lines if len(x) == 2))


def _count(number: int) -> str:
    """A number in thousands or millions."""
    for size, unit in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if number >= size:
            return f"{number / size:.1f} {unit}"
    return f"{number} "


def draw_columns(
    lines: Sequence[Sequence[str]],
    paint: Paint,
    right: Collection[int] = (),
    style: dict[int, str] | None = None,
    header: bool = True,
    widest: int = 0,
) -> str:
    """Aligned columns; `right` are aligned on the right, `style` is that of each column, `widest` of the first."""
    lines = [[fit_right(line[0], widest) if widest else line[0], *line[1:]] for line in lines]
    sizes = [max(map(display_width, column)) for column in zip(*lines, strict=True)]
    out = []
    for number, line in enumerate(lines):
        parts = []
        for i, (text, size) in enumerate(zip(line, sizes, strict=True)):
            blank = " " * (size - display_width(text))
            painted = paint(text, "head" if header and number == 0 else (style or {}).get(i, ""))
            parts.append(blank + painted if i in right else painted + blank)
        out.append("  ".join(parts).rstrip())
    return "\n".join(out) + "\n"
