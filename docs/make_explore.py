"""Makes the picture of docs/explore.md by pressing the program's keys: python docs/make_explore.py"""

import asyncio
import re
from pathlib import Path

import unspool as un
from unspool.explore.app import Explore
from unspool.explore.explorer import Explorer

PICTURE = Path(__file__).parent / "pictures/explore.svg"
DECODER = "temperature(0.8) | top_k(12) | top_p(0.9) | sample"
KEYS = ["g", *["left"] * 8, "down", "enter", "g", *["left"] * 7, "down"]
FONT = 'font-family: "Fira Code", "DejaVu Sans Mono", Menlo, Consolas, monospace'


async def main() -> None:
    """Press the keys and draw what is then seen."""
    app = Explore(Explorer(un.load(), "Once upon a time", DECODER, seed=11))
    async with app.run_test(size=(104, 24)) as pilot:
        for key in KEYS:
            await pilot.press(key)
            await app.workers.wait_for_complete()
            await pilot.pause()
        svg = app.export_screenshot(title="unspool explore")
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)      # they name a server; this takes what the reader has
    svg = re.sub(r"font-family: Fira Code, monospace", FONT, svg)
    PICTURE.write_text("\n".join(line.rstrip() for line in svg.splitlines()) + "\n", encoding="utf-8")


asyncio.run(main())
