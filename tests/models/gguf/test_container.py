"""The container of GGUF files: what is broken or hostile is refused in one line, and nothing is made of the size that it claims."""

import struct
import tracemalloc

import numpy as np
import pytest

import unspool as un
from unspool.models.gguf.container import read_container

MOST_MEMORY = 1 << 20


def text(value):
    data = value if isinstance(value, bytes) else value.encode()
    return struct.pack("<Q", len(data)) + data


def key(name, kind, data):
    return text(name) + struct.pack("<I", kind) + data


def tensor(name="a.weight", shape=(32, 2), kind=8, offset=0):
    return text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)


KEYS = (
    key("general.architecture", 8, text("llama")),
    key("llama.block_count", 4, struct.pack("<I", 3)),
    key("llama.rope.freq_base", 6, struct.pack("<f", 1e4)),
    key("x.flag", 7, b"\1"),
    key("x.texts", 9, struct.pack("<IQ", 8, 3) + text("a") + text("") + text("옛")),
    key("x.numbers", 9, struct.pack("<IQ3f", 6, 3, 1, 2, 3)),
)


TENSORS = (tensor(), tensor("b.weight", (4,), 0, 96))


def file(keys=KEYS, tensors=TENSORS, data=b"\5" * 128, version=3, counts=None):
    counts = counts or (len(tensors), len(keys))
    head = b"GGUF" + struct.pack("<IQQ", version, *counts) + b"".join(keys) + b"".join(tensors)
    return head + b"\0" * (-len(head) % 32) + data


def read(tmp_path, data):
    (tmp_path / "model.gguf").write_bytes(data)
    return read_container(tmp_path / "model.gguf")


def refused(tmp_path, data, *words):
    (tmp_path / "model.gguf").write_bytes(data)
    tracemalloc.start()
    with pytest.raises(un.ModelError) as error:
        read_container(tmp_path / "model.gguf")
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    said = str(error.value)
    assert said.startswith(str(tmp_path / "model.gguf"))
    assert "\n" not in said
    assert most < MOST_MEMORY
    for word in words:
        assert word in said, said


def test_a_file_that_is_whole(tmp_path):
    found = read(tmp_path, file())
    assert found.keys["llama.block_count"] == 3
    assert found.keys["x.flag"] is True
    assert found.keys["x.texts"] == ["a", "", "옛"]
    assert found.keys["x.numbers"].tolist() == [1, 2, 3]
    assert found.tensors["a.weight"].shape == (2, 32)
    assert (found.tensors["a.weight"].bytes == 5).all()
    assert found.tensors["a.weight"].bytes.shape == (2, 34)
    assert found.tensors["b.weight"].format.name == "F32"
    assert read(tmp_path, file(version=2)).keys["llama.block_count"] == 3


def test_it_reads_what_the_official_package_writes(tmp_path):
    gguf = pytest.importorskip("gguf")
    writer = gguf.GGUFWriter(str(tmp_path / "model.gguf"), "llama")
    writer.add_custom_alignment(64)
    writer.add_array("x.words", ["one", "two"])
    matrix = np.arange(96, dtype=np.float32).reshape(3, 32)
    writer.add_tensor("m", matrix)
    writer.add_tensor("h", matrix.astype(np.float16))
    for step in (writer.write_header_to_file, writer.write_kv_data_to_file, writer.write_tensors_to_file, writer.close):
        step()
    found = read_container(tmp_path / "model.gguf")
    assert found.keys["x.words"] == ["one", "two"]
    for name in ("m", "h"):
        assert (found.tensors[name].format.widen(found.tensors[name].bytes).reshape(3, 32) == matrix).all()


