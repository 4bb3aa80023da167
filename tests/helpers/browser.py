"""A real browser without a window: Chromium, driven by its own driver. Where there is none, tests are skipped and say why."""

import shutil
import subprocess
import tarfile
import time
from pathlib import Path

import pytest

FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--hide-scrollbars", "--lang=en-US", "--force-color-profile=srgb",
)  # fmt: skip
AXE = "4.10.3"
"""The release of axe-core whose rules a page is held against."""


def _chromium():
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


class Browser:
    """A page in Chromium."""

    def __init__(self, profile, downloads):
        selenium = pytest.importorskip("selenium", reason="selenium is not installed, which drives the browser here")
        binary, driver = _chromium(), shutil.which("chromedriver")
        if binary is None or driver is None:
            pytest.skip("no Chromium with its chromedriver is installed, in which the page is tried")
        assert selenium
        from selenium import webdriver
        from selenium.webdriver.chrome.service import Service

        options = webdriver.ChromeOptions()
        options.binary_location = binary
        for flag in (*FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        options.add_experimental_option("prefs", {"download.default_directory": str(downloads), "download.prompt_for_download": False})
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.downloads = downloads
        self.driver = webdriver.Chrome(options=options, service=Service(driver))
        self.driver.set_script_timeout(120)

    def size(self, width, height, scale=1):
        how = {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", how)

    def theme(self, name):
        how = {"features": [{"name": "prefers-color-scheme", "value": name}]}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", how)

    def open(self, url):
        self.driver.get(url)
        self.until("'ready' in document.documentElement.dataset")

    def js(self, code, *given):
        """What an expression is."""
        return self.driver.execute_script(f"return {code}", *given)

    def until(self, code, seconds=120):
        end = time.monotonic() + seconds
        while not (found := self.js(code)):
            assert time.monotonic() < end, f"it never came to this: {code}; {self.said()} {self.text('.message')}"
            time.sleep(0.05)
        return found

    def element(self, selector):
        return self.driver.find_element("css selector", selector)

    def act(self, selector, action):
        """Do something with an element once it is there, seen and enabled; again where the page drew it anew meanwhile, or moved."""
        from selenium.common import exceptions as wrong

        passing = (
            wrong.StaleElementReferenceException, wrong.ElementNotInteractableException, wrong.ElementClickInterceptedException,
            wrong.NoSuchElementException, wrong.InvalidElementStateException,
        )  # fmt: skip
        end = time.monotonic() + 120
        while True:
            try:
                return action(self.element(selector))
            except passing:
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)

    def click(self, selector):
        self.act(selector, lambda element: element.click())

    def write(self, selector, text):
        def typed(element):
            element.clear()
            element.send_keys(text)
            return element.get_property("value")

        while (found := self.act(selector, typed)) != text and str(found).endswith(text):  # behind what the page put there meanwhile
            time.sleep(0.05)

    def downloaded(self, pattern):
        """The file that the page gave out, once it is whole."""
        end = time.monotonic() + 120
        while not (found := list(self.downloads.glob(pattern))) or list(self.downloads.glob("*.crdownload")):
            assert time.monotonic() < end, f"nothing was given out that is named {pattern}"
            time.sleep(0.05)
        return found[0]

    def put(self, selector, value):
        """Give a field a value that no keyboard writes, as a person who pastes it, or moves it with the pointer."""
        code = "const e = document.querySelector(arguments[0]); e.value = arguments[1]; e.dispatchEvent(new Event('input'))"
        self.driver.execute_script(code, selector, value)

    def keys(self, *keys):
        """Press keys, wherever the focus is."""
        from selenium.webdriver.common.action_chains import ActionChains

        chain = ActionChains(self.driver)
        for key in keys:
            chain.send_keys(key)
        chain.perform()

    def chord(self, held, key):
        """Press a key while another is held."""
        from selenium.webdriver.common.action_chains import ActionChains

        ActionChains(self.driver).key_down(held).send_keys(key).key_up(held).perform()

    def text(self, selector):
        return self.js("document.querySelector(arguments[0]).textContent", selector)

    def said(self):
        """What went wrong in the page, by its own console."""
        return [line["message"] for line in self.driver.get_log("browser") if line["level"] == "SEVERE"]

    def violations(self, axe):
        """What axe-core finds serious."""
        self.driver.execute_script(axe)
        code = "const done = arguments[0]; axe.run(document, {resultTypes: ['violations']}).then((found) => done(found.violations))"
        found = self.driver.execute_async_script(code)
        return [
            (v["id"], [(n["target"], n["failureSummary"]) for n in v["nodes"]][:4]) for v in found if v["impact"] in ("serious", "critical")
        ]

    def close(self):
        self.driver.quit()


def axe_source(cache):
    """axe-core's script, out of its npm package, which is kept; skipped where no registry can be reached."""
    kept = Path(cache.mkdir("axe")) / f"axe-{AXE}.js"
    if not kept.exists():
        npm = shutil.which("npm")
        if npm is None:
            pytest.skip("npm is not installed, which brings axe-core")
        command = [npm, "pack", f"axe-core@{AXE}", "--silent"]
        ran = subprocess.run(command, capture_output=True, text=True, cwd=kept.parent, timeout=300, check=False)
        if ran.returncode:
            pytest.skip("axe-core cannot be had: no npm registry is reached")
        packed = kept.parent / ran.stdout.strip().splitlines()[-1]
        with tarfile.open(packed) as archive:
            member = archive.extractfile("package/axe.min.js")
            assert member is not None
            kept.write_bytes(member.read())
        packed.unlink()
    return kept.read_text(encoding="utf-8")
