"""Parts of one's own from the command line: files, modules, and what installed packages announce."""

import os
import sys
from pathlib import Path

import pytest
from helpers.program import ROOT, called, one_line, out, refusal, unspool

from unspool.core import decoder
from unspool.lab.methods import methods

PROMPT = "Once upon a time"
HALVE = '''
from __future__ import annotations
from dataclasses import dataclass
from typing import ClassVar
import unspool as un

@dataclass(frozen=True)
class {name}(un.Processor):
    """Halve all scores. by: how often."""
    kept: ClassVar[int] = 1
    by: int = 1

    def process(self, rows, scores, memory=None):
        return scores / 2**self.by
'''
FEW = ("--max-new-tokens", "3")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A folder with parts; what is imported is forgotten after the test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(decoder, "REGISTRY", dict(decoder.REGISTRY))
    monkeypatch.setattr(decoder, "FROM_ELSEWHERE", set())
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "my_parts.py").write_text(HALVE.format(name="HalveHere"))
    yield tmp_path
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.mark.parametrize(
    "command",
    [
        ["generate", PROMPT, *FEW],
        [PROMPT, *FEW],
        ["steps", PROMPT, "-n", "2"],
        ["tree", PROMPT, *FEW],
        ["heat", PROMPT, *FEW],
        ["why", PROMPT],
        ["compare", PROMPT, *FEW, "--seeds", "1"],
        ["plot", "kept", PROMPT, *FEW],
        ["plot", "sweep", PROMPT, *FEW, "--values", "1,2"],
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_every_command_knows_the_parts_of_a_file(command):
    text = "halve_here({}) | sample(2)" if "sweep" in command else "halve_here(3) | beam(2)"
    assert "halve_here" in refusal(*command, "-d", text)
    file = Path("shown.svg" if command[0] == "plot" else "shown.txt")
    assert called(*command, "--import", "my_parts.py", "-d", text, "--output-file", str(file)) == (0, "", "")
    assert file.read_bytes()


def test_those_that_read_no_prompt_do_too():
    assert "halve_here" in refusal("explain", "halve_here")
    assert "say which watermark" in refusal("detect", "a", "--import", "my_parts.py", "-d", "halve_here")
    assert "nothing like halve_here" in refusal("translate", "--import", "my_parts.py", "--to", "vllm", "-d", "halve_here | sample")
    assert "explore needs" in refusal("explore", PROMPT, "--import", "my_parts.py", "-d", "halve_here")
    for name in ("detect", "explore", "explain", "translate", "generate"):
        assert "--import" in out(name, "--help")


def test_it_is_explained_and_listed():
    shown = out("explain", "halve_here", "--import", "my_parts.py")
    assert "Halve all scores." in shown
    assert "by=1  how often" in shown
    assert "halve_here" in out("explain", "--import", "my_parts.py")
    assert "halve_here" in {m.name for m in methods()}


def test_a_module_by_its_name_and_files_beside_a_file(folder):
    out("explain", "halve_here", "--no-run", "--import", "my_parts")
    away = folder / "away"
    away.mkdir()
    (away / "beside.py").write_text("TIMES = 3\n")
    (away / "more.py").write_text(HALVE.format(name="HalveMore") + "\nimport beside\n")
    (folder / "package").mkdir()
    (folder / "package" / "__init__.py").write_text("from package import inner\n")
    (folder / "package" / "inner.py").write_text(HALVE.format(name="HalveInner"))
    for _ in range(2):                                                    # what was imported before is found again
        both = ["--import", "away/more.py", "--import", str(away / "more.py"), "--import", "package"]
        assert out(PROMPT, *FEW, *both, "-d", "halve_more | halve_inner")


@pytest.mark.parametrize("names", [("my_parts.py", "my_parts"), ("my_parts", "my_parts.py"), ("package/inner.py", "package.inner")])
def test_a_file_and_the_module_that_it_is_are_the_same(names, folder):
    (folder / "package").mkdir()
    (folder / "package" / "__init__.py").touch()
    (folder / "package" / "inner.py").write_text(HALVE.format(name="HalveHere" if "my_parts" not in names else "HalveInner"))
    assert out(PROMPT, *FEW, "--import", names[0], "--import", names[1], "-d", "halve_here")


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("gone.py", None, "there is no file gone.py"),
        ("gone", None, "there is no module 'gone'"),
        ("no.such.module", None, "nothing is called no,"),
        (".", None, "is a folder"),
        ("./", None, "is a folder"),
        ("", None, "is empty"),
        ("./plain.txt", "", "its name ends in .py"),
        ("raises.py", "import os\n\nraise KeyError('abc')\n", "cannot import raises.py: line 3: KeyError: 'abc'"),
        ("ends.py", "import sys\nsys.exit('no')", "line 2: SystemExit: no"),
        ("broken.py", "a = 1\nb = (\n", "line 2: SyntaxError"),
        ("lacks.py", "import no_such_library\n", "line 1: ModuleNotFoundError: No module named 'no_such_library'"),
        ("lacks", "import no_such_library\n", "cannot import lacks: ModuleNotFoundError"),
        ("empty.py", "import unspool\nfrom unspool.strategies.beam import Beam\nclass _Hidden(Beam): pass\n", "defines no"),
        ("taken.py", HALVE.format(name="TopP"), "line 8: TopP: the name 'top_p' is unspool.processors.truncate.TopP's; rename it"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_one_line_says_why_it_cannot_be_imported(name, text, says, folder):
    if text is not None:
        (folder / (name + ("" if "." in name else ".py"))).write_text(text)
    assert says in refusal(PROMPT, "--import", name, "-d", "no_such_part")


def test_a_part_that_is_no_dataclass_says_so(folder):
    (folder / "bare.py").write_text("import unspool\nclass BareHere(unspool.Processor): ...\n")
    for command in (["explain", "bare_here"], [PROMPT, "-d", "bare_here"]):
        assert "BareHere must be a frozen dataclass" in refusal(*command, "--import", "bare.py")


def installed(folder, name, module, text):
    """As pip leaves a package there."""
    (folder / f"{module}.py").write_text(text)
    about = folder / f"{name}-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(f"[unspool.parts]\n{module} = {module}\n")


def program(folder, *arguments):
    done = unspool(*arguments, PYTHONPATH=os.pathsep.join([str(ROOT / "src"), str(folder)]))
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def test_what_a_package_announces_is_known_by_name_and_loaded_when_it_is_needed(tmp_path):
    folder = tmp_path / "site"
    folder.mkdir()
    installed(folder, "halving", "halving_parts", HALVE.format(name="HalveThere") + "\nopen('loaded', 'w').close()\n")
    assert program(folder, PROMPT, *FEW, "-d", "top_k(3) | greedy")[0] == 0
    assert not (tmp_path / "loaded").exists()
    code, text, said = program(folder, PROMPT, *FEW, "-d", "halve_there(2) | beam(2)")
    assert (code, said) == (0, "")
    assert text.startswith(PROMPT)
    assert (tmp_path / "loaded").exists()
    assert "halve_there" in program(folder, "explain")[1]


@pytest.mark.parametrize(
    ("text", "why"),
    [("raise RuntimeError('no')", "RuntimeError: no"), ("", "defines no strategy"), (HALVE.format(name="TopP"), "rename it")],
)
def test_a_broken_one_is_named_where_it_may_matter_and_nowhere_else(tmp_path, text, why):
    folder = tmp_path / "site"
    folder.mkdir()
    installed(folder, "halving", "halving_parts", text)
    assert program(folder, PROMPT, *FEW, "-d", "top_k(3) | greedy")[::2] == (0, "")
    code, _, said = program(folder, PROMPT, "-d", "halve_there")
    assert code == 2
    for words in ("unknown strategy, processor or stop 'halve_there'", "halving_parts = halving_parts of the package halving", why):
        assert words in one_line(said)
    code, shown, said = program(folder, "explain")
    assert code == 0
    assert "top_k" in shown
    assert why in one_line(said)


def test_an_unknown_name_is_answered_with_near_names_or_with_how_to_list_them():
    assert len(refusal("explain", "nosuch")) < 120
    assert "unspool explain lists all" in refusal("explain", "nosuch")
    assert "did you mean" not in refusal("explain", "nosuch")
    assert "did you mean temperature?" in refusal("explain", "temp")
    assert "did you mean sample?" in refusal(PROMPT, "-d", "sample_many(3)")
    assert called("explain", "nosuch")[0] == 2
