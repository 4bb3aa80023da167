"""The page in a real browser, as a person uses it: type, run, branch, undo, slide, share, open the shared file."""

import json
import time

import numpy as np
import pytest
from helpers.browser import Browser, axe_source
from helpers.tables import table

import unspool as un
from unspool.core.decoder import parse
from unspool.core.processor import Rows
from unspool.serve.settings import Settings

from .conftest import started_lab

PROMPT = "Once upon a time"
TEXT = "[...document.querySelectorAll('#text .t:not(.next)')].map((e) => e.textContent).join('')"
WORDS = "document.querySelectorAll('#text .t:not(.next)').length"
IDLE = "!window.lab.running && window.lab.state.runs.length && !document.querySelector('#run').hidden"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    found = Browser(tmp_path_factory.mktemp("profile"), tmp_path_factory.mktemp("downloads"))
    try:
        yield found
    finally:
        found.close()


@pytest.fixture
def page(browser, lab):
    """A fresh page, wide and light."""
    browser.size(1440, 900)
    browser.theme("light")
    browser.open(lab.url)
    browser.driver.execute_script("localStorage.clear()")
    browser.driver.get_log("browser")
    browser.open(lab.url)
    return browser


class Watched:
    """A model that does something before each of its forwards."""

    def __init__(self, model, before):
        self.model, self.before = model, before

    def __getattr__(self, name):
        return getattr(self.__dict__["model"], name)

    def session(self, *given):
        return WatchedSession(self, self.model.session(*given))


class WatchedSession:
    def __init__(self, owner, inner):
        self.owner, self.inner = owner, inner

    def __getattr__(self, name):
        return getattr(self.__dict__["inner"], name)

    def extend(self, *given, **more):
        self.owner.before()
        return self.inner.extend(*given, **more)


@pytest.fixture
def slowly(browser):
    """A page whose model takes its time, so that a run can be looked at while it is at work on any machine."""
    lm = un.load()
    lm.model = Watched(lm.model, lambda: time.sleep(0.1))
    with started_lab(lm, Settings(seed=0)) as own:
        browser.size(1440, 900)
        browser.open(own.url)
        yield browser


def ran(page, decoder="greedy", count=12, prompt=PROMPT, seed=0):
    """Type what is wanted, run it, and wait for its end."""
    page.write("#prompt", prompt)
    page.write("#decoder", decoder)
    page.write("#count", str(count))
    page.write("#seed", str(seed))
    page.until("window.lab.state.python !== '' && !window.lab.state.problem && window.lab.state.parts.map((p) => p.text).join(' | ') === "
               f"{json.dumps(str(parse(decoder)))}")  # fmt: skip
    page.click("#run")
    page.until(IDLE)
    page.until(f"{WORDS} > 0")


def test_type_run_branch_undo(page):
    lm = un.load()
    decoder = "temperature(0.8) | top_p(0.9) | sample"
    ran(page, decoder, 20, seed=3)
    assert page.js(TEXT) == lm.generate(PROMPT, decoder, seed=3, max_new_tokens=20).text.replace("\n", "⏎")
    page.click("#t-4")
    page.until("window.lab.state.at === 4 && document.querySelectorAll('#choices button').length > 5")
    before = page.js(TEXT)
    other = page.js("document.querySelector('#choices button:not(.own, .cut)').dataset.token")
    page.click(f"#choices button[data-token='{other}']")
    page.until(f"{IDLE} && window.lab.state.text[4] === {other}")
    branch = page.js("window.lab.state.text")
    follow = un.Follow(tuple(branch[:5]), un.Sample())
    wanted = lm.generate(PROMPT, parse("temperature(0.8) | top_p(0.9)") | follow, seed=3, max_new_tokens=25)
    assert branch == wanted.best.tokens
    page.click("#undo")
    page.until(f"{TEXT} === {json.dumps(before)}")
    page.click("#redo")
    page.until(f"JSON.stringify(window.lab.state.text) === '{json.dumps(branch, separators=(',', ':'))}'")
    assert page.said() == []


