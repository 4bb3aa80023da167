"""Help at 80 columns: no name is broken, and what a command needs stands without brackets."""

import pytest
from helpers.program import out

import unspool as un
from unspool.cli.program import COMMANDS


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "lm-eval"])
def test_no_name_is_broken(name, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    shown = out(name, "--help")
    assert all(len(line) <= 80 for line in shown.splitlines())
    for line, after in zip(shown.splitlines(), shown.splitlines()[1:], strict=False):
        assert "_" not in (line[-1:], after.strip()[:1]), (line, after)
    words = {word.strip(",.;:[]()") for word in shown.split()}
    assert not {"self_b", "leu"} & words


def test_what_is_needed_stands_without_brackets():
    assert "Usage: unspool diff [OPTIONS] FIRST SECOND\n" in out("diff", "--help")
    assert "Usage: unspool score [OPTIONS] [PROMPT CONTINUATION]\n" in out("score", "--help")


def test_results_are_printed_as_texts():
    lm = un.load()
    one, several = lm.generate("The king", max_new_tokens=2), lm.generate("The king", "beam(2, n=2)", max_new_tokens=2)
    assert str(one) == "The king" + one.text
    assert str(several).count("The king") == 2
    said = str(un.diff(one.trace, several.trace))
    assert said.startswith("settings\n  ")
    assert said.endswith(("different", "the same")) or "the same texts" in said
