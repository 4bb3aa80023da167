"""Makes the pictures of docs/lab.md in a real browser, Chromium with its chromedriver: python docs/make_lab.py

It needs selenium and, for the pictures as they are here, Pillow.
"""

import io
import shutil
import tempfile
import time
from pathlib import Path

from PIL import Image
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

PICTURES = Path(__file__).parent / "pictures"
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars", "--force-color-profile=srgb")
COLOURS = 255
"""Of a picture's palette, which makes it a third of its size."""


class Page:
    """The lab in a browser."""

    def __init__(self, url: str) -> None:
        options = webdriver.ChromeOptions()
        options.binary_location = shutil.which("chromium") or shutil.which("google-chrome") or ""
        for flag in (*FLAGS, f"--user-data-dir={tempfile.mkdtemp()}"):
            options.add_argument(flag)
        self.driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
        self.url = url

    def open(self, width: int, height: int, theme: str, scale: float = 1) -> None:
        """The page as it begins, in this size and theme."""
        size = {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        media = {"features": [{"name": "prefers-color-scheme", "value": theme}]}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
        self.driver.get(self.url)
        self.until("'ready' in document.documentElement.dataset")

    def run(self, decoder: str, count: int) -> None:
        """Let a decoder run to its end."""
        self.driver.execute_script("window.lab.tryOut(arguments[0], arguments[1])", decoder, count)
        time.sleep(1)
        self.until("!window.lab.running && window.lab.state.runs.length && window.lab.state.text.length")

    def do(self, code: str) -> None:
        """Do something, and wait until it is drawn."""
        self.driver.execute_script(code)
        time.sleep(1.5)

    def until(self, code: str) -> None:
        """Wait until something is so."""
        while not self.driver.execute_script(f"return {code}"):
            time.sleep(0.1)

    def save(self, name: str) -> None:
        """The picture, with few colours."""
        picture = Image.open(io.BytesIO(self.driver.get_screenshot_as_png())).convert("RGB")
        picture.quantize(COLOURS, dither=Image.Dither.NONE).save(PICTURES / f"{name}.png", optimize=True)


def main() -> None:
    """All pictures."""
    import sys
    from subprocess import PIPE, Popen

    with Popen([sys.executable, "-m", "unspool", "lab", "--port", "0", "--no-browser"], stderr=PIPE, text=True) as server:
        assert server.stderr is not None
        page = Page(next(word for word in server.stderr.readline().split() if word.startswith("http")))
        for theme in ("light", "dark"):
            page.open(1440, 900, theme)
            page.run("temperature(0.9) | top_p(0.9) | sample(5)", 24)
            page.do("window.lab.select(4)")
            page.save(f"lab-{theme}")
            page.open(1440, 900, theme)
            page.do("document.querySelector('#lessons').click(); document.querySelector('.menulist [data-lesson=loops]').click()")
            page.until("window.lab.lesson && window.lab.lesson.ready")
            page.do("document.querySelector('#lesson-next').click()")
            page.until("window.lab.lesson.ready && window.lab.lesson.facts.roundLast")
            page.do("")
            page.save(f"lab-lesson-{theme}")
        page.open(1440, 900, "light")
        page.run("no_repeat_ngram(2) | beam(4, n=4)", 14)
        page.do("window.lab.select(4); document.querySelector('#tab-sliders').click()")
        page.do("window.lab.set({ sliders: { temperature: 0.7, top_p: 0.9 }, drawing: 1 })")
        page.save("lab-sliders")
        page.open(1440, 900, "dark")
        page.run("temperature(0.8) | top_p(0.9) | sample", 40)
        page.do("window.lab.state.other.decoder = 'temperature(0.8) | min_p(0.1) | sample'; document.querySelector('#page-both').click()")
        page.do("document.querySelector('#run-both').click()")
        page.until("window.lab.state.both.steps && !window.lab.state.both.working")
        page.do("")
        page.save("lab-both")
        page.open(390, 844, "light", 2)
        page.run("temperature(0.9) | top_p(0.9) | sample(3)", 24)
        page.do("window.lab.select(4); document.querySelector('.textcard').scrollIntoView()")
        page.save("lab-narrow")
        page.driver.quit()
        server.terminate()


if __name__ == "__main__":
    main()