def test_what_a_processor_cut_is_said(page):
    ran(page, "temperature(0.7) | top_k(3) | sample", 6)
    page.click("#t-2")
    page.until("window.lab.state.at === 2 && document.querySelector('#choices .why')")
    assert "top_k(3)" in page.text("#choices .why")
    stages = page.js("[...document.querySelectorAll('.choicescard [role=radio]')].map((e) => e.textContent)")
    assert [one.split(" ")[0] for one in stages] == ["All", "temperature(0.7)", "top_k(3)"]
    assert page.js("document.querySelectorAll('#choices .choice:not(.cut)').length") == 3
    numbers = page.js("[...document.querySelectorAll('#choices .choice')].map((e) => e.querySelectorAll('.num')[1].textContent)")
    assert numbers[3:] == ["✗"] * len(numbers[3:])


def test_it_is_seen_token_by_token(slowly):
    slowly.write("#decoder", "greedy")
    slowly.write("#count", "40")
    slowly.click("#run")
    seen = set()
    while not slowly.js(IDLE):
        seen.add(slowly.js(WORDS))
    slowly.until(f"{WORDS} === 40")
    assert len(seen) > 5


def test_stop_and_go_on(slowly):
    slowly.write("#decoder", "greedy")
    slowly.write("#count", "400")
    slowly.click("#run")
    slowly.until(f"{WORDS} > 3")
    slowly.click("#stop")
    slowly.until(IDLE)
    stopped = slowly.js("window.lab.state.text")
    assert 3 < len(stopped) < 400
    slowly.write("#count", "10")
    slowly.click("#go-on")
    slowly.until(f"{IDLE} && {WORDS} === {len(stopped) + 10}")
    assert slowly.js("window.lab.state.text") == un.load().generate(PROMPT, max_new_tokens=len(stopped) + 10).best.tokens


def test_effective_choices_colour_the_text(page):
    ran(page, "greedy", 10)
    page.click("[data-by=effective]")
    page.until("window.lab.state.by === 'effective' && document.querySelector('.legend').textContent.includes('20–100')")
    table = un.load().steps(PROMPT, n=10)
    bands = [next((i for i, limit in enumerate((2, 5, 20, 100)) if row.effective <= limit), 4) for row in table.rows]
    assert page.js("[...document.querySelectorAll('#text .t:not(.next)')].map((e) => Number(/h(\\d)/.exec(e.className)[1]))") == bands


def test_the_place_in_question_is_in_sight(page):
    """In the text with its whole line, and in the step table, also where the end of a run has just been drawn."""
    page.size(1280, 700)
    ran(page, "greedy", 90)
    code = """
      ['#text .t.here', '.lines .line.here'].every((one) => {
        const here = document.querySelector(one);
        const [place, frame] = [here, here.closest('.scroll')].map((e) => e.getBoundingClientRect());
        return place.top >= frame.top - 1 && place.bottom <= frame.bottom + 1;
      })
    """
    page.until(code.strip())
    page.driver.execute_script("window.lab.select(3)")
    page.until(f"window.lab.state.at === 3 && {code.strip()}")


def test_sliders_are_the_programs_numbers(page, lab):
    ran(page, "sample", 8, seed=2)
    page.click("#t-5")
    page.click("#tab-sliders")
    page.until("window.lab.rows.has(window.lab.rowKey())")
    settings = {"temperature": 0.6, "top_p": 0.8, "repetition_penalty": 1.3}
    for name, value in settings.items():
        page.put(f"#s-{name}", value)
    page.until("document.querySelectorAll('.slider.moved').length === 3")
    lm, text = un.load(), page.js("window.lab.state.text")
    tokens = [*lm.tokens_of(PROMPT), *text[:5]]
    session = lm.model.session()
    scores = session.logits(session.extend([-1], [tokens]))
    rows = Rows(np.asarray([tokens]), np.asarray([len(tokens)]), np.asarray([len(lm.tokens_of(PROMPT))]))
    for part in parse("repetition_penalty(1.3) | temperature(0.6) | top_p(0.8)").processors:
        scores = part.process(rows, scores)
    wide = np.asarray(scores[0], np.float64)
    wanted = np.exp(wide - wide.max())
    wanted /= wanted.sum()
    assert np.abs(np.asarray(page.js("[...window.lab.after]")) - wanted).max() < 1e-6
    page.click("#draw100")
    page.until("[...document.querySelectorAll('#choices .dots')].length > 0")
    assert page.js("[...document.querySelectorAll('#choices .num small')].reduce((n, e) => n + Number(e.textContent), 0)") >= 90


