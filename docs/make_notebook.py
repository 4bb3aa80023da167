"""Makes the pictures of docs/notebooks.md, the widget's own module in a real browser: python docs/make_notebook.py

It needs what docs/make_lab.py needs.
"""

import json
import tempfile
from pathlib import Path

from make_lab import Page

import unspool as un
from unspool.page.files import widget_module

DECODER = "temperature(0.8) | top_k(20) | top_p(0.9) | sample(4)"
CELL = """<!doctype html><meta charset="utf-8"><style>body { margin: 0 }
@media (prefers-color-scheme: dark) { body { background: #0c1016 } }</style>
<div id="cell"></div><script type="application/json" id="given">{given}</script><script type="module">
const given = JSON.parse(document.getElementById("given").textContent);
const { default: widget } = await import(URL.createObjectURL(new Blob([given.esm], { type: "text/javascript" })));
const model = { get: (name) => given[name], set() {}, save_changes() {}, on() {}, off() {} };
widget.render({ model, el: document.getElementById("cell") });
document.documentElement.dataset.ready = "";
</script>"""


def main() -> None:
    """The widget of four samples, light and dark."""
    out = un.load().generate("Once upon a time", DECODER, seed=3, max_new_tokens=14, level="stages", choices=12)
    given = {"esm": widget_module(), "record": "".join(line + "\n" for line in out.trace.lines()), "by": "probability"}
    with tempfile.TemporaryDirectory() as folder:
        cell = Path(folder) / "cell.html"
        cell.write_text(CELL.replace("{given}", json.dumps(given).replace("<", "\\u003c")), encoding="utf-8")
        page = Page(cell.as_uri())
        for theme in ("light", "dark"):
            page.open(1100, 910, theme)
            page.do("document.querySelector('.unspool-widget').shadowRoot.querySelector('#t-4').click()")
            page.save(f"notebook-{theme}")
        page.driver.quit()


if __name__ == "__main__":
    main()
