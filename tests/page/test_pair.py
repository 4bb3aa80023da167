"""A diff as a page: the side-by-side view of two traces in one file."""

import json
import re

import pytest
from helpers.browser import Browser
from helpers.program import called

import unspool as un
from unspool.errors import UnspoolError
from unspool.page.pair import pair_page


def traces(*decoders, count=8, choices=4096):
    lm = un.load()
    return [lm.generate("The sea", d, level="choices", choices=choices, seed=0, max_new_tokens=count).trace for d in decoders]


def record_of(page):
    return json.loads(re.search(r'<script type="application/json" id="record">(.*?)</script>', page, re.S)[1])


def test_its_numbers_are_those_of_the_diff():
    first, second = traces("top_k(5) | sample", "temperature(0.8) | top_k(5) | sample")
    found = un.diff(first, second)
    steps = record_of(pair_page(first, second, found))["both"]["steps"]
    assert len(steps) == len(found.texts[0].steps)
    for step, wanted in zip(steps, found.texts[0].steps, strict=True):
        assert step["kl"] == pytest.approx(wanted.processed.kl)
        assert step["overlap"] == pytest.approx(1 - wanted.processed.total_variation)


def test_what_a_text_says_ends_no_element():
    first, second = traces("greedy", "greedy", count=2)
    first.tokens[first.hypotheses[0][0].tokens[0]] = b"</script><script>alert(1)</script>"
    first.recipe["decoder"] = "</script><b>"
    page = pair_page(first, second, un.diff(second, second))
    assert page.count("</script>") == 2
    assert "<b>" not in page


def test_the_command_writes_it(tmp_path):
    paths = []
    for name, trace in zip("ab", traces("greedy", "beam(2)", choices=12), strict=True):
        paths.append(str(tmp_path / name))
        trace.save(paths[-1])
    target = tmp_path / "both.html"
    code, printed, said = called("diff", *paths, "--output-file", str(target))
    assert (code, printed, said) == (1, "", "")
    browser = Browser(tmp_path / "profile", tmp_path)
    try:
        browser.open(target.as_uri())
        browser.until("document.querySelectorAll('.beside').length === 2 && document.querySelectorAll('.bothtable tbody tr').length > 0")
        assert browser.js("document.querySelector('#run-both')") is None
        assert "beam: none → beam(2)" in browser.text(".settings")
        browser.click("#page-lab")
        browser.until("document.querySelectorAll('#text .t:not(.next)').length > 3")
        assert browser.said() == []
    finally:
        browser.close()


def test_several_prompts_are_refused():
    many = un.Trace([[1], [2]], [], [[], []], "choices")
    with pytest.raises(UnspoolError, match="one prompt, and these traces have 2"):
        pair_page(many, many, un.diff(many, many))