def test_form_and_text_form_are_one(page):
    page.write("#decoder", "temperature(0.8) | top_p(0.9) | sample")
    page.until("window.lab.state.parts.length === 3 && document.querySelectorAll('.parts .part').length === 3")
    page.click(".parts .part:nth-child(2)")
    page.until("document.querySelector('#field-1-p')")
    page.js("(document.querySelector('#field-1-p').value = '0.5', document.querySelector('#field-1-p').dispatchEvent(new Event('change')))")
    page.until("document.querySelector('#decoder').value === 'temperature(0.8) | top_p(0.5) | sample'")
    page.click(".parts .add")
    page.write("dialog input[type=search]", "min_p")
    page.until("document.querySelectorAll('dialog .entry').length >= 1")
    page.click("dialog .entry")
    page.until("/top_p\\(0.5\\) \\| min_p\\([\\d.]+\\) \\| sample/.test(document.querySelector('#decoder').value)")
    page.write("#decoder", "topp(0.9)")
    page.until("document.querySelector('#decoder-problem').textContent.includes('top_p')")
    assert page.js("window.lab.state.parts.length") == 4, "what is wrong changes nothing that was right"


def test_every_key(page):
    from selenium.webdriver.common.keys import Keys

    page.write("#decoder", "greedy")
    page.write("#count", "8")
    page.element("#prompt").click()
    page.chord(Keys.CONTROL, Keys.ENTER)
    page.until(f"{IDLE} && {WORDS} === 8")
    page.element("#text").click()
    page.keys(Keys.HOME)
    page.until("window.lab.state.at === 0")
    page.keys(Keys.ARROW_RIGHT, "l", "h")
    page.until("window.lab.state.at === 1 && window.lab.options.length > 3 && window.lab.choicesAt().stages")
    page.keys(Keys.ARROW_DOWN, "j")
    page.until("document.querySelectorAll('#choices .pick').length === 1")
    token = page.js("window.lab.options[window.lab.state.pick]")
    page.keys(Keys.ENTER)
    page.until(f"{IDLE} && window.lab.state.text[1] === {token}")
    page.keys("u")
    page.until(f"window.lab.state.text[1] !== {token}")
    page.chord(Keys.CONTROL, "y")
    page.until(f"window.lab.state.text[1] === {token}")
    by = page.js("window.lab.state.by")
    page.keys("c")
    page.until(f"window.lab.state.by !== '{by}'")
    words = page.js(WORDS)
    page.keys("g")
    page.until(f"{IDLE} && {WORDS} > {words}")
    page.keys("t", Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.ARROW_DOWN)
    page.until("document.activeElement.id === 'tree-canvas' && document.querySelector('#said').textContent !== ''")
    page.keys("?")
    page.until("document.querySelector('dialog[open] kbd')")
    page.keys(Keys.ESCAPE)
    page.until("!document.querySelector('dialog')")
    assert page.said() == []


def test_beams_show_what_was_pruned_and_why(page):
    ran(page, "beam(4, n=4)", 8)
    assert page.js("document.querySelectorAll('.texts li').length") >= 4
    pruned = page.js("[...window.lab.forest.walk()].reduce((n, node) => n + node.pruned.size, 0)")
    assert pruned > 0
    reasons = page.js("[...new Set([...window.lab.forest.walk()].flatMap((node) => [...node.pruned.values()].map((p) => p.reason)))]")
    assert all(reasons)
    page.click(".texts li:nth-child(2) .tool")
    page.until("document.querySelectorAll('.pair .beside').length === 2 && document.querySelectorAll('.parting').length >= 1")


