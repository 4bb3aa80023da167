"""Models whose exponents are packed as codes: the same numbers in fewer bytes, and the plain formats where that is no way."""

import json

import numpy as np
import pytest
from helpers.checkpoints import tiny_gpt2, tiny_llama
from helpers.kernels import packed_as
from safetensors.numpy import save_file

from unspool.errors import ModelError
from unspool.kernels import library
from unspool.models.compiled import coded, model as compiled_model
from unspool.models.compiled.forms import PackedForm
from unspool.models.loading import read_model
from unspool.models.transformer import Linear

pytestmark = pytest.mark.skipif(not library.variants(), reason="the kernels are not built")
FAMILIES = {"gpt2": tiny_gpt2, "llama": tiny_llama}


@pytest.fixture
def codes(monkeypatch):
    """Every model is coded that can be; without a cache."""
    monkeypatch.setattr(compiled_model, "STREAMED", 0)
    monkeypatch.setattr(compiled_model, "CODING", tuple(variant.name for variant in library.variants().values()))
    monkeypatch.setenv("UNSPOOL_CACHE", "none")


def written(folder, family, spoil=None):
    """A tiny checkpoint; spoil: what is done to its tensors."""
    config, weights = FAMILIES[family](3, width=64, heads=2, vocabulary=300)
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    save_file({name: (spoil or (lambda array: array))(array) for name, array in weights.items()}, folder / "model.safetensors")
    return folder


def formats(model):
    names = {code: name for name, code in library.FORMAT_CODES.items()}
    return {names[packed.fields.format] for packed in model._kept if hasattr(packed, "fields")}


def logits(model):
    session = model.session()
    return session.logits(session.extend([-1] * 20, [[i, 2, 7, 1][: 1 + i % 4] for i in range(20)]))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("kind", "name", "part"), [("float32", "coded32", 0.9), ("bfloat16", "coded16", 0.8)])
def test_a_coded_model_gives_the_same_bits_from_fewer_bytes(family, kind, name, part, tmp_path, codes, monkeypatch):
    folder = written(tmp_path / family, family)
    found = read_model(folder, "compiled", None, kind)[0]
    monkeypatch.setattr(compiled_model, "CODING", ())
    plain = read_model(folder, "compiled", None, kind)[0]
    assert (formats(found), formats(plain)) == ({name}, {kind})
    np.testing.assert_array_equal(logits(found), logits(plain))
    assert found.packed_bytes < part * plain.packed_bytes


@pytest.mark.parametrize("family", FAMILIES)
def test_a_layer_with_too_many_exceptions_is_packed_as_it_is_and_others_are_coded(family, tmp_path, codes, monkeypatch):
    def scattered(array):
        """One matrix over all exponents, of which 15 have a code at most."""
        if array.shape not in ((64, 256), (24, 64)):
            return array
        return (array * np.exp2(np.arange(array.size) % 240 - 120.0).reshape(array.shape)).astype(np.float32)

    folder = written(tmp_path / family, family, scattered)
    found = read_model(folder, "compiled")[0]
    assert formats(found) == {"float32", "coded32"}
    monkeypatch.setattr(compiled_model, "CODING", ())
    np.testing.assert_array_equal(logits(found), logits(read_model(folder, "compiled")[0]))


def test_codes_stand_for_the_exponents_that_most_weights_have():
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((64, 64)).astype(np.float32)
    found = coded_form([weight, weight * np.float32(0.5)])
    assert found.kind == "coded32"
    largest = int((np.abs(weight).max().view(np.uint32) >> 23) & 255)
    assert found.exponent + coded.CODES in (largest, largest - 1)         # the largest may be an exception
    assert coded_form([weight], "bfloat16") == PackedForm.of("coded16")._replace(exponent=coded_form([weight.T]).exponent)
    assert coded_form([weight], "float16") == PackedForm.of("float16")
    assert not coded_form([weight[:, :60]]).coded                         # no whole chunks
    assert not coded_form([np.exp2(rng.uniform(-40, 0, (64, 64))).astype(np.float32)]).coded
    assert coded_form([np.where(weight > 0, weight, np.float32(0))]).coded  # zeros have a code


