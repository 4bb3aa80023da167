"""Makes the pictures of the documentation by running the program: python docs/make_pictures.py"""

import io
import os
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

FOLDER = Path(__file__).parent / "pictures"
COLUMNS = 96
PICTURES = {
    "steps": ["steps", "Once upon a time", "-n", "6"],
    "beams": ["generate", "Once upon a time", "-d", "no_repeat_ngram(2) | beam(4, n=2)", "--max-new-tokens", "24"],
}
# rich's own template names a font on a server; this one takes what the reader has
FORMAT = """\
<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{
  font-family: "Fira Code", "DejaVu Sans Mono", Menlo, Consolas, monospace; font-size: {char_height}px; line-height: {line_height}px;
}}
.{unique_id}-title {{ font-size: 18px; font-family: system-ui, sans-serif; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal"><rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" /></clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def draw(name: str, arguments: list[str], folder: Path = FOLDER, color: str = "always", columns: int = COLUMNS) -> None:
    """Run the program and draw what it shows."""
    words = [a if a.replace("-", "").isalnum() else f'"{a}"' for a in arguments]
    command = [sys.executable, "-m", "unspool", *arguments, "--color", color]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, "COLUMNS": str(columns)}).stdout
    console = Console(record=True, width=columns, file=io.StringIO(), force_terminal=True)
    console.print(Text("$ unspool " + " ".join(words), style="bold"))
    console.print(Text.from_ansi(shown), end="")
    svg = console.export_svg(title="unspool", code_format=FORMAT, unique_id=name)
    (folder / f"{name}.svg").write_text("\n".join(line.rstrip() for line in svg.splitlines()) + "\n", encoding="utf-8")


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for picture, arguments in PICTURES.items():
        draw(picture, arguments)
