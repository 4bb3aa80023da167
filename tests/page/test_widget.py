"""The page's views in a notebook: the very module that a notebook loads, mounted by a real browser, with the messages of a widget."""

import importlib.util
import json
import re
import shutil
import subprocess

import pytest
from helpers.browser import Browser

import unspool as un
from unspool.page.files import bundle, widget_module

HOST = "document.querySelector('.unspool-widget').shadowRoot"
MOUNT = """
<!doctype html><html lang="en"><meta charset="utf-8"><title>A notebook</title>
<style>html { font: 14px serif; } button { display: none; } .text { color: red; }</style>
<body {theme}><div id="cell"></div><script type="application/json" id="given">{given}</script>
<script type="module">
const given = JSON.parse(document.getElementById("given").textContent);
const module = await import(URL.createObjectURL(new Blob([given.esm], { type: "text/javascript" })));
const values = { record: given.record, by: given.by, selected: {} };
const heard = {};
window.saved = [];
window.model = {
  get: (name) => values[name],
  set: (name, value) => (values[name] = value),
  save_changes: () => window.saved.push(JSON.parse(JSON.stringify(values.selected))),
  on: (event, action) => (heard[event] ??= []).push(action),
  off: (event, action) => (heard[event] = (heard[event] ?? []).filter((one) => one !== action)),
  send: (name, value) => {
    values[name] = value;
    for (const action of heard[`change:${name}`] ?? []) action();
  },
};
window.listening = () => Object.values(heard).flat().length;
window.unmount = module.default.render({ model: window.model, el: document.getElementById("cell") });
document.documentElement.dataset.ready = "";
</script></body></html>
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    found = Browser(tmp_path_factory.mktemp("profile"), tmp_path_factory.mktemp("downloads"))
    try:
        yield found
    finally:
        found.close()


@pytest.fixture(scope="module")
def output():
    return un.load().generate("Once upon a time", "top_k(20) | beam(3)", max_new_tokens=6, level="stages", choices=8)


def lines_of(trace):
    return "".join(line + "\n" for line in trace.lines())


def page_of(trace, by="probability", theme=""):
    given = {"esm": widget_module(), "record": lines_of(trace), "by": by}
    embedded = json.dumps(given).replace("<", "\\u003c")
    return MOUNT.replace("{given}", embedded).replace("{theme}", theme)


@pytest.fixture
def cell(browser, output, tmp_path):
    """A notebook's page with the widget of a beam search."""
    return opened(browser, tmp_path, output.trace)


def opened(browser, folder, trace, **how):
    (folder / "cell.html").write_text(page_of(trace, **how), encoding="utf-8")
    browser.size(1000, 1200)
    browser.theme("light")
    browser.driver.get_log("browser")
    browser.open((folder / "cell.html").as_uri())
    browser.until(f"{HOST}.querySelectorAll('#text .t:not(.next)').length > 0 && window.saved.length > 0")
    return browser


def inside(browser, code):
    return browser.js(f"{HOST}.{code}")


def test_it_shows_the_record(cell, output):
    words = inside(cell, "querySelectorAll('#text .t:not(.next)').length")
    assert words == len(output.best.tokens)
    text = cell.js(f"[...{HOST}.querySelectorAll('#text .t:not(.next)')].map((e) => e.textContent).join('')")
    assert text == output.text.replace("\n", "⏎")
    assert inside(cell, "querySelectorAll('.stepscard .lines .line').length") == words
    assert inside(cell, "querySelectorAll('#choices button').length") == 8
    assert inside(cell, "querySelector('.treecard .quiet').textContent").endswith("nodes")
    drawn = inside(cell, "querySelector('#tree-canvas').getContext('2d').getImageData(0, 0, 400, 200).data.some((byte) => byte > 0)")
    assert drawn
    suppressed = cell.js("document.querySelector('.unspool-widget').dataset.lmSuppressShortcuts")
    assert suppressed == "true", "JupyterLab's own keys, of which d d deletes the cell, end at the widget"
    assert cell.said() == []