def test_words_of_ones_own_are_read(page):
    ran(page, "greedy", 4)
    page.click("#write")
    page.write("dialog textarea", " there was a king")
    page.js("[...document.querySelectorAll('dialog button')].find((b) => b.textContent === 'Read it').click()")
    page.until(f"{IDLE} && {TEXT} === ' there was a king'")
    logprob = un.load().score(PROMPT, " there was a king").logprob
    assert page.js("window.lab.path.at(-1).sum") == pytest.approx(logprob, abs=1e-4)


def test_two_decoders_side_by_side(page):
    ran(page, "greedy", 12)
    page.click("#page-both")
    page.write("#second", "temperature(1.5) | sample")
    page.click("#run-both")
    page.until("window.lab.state.both && window.lab.state.both.steps && !window.lab.state.both.working")
    page.until("document.querySelectorAll('.bothtable tbody tr').length === 12 && document.querySelector('.chart')")
    steps = page.js("window.lab.state.both.steps")
    assert all(0 <= step["overlap"] <= 1.0001 for step in steps)
    assert all(step["kl"] is None or step["kl"] >= 0 for step in steps)
    assert page.js("document.querySelectorAll('.beside').length") == 2
    assert page.said() == []


# --- what leaves the page -------------------------------------------------------------------------------------------------


def test_share_and_open_the_shared_file(page, tmp_path):
    ran(page, "top_p(0.9) | sample(3)", 10, seed=4)
    text, tokens = page.js(TEXT), page.js("window.lab.state.text")
    page.click("#more")
    page.click("#share-file")
    found = page.downloaded("unspool-lab*.html")
    shared = tmp_path / "shared.html"
    found.rename(shared)
    page.driver.get_log("browser")
    page.open(shared.as_uri())
    assert page.js(TEXT) == text
    assert page.js("window.lab.readOnly")
    assert not page.js("document.querySelector('.actions').checkVisibility()")
    page.until("document.querySelectorAll('.line.here, .lines .line').length > 3")
    page.click("#t-3")
    page.until("document.querySelectorAll('#choices button').length > 3")
    assert page.js("window.lab.texts.length") == 3
    assert tokens in page.js("window.lab.texts.map((t) => t.tokens)")
    assert page.js("performance.getEntriesByType('resource').length") == 0
    assert page.said() == []


def test_a_trace_goes_out_and_comes_in(page):
    ran(page, "beam(3)", 6)
    page.click("#more")
    page.click("#save-trace")
    found = page.downloaded("unspool*.jsonl")
    trace = un.Trace.load(found)
    assert trace.hypotheses[0][0].tokens == un.load().generate(PROMPT, "beam(3)", max_new_tokens=6).best.tokens
    page.open(page.driver.current_url)
    page.element("input[type=file]").send_keys(str(found))
    page.until(f"{WORDS} === 6")
    found.unlink()


def test_the_command_writes_the_text_again(page):
    from shlex import split

    from helpers.program import called

    ran(page, "temperature(0.8) | top_p(0.9) | sample", 10, seed=7, prompt="It's 5 o'clock")
    text = page.js("window.lab.vocabulary.text(window.lab.state.text)")
    page.driver.execute_script("navigator.clipboard.writeText = (text) => { window.copied = text; return Promise.resolve() }")
    page.click("#more")
    page.click("#copy-command")
    command = split(page.until("window.copied"))
    assert command[0] == "unspool"
    code, printed, _ = called(*command[1:])
    assert code == 0
    assert text.strip() in printed
    page.driver.execute_script("window.copied = ''")
    page.click("#more")
    page.click("#copy-python")
    scope, printed = {}, []
    exec(page.until("window.copied").replace("print(", "keep("), {"keep": printed.append, **scope})
    assert printed == [text]


# --- what is wrong, hostile, long -----------------------------------------------------------------------------------------


