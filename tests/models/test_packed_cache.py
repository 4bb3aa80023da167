"""Packed weights on disk: made once, read after that, never half of them, and no model fails for want of a place to keep them."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from helpers.checkpoints import tiny_gpt2, tiny_llama
from helpers.kernels import packed_as, run_in_process
from safetensors.numpy import save_file

import unspool as un
from unspool.kernels import library
from unspool.models.compiled import cache, packing
from unspool.models.compiled.forms import form_of
from unspool.models.compiled.model import CompiledTransformer
from unspool.models.engine import OF_KERNELS
from unspool.models.loading import read_model
from unspool.models.reading import read_transformer
from unspool.models.stored import Stored
from unspool.models.transformer import Linear

pytestmark = pytest.mark.skipif(not library.variants(), reason="the kernels are not built")
KINDS = OF_KERNELS


@pytest.fixture
def checkpoint(tmp_path):
    """A small checkpoint in a folder."""
    return make(tmp_path / "model", 3)


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """Where packed weights are kept, of small models too."""
    monkeypatch.setattr(cache, "SMALL", 0)
    monkeypatch.setenv("UNSPOOL_CACHE", str(tmp_path / "cache"))
    yield tmp_path / "cache" / "packed"
    cache._readers.cache_clear()


@pytest.fixture
def packs(monkeypatch):
    """How often a layer is packed."""
    counted, before = [], packing.pack

    def count(linears, kind, store):
        counted.append(not store.filled)
        return before(linears, kind, store)

    monkeypatch.setattr("unspool.models.compiled.model.pack", count)
    return counted


def make(folder, seed):
    folder.mkdir(exist_ok=True)
    config, weights = tiny_gpt2(seed)
    (folder / "config.json").write_text(json.dumps(config))
    save_file(weights, folder / "model.safetensors")
    return folder


def logits(folder, kind="float32"):
    model = read_model(folder, "compiled", None, kind)[0]
    assert isinstance(model, CompiledTransformer)
    session = model.session()
    return session.logits(session.extend([-1], [[1, 2, 3]]))


@pytest.mark.parametrize("kind", KINDS)
def test_weights_are_packed_once_and_read_after_that(kind, checkpoint, kept, packs, monkeypatch):
    monkeypatch.setenv("UNSPOOL_CACHE", "none")
    expected = logits(checkpoint, kind)
    monkeypatch.setenv("UNSPOOL_CACHE", str(kept.parent))
    packs.clear()
    np.testing.assert_array_equal(logits(checkpoint, kind), expected)
    assert packs
    assert all(packs)
    (file,) = kept.iterdir()
    assert kind in file.name
    packs.clear()
    np.testing.assert_array_equal(logits(checkpoint, kind), expected)
    assert packs
    assert not any(packs)
    assert list(kept.iterdir()) == [file]


def test_every_format_and_checkpoint_has_a_file_of_its_own(checkpoint, kept):
    other = make(checkpoint.parent / "other", 4)
    again = make(checkpoint.parent / "elsewhere", 5) / "model"
    again.mkdir()
    for name in ("config.json", "model.safetensors"):
        (again.parent / name).rename(again / name)
    answers = [logits(folder, kind) for kind in KINDS for folder in (checkpoint, other, again)]
    assert len(list(kept.iterdir())) == 12
    for expected, found in zip(answers, [logits(folder, kind) for kind in KINDS for folder in (checkpoint, other, again)], strict=True):
        np.testing.assert_array_equal(found, expected)


def test_other_weights_in_the_same_folder_make_a_new_file_and_the_old_one_goes_when_it_is_old(checkpoint, kept):
    before = logits(checkpoint)
    (first,) = kept.iterdir()
    make(checkpoint, 4)
    os.utime(checkpoint / "model.safetensors", ns=(1, 1))
    assert np.abs(logits(checkpoint) - before).max() > 1e-2
    (second,) = set(kept.iterdir()) - {first}
    (half,) = [kept / ".0123456789ab.part"]
    half.write_bytes(b"half")
    stranger = kept / f"{second.name.partition('-')[0]}-of another"
    stranger.write_bytes(b"another")
    for path in (first, half, stranger):
        os.utime(path, (time.time() - 2 * cache.DAY,) * 2)
    make(checkpoint, 3)
    os.utime(checkpoint / "model.safetensors", ns=(2, 2))
    np.testing.assert_array_equal(logits(checkpoint), before)
    assert first not in set(kept.iterdir())
    assert {second, stranger} < set(kept.iterdir())
    assert not half.exists()


def test_a_file_of_another_size_is_made_anew(checkpoint, kept, packs):
    expected = logits(checkpoint)
    (file,) = kept.iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole[:-1])
    packs.clear()
    np.testing.assert_array_equal(logits(checkpoint), expected)
    assert all(packs)
    assert file.read_bytes() == whole


def test_all_files_together_take_no_more_than_is_wished_and_the_longest_unused_go(checkpoint, kept, monkeypatch):
    folders = [checkpoint, *(make(checkpoint.parent / f"model {i}", i) for i in range(3))]
    logits(folders[0])
    (first,) = kept.iterdir()
    size = first.stat().st_size
    monkeypatch.setenv("UNSPOOL_CACHE_SIZE", str(3.5 * size / cache.GIGABYTE))
    files = [first]
    for age, folder in zip((400, 300, 200), folders[1:], strict=True):
        for file in kept.iterdir():
            os.utime(file, (time.time(), file.stat().st_mtime - age))     # times of reading, which some systems note, tell nothing
        if folder is folders[3]:
            logits(folders[0])                                            # the oldest is used, so the second goes
        logits(folder)
        files += set(kept.iterdir()) - set(files)
    assert set(kept.iterdir()) == {files[0], files[2], files[3]}
    monkeypatch.setenv("UNSPOOL_CACHE_SIZE", str(1.5 * size / cache.GIGABYTE))
    logits(folders[1])
    assert set(kept.iterdir()) == {files[1]}
    for small in ("0", str(0.5 * size / cache.GIGABYTE)):
        monkeypatch.setenv("UNSPOOL_CACHE_SIZE", small)
        logits(folders[2])
        assert set(kept.iterdir()) == {files[1]}


def test_what_another_process_is_writing_stays(checkpoint, kept, monkeypatch):
    kept.mkdir(parents=True)
    part = kept / ".0123456789ab.part"
    part.write_bytes(b"half")
    monkeypatch.setenv("UNSPOOL_CACHE_SIZE", "1")
    monkeypatch.setattr(cache, "GIGABYTE", 1000 + len(CompiledTransformer(read_transformer("gpt2", *tiny_gpt2(3)))._store.bytes))
    logits(checkpoint)
    assert part.exists()
    assert len(list(kept.iterdir())) == 2


def test_whatever_reads_weights_has_its_part_in_a_file_s_name(checkpoint, kept, monkeypatch, tmp_path):
    """Every module that is imported on the way from a file to its packed weights; when one changes, what it packed is not used again."""
    root, on_the_way, to_read = Path(un.__file__).parent, set(), ["models/loading.py", "models/gguf/checkpoint.py"]
    while to_read:
        on_the_way.add(name := to_read.pop())
        names = re.findall(r"^\s*from unspool\.((?:models|kernels)[\w.]*) import", (root / name).read_text(encoding="utf-8"), re.MULTILINE)
        to_read += {f"{one.replace('.', '/')}.py" for one in names if (root / f"{one.replace('.', '/')}.py").is_file()} - on_the_way
    on_the_way -= {"kernels/build.py", "kernels/cores.py"}                # the first is part of the stamp, the second counts cores
    assert {"models/quantised.py", "models/compiled/cache.py"} < on_the_way
    assert on_the_way <= {str(path.relative_to(root)) for path in cache.sources()}
    copies = [tmp_path / f"{i}.py" for i, path in enumerate(cache.sources()) if shutil.copy(path, tmp_path / f"{i}.py")]
    monkeypatch.setattr(cache, "sources", lambda: copies)
    cache._readers.cache_clear()
    before = cache.file_of(checkpoint, "float32")
    copies[3].write_text("another = 1")
    cache._readers.cache_clear()
    assert before != cache.file_of(checkpoint, "float32")


@pytest.mark.parametrize(("free", "total", "count"), [(3e9, 1e10, 1), (1.9e9, 1e10, 0), (3e9, 1e11, 0), (6e9, 1e11, 1)])
def test_a_disk_is_not_filled(free, total, count, checkpoint, kept, monkeypatch):
    monkeypatch.setattr(cache.shutil, "disk_usage", lambda folder: SimpleNamespace(free=free, total=total))
    logits(checkpoint)
    assert len(list(kept.iterdir())) == count


@pytest.mark.parametrize("text", ["much", "-1", "nan"])
def test_a_size_that_is_none_is_refused(text, checkpoint, kept, monkeypatch):
    monkeypatch.setenv("UNSPOOL_CACHE_SIZE", text)
    with pytest.raises(un.ParameterError, match="gigabytes of packed weights"):
        logits(checkpoint)


def test_nothing_is_kept_of_a_small_model_or_where_that_is_wished(checkpoint, kept, monkeypatch):
    monkeypatch.setenv("UNSPOOL_CACHE", "none")
    logits(checkpoint)
    monkeypatch.setenv("UNSPOOL_CACHE", str(kept.parent))
    monkeypatch.setattr(cache, "SMALL", 64 << 20)
    logits(checkpoint)
    assert not kept.exists()


def test_files_that_lead_nowhere_beside_the_weights_do_no_harm(checkpoint, kept):
    (checkpoint / "older.safetensors").symlink_to(checkpoint / "gone")
    (checkpoint / "folder.safetensors").mkdir()
    logits(checkpoint)
    assert len(list(kept.iterdir())) == 1


def a_file(folder):
    folder.write_bytes(b"a file")


def a_folder_of_a_file(folder):
    folder.parent.write_bytes(b"a file")


@pytest.mark.parametrize("spoil", [a_file, a_folder_of_a_file])
def test_a_home_that_cannot_be_written_keeps_nothing(spoil, checkpoint, kept, monkeypatch):
    expected = logits(checkpoint)
    shutil.rmtree(kept.parent)
    home = checkpoint.parent / "home"
    home.mkdir()
    monkeypatch.delenv("UNSPOOL_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "cache"))
    spoil(home / "cache" / "unspool" if spoil is a_folder_of_a_file else home / "cache")
    np.testing.assert_array_equal(logits(checkpoint), expected)
    assert [path.name for path in home.rglob("*")] == ["cache"]


def test_a_folder_that_may_not_be_made_keeps_nothing(checkpoint, kept, monkeypatch):
    """As root may write anywhere, the system's answer to others stands here."""

    def refused(path, **options):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "mkdir", refused)
    logits(checkpoint)
    assert not kept.exists()