def test_what_is_clicked_is_told(cell, output):
    for at in (2, 0):
        inside(cell, f"querySelector('#t-{at}').click()")
        cell.until(f"window.saved.at(-1).step === {at + 1}")
        found = cell.js("window.model.get('selected')")
        best = output.trace.hypotheses[0][0]
        assert (found["token"], found["tokens"]) == (best.tokens[at], best.tokens[: at + 1])
        assert found["logprob"] == pytest.approx(best.logprobs[at])
        assert found["processed"] == pytest.approx(best.processed[at])
        ranks = {int(n): int(r) + 1 for s in output.trace.steps for n, r in zip(s.nodes, s.rank, strict=True)}
        assert found["rank"] == ranks[best.nodes[at + 1]]
        assert inside(cell, f"querySelectorAll('.stepscard .line')[{at + 1}].classList.contains('here')")
    inside(cell, "querySelectorAll('.stepscard .lines .line')[4].click()")
    cell.until("window.saved.at(-1).step === 5")


def test_a_node_of_the_tree_shows_its_step(cell, output):
    """By the keyboard, as the tree's canvas reads it: down to another branch, and there."""
    from selenium.webdriver.common.keys import Keys

    inside(cell, "querySelector('#tree-canvas').focus()")
    before = cell.js("window.model.get('selected')")
    cell.keys(Keys.ARROW_LEFT, Keys.ARROW_LEFT, Keys.ENTER)
    cell.until(f"window.saved.at(-1).step === {before['step'] - 2}")
    place = """
      const canvas = HOST.querySelector('#tree-canvas'); const box = canvas.getBoundingClientRect();
      const told = []; window.places = told;
      for (let y = 10; y < box.height; y += 26) for (let x = 150; x < box.width; x += 20) {
        const at = { clientX: box.left + x, clientY: box.top + y, bubbles: true, pointerId: 1 };
        canvas.dispatchEvent(new PointerEvent('pointermove', at));
        const note = HOST.querySelector('#tree-note').textContent;
        if (note.includes('%') && y > 30) { told.push([x, y, note]); }
      }
      return told[0]
    """.replace("HOST", HOST)
    x, y, note = cell.driver.execute_script(place)
    click = """
      const canvas = HOST.querySelector('#tree-canvas'); const box = canvas.getBoundingClientRect();
      canvas.setPointerCapture = () => null;
      const at = { clientX: box.left + arguments[0], clientY: box.top + arguments[1], bubbles: true, pointerId: 1 };
      for (const kind of ['pointerdown', 'pointerup']) canvas.dispatchEvent(new PointerEvent(kind, at));
    """.replace("HOST", HOST)
    count = cell.js("window.saved.length")
    cell.driver.execute_script(click, x, y)
    cell.until(f"window.saved.length > {count}")
    chosen = cell.js("window.model.get('selected')")
    assert note.split(" · ")[0].strip("␣") == chosen["text"].strip()
    paths = {tuple(output.trace.hypotheses[0][0].tokens[: len(chosen["tokens"])])}
    assert tuple(chosen["tokens"]) not in paths, "a branch beside the best text"


def test_arrows_walk_and_a_notebook_does_not_hear_them(cell):
    from selenium.webdriver.common.keys import Keys

    cell.driver.execute_script("window.heard = 0; document.addEventListener('keydown', () => window.heard++)")
    inside(cell, "querySelector('#text').focus()")
    step = cell.js("window.model.get('selected').step")
    cell.keys(Keys.ARROW_LEFT)
    cell.until(f"window.saved.at(-1).step === {step - 1}")
    assert cell.js("window.heard") == 0


def test_the_notebook_can_change_it(cell, output):
    cell.driver.execute_script("window.model.send('by', 'rank')")
    cell.until(f"{HOST}.querySelector('[data-by=rank]').getAttribute('aria-checked') === 'true'")
    inside(cell, "querySelector('[data-by=entropy]').click()")
    cell.until("window.model.get('by') === 'entropy'")
    other = un.load().generate("The king", "greedy", max_new_tokens=3, level="tokens").trace
    cell.driver.execute_script("window.model.send('record', arguments[0])", lines_of(other))
    cell.until(f"{HOST}.querySelectorAll('#text .t:not(.next)').length === 3")
    cell.driver.execute_script("window.unmount()")
    assert cell.js("document.querySelector('.unspool-widget')") is None
    assert cell.js("window.listening()") == 0
    assert cell.said() == []


def test_its_style_is_its_own(cell):
    assert cell.js("getComputedStyle(document.documentElement).fontFamily") == "serif"
    assert cell.js(f"getComputedStyle({HOST}.querySelector('[data-by=rank]')).display") != "none"
    assert cell.js(f"getComputedStyle({HOST}.querySelector('.text')).color") != "rgb(255, 0, 0)"
    assert cell.js("document.documentElement.lang") == "en"


