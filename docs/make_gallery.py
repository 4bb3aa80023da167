"""Makes the gallery by running the program: python docs/make_gallery.py [NAME ...]

Pictures of HTML are taken with Chromium, light and dark; one of chromium, google-chrome or chrome must be on the path.
"""

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from make_pictures import COLUMNS, draw
from PIL import Image

FOLDER = Path(__file__).parent / "gallery"
TALE = (
    "There was once a poor woodcutter who lived with his wife and three daughters in a little hut on the edge of a lonely forest. "
    "One morning, as he was about to go to his work, he asked his wife to send their eldest daughter with his dinner."
)
ONCE = "Once upon a time"
CHAIN = "temperature(0.8) | top_k(20) | top_p(0.9)"


@dataclass(frozen=True)
class Picture:
    """What one command shows."""

    name: str
    words: str
    arguments: list[str]
    form: str = "terminal"
    """terminal; html, photographed light and dark; or a form that the program itself writes, as svg."""
    size: tuple[int, int] = (800, 420)
    at: str = ""
    """The part of the page that is pointed at."""
    plain: bool = False
    """Without colour."""
    columns: int = COLUMNS
    """Of the terminal."""


BEAM = ["tree", ONCE, "-d", "beam(3)", "--max-new-tokens"]
SAMPLES = ["tree", ONCE, "-d", "temperature(0.7) | top_p(0.8) | sample(8)", "--max-new-tokens", "5"]
HEAT, WHY = ["heat", "--text", TALE], ["why", ONCE, "-d", CHAIN, "--choices", "8"]
PARTICLES = ["tree", ONCE, "--particles", "--seed", "2", "--max-new-tokens"]
SOME = ["-d", "greedy", "-d", "beam(4)", "-d", "top_p(0.9) | sample(1)", "--max-new-tokens", "40"]
PICTURES = [
    Picture("steps", "The likeliest next tokens at every step, with those that were chosen.", ["steps", ONCE, "-n", "6"]),
    Picture("steps-page", "The same as a page.", ["steps", ONCE, "-n", "6"], "html", (900, 430)),
    Picture("tree", "A beam search: what was kept, finished and pruned, with scores.", [*BEAM, "5"]),
    Picture("tree-picture", "Such a search as a picture.", [*BEAM, "6"], "svg"),
    Picture("tree-samples", "Samples as one tree: where they agree, a line says how many came that way.", SAMPLES),
    Picture("particles", "Particles of sequential Monte Carlo, step by step, each as wide as its weight.", [*PARTICLES, "10"], columns=80),
    Picture("particles-picture", "The same as a picture: who was drawn again, who was not, who ended.", [*PARTICLES, "8"], "svg"),
    Picture("heat", "A given text, coloured by how likely the model held each token.", HEAT),
    Picture("heat-words", "By words: the product of their tokens' probabilities.", [*HEAT, "--words"], columns=80),
    Picture("heat-effective", "By how many effective choices there were, exp(entropy).", [*HEAT, "--by", "effective"], columns=80),
    Picture("heat-rank", "The same by rank and without colour: marks take its place.", [*HEAT, "--by", "rank", "-n", "3"], plain=True),
    Picture(
        "heat-page",
        "As a page: what else could have come is shown where the pointer or the keyboard is.",
        [*HEAT, "--by", "rank"],
        "html",
        (800, 360),
        "#t20",
    ),
    Picture("why", "What every processor did to the likeliest tokens, and what would have spared them.", WHY),
    Picture("why-bars", "Before and after each processor, side by side.", [*WHY, "--bars"], columns=80),
    Picture("why-page", "Both as a page.", WHY, "html", (900, 1780)),
    Picture("score", "How likely a text is, token by token.", ["score", ONCE, " there was a king who had three sons"]),
    Picture("explain", "What a method does, when to use it, and what others call it.", ["explain", "top_p"]),
    Picture("compare", "Decoders compared over seeds, with how sure that is.", ["compare", ONCE, *SOME]),
    Picture("plot", "The probability of every token of what decoders wrote.", ["plot", "probability", ONCE, *SOME], "svg"),
]


def make(picture: Picture) -> list[str]:
    """The files that show it."""
    if picture.form == "terminal":
        draw(picture.name, picture.arguments, FOLDER, "never" if picture.plain else "always", picture.columns)
        return [f"{picture.name}.svg"]
    if picture.form != "html":
        file = f"{picture.name}.{picture.form}"
        run([*picture.arguments, "--output-file", str(FOLDER / file)])
        return [file]
    files = []
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "page.html"
        run([*picture.arguments, "--output-file", str(page)])
        for theme in ("light", "dark"):
            files.append(f"{picture.name}-{theme}.png")
            photograph(page.as_uri() + picture.at, FOLDER / files[-1], picture.size, theme)
    return files


def run(arguments: list[str]) -> None:
    """The program."""
    subprocess.run([sys.executable, "-m", "unspool", *arguments], check=True)


def photograph(address: str, target: Path, size: tuple[int, int], theme: str) -> None:
    """A page as Chromium shows it, in few colours."""
    browser = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chrome"))), None)
    if browser is None:
        raise SystemExit("pictures of pages need Chromium on the path")
    with tempfile.TemporaryDirectory() as folder:
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={folder}"]
        options += [f"--screenshot={target}", f"--window-size={size[0]},{size[1]}"]
        options += [f"--blink-settings=preferredColorScheme={1 if theme == 'light' else 0}"]
        subprocess.run([browser, *options, address], check=True, capture_output=True, env=os.environ)
    Image.open(target).convert("RGB").quantize(64, dither=Image.Dither.NONE).save(target, optimize=True)


def say(picture: Picture, files: list[str]) -> str:
    """Its part of the gallery."""
    command = shlex.join(picture.arguments)
    if len(files) == 2:
        light, dark = files
        shown = f'<picture><source media="(prefers-color-scheme: dark)" srcset="{dark}"><img src="{light}" alt="{picture.words}"></picture>'
    else:
        shown = f"![{picture.words}]({files[0]})"
    return f"## {picture.words}\n\n`unspool {command}`\n\n{shown}\n"


def main(names: list[str]) -> None:
    """Make all, or those that are named; the page is written when all are made."""
    FOLDER.mkdir(exist_ok=True)
    parts = [say(picture, make(picture)) for picture in PICTURES if not names or picture.name in names]
    if not names:
        head = "# Gallery\n\nMade by `python docs/make_gallery.py` with the bundled model. Pages follow your light or dark theme.\n"
        (FOLDER / "README.md").write_text("\n".join([head, *parts]), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
