"""HTML that needs nothing else: a page or a notebook's output with one stylesheet for light and dark, no script and no link."""

from __future__ import annotations

import html
import re

LIGHT = {
    "ink": "#1d2430", "paper": "#ffffff", "faint": "#5b6577", "line": "#d9dee7", "card": "#ffffff", "best": "#0b5cad", "edge": "#9a9aa6",
    "bar": "#c9dcf2", "heat1": "#d4e4f7", "heat2": "#ffe08a", "heat3": "#ff9e4a", "heat4": "#b81f1f", "on4": "#ffffff",
}  # fmt: skip
DARK = {
    "ink": "#e3e8f0", "paper": "#12161d", "faint": "#97a3b6", "line": "#313947", "card": "#1b212b", "best": "#7cc0ff", "edge": "#6b6b78",
    "bar": "#2b4668", "heat1": "#1f3d63", "heat2": "#6b5200", "heat3": "#d2700f", "heat4": "#ff8a80", "on4": "#12161d",
}  # fmt: skip
"""The colours by name. Heat goes from blue over amber and orange to red and steps in lightness too, so that it can be read whatever
colours one sees."""
LIGHT_THEMES = '[data-jp-theme-light="true"], .vscode-light, [theme="light"]'
DARK_THEMES = '[data-jp-theme-light="false"], .vscode-dark, [theme="dark"]'
"""How Jupyter, VS Code and Colab say which theme they show, whatever the system's is."""


def themed(selector: str) -> str:
    """Rules that define the colours as variables of an element: the system's theme, or the notebook's where it names one."""

    def rule(where: str, colours: dict[str, str]) -> str:
        return where + " { " + " ".join(f"--{name}: {value};" for name, value in colours.items()) + " }"

    dark = rule(f":is({DARK_THEMES}) {selector}", DARK)
    automatic = f"@media (prefers-color-scheme: dark) {{ {rule(selector, DARK)} }}"
    return "\n".join([rule(selector, LIGHT), automatic, rule(f":is({LIGHT_THEMES}) {selector}", LIGHT), dark])


def literal(style: str, colours: dict[str, str]) -> str:
    """A style with colours in place of variables, for programs that know none."""
    return re.sub(r"var\(--(\w+)\)", lambda found: colours[found[1]], style)


STYLE = (
    themed(".unspool")
    + """
.unspool { color: var(--ink); background: var(--paper); font: 16px/1.5 system-ui, sans-serif; text-align: left; }
.unspool h1 { font-size: 1.4rem; line-height: 1.3; overflow-wrap: anywhere; }
.unspool h2 { font-size: 1.1rem; margin: 1.5rem 0 .5rem; overflow-wrap: anywhere; }
.unspool table { border-collapse: collapse; margin: 1rem 0; color: inherit; background: none; }
.unspool th, .unspool td { text-align: left; vertical-align: top; padding: .3rem .8rem; border-bottom: 1px solid var(--line);
  white-space: pre-wrap; unicode-bidi: isolate; background: none; color: inherit; }
.unspool th { color: var(--faint); font-weight: 600; }
.unspool td { font-variant-numeric: tabular-nums; }
.unspool td.chosen { font-weight: 700; color: var(--best); }
.unspool .text { white-space: pre-wrap; overflow-wrap: anywhere; }
.unspool .prompt { font-weight: 600; }
.unspool .faint { color: var(--faint); font-size: .9em; }
.unspool .wide { overflow-x: auto; }
"""
)
PAGE_STYLE = """
html { background: #ffffff; } body { margin: 2rem auto; max-width: 72rem; padding: 0 1rem; }
@media (prefers-color-scheme: dark) { html { background: #12161d; } }
"""
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
"""What the page may load: nothing, not even if its text should manage to ask for it."""


def page(title: str, *parts: str, style: str = "") -> str:
    """A self-contained page; the title is text, parts are HTML, style is what they need beyond STYLE."""
    head = [
        '<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
        '<meta name="viewport" content="width=device-width">',
        '<meta name="color-scheme" content="light dark">',
        f"<title>{html.escape(title)}</title>",
        f"<style>{PAGE_STYLE}{STYLE}{style}</style>",
    ]
    body = [f"<h1>{html.escape(title)}</h1>", *parts]
    return "\n".join(["<!doctype html>", "<html>", "<head>", *head, "</head>", '<body class="unspool">', *body, "</body>", "</html>", ""])


def fragment(*parts: str, style: str = "") -> str:
    """The same inside a notebook: what `_repr_html_` returns."""
    return "\n".join(['<div class="unspool">', f"<style>{STYLE}{style}</style>", *parts, "</div>", ""])