def test_text_is_data(page):
    hostile = '<img src=x onerror="window.hacked=1"><script>window.hacked=2</script> \u202eevil\u0007 </textarea>'
    page.driver.execute_script("window.hacked = 0")
    page.put("#prompt", hostile)
    page.write("#count", "4")
    page.click("#run")
    page.until(IDLE)
    page.click("#write")
    page.put("dialog textarea", hostile)
    page.js("[...document.querySelectorAll('dialog button')].find((b) => b.textContent === 'Read it').click()")
    page.until(f"{IDLE} && {WORDS} > 20")
    assert page.js("window.hacked") == 0
    assert page.js("document.querySelectorAll('#app img, #app script').length") == 0
    assert "\\u202e" in page.text(".textcard .prompt")
    assert "\u202e" not in page.text(".textcard")
    page.until("document.querySelectorAll('.lines .line').length > 0")
    assert "\u0007" not in page.text("#app")
    assert page.said() == []


class Hostile:
    """Tokens that would do harm where they are not taken as text, one of a megabyte, and pieces of characters."""

    PARTS = (
        b"<script>window.hacked=1</script>", b"<img src=x onerror=window.hacked=1>", "\u202eevil".encode(), b"\x07\x1b[2J",
        b"A" * 1_000_000,
        "한".encode()[:2], "한".encode()[2:], b"\xff", b"' onclick='window.hacked=1", b"\n", b"{record}", b"</textarea></script>",
    )  # fmt: skip
    specials: frozenset[int] = frozenset()
    prefixes_space = False
    hash = "hostile"
    size = len(PARTS)

    def encode(self, text):
        return [9] if text else []

    encode_prompt = encode

    def bytes_of(self, token):
        return self.PARTS[token]

    def name_of(self, token):
        return self.PARTS[token].decode(errors="replace")


def test_tokens_that_would_do_harm_are_text(browser, tmp_path):
    lm = un.LanguageModel(table(seed=2, vocabulary=Hostile.size, end_tokens=()), Hostile(), "hostile")
    with started_lab(lm, Settings(seed=0)) as own:
        browser.size(1440, 900)
        browser.driver.get_log("browser")
        browser.open(own.url)
        browser.driver.execute_script("window.hacked = 0")
        ran(browser, "sample(3)", 12, prompt="x")
        every = list(range(Hostile.size))
        browser.driver.execute_script("window.lab.launch(window.lab.continued({ follow: arguments[0], max_new_tokens: 14 }), true)", every)
        browser.until(f"{IDLE} && window.lab.state.text.length === 14")
        browser.click("#tab-sliders")
        browser.until("window.lab.rows.has(window.lab.rowKey()) && window.lab.afterOf === window.lab.rowKey()")
        assert browser.js("window.hacked") == 0
        assert browser.js("document.querySelectorAll('#app img, #app script').length") == 0
        seen = browser.js("[...document.querySelectorAll('#text .t')].map((e) => e.textContent.slice(0, 40))")
        assert seen[0] == Hostile.PARTS[0].decode()
        assert seen[2] == "\\u202eevil"
        assert seen[3] == "␇␛[2J"
        assert seen[5:7] == ["", "한"], "bytes of a character are seen where it is finished"
        assert seen[7] == "\\xff"
        shared = tmp_path / "hostile.html"
        code = "const done = arguments[0]; window.lab.sharedFile().then(done)"
        shared.write_text(browser.driver.execute_async_script(code), encoding="utf-8")
        assert browser.said() == []
    browser.open(shared.as_uri())
    assert browser.js("window.hacked") is None
    assert browser.js("window.lab.state.text.length") == 14
    assert browser.js("document.querySelectorAll('#app img, #app script').length") == 0
    assert browser.said() == []


def test_a_model_that_dies_is_said_and_what_there_is_stays(browser):
    lm = un.load()
    left = [10]

    def dying():
        left[0] -= 1
        if left[0] < 0:
            raise RuntimeError("the device is gone")

    lm.model = Watched(lm.model, dying)
    with started_lab(lm, Settings(seed=0)) as own:
        browser.size(1440, 900)
        browser.open(own.url)
        browser.write("#decoder", "greedy")
        browser.click("#run")
        browser.until("!window.lab.running && document.querySelector('.message').textContent.includes('server failed')")
        words = browser.js(WORDS)
        assert 0 < words <= 10
        browser.click("#t-1")
        browser.until("window.lab.state.at === 1 && document.querySelectorAll('#choices button').length > 3")
        left[0] = 1000
        browser.click("#run")
        browser.until(f"{IDLE} && {WORDS} === 40")
        assert browser.js("document.querySelector('.message').textContent") == ""