@pytest.mark.parametrize("width", [360, 560, 800, 1000, 1300, 2000])
def test_no_view_lies_on_another_or_beside_the_cell(cell, width):
    cell.size(width, 1200)
    boxes = cell.js(f"[...{HOST}.querySelectorAll('.card')].map((e) => e.getBoundingClientRect().toJSON())")
    assert len(boxes) == 4
    for i, one in enumerate(boxes):
        assert one["left"] >= 0
        assert one["right"] <= width
        assert one["width"] > 250
        assert one["height"] > 120
        for other in boxes[:i]:
            apart = one["left"] >= other["right"] or other["left"] >= one["right"]
            assert apart or one["top"] >= other["bottom"] or other["top"] >= one["bottom"]


@pytest.mark.parametrize(
    ("theme", "dark"), [('data-jp-theme-light="false"', True), ('data-jp-theme-light="true"', False), ('class="vscode-dark"', True)]
)
def test_it_takes_the_notebooks_theme(browser, output, tmp_path, theme, dark):
    page = opened(browser, tmp_path, output.trace, theme=theme)
    for system in ("light", "dark"):
        page.theme(system)
        red = int(re.search(r"\d+", page.js(f"getComputedStyle({HOST}.querySelector('.card')).backgroundColor"))[0])
        assert (red < 100) is dark


EVIL = ["<script>window.evil = 1</script>", "</script>", "\u202e", "\x1b[31m", '"><img src=x onerror="window.evil=1">', "한\n`"]


def test_hard_texts_stay_texts(browser, tmp_path):
    from helpers.tables import Letters, table

    class Evil(Letters):
        def name_of(self, token):
            return EVIL[token]

        def bytes_of(self, token):
            return EVIL[int(token)].encode()

    trace = un.LanguageModel(table(3, 6), Evil()).generate("abe", "sample(3)", max_new_tokens=5, level="stages", choices=6).trace
    page = opened(browser, tmp_path, trace)
    assert page.js("window.evil") is None
    assert page.js("window.saved.length") > 0
    assert page.said() == []


def test_the_module_imports_and_asks_nothing():
    module = widget_module()
    assert not re.search(r"^import\b|\bimport\(", module, re.M)
    assert len(re.findall(r"^export ", module, re.M)) == 1
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", module)
    assert ":root" not in module
    assert len(module) < 200_000
    assert "renderWidget" not in bundle()
    assert "startPage" not in module


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed, which reads the module here")
def test_the_module_is_whole(tmp_path):
    (tmp_path / "widget.mjs").write_text(widget_module(), encoding="utf-8")
    subprocess.run([shutil.which("node"), "--check", "widget.mjs"], cwd=tmp_path, check=True, timeout=60)


# --- Python's side -----------------------------------------------------------------------------------------------------

lacking = importlib.util.find_spec("anywidget") is None
needs_anywidget = pytest.mark.skipif(lacking, reason="anywidget is not installed, which carries the widget")


def test_without_anywidget_it_says_what_to_install(output, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "anywidget", None)
    monkeypatch.delitem(__import__("sys").modules, "unspool.page.record_widget", raising=False)
    with pytest.raises(un.MissingExtra, match=r"pip install 'unspool\[notebook\]'"):
        un.widget(output)
    assert "<script" not in output._repr_html_()


@pytest.mark.parametrize(
    ("result", "by", "said"), [([], "probability", "outputs\\[0\\]"), ("text", "rank", "got 'text'"), (None, "heat", "colours by one of"),
                               (None, "rank", "got None")],
)  # fmt: skip
def test_what_is_no_record_is_refused(result, by, said):
    with pytest.raises(un.ParameterError, match=said):
        un.widget(result, by)


@needs_anywidget
def test_a_widget_carries_the_record_and_what_is_selected(output):
    for result in (output, output.trace):
        widget = un.widget(result, "rank")
        state = widget.get_state()
        assert state["record"] == lines_of(output.trace)
        assert state["_esm"] == widget_module()
        assert (state["by"], state["selected"]) == ("rank", {})
        widget.set_state({"selected": {"step": 3}, "by": "entropy"})
        assert (widget.selected, widget.by) == ({"step": 3}, "entropy")
