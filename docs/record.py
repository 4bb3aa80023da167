"""Records the program in a terminal as a picture that moves: python docs/record.py (needs pyte).

The commands are typed by this script; what follows is what the program wrote, at the speed at which it wrote it. Long waits are
shortened. The result is an SVG that plays in a browser without a script, and its last screen where motion is not wanted.
"""

import fcntl
import html
import os
import pty
import select
import shlex
import struct
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pyte

PICTURE = Path(__file__).parent / "pictures" / "recording.svg"
COMMANDS = [
    'unspool "Once upon a time" --max-new-tokens 32',
    'unspool steps "Once upon a time" -n 4',
    'unspool tree "Once upon a time" -d "beam(2)" --max-new-tokens 3',
    'unspool heat "Once upon a time" -d "temperature(0.9) | sample" --max-new-tokens 25',
    'unspool why "Once upon a time" -d "temperature(0.8) | top_p(0.7) | sample(1)"',
]
COLUMNS, LINES = 80, 25
KEY, READ, FRAME, LONGEST = 0.045, 2.5, 0.06, 0.4
"""Seconds: for a key, to read a result, the least between two screens, the longest wait that is kept."""
CELL, LINE, EDGE = 8.4, 18, 14
PAPER, INK = "#1b1d23", "#d7dae0"
COLORS = {
    "black": "#3b4048", "red": "#e06c75", "green": "#98c379", "brown": "#e5c07b", "blue": "#61afef", "magenta": "#c678dd",
    "cyan": "#56b6c2", "white": INK, "brightblack": "#7f848e",
}  # fmt: skip


def events() -> Iterator[tuple[float, str]]:
    """What the terminal receives, and how long after what came before."""
    for command in COMMANDS:
        yield 0.4, "\x1b[2J\x1b[H\x1b[32m$\x1b[0m "                       # a clear screen for each
        for key in command:
            yield KEY, key
        yield 0.3, "\r\n"
        yield from output(command)
        yield READ, ""


def output(command: str) -> Iterator[tuple[float, str]]:
    """What a command writes to a terminal."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ |= {"TERM": "xterm-256color", "COLUMNS": str(COLUMNS), "LINES": str(LINES)}
        os.execv(sys.executable, [sys.executable, "-m", *shlex.split(command)])
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    before = time.monotonic()
    while True:
        select.select([terminal], [], [])
        try:
            data = os.read(terminal, 65536)
        except OSError:                                                   # how a pseudo-terminal says that the other side has gone
            data = b""
        if not data:
            break
        now = time.monotonic()
        yield min(now - before, LONGEST), data.decode("utf-8", "replace")
        before = now
    if os.waitpid(pid, 0)[1]:
        raise SystemExit(f"{command} failed")


def screens() -> list[tuple[float, tuple[str, ...]]]:
    """The screens and how long each stands."""
    screen = pyte.Screen(COLUMNS, LINES)
    stream = pyte.Stream(screen)
    shown: list[tuple[float, tuple[str, ...]]] = [(0.0, drawn(screen))]
    waited = 0.0
    for wait, text in events():
        waited += wait
        if waited >= FRAME:
            shown[-1] = (shown[-1][0] + waited, shown[-1][1])
            shown.append((0.0, drawn(screen)))
            waited = 0.0
        stream.feed(text)
        shown[-1] = (shown[-1][0], drawn(screen))
    return [*shown[:-1], (READ, shown[-1][1])]


def drawn(screen: pyte.Screen) -> tuple[str, ...]:
    """The lines of a screen as SVG text."""
    lines = []
    for y in range(LINES):
        cells, spans, x = screen.buffer[y], [], 0
        while x < COLUMNS:
            first, begin = cells[x], x
            while x < COLUMNS and look(cells[x]) == look(first):
                x += 1
            text = "".join(cells[i].data for i in range(begin, x))
            if text.strip() or first.bg != "default" or first.reverse:
                spans.append(span(text, begin, first))
        lines.append("".join(spans))
    return tuple(lines)


def look(cell: pyte.screens.Char) -> tuple[object, ...]:
    """What cells of one span share."""
    return cell.fg, cell.bg, cell.bold, cell.italics, cell.reverse


def span(text: str, x: int, cell: pyte.screens.Char) -> str:
    """A run of cells that look alike."""
    ink, paper = color(cell.fg, INK), color(cell.bg, "")
    if cell.reverse:
        ink, paper = paper or PAPER, ink
    ground = f'<rect x="{x * CELL:.1f}" width="{len(text) * CELL:.1f}" height="{LINE}" fill="{paper}"/>' if paper else ""
    style = (' font-weight="bold"' if cell.bold else "") + (' font-style="italic"' if cell.italics else "")
    return f'{ground}<text x="{x * CELL:.1f}" y="13" fill="{ink}" textLength="{len(text) * CELL:.1f}"{style}>{html.escape(text)}</text>'


def color(name: str, default: str) -> str:
    """A terminal's colour for the web."""
    if name == "default":
        return default
    return COLORS.get(name, f"#{name}" if len(name) == 6 else INK)


def moving(shown: list[tuple[float, tuple[str, ...]]]) -> str:
    """The screens side by side, and a window that jumps from one to the next."""
    names: dict[str, str] = {}
    for _, lines in shown:
        for line in lines:
            if line and line not in names:
                names[line] = f"l{len(names)}"
    width, height = COLUMNS * CELL + 2 * EDGE, LINES * LINE + 2 * EDGE
    total, at, frames, groups = sum(wait for wait, _ in shown), 0.0, [], []
    for i, (wait, lines) in enumerate(shown):
        frames.append(f"{100 * at / total:.3f}%{{transform:translateX(-{i * width:.0f}px)}}")
        at += wait
        uses = "".join(f'<use href="#{names[line]}" y="{y * LINE}"/>' for y, line in enumerate(lines) if line)
        groups.append(f'<g transform="translate({i * width:.0f})">{uses}</g>')
    last = (len(shown) - 1) * width
    frames.append(f"100%{{transform:translateX(-{last:.0f}px)}}")
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" role="img" aria-label="unspool running">',
            "<style>",
            'text{font:14px "DejaVu Sans Mono",Menlo,Consolas,monospace;white-space:pre}',
            f"#film{{animation:film {total:.1f}s steps(1,end) infinite}}",
            f"@media(prefers-reduced-motion){{#film{{animation:none;transform:translateX(-{last:.0f}px)}}}}",
            "@keyframes film{" + "".join(frames) + "}",
            "</style>",
            "<defs>" + "".join(f'<g id="{name}">{line}</g>' for line, name in names.items()) + "</defs>",
            f'<rect width="100%" height="100%" rx="8" fill="{PAPER}"/>',
            f'<svg x="{EDGE}" y="{EDGE}" width="{COLUMNS * CELL:.0f}" height="{LINES * LINE}">',
            f'<g id="film">{"".join(groups)}</g></svg>',
            "</svg>",
        ]
    )


if __name__ == "__main__":
    PICTURE.write_text(moving(screens()) + "\n", encoding="utf-8")