def test_a_user_without_a_home_keeps_nothing(checkpoint, kept, monkeypatch):
    def lost():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", lost)
    for name in ("UNSPOOL_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    assert cache.kept("packed") is None
    logits(checkpoint)


LOADS = """
import sys
import numpy as np
from unspool.models.compiled import cache
from unspool.models.loading import read_model
cache.SMALL = 0
{before}
from pathlib import Path
session = read_model(Path({folder!r}), "compiled", None, "int8")[0].session()
print(np.asarray(session.logits(session.extend([-1], [[1, 2, 3]]))).tobytes().hex())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no such limits there")
def test_a_disk_that_is_full_keeps_nothing_and_no_half(checkpoint, kept):
    """A limit on the size of files stands for the disk: the system takes a part of the file and then no more."""
    full = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))"
    said = [run_in_process(LOADS.format(before=before, folder=str(checkpoint))) for before in (full, "")]
    assert [one.returncode for one in said] == [0, 0], said
    assert said[0].stdout == said[1].stdout
    assert len(list(kept.iterdir())) == 1
    shutil.rmtree(kept)
    run_in_process(LOADS.format(before=full, folder=str(checkpoint)))
    assert list(kept.iterdir()) == []


def test_processes_that_load_at_once_agree_and_leave_one_file(checkpoint, kept):
    """Each holds a whole file or none: one may read what another has just put there."""
    code = LOADS.format(before="", folder=str(checkpoint))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, [Path(cache.__file__).parents[3]]))}
    running = [subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    said = {one.communicate()[0] for one in running}
    assert [one.returncode for one in running] == [0] * 4
    assert len(said) == 1
    assert len(list(kept.iterdir())) == 1


PEAK = """
import sys
from pathlib import Path
import numpy as np
from unspool.models.loading import read_model
from unspool.kernels import library
library.library()
def peak():
    return [int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")][0] * 1024
before = peak()
model = read_model(Path(sys.argv[1]), "compiled", None, sys.argv[2])[0]
session = model.session()
session.logits(session.extend([-1], [[1, 2, 3]]))
print(peak() - before, model.packed_bytes)
"""
WIDE = {"layers": 4, "width": 512, "inner": 2048, "heads": 8, "key_heads": 8, "vocabulary": 30000}
MIB = 1 << 20


@pytest.fixture(scope="module", params=["float32", "bfloat16"])
def wide(request, tmp_path_factory):
    """A checkpoint of 47 million numbers, its head apart from its embedding."""
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file as save_torch

    folder = tmp_path_factory.mktemp("wide")
    config, weights = tiny_llama(1, **WIDE)
    (folder / "config.json").write_text(json.dumps(config))
    held = {name: torch.from_numpy(array).to(getattr(torch, request.param)) for name, array in weights.items()}
    save_torch(held, folder / "model.safetensors")
    return folder


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is read from /proc")
@pytest.mark.parametrize("kind", KINDS)
def test_loading_holds_the_packed_weights_and_a_piece_of_the_others(kind, wide):
    """A piece is 16 MiB in float32, and half as much of the file; the process had its modules before."""
    said = subprocess.run(
        [sys.executable, "-c", PEAK, str(wide), kind],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "UNSPOOL_CACHE": "none", "PYTHONPATH": str(Path(cache.__file__).parents[3])},
    ).stdout
    peak, packed = map(int, said.split())
    assert packed < peak < packed + 48 * MIB, (peak / MIB, packed / MIB)


@pytest.mark.parametrize("variant", library.variants())
@pytest.mark.parametrize("stored", ["float16", "bfloat16"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_file_of_16_bits_gives_the_bits_of_the_same_numbers_in_float32(kind, stored, variant, tmp_path, monkeypatch):
    """Its float32 is packed in half the bytes; so are weights of which some lie turned, and those of odd sizes."""
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file as save_torch

    monkeypatch.setenv("UNSPOOL_KERNELS", variant)
    for family, (config, weights) in {"gpt2": tiny_gpt2(3), "llama": tiny_llama(3)}.items():
        held = {name: torch.from_numpy(array.copy()).to(getattr(torch, stored)) for name, array in weights.items()}
        models = []
        for dtype in (getattr(torch, stored), torch.float32):
            folder = tmp_path / f"{family}-{dtype}"
            folder.mkdir()
            (folder / "config.json").write_text(json.dumps(config))
            save_torch({name: tensor.to(dtype) for name, tensor in held.items()}, folder / "model.safetensors")
            models.append(read_model(folder, "compiled", None, kind)[0])
        answers = []
        for model in models:
            session = model.session()
            answers.append(session.logits(session.extend([-1] * 9, [[i, 2, 3, 1][: 1 + i % 4] for i in range(9)])))
        np.testing.assert_array_equal(*answers)
        half, whole = (model.packed_bytes for model in models)
        assert half == whole if kind != "float32" else half < 0.52 * whole


def test_layers_of_files_in_two_formats_are_packed_together_in_float32():
    weight = np.random.default_rng(0).standard_normal((20, 7)).astype(np.float32)
    halves, others = Stored(weight.astype(np.float16)), Stored((weight.view(np.uint32) >> 16).astype(np.uint16))
    alike, mixed = [([halves] * 2, "float16"), ([others] * 2, "bfloat16")], [([halves, others], "float32"), ([halves, weight], "float32")]
    for parts, kind in alike + mixed:
        linears = [Linear(part, None) for part in parts]
        assert form_of(parts, "float32").kind == kind
        packed = packed_as(linears, "float32")
        np.testing.assert_allclose(packed(np.eye(7, dtype=np.float32)).T, np.concatenate([np.asarray(part) for part in parts]), rtol=0)


def test_weights_of_the_same_size_and_time_at_the_same_place_are_not_taken_for_the_old_ones(checkpoint, kept):
    before, weights = logits(checkpoint), checkpoint / "model.safetensors"
    its = weights.stat()
    make(checkpoint, 4)
    assert weights.stat().st_size == its.st_size
    os.utime(weights, ns=(its.st_atime_ns, its.st_mtime_ns))
    assert np.abs(logits(checkpoint) - before).max() > 1e-2
