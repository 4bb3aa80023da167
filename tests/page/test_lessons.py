"""The lessons: their data, and every step of them in a browser: what it says, where it points, what it waits for."""

import json

import numpy as np
import pytest
from helpers.browser import Browser, axe_source

import unspool as un

from .conftest import started_lab
from .test_files import needs_node, run_module

READY = "window.lab.lesson && window.lab.lesson.ready && !window.lab.running"
STUB = "globalThis.document = { getElementById: () => null, documentElement: {} };\n"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    found = Browser(tmp_path_factory.mktemp("profile"), tmp_path_factory.mktemp("downloads"))
    try:
        yield found
    finally:
        found.close()


@pytest.fixture
def page(browser, lab):
    browser.size(1440, 900)
    browser.theme("light")
    browser.open(lab.url)
    browser.driver.execute_script("localStorage.clear()")
    browser.driver.get_log("browser")
    browser.open(lab.url)
    return browser


def begun(page, lesson, step=0):
    """A lesson at a step, as the steps before it left the page."""
    page.click("#lessons")
    page.click(f".menulist [data-lesson={lesson}]")
    for at in range(step + 1):
        if at:
            page.click("#lesson-next")
        page.until(f"{READY} && window.lab.lesson.at === {at}")


# --- the data ---------------------------------------------------------------------------------------------------------


@needs_node
def test_every_step_is_whole_in_both_languages(tmp_path):
    code = STUB + """
const { LESSONS } = await import("./lessons.js");
const { FACTS } = await import("./facts.js");
const { ACTIONS, DEEDS } = await import("./lessonview.js");
const wrong = [];
const names = (text) => [...text.matchAll(/\\{(\\w+)\\}/g)].map((found) => found[1]).sort();
for (const { id, title, steps } of LESSONS) {
  if (!title.en || !title.ko) wrong.push([id, "title"]);
  for (const [i, step] of steps.entries()) {
    for (const said of [step, step.then, step.unless].filter(Boolean)) {
      if (!said.en || !said.ko || !/[\\uac00-\\ud7a3]/.test(said.ko)) wrong.push([id, i, "languages"]);
      if (String(names(said.en)) !== String(names(said.ko))) wrong.push([id, i, "facts differ", said.en]);
      for (const name of names(said.en)) if (!FACTS[name]) wrong.push([id, i, name]);
      if (/\\d[.,]\\d\\d\\d|\\d\\d+ %/.test(said.en)) wrong.push([id, i, "a number that no model said", said.en]);
    }
    for (const [name] of step.do ?? []) if (!ACTIONS[name]) wrong.push([id, i, name]);
    if (Boolean(step.wait) !== Boolean(step.then) || (step.wait && !DEEDS[step.wait])) wrong.push([id, i, "wait"]);
    if (Boolean(step.when) !== Boolean(step.unless) || (step.when && !FACTS[step.when])) wrong.push([id, i, "when"]);
    if (!step.at) wrong.push([id, i, "at"]);
  }
}
console.log(JSON.stringify([LESSONS.map((lesson) => lesson.id), wrong]));
"""
    ids, wrong = json.loads(run_module(tmp_path, code))
    assert ids == ["greedy", "loops", "beams", "sampling", "nucleus", "choosing"]
    assert wrong == []


@needs_node
def test_a_loop_is_what_stands_three_times_at_the_end(tmp_path):
    texts = [[], [1], [1, 1], [1, 1, 1], [5, 1, 2, 1, 2, 1, 2], [1, 2, 1, 2, 1], [9, *[1, 2, 3] * 3, 1], [1, 2, 3, 4], [1, 1, 1, 2]]
    code = STUB + f"""
const {{ loopOf }} = await import("./facts.js");
console.log(JSON.stringify({json.dumps(texts)}.map((text) => {{ const loop = loopOf(text); return loop && [loop.tokens, loop.times] }})));
"""
    found = json.loads(run_module(tmp_path, code))
    assert found == [None, None, None, [[1], 3], [[1, 2], 3], None, [[2, 3, 1], 3], None, None]


@needs_node
def test_particles_follow_the_sound_that_a_word_ends_in(tmp_path):
    words = {
        "값": "이", "“␣왕”": "이", "“␣king”": "이", "R": "이", "6": "이", "10": "이",
        "나무": "가", "“was”": "가", "“you,”": "가", "k": "가", "9": "가",
        "36.5 %": "가", "“the”": "이(가)", "“cat”": "이(가)", "“,”": "이(가)", "…": "이(가)", "": "이(가)",
    }  # fmt: skip
    code = STUB + f"""
const {{ particleAfter }} = await import("./words.js");
const found = {json.dumps(list(words), ensure_ascii=False)}.map((word) => particleAfter(word, "이(가) 온다"));
console.log(JSON.stringify([found, particleAfter("값", "을(를) 낸다"), particleAfter("값", "입니다(네)")]));
"""
    found, other, none = json.loads(run_module(tmp_path, code))
    assert found == [f"{particle} 온다" for particle in words.values()]
    assert (other, none) == ("을 낸다", "입니다(네)")


