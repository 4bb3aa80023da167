"""Measures the lab's page in Chromium: its size, its first paint, and a step drawn at 500 and at 5,000 nodes: python -m benchmarks.lab_page

It needs selenium and Chromium with its chromedriver. A time is the median of many, and the least of them beside it, for other programs
run on the machine; "processor" is the mean time that the page's own thread computed, which they change little.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from importlib.resources import files
from statistics import median
from typing import Any

from benchmarks.page import table

FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--window-size=1440,900")
TREES = ((500, "temperature(1.3) | sample(6)", 90), (5000, "temperature(1.6) | sample(64)", 85))
"""About how many nodes, and what grows them."""
STEP = """
const times = [];
for (let n = 0; n < 40; n++) {
  window.lab.forest.version++;
  window.lab.state.at = n;
  const began = performance.now();
  window.lab.listeners[0](window.lab.state);
  times.push(performance.now() - began);
}
return times;
"""
"""All that the page does for one more token, 40 times."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition(":")[0])
    parser.add_argument("--rounds", type=int, default=5, help="how often the page is opened")
    rounds = parser.parse_args().rounds
    sizes = [len(file.read_bytes()) for file in files("unspool.page").joinpath("static").iterdir() if file.is_file()]
    lines = [("size of all files", f"{sum(sizes) / 1000:.0f} kB", "", "")]
    command = [sys.executable, "-m", "unspool", "lab", "--port", "0", "--no-browser"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stderr is not None
            url = next(word for word in server.stderr.readline().split() if word.startswith("http"))
            lines += measured(url, rounds)
        finally:
            server.terminate()
    print(table(("what", "median", "least", "processor"), lines))


def measured(url: str, rounds: int) -> list[tuple[str, str, str, str]]:
    """What a browser says of the page at an address."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or shutil.which("google-chrome") or ""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        for flag in (*FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
        try:
            driver.set_script_timeout(300)
            paints = []
            for _ in range(rounds):
                opened(driver, url)
                paints.append(until(driver, "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"))
            lines = [told("first paint", paints)]
            for _, decoder, count in TREES:
                opened(driver, url)
                driver.execute_script("window.lab.tryOut(arguments[0], arguments[1])", decoder, count)
                until(driver, "window.lab.state.runs[0]?.over && !window.lab.running")
                size = driver.execute_script("return window.lab.forest.size")
                driver.execute_cdp_cmd("Performance.enable", {"timeDomain": "threadTicks"})
                before = computed(driver)
                times = driver.execute_script(STEP)
                own = 1000 * (computed(driver) - before) / len(times)
                driver.execute_cdp_cmd("Performance.disable", {})
                lines.append(told(f"a step drawn, {size:,} nodes", times, f"{own:.1f} ms"))
            return lines
        finally:
            driver.quit()


def opened(driver: Any, url: str) -> None:
    driver.get(url)
    until(driver, "'ready' in document.documentElement.dataset")


def until(driver: Any, code: str, seconds: float = 300) -> Any:
    """What an expression is once it is true."""
    end = time.monotonic() + seconds
    while not (found := driver.execute_script(f"return {code}")):
        if time.monotonic() > end:
            raise TimeoutError(code)
        time.sleep(0.05)
    return found


def computed(driver: Any) -> float:
    """Seconds that the page's thread has computed."""
    found = driver.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]
    return float(next(one["value"] for one in found if one["name"] == "TaskDuration"))


def told(what: str, times: list[float], own: str = "") -> tuple[str, str, str, str]:
    return what, f"{median(times):.1f} ms", f"{min(times):.1f} ms", own


if __name__ == "__main__":
    main()
