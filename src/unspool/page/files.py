"""The page's files: plain modules that a browser reads as they are, and the same in one file for a record that is passed on, or shown in
a notebook."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from functools import cache
from importlib.resources import files
from typing import Any

from unspool.serve.errors import Refused

MEDIA_TYPES = {"html": "text/html", "js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
"""What the page may load and ask: this server, and nobody else."""
HEADERS = {
    "Content-Security-Policy": PAGE_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-cache",
}
IMPORT = re.compile(r'^import \{[^}]*\} from "\./([\w-]+)\.js";\n', re.M)
FIRST_MODULE = "main"
"""The module that starts the page."""


def page_file(name: str) -> tuple[bytes, str]:
    """A file of the page and its media type."""
    kind = MEDIA_TYPES.get(name.rpartition(".")[2])
    if kind is None or not re.fullmatch(r"[\w-]+\.\w+", name) or not (found := _folder() / name).is_file():
        raise Refused(f"the lab has no file {name[:80]!r}", status=404)
    return found.read_bytes(), f"{kind}; charset=utf-8"


def index(token: str) -> str:
    """The page that holds the server's token."""
    return _text("index.html").replace("{token}", token)


@cache
def shell() -> str:
    """The page in one file, without a record: `{record}` stands where its JSON goes. It asks nobody for anything."""
    script, style = bundle(), _text("lab.css")
    digests = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (script, style)]
    policy = f"default-src 'none'; script-src 'sha256-{digests[0]}'; style-src 'sha256-{digests[1]}'; img-src data:"
    page = _text("index.html").replace("{token}", "")
    page = page.replace('<meta charset="utf-8">', f'<meta charset="utf-8">\n<meta http-equiv="Content-Security-Policy" content="{policy}">')
    page = page.replace('<link rel="stylesheet" href="lab.css">', f"<style>{style}</style>")
    record = '<script type="application/json" id="record">{record}</script>'
    return page.replace('<script type="module" src="main.js"></script>', f'{record}\n<script type="module">{script}</script>')


@cache
def widget_module() -> str:
    """The page's views on one record as a module that imports nothing: what a notebook loads, with its style, for an element of its own."""
    style = json.dumps(_shadowed(_text("lab.css")) + _text("widget.css"), ensure_ascii=False)
    return f"{bundle('widget')}\nexport default {{ render: (given) => renderWidget(given, {style}) }};\n"


def _shadowed(style: str) -> str:
    """A page's style for a part of another page: what it says of the page it says of the part."""
    style = re.sub(r":root((?:\[[^]]*\]|:not\([^)]*\))+)", r":host(\1)", style)
    return re.sub(r":root|^( *)(?:html|body)(?= \{)", r"\1:host", style, flags=re.M)


def bundle(first: str = FIRST_MODULE) -> str:
    """A module and all that it needs as one: each after those that it imports from, without the words that join them; no name stands for
    two things."""
    order: list[str] = []

    def add(name: str) -> None:
        for other in IMPORT.findall(_text(f"{name}.js")):
            if other not in order:
                add(other)
        order.append(name)

    add(first)
    return "\n".join(re.sub(r"^export ", "", IMPORT.sub("", _text(f"{name}.js")), flags=re.M) for name in order)


def _text(name: str) -> str:
    return str((_folder() / name).read_text(encoding="utf-8"))


def _folder() -> Any:
    return files("unspool.page") / "static"
