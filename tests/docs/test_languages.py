"""What is written in two languages says the same: sections, code, commands and links."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
ENGLISH, KOREAN = ((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "README.ko.md"))


def headings(text):
    return [len(marks) for marks in re.findall(r"^(#+) ", text, re.M)]


def code(text):
    """Every block without its comments."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```", text, re.M | re.S)
    return [(language, [line.partition("  #")[0].rstrip() for line in block.splitlines()]) for language, block in blocks]


def links(text):
    """Targets of links, in order; pages in two languages count as one."""
    return [re.sub(r"/(en|ko)/", "/", target) for target in re.findall(r"\]\(([^)]+)\)", text) if not target.startswith("README")]


def test_sections_are_the_same():
    assert headings(ENGLISH) == headings(KOREAN)


def test_code_is_the_same():
    assert code(ENGLISH) == code(KOREAN)


def test_links_are_the_same():
    assert links(ENGLISH) == links(KOREAN)


def test_each_leads_to_the_other():
    assert "](README.ko.md)" in ENGLISH
    assert "](README.md)" in KOREAN


def test_links_lead_somewhere():
    for page in (ROOT / "README.md", ROOT / "README.ko.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")):
        prose = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.S)
        for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", prose):
            assert "://" in target or (page.parent / target).exists(), f"{page.name}: {target}"
