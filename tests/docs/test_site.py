"""The site: every page is on it, every link leads on, every public name has its place, and nothing comes from elsewhere."""

import json
import re
import subprocess
import sys
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
from helpers.browser import Browser

import unspool as un

ROOT = Path(__file__).parents[2]
CONFIG = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
TAG = r"""<(?:script|link|img|iframe|source)\b[^>]*?(?:src|href|srcset)=["']?(?:https?:)?//"""
ELSEWHERE = re.compile(TAG + r"""|(?:url\(|@import)\s*["']?(?:https?:)?//""")
NEEDED = ("mkdocs", "material", "mkdocstrings", "mkdocs_literate_nav")


@pytest.fixture(scope="module")
def make():
    spec = spec_from_file_location("make_site", ROOT / "docs" / "make_site.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def site(make):
    return make.Site()


def test_every_page_has_an_address_of_its_own(make, site):
    places = [make.address(path) for path in make.sources()]
    assert len(places) == len(set(places))
    assert set(places) <= set(site.pages)
    assert not {place.lower() for place in site.pages} & {place.lower() for place in site.files}


def test_links_lead_somewhere(make, site):
    for place, text in site.pages.items():
        if not place.startswith(("reference/", "source/")):
            for target in re.findall(r"\]\(([^)\s#]+)", "".join(make.CODE.split(text)[::2])):
                found = re.sub(r"[^/]+/\.\./", "", f"{Path(place).parent.as_posix()}/{target}") if "://" not in target else ""
                while "/../" in found:
                    found = re.sub(r"[^/]+/\.\./", "", found, count=1)
                assert not found or found.removeprefix("./") in {*site.pages, *site.files}, (place, target)


def test_the_navigation_has_every_page(site):
    named = set(re.findall(r"^ +- (?:\w+: )?([\w/.-]+\.md)$", CONFIG.split("\nnav:\n")[1], re.M))
    named |= {f"methods/{page}" for page in re.findall(r"\((.+?)\)", site.pages["methods/SUMMARY.md"])}
    shown = {place for place in site.pages if not place.startswith("source/") and not place.endswith("SUMMARY.md")}
    assert shown == named


def test_pages_in_two_languages_lead_to_each_other(site):
    for place, text in site.pages.items():
        if place.endswith("SUMMARY.md"):
            continue
        lang, twin = re.match(r"---\nlang: (\w+)\ntwin: (\S+)\n", text).groups()
        assert lang == ("ko" if place.startswith("ko/") else "en")
        assert twin.removesuffix(".html") + ".md" in site.pages
        assert twin.startswith("ko/") == (lang == "en")
    assert "twin: ko/chapter/4-beam-search.html" in site.pages["chapter/4-beam-search.md"]


def test_the_reference_has_every_public_name(make, site):
    named = [name for names in make.public_names().values() for name in names]
    assert sorted(named) == sorted(set(un.__all__) - {"__version__"})
    written = "".join(text for place, text in site.pages.items() if place.startswith("reference/"))
    assert sorted(re.findall(r"^::: unspool\.(\w+)$", written, re.M)) == sorted(named)


@pytest.fixture(scope="module")
def built(site, make, tmp_path_factory):
    python = next((ROOT / ".venv-site").glob("*/python"), None)            # the environment of scripts/site, where that was run
    if python is None and (missing := [name for name in NEEDED if find_spec(name) is None]):
        pytest.skip(f"{missing[0]} is not installed, with which scripts/site builds the site")
    site.write(make.PAGES)
    out = tmp_path_factory.mktemp("site")
    command = [python or sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(out)]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert not found.returncode, found.stderr[-3000:]
    return out


def test_nothing_comes_from_elsewhere(built):
    files = [path for path in built.rglob("*") if path.suffix in (".html", ".css")]
    assert len(files) > 150
    for path in files:
        assert not ELSEWHERE.search(path.read_text(encoding="utf-8")), path.relative_to(built)


def test_words_of_the_theme_are_in_the_page_s_language(built):
    korean = (built / "ko" / "chapter" / "4-beam-search.html").read_text(encoding="utf-8")
    assert '<html lang="ko"' in korean
    assert 'href="../../chapter/4-beam-search.html" lang="en"' in korean
    assert '<html lang="en"' in (built / "index.html").read_text(encoding="utf-8")


def test_searching_finds_both_languages(built):
    index = (built / "search" / "search_index.js").read_text(encoding="utf-8")
    assert "mirostat" in index
    assert json.dumps("뉴클리어스")[1:-1] in index


def test_a_copy_on_a_disk_is_searched(built, tmp_path):
    browser = Browser(tmp_path / "profile", tmp_path)
    browser.size(1280, 900)
    try:
        found = [("index.html", "mirostat", "methods/mirostat.html"), ("ko/index.html", "뉴클리어스", "6-top-k-and-nucleus.html")]
        for page, word, wanted in found:
            browser.driver.get((built / page).as_uri())
            browser.until("'IFrameWorker' in window")
            browser.write("input.md-search__input", word)
            browser.until(f"[...document.querySelectorAll('.md-search-result__link')].some((a) => a.href.includes('{wanted}'))", 30)
            assert not browser.said()
    finally:
        browser.close()


def test_what_counts_as_from_elsewhere():
    for text in ('<script src="https://a.b/c">', "<link href=//a.b/c>", '<img alt="" src="http://a.b">', "@import 'https://a'", "url(//a)"):
        assert ELSEWHERE.search(text), text
    for text in ('<a href="https://a.b">', '<script src="../a//b.js">', "url(a.png)"):
        assert not ELSEWHERE.search(text), text