def test_a_page_that_is_left_gives_up_its_run_at_once(browser, lab):
    """Also where the browser keeps the page for a while, to come back to, and with it what it waits for."""
    browser.size(1440, 900)
    browser.open(lab.url)
    browser.driver.execute_script("window.lab.tryOut('exact(3)', 200)")
    browser.until("window.lab.running && window.lab.state.text.length")
    nodes = browser.js("window.lab.forest.size")
    browser.driver.execute_script("window.dispatchEvent(new Event('pagehide'))")
    browser.until("!window.lab.running")
    lab.until(lambda: not lab.server.engine.batch.busy, 30)
    assert browser.js("window.lab.forest.size") >= nodes > 0, "what there was stays"
    assert browser.text(".message") == ""


def test_one_message_and_everything_stays(browser):
    with started_lab(un.load(), Settings(seed=0, grace=1)) as own:
        browser.size(1440, 900)
        browser.open(own.url)
        ran(browser, "greedy", 6)
        text = browser.js(TEXT)
        browser.put("#prompt", "word " * 3000)
        browser.click("#run")
        browser.until("document.querySelector('.message').textContent.includes('context')")
        assert browser.js(TEXT) == text
    browser.click("#run")
    browser.until("document.querySelector('.message').textContent.includes('does not answer')")
    assert browser.js(TEXT) == text
    assert browser.js(WORDS) == 6


def test_five_thousand_nodes_can_be_used(page):
    """How fast is measured by `python -m benchmarks.lab_page`."""
    ran(page, "temperature(1.6) | sample(64)", 80)
    assert page.js("window.lab.forest.size") > 3500
    page.click("#t-5")
    page.until("window.lab.state.at === 5 && document.querySelectorAll('#choices button').length > 3")
    page.click(".treecard .tool:last-of-type")
    page.click("#undo")
    page.until("window.lab.state.runs.length === 0")
    assert page.said() == []


def long_trace(path, count):
    """The file of a trace of so many tokens."""
    lm = un.load()
    story = lm.tokens_of(" there was a king who had a daughter,")
    tokens = [story[i % len(story)] for i in range(count)]
    head = {"unspool_trace": 2, "level": "tokens", "recipe": {"decoder": "greedy"}, "model": {"name": "bundled"}}
    head["prompts"] = [lm.tokens_of(PROMPT)]
    lines = [json.dumps(head)]
    for i, token in enumerate(tokens):
        step = {"nodes": [i + 1], "parents": [i], "tokens": [token], "logprob": [-1.0], "processed": [-1.0], "score": [-1.0 - i]}
        step["reason"] = [""]
        lines.append(json.dumps({"step": step}))
    words = {str(t): lm.tokenizer.bytes_of(t).hex() for t in {*tokens, *lm.tokens_of(PROMPT)}}
    text = {"tokens": tokens, "logprobs": [-1.0] * count, "score": -1.0 * count, "reason": "length"}
    lines.append(json.dumps({"hypotheses": [[text]], "tokens": words, "names": {}}))
    path.write_text("\n".join(lines), encoding="utf-8")


def test_a_text_of_a_hundred_thousand_tokens_is_read_in_windows(page, tmp_path):
    from selenium.webdriver.common.keys import Keys

    long_trace(tmp_path / "long.jsonl", 100_000)
    page.element("input[type=file]").send_keys(str(tmp_path / "long.jsonl"))
    page.until("window.lab.state.text.length === 100000 && document.querySelector('#t-99999.here')")
    assert page.js(WORDS) <= 3000
    page.driver.execute_script("window.lab.select(50000)")
    page.until("document.querySelector('#t-50000.here')")
    assert page.js(WORDS) <= 3000
    before, after = page.js("[...document.querySelectorAll('.beyond')].map((e) => Number(e.textContent.replace(/[^0-9]/g, '')))")
    assert before + after + page.js(WORDS) == 100_000
    page.click(".beyond:first-child, .prompt + .beyond")
    page.until(f"window.lab.state.at === {before - 1} && document.querySelector('#t-{before - 1}.here')")
    page.element("#text").send_keys(Keys.HOME)
    page.until("document.querySelector('#t-0.here')")
    page.until("document.querySelectorAll('.lines .line').length > 0")
    page.driver.execute_script("window.lab.select(99999)")
    page.until("document.querySelector('.message').textContent.includes('context')")
    assert page.js("window.lab.state.text.length") == 100_000
    assert [line for line in page.said() if "400" not in line] == []