# --- in the page ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", ["en", "ko"])
def test_every_step_says_what_the_model_says_and_points_at_what_is_there(page, language):
    if language == "ko":
        page.click("#language")
    for lesson in range(6):
        page.click("#lessons")
        page.click(f".menulist button:nth-child({lesson + 1})")
        steps = 0
        while True:
            here = f"window.lab.lesson && window.lab.lesson.tour === {lesson} && window.lab.lesson.at === {steps}"
            page.until(f"{here} && {READY} && !document.querySelector('#lesson-text').textContent.includes('…')")
            said = page.text("#lesson-text")
            assert not any(word in said for word in ("undefined", "NaN", "null", "{")), said
            page.until("document.querySelectorAll('.spot').length === 1 && document.querySelector('.spot').checkVisibility()")
            assert not page.js("window.lab.lesson.done"), "a step that waits does not begin done"
            if page.js("document.querySelector('#lesson-title').textContent.split('·')[1].split('/').every((n, i, all) => +n === +all[1])"):
                break
            page.click("#lesson-next")
            steps += 1
        page.click("#lesson-leave")
        page.until("window.lab.lesson === null && document.querySelectorAll('.spot').length === 0")
    assert page.said() == []


def test_greedy_by_hand_waits_for_a_token_and_tells_the_models_own_numbers(page):
    begun(page, "greedy")
    lm = un.load()
    table = lm.steps("Once upon a time", n=1, choices=2)
    first, second = next(iter(table)).choices
    facts = page.until("window.lab.lesson.facts.secondP && window.lab.lesson.facts")
    assert [facts["firstP"], facts["secondP"]] == [f"{100 * c.probability:.1f} %" for c in (first, second)]
    page.click("#lesson-next")
    page.until(f"{READY} && window.lab.lesson.at === 1")
    page.until("document.querySelector('#lesson-next').textContent === 'Skip'")
    page.click("#choices li:nth-child(2) button")
    page.until(f"{READY} && window.lab.lesson.done")
    assert page.js("window.lab.state.text[0]") == second.token
    page.until("/^✓[^…]*$/.test(document.querySelector('#lesson-task').textContent)")
    page.click("#lesson-next")
    page.until(f"{READY} && window.lab.lesson.at === 2")
    page.click("#choices li:nth-child(1) button")
    page.until("window.lab.state.runs.length >= 3 && !window.lab.running")
    assert not page.js("window.lab.lesson.done"), "the likeliest is not what was asked for"
    page.click("#choices li:nth-child(3) button")
    page.until(f"{READY} && window.lab.lesson.done")


def test_the_loop_is_shown_as_a_lesson_and_never_at_first_sight(page):
    page.click("#run")
    page.until("!window.lab.running && window.lab.state.text.length >= 30")
    text = page.js("window.lab.state.text")
    words = [tuple(text[i : i + 4]) for i in range(len(text) - 3)]
    assert len(set(words)) == len(words), "what a first look shows says nothing twice"
    begun(page, "loops")
    page.until("window.lab.lesson.facts.times")
    loop = un.load().generate("Once there was a", max_new_tokens=80).best.tokens
    size = page.js("window.lab.lesson.facts.loop && 1") and next(s for s in range(1, 27) if loop[-3 * s :] == loop[-s:] * 3)
    times = next(n for n in range(3, 81) if loop[-(n + 1) * size :] != loop[-size:] * (n + 1))
    assert page.js("Number(window.lab.lesson.facts.times)") == times
    page.click("#lesson-next")
    page.until("window.lab.lesson.facts.roundLast")
    low, high = (page.js(f"parseFloat(window.lab.lesson.facts.{name})") for name in ("roundFirst", "roundLast"))
    assert low < high


def test_a_slider_that_is_moved_is_seen_and_its_numbers_follow(page):
    begun(page, "nucleus")
    page.until("window.lab.afterOf === window.lab.rowKey()")
    page.put("#s-top_k", 100)
    page.until("document.querySelectorAll('.slider.moved').length === 1")
    assert not page.js("window.lab.lesson.done")
    for k in (40, 7):
        page.put("#s-top_k", k)
        page.until(f"window.lab.lesson.done && window.lab.lesson.told.kept === '{k}'")
    model = np.sort(np.asarray(page.js("[...window.lab.before]")))[::-1]
    assert float(page.js("parseFloat(window.lab.lesson.told.passed)")) == pytest.approx(100 * model[:7].sum(), abs=0.06)