LONG = struct.pack("<Q", 1 << 60)
HOSTILE = {
    "no GGUF file": (b"PK\3\4" + b"\0" * 100, "is no GGUF file"),
    "empty": (b"", "is no GGUF file"),
    "short": (b"GGUF\3\0\0\0", "truncated"),
    "version 1": (file(version=1), "version 1", "supported are 2 and 3"),
    "version 4": (file(version=4), "version 4"),
    "big-endian": (b"GGUF" + struct.pack(">IQQ", 3, 0, 1) + b"\0" * 64, "big-endian"),
    "many keys": (file(counts=(0, 1 << 60)), "keys"),
    "many tensors": (file(counts=(1 << 50, 2)), "tensors"),
    "a long name": (file(keys=[LONG + b"x"]), "text"),
    "a long text": (file(keys=[key("a", 8, LONG)]), "text"),
    "many texts": (file(keys=[key("a", 9, struct.pack("<I", 8) + LONG)]), "texts"),
    "a text among texts": (file(keys=[key("a", 9, struct.pack("<IQ", 8, 2) + text("a") + LONG)]), "text"),
    "many numbers": (file(keys=[key("a", 9, struct.pack("<I", 12) + LONG)]), "numbers"),
    "an array of arrays": (file(keys=[key("a", 9, struct.pack("<IQ", 9, 1))]), "array of arrays"),
    "a type of value": (file(keys=[key("a", 77, b"")]), "unknown type 77"),
    "a type in an array": (file(keys=[key("a", 9, struct.pack("<IQ", 77, 1))]), "unknown type 77"),
    "a key twice": (file(keys=KEYS + KEYS[:1]), "'general.architecture' twice"),
    "a tensor twice": (file(tensors=[tensor(), tensor()]), "'a.weight' twice"),
    "no UTF-8": (file(keys=[key("a", 8, text(b"\xff\xfe"))]), "no UTF-8"),
    "no dimensions": (file(tensors=[tensor(shape=())]), "0 dimensions"),
    "many dimensions": (file(tensors=[tensor(shape=(1,) * 5)]), "5 dimensions"),
    "a dimension of 0": (file(tensors=[tensor(shape=(0, 1 << 62))]), "holds nothing"),
    "large dimensions": (file(tensors=[tensor(shape=(1 << 62, 1 << 62, 1 << 62))]), "a.weight", "would need"),
    "a format": (file(tensors=[tensor(kind=4)]), "unknown format 4"),
    "half a block": (file(tensors=[tensor(shape=(33, 2))]), "blocks of 32", "33"),
    "misaligned": (file(tensors=[tensor(offset=8)]), "alignment 32"),
    "beyond": (file(tensors=[tensor(offset=1 << 40)]), "a.weight"),
    "without its data": (file(data=b""), "a.weight"),
    "alignment 0": (file(keys=[key("general.alignment", 4, struct.pack("<I", 0))]), "general.alignment"),
    "alignment 7": (file(keys=[key("general.alignment", 4, struct.pack("<I", 7))]), "general.alignment"),
    "alignment as text": (file(keys=[key("general.alignment", 8, text("32"))]), "general.alignment"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_files(case, tmp_path):
    refused(tmp_path, *HOSTILE[case])


def test_every_truncation_is_refused(tmp_path):
    whole = file()
    for size in range(len(whole) - 16):                                  # behind the last tensor there is padding
        refused(tmp_path, whole[:size])


LARGE = [0, 1, 255, 1 << 31, 1 << 32, (1 << 63) - 1, 1 << 63, (1 << 64) - 1]


def test_mutations_are_read_or_refused(tmp_path):
    """Bytes changed at random, single ones and whole numbers: a container, or our error, and little memory either way."""
    chance, whole = np.random.default_rng(0), file()
    head = len(whole) - 128
    refusals = 0
    for round_ in range(3000):
        data = bytearray(whole)
        at = int(chance.integers(4, head))
        if round_ % 3:
            data[at] = int(chance.integers(256))
        else:
            data[at : at + 8] = LARGE[chance.integers(len(LARGE))].to_bytes(8, "little")
        tracemalloc.start()
        try:
            read(tmp_path, bytes(data))
        except un.ModelError as error:
            assert "\n" not in str(error)                                # noqa: PT017
            refusals += 1
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert most < MOST_MEMORY
    assert refusals > 1000


def shard(number, count, tensors, more=()):
    keys = [*KEYS[:1], key("split.no", 2, struct.pack("<H", number)), key("split.count", 2, struct.pack("<H", count)), *more]
    return file(keys=keys, tensors=tensors)


def test_a_model_in_several_files(tmp_path):
    total = key("split.tensors.count", 5, struct.pack("<i", 2))
    paths = [tmp_path / f"m-0000{i}-of-00002.gguf" for i in (1, 2)]
    paths[0].write_bytes(shard(0, 2, [tensor()], [total]))
    with pytest.raises(un.ModelError, match=r"m-00002-of-00002.gguf is not beside it"):
        read_container(paths[0])
    paths[1].write_bytes(shard(1, 2, [tensor("b.weight")]))
    assert {*read_container(paths[0]).tensors} == {"a.weight", "b.weight"}
    with pytest.raises(un.ModelError, match=r"give the first, m-00001-of-00002.gguf"):
        read_container(paths[1])
    paths[1].write_bytes(shard(1, 2, [tensor()]))
    with pytest.raises(un.ModelError, match="another file of its set"):
        read_container(paths[0])
    paths[1].write_bytes(shard(1, 2, [tensor("b.weight"), tensor("c.weight", (4,), 0, 96)]))
    with pytest.raises(un.ModelError, match="hold 3 tensors where it says 2"):
        read_container(paths[0])
    other = paths[0].rename(tmp_path / "renamed.gguf")
    with pytest.raises(un.ModelError, match="one of 2 files, which are named"):
        read_container(other)


@pytest.mark.parametrize("offset", [0, 32, 64])
def test_tensors_that_overlap_are_refused_by_name(tmp_path, offset):
    refused(tmp_path, file(tensors=(tensor(), tensor("b.weight", (4,), 0, offset))), "the tensors", "a.weight", "b.weight", "overlap")