def coded_form(weights, kind="float32"):
    return coded.coded_form(weights, PackedForm.of(kind))


@pytest.mark.parametrize("beyond", [0, 1])
def test_there_is_room_for_the_exceptions_that_were_counted_and_for_no_more(beyond):
    form = PackedForm("coded32", 32, False, 120, 9)
    weight = np.ones((32, 64), np.float32)                                # exponent 127
    weight.reshape(-1)[: form.exceptions + beyond] = 2.0**20
    if beyond:
        with pytest.raises(ValueError, match="coded32"):
            packed_as([Linear(weight)], "float32", form)
    else:
        np.testing.assert_array_equal(packed_as([Linear(weight)], "float32", form)(np.eye(64, dtype=np.float32)).T, weight)


def test_what_is_not_coded_is_refused():
    weight = np.ones((16, 12), np.float32)                                # no whole chunks
    with pytest.raises(ValueError, match="are not packed"):
        packed_as([Linear(weight)], "float32", PackedForm("coded32", 32, False, 120))


def test_a_kept_file_is_read_again_and_none_stands_for_other_forms(tmp_path, codes, monkeypatch):
    monkeypatch.setattr("unspool.models.compiled.cache.SMALL", 0)
    monkeypatch.setenv("UNSPOOL_CACHE", str(tmp_path / "kept"))
    folder = written(tmp_path / "gpt2", "gpt2")
    first, again = (read_model(folder, "compiled")[0] for _ in range(2))
    assert (first._store.filled, again._store.filled) == (False, True)
    np.testing.assert_array_equal(logits(first), logits(again))
    monkeypatch.setattr(compiled_model, "CODING", ())
    plain = read_model(folder, "compiled")[0]
    assert not plain._store.filled
    assert plain._store.path != first._store.path
    np.testing.assert_array_equal(logits(first), logits(plain))


@pytest.fixture
def damaged(tmp_path, codes, monkeypatch):
    """A checkpoint, and its kept file."""
    monkeypatch.setattr("unspool.models.compiled.cache.SMALL", 0)
    monkeypatch.setenv("UNSPOOL_CACHE", str(tmp_path / "kept"))

    def spoiled(array):
        found = array.copy()
        found.reshape(-1)[:: max(found.size // 4, 1)] *= np.float32(2.0**-60)  # exceptions
        return found if array.ndim > 1 else array

    folder = written(tmp_path / "gpt2", "gpt2", spoiled)
    model = read_model(folder, "compiled")[0]
    assert sum(form.exceptions for form in model._store.forms) > 20
    return folder, model


def test_a_file_whose_first_line_is_damaged_is_made_anew(damaged):
    folder, model = damaged
    whole = model._store.path.read_bytes()
    line = whole[: whole.index(b"\n") + 1]
    broken = [b"", b"\n", b"[]\n", b"[[1]]\n", line[1:], line.replace(b"32", b"0 "), line.replace(b"coded32", b"coded99")]
    for first in broken:
        model._store.path.write_bytes(first + whole[len(line) :])
        again = read_model(folder, "compiled")[0]
        assert not again._store.filled, first
        np.testing.assert_array_equal(logits(again), logits(model))


def test_places_of_exceptions_that_are_damaged_are_refused_and_those_within_change_numbers_alone(damaged):
    folder, model = damaged
    path = model._store.path
    whole = bytearray(path.read_bytes())
    head = len(whole) - len(model._store.bytes)
    packed = max((part for part in model._kept if hasattr(part, "rooms")), key=lambda part: len(part.rooms.exceptions))
    blocks = -(-packed.fields.outputs // 16)
    first = head + packed.rooms.exceptions.ctypes.data - model._store.bytes.ctypes.data
    path.write_bytes(whole[: first + 4] + b"\xff" * 4 + whole[first + 8 :])
    with pytest.raises(ModelError, match=r"is damaged: remove it"):
        read_model(folder, "compiled")
    begin, end = first + 4 * (blocks + 1), first + len(packed.rooms.exceptions)
    path.write_bytes(whole[:begin] + b"\xf0" * (end - begin) + whole[end:])
    assert read_model(folder, "compiled")[0]._store.filled
    assert logits(read_model(folder, "compiled")[0]).shape == logits(model).shape