def test_one_goes_on_back_and_away_with_everything_kept(page):
    begun(page, "beams", 1)
    page.click("#lesson-back")
    page.until(f"{READY} && window.lab.lesson.at === 0 && window.lab.state.decoder === 'greedy'")
    page.click("#language")
    page.until("document.querySelector('#lesson-title').textContent.startsWith('빔')")
    assert page.js("window.lab.lesson.at") == 0
    text = page.js("window.lab.state.text")
    page.click("#lesson-leave")
    page.until("window.lab.lesson === null && document.activeElement.id === 'lessons'")
    assert page.js("window.lab.state.text") == text
    page.click("#undo")
    page.until(f"String(window.lab.state.text) !== '{','.join(map(str, text))}'")


def test_a_lesson_that_is_left_gives_the_settings_back(page):
    settings = "(({ prompt, decoder, count, seed, by }) => [prompt, decoder, count, seed, by])(window.lab.state)"
    own = ["My own words", "top_k(7) | sample", 17, 3, "rank"]
    for field, value in zip(("#prompt", "#decoder", "#count", "#seed"), own, strict=False):
        page.write(field, str(value))
    page.click("[data-by=rank]")
    page.until("window.lab.state.by === 'rank' && window.lab.state.parts.length === 2")
    assert page.js(settings) == own
    begun(page, "loops", 1)
    assert page.js(settings) != own
    page.click("#lessons")                                                # from one lesson into another
    page.click(".menulist [data-lesson=beams]")
    page.until(f"{READY} && window.lab.lesson.tour === 2")
    text = page.js("window.lab.state.text")
    page.click("#lesson-leave")
    page.until("window.lab.lesson === null && window.lab.state.parts.length === 2")
    assert page.js(settings) == own
    assert page.js("window.lab.state.text") == text, "what is seen stays"
    assert page.js("document.querySelector('#count').value") == "17"
    while not page.js("document.querySelector('#undo').disabled"):
        page.click("#undo")
    assert page.js(settings)[:4] == own[:4], "undo goes back behind the lesson"
    assert page.js("window.lab.state.runs.length") == 0


def test_what_the_learner_sets_in_a_lesson_stays(page):
    begun(page, "nucleus", 4)
    page.click("#use-sliders")
    page.until("window.lab.lesson.done")
    decoder = page.js("window.lab.state.decoder")
    page.click("#lesson-leave")
    page.until("window.lab.lesson === null")
    assert page.js("window.lab.state.decoder") == decoder == "top_p(0.9) | sample"
    assert page.js("window.lab.state.count") == 40


def test_by_keyboard_alone(page):
    from selenium.webdriver.common.keys import Keys

    begun(page, "greedy")
    page.driver.execute_script("document.querySelector('#lesson-next').focus()")
    page.keys(Keys.ENTER)
    page.until(f"{READY} && window.lab.lesson.at === 1")
    page.driver.execute_script("document.querySelector('#lesson-where').focus()")
    page.keys(Keys.ENTER)
    page.until("document.activeElement.closest('#choices')")
    page.keys(Keys.ENTER)
    page.until(f"{READY} && window.lab.lesson.done")


@pytest.mark.parametrize("width", [360, 768, 1280, 2560, 3840])
def test_the_strip_fits_and_hides_nothing_it_speaks_of(page, width):
    page.size(width, 800)
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-reduced-motion", "value": "reduce"}]})
    begun(page, "nucleus")
    code = """
      (() => {
        const [ring, strip] = ['.spot', '.lesson'].map((one) => document.querySelector(one).getBoundingClientRect());
        return ring.top >= 0 && ring.bottom <= strip.top + 1 && strip.bottom <= innerHeight + 1 && strip.height < innerHeight / 2;
      })()
    """
    page.until(code.strip())
    assert page.js("document.scrollingElement.scrollWidth") <= width


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious_in_a_lesson(page, request, theme):
    page.theme(theme)
    begun(page, "nucleus")
    page.put("#s-top_k", 20)
    page.until("window.lab.lesson.done")
    assert page.violations(axe_source(request.config.cache)) == []


def test_a_model_that_does_not_loop_is_told_of_as_it_is(browser):
    from helpers.tables import table

    from .test_browser import Hostile

    lm = un.LanguageModel(table(seed=2, vocabulary=Hostile.size, end_tokens=()), Hostile(), "small")
    with started_lab(lm) as own:
        browser.size(1440, 900)
        browser.open(own.url)
        for lesson in ("greedy", "loops", "nucleus"):
            begun(browser, lesson)
            browser.until("!document.querySelector('#lesson-text').textContent.includes('…')")
            browser.click("#lesson-leave")
