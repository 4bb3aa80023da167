"""Starting the lab: the server's own start, the lab beside it, and a browser that opens it."""

from __future__ import annotations

import os
import sys
import webbrowser
from collections.abc import Mapping
from typing import Any

from unspool.language_model import LanguageModel
from unspool.serve.settings import LOOPBACK, Settings
from unspool.serve.start import listen


def open_lab(models: Mapping[str, LanguageModel], port: int, begin: Mapping[str, Any], browser: bool, settings: Settings) -> None:
    """Serve the lab on this machine until it is stopped; the first model is the one that the page begins with."""
    (_, lm), *others = models.items()

    def beside(server: Any, url: str) -> str:
        from unspool.page.app import PATH, Lab

        Lab(server, dict(others), begin)
        address = f"{url}{PATH}/"
        if browser and has_screen():
            webbrowser.open(address)                                     # whoever asks waits until the server listens
        return f"unspool lab with {', '.join(models)} at {address} (Ctrl-C ends it)"

    listen(lm, LOOPBACK[0], port, settings, beside)


def has_screen() -> bool:
    """Whether a browser would open in a window, and not take over the terminal."""
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
