"""What drawings in a terminal are made of: colours, columns, and lines no wider than the screen."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

STYLES = {"prompt": "1", "new": "36", "chosen": "1;36", "dim": "2", "head": "1", "bad": "31"}
STYLES |= {f"heat{i}": f"38;5;{ink};48;5;{ground}" for i, (ink, ground) in enumerate([(16, 110), (16, 222), (16, 208), (231, 160)], 1)}
STYLES["heat0"] = ""
LANES = 6
STYLES |= {f"lane{i}": f"38;5;16;48;5;{ground}" for i, ground in enumerate((117, 216, 115, 182, 222, 152))}
"""Heats and lanes name their ink too, so that they can be read on a dark and on a light ground."""


@dataclass(frozen=True)
class Paint:
    """Puts a text in a style, or leaves it as it is where there is no colour."""

    on: bool

    def __call__(self, text: str, style: str) -> str:
        """The text in a style of STYLES; "" is none."""
        return f"\x1b[{STYLES[style]}m{text}\x1b[0m" if self.on and text and STYLES.get(style) else text


PLAIN = Paint(False)
EIGHTHS = " ▏▎▍▌▋▊▉"


def bar(share: float, size: int, least: int = 0) -> str:
    """A bar of up to so many columns; of a share that is not 0, at least so many eighths of one."""
    eighths = round(min(max(share, 0.0), 1.0) * size * 8)
    full, part = divmod(max(eighths, least if share > 0 else 0), 8)
    return "█" * full + (EIGHTHS[part] if part else "")


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
