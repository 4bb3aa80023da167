"""The version is said in one place, every file format says its own and is on the page, and what a code host runs is what the pages name."""

import json
import re
import subprocess
from pathlib import Path

import pytest
from helpers.tables import Letters, table

import unspool as un
from unspool.lab.generations import LINE_FORMAT, GenerationFile
from unspool.lab.golden.vectors import GOLDEN_FORMAT, differences, golden
from unspool.many.parquet import MARK, _schema
from unspool.record.trace import FORMAT
from unspool.sweeps.saved import SWEEP_FORMAT, SweepFile

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "versions.md").read_text(encoding="utf-8")
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
FORMATS = {"unspool_trace": FORMAT, "unspool_generation": LINE_FORMAT, "unspool_sweep": SWEEP_FORMAT, "golden_vectors": GOLDEN_FORMAT}


def test_the_version_is_said_in_one_place():
    saying = [path for path in (ROOT / "src" / "unspool").rglob("*.py") if f'"{un.__version__}"' in path.read_text(encoding="utf-8")]
    assert [path.name for path in saying] == ["version.py"]
    assert f'version = "{un.__version__}"' not in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert re.search(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text(encoding="utf-8"), re.M)[1] == un.__version__


def test_the_changelog_begins_with_this_version():
    heading = re.search(r"^## (\S+?)(,|$)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.M)
    assert heading[1] == un.__version__


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_stands_on_the_page(name):
    rows = [row.split(" | ") for row in PAGE.splitlines() if row.startswith("|") and f"`{name}`" in row]
    assert rows
    for row in rows:
        assert row[3].strip() == str(FORMATS[name])
        assert row[4].strip(" |") in (str(FORMATS[name]), f"1 to {FORMATS[name]}")


def test_no_other_format_has_a_version():
    """A new file of ours begins with a mark of this form: it belongs on the page and into this list."""
    marks = set()
    for path in (ROOT / "src" / "unspool").rglob("*.py"):
        marks |= set(re.findall(r'\{"(\w+)": [A-Z_]*FORMAT\}?', path.read_text(encoding="utf-8")))
    assert marks == set(FORMATS)


@pytest.fixture
def trace():
    return un.LanguageModel(table(seed=1), Letters()).generate("bcd", "greedy", max_new_tokens=3).trace


def test_a_trace_says_who_recorded_it(trace, tmp_path):
    trace.save(tmp_path / "own")
    assert un.Trace.load(tmp_path / "own").unspool == un.__version__
    head, *rest = (tmp_path / "own").read_text(encoding="utf-8").splitlines()
    for said in ("9.9.9", None):                                          # another version's, and one that did not say it, stay so
        changed = {k: said if k == "unspool" else v for k, v in json.loads(head).items() if k != "unspool" or said}
        (tmp_path / "other").write_text("\n".join([json.dumps(changed), *rest]) + "\n", encoding="utf-8")
        found = un.Trace.load(tmp_path / "other")
        assert found.unspool == (said or "")
        assert json.loads(next(found.lines())) == changed


@pytest.mark.parametrize("newer", [FORMAT + 1, 99])
def test_a_newer_trace_is_refused(trace, newer, tmp_path):
    trace.save(tmp_path / "own")
    text = (tmp_path / "own").read_text(encoding="utf-8").replace(f'"unspool_trace": {FORMAT}', f'"unspool_trace": {newer}')
    (tmp_path / "newer").write_text(text, encoding="utf-8")
    with pytest.raises(un.UnspoolError, match=f"format {newer}.* formats 1 to {FORMAT}: .*update unspool"):
        un.Trace.load(tmp_path / "newer")


def test_newer_texts_are_refused(tmp_path):
    path = tmp_path / "texts.jsonl"
    path.write_text(json.dumps({"unspool_generation": LINE_FORMAT + 1}) + "\n", encoding="utf-8")
    with pytest.raises(un.UnspoolError, match=f"line 1 of .* format {LINE_FORMAT + 1}.* reads format {LINE_FORMAT}: .*update unspool"):
        list(GenerationFile(path).generations())


def test_a_newer_sweep_is_refused(tmp_path):
    path = tmp_path / "sweep.jsonl"
    path.write_text(json.dumps({"unspool_sweep": SWEEP_FORMAT + 1, "asked": {}}) + "\n", encoding="utf-8")
    with pytest.raises(un.UnspoolError, match=f"format {SWEEP_FORMAT + 1} of a sweep.*update unspool"):
        SweepFile(path).open({})


def test_newer_texts_in_parquet_are_refused(tmp_path):
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    from unspool.many.parquet import parquet_groups

    own = _schema(arrow)
    assert own.metadata[MARK] == str(LINE_FORMAT).encode()
    newer = own.with_metadata({MARK: str(LINE_FORMAT + 1).encode()})
    parquet.write_table(newer.empty_table(), tmp_path / "newer.parquet")
    with pytest.raises(un.UnspoolError, match=f"format {LINE_FORMAT + 1} of saved texts.*update unspool"):
        list(parquet_groups(tmp_path / "newer.parquet"))


@pytest.mark.parametrize("other", [GOLDEN_FORMAT + 1, "1", None])
def test_golden_vectors_of_another_format_are_refused(other):
    vectors = golden("openai")
    assert not list(differences(vectors))
    with pytest.raises(un.UnspoolError, match=f"format {other} of golden vectors.*reads format {GOLDEN_FORMAT}"):
        list(differences({**vectors, "golden_vectors": other}))


def test_workflows_run_what_the_pages_name():
    pages = "".join((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "CONTRIBUTING.md"))
    ran = {path.name: re.findall(r"(?:scripts|\.ci)/[\w-]+", path.read_text(encoding="utf-8")) for path in WORKFLOWS}
    for script in {script for scripts in ran.values() for script in scripts}:
        assert (ROOT / script).is_file(), script
        assert script in pages or script == ".ci/run", script
    assert ran["tests.yml"] == ["scripts/test", ".ci/run"]
    assert ran["site.yml"] == ["scripts/site"]


def test_workflows_may_do_no_more_than_they_need():
    yaml = pytest.importorskip("yaml")
    assert {path.name for path in WORKFLOWS} == {"tests.yml", "site.yml", "release.yml"}
    for path in WORKFLOWS:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert found["permissions"] == {"contents": "read"}, path.name
        wider = {name: job["permissions"] for name, job in found["jobs"].items() if "permissions" in job}
        assert wider == {
            "release.yml": {"publish": {"id-token": "write"}},
            "site.yml": {"deploy": {"pages": "write", "id-token": "write"}},
            "tests.yml": {},
        }[path.name]
        for step in (step for job in found["jobs"].values() for step in job.get("steps", [])):
            assert re.fullmatch(r"[\w./-]+@(v\d+|release/v\d+)", step.get("uses", "a/b@v1"))


def test_tests_run_on_every_python_and_system():
    text = (ROOT / ".github" / "workflows" / "tests.yml").read_text(encoding="utf-8")
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    low, high = map(int, re.search(r'requires-python = ">=3\.(\d+),<3\.(\d+)"', project).groups())
    assert re.findall(r'"3\.(\d+)"', text.split("python:")[1].split("]")[0]) == [str(minor) for minor in range(low, high)]
    assert "os: [ubuntu-latest, macos-latest, windows-latest]" in text


def test_scripts_are_sound_bash():
    for script in (ROOT / "scripts").iterdir():
        assert not subprocess.run(["bash", "-n", str(script)], capture_output=True).stderr