def test_models_with_other_tokens_are_compared_by_their_texts(browser):
    other = un.LanguageModel(table(seed=2, vocabulary=Hostile.size, end_tokens=()), Hostile(), "hostile")
    with started_lab(un.load(), Settings(seed=0), others={"hostile": other}) as own:
        browser.size(1440, 900)
        browser.driver.get_log("browser")
        browser.open(own.url)
        browser.write("#count", "6")
        browser.click("#page-both")
        browser.click("#run-both")
        browser.until("window.lab.state.both && !window.lab.state.both.working")
        browser.until("document.querySelector('.chartbox').textContent.includes('different tokens')")
        assert "part at token 1 / 1" in browser.text(".bothcard .about")
        assert browser.js("window.lab.state.both.steps") is None
        assert browser.said() == []


def test_nothing_jumps(page):
    code = """
      window.shift = 0;
      new PerformanceObserver((list) => { for (const e of list.getEntries()) window.shift += e.value }).observe({ type: 'layout-shift' });
    """
    page.driver.execute_script(code)
    page.click("#run")
    page.until(IDLE)
    page.click("#t-3")
    page.until("window.lab.state.at === 3 && document.querySelectorAll('#choices button').length > 3")
    assert page.js("window.shift") < 0.05


def test_it_paints_and_asks_its_own_server_alone(page, lab):
    page.open(lab.url)
    page.until("performance.getEntriesByName('first-contentful-paint').length")
    asked = page.js("performance.getEntriesByType('resource').map((e) => e.name)")
    assert all(name.startswith((lab.url.removesuffix("/lab/"), "data:")) for name in asked)


# --- whoever reads it -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("language", ["en", "ko"])
def test_axe_finds_nothing_serious(page, request, theme, language):
    axe = axe_source(request.config.cache)
    page.theme(theme)
    if language == "ko":
        page.click("#language")
        assert page.js("document.documentElement.lang") == "ko"
    ran(page, "temperature(0.9) | top_k(5) | beam(3, n=3)", 12)
    page.click("#t-2")
    page.until("window.lab.state.at === 2 && document.querySelector('#choices .why')")
    assert page.violations(axe) == []
    page.click(".parts .part:nth-child(1)")
    page.click("#tab-sliders")
    page.until("window.lab.rows.has(window.lab.rowKey())")
    assert page.violations(axe) == []
    page.click("#page-both")
    page.click("#run-both")
    page.until("window.lab.state.both && window.lab.state.both.steps && !window.lab.state.both.working")
    assert page.violations(axe) == []


@pytest.mark.parametrize("width", [360, 768, 1280, 2560])
def test_it_fits_every_width(page, width):
    page.size(width, 900)
    ran(page, "temperature(0.8) | top_p(0.9) | repetition_penalty(1.2) | sample(3)", 16)
    page.until("document.querySelectorAll('.texts li').length === 3")
    assert page.js("document.scrollingElement.scrollWidth") <= width
    code = """
      [...document.querySelectorAll('button, input, textarea, h2')]
        .filter((e) => e.checkVisibility() && !e.closest('.scroll, .menu, .sr, .segments'))
        .filter((e) => e.getBoundingClientRect().right > innerWidth + 1)
        .map((e) => e.id || e.className || e.textContent)
    """
    assert page.js(code.strip()) == []


def test_the_theme_is_kept(page, lab):
    background = "getComputedStyle(document.documentElement).backgroundColor"
    light = page.js(background)
    page.click("#theme")
    dark = page.until(f"{background} !== '{light}' && {background}")
    page.open(lab.url)
    assert page.js(background) == dark
    page.click("#language")
    page.until("document.querySelector('#run').textContent.includes('실행')")
