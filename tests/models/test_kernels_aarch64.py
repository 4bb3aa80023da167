"""The kernels for AArch64 (NEON): the laws of `test_kernels.py`, under an emulator, where there is one and a compiler for it."""

import numpy as np
import pytest
from helpers import guest, kernels as on_trial

from unspool.kernels import library
from unspool.kernels.library import PACKED_FORMATS
from unspool.models.compiled import coded
from unspool.models.compiled.forms import PackedForm, Rooms

pytestmark = [
    pytest.mark.skipif(not library.variants(), reason="the kernels are not built"),
    pytest.mark.skipif(not guest.EMULATOR, reason="no qemu-aarch64"),
    pytest.mark.skipif(not guest.compiler(), reason="no compiler for AArch64 (aarch64-linux-gnu-gcc, or zig from the package ziglang)"),
]


@pytest.fixture(scope="module")
def aarch64(tmp_path_factory):
    """The kernels of another processor."""
    found = guest.Guest(guest.built(tmp_path_factory.mktemp("guest")))
    yield found
    found.close()


@pytest.mark.parametrize("kind", PACKED_FORMATS)
def test_a_linear_layer_is_that_of_numpy_and_a_row_is_as_if_alone(aarch64, kind):
    rng = np.random.default_rng(PACKED_FORMATS.index(kind))
    for _ in range(100):
        on_trial.check_linear("aarch64", aarch64, kind, rng)


def test_whole_numbers_of_a_file_are_those_of_float32_to_the_bit(aarch64):
    rng = np.random.default_rng(3)
    for _ in range(40):
        on_trial.check_whole("aarch64", aarch64, rng)


def test_coded_weights_are_those_of_their_format_to_the_bit(aarch64):
    rng = np.random.default_rng(4)
    for _ in range(40):
        on_trial.check_coded("aarch64", aarch64, rng)


@pytest.mark.parametrize("kind", PACKED_FORMATS)
def test_weights_are_packed_as_here(aarch64, kind):
    rng = np.random.default_rng(9)
    for _ in range(50):
        outputs, inputs = (int(rng.integers(1, most)) for most in (83, 150))
        weight = on_trial.random_weight(rng, outputs, inputs)
        strides = [stride // 4 for stride in weight.strides]
        found = []
        for one in (library.library(), aarch64):
            sizes = PackedForm.of(kind).sizes(outputs, inputs)[:3]
            rooms = [np.zeros(max(size, 1), np.uint8) for size in sizes]
            places = [room.ctypes.data if size else None for room, size in zip(rooms, sizes, strict=True)]
            one.un_pack(weight.ctypes.data, *strides, outputs, inputs, PACKED_FORMATS.index(kind), *places)
            found.append(b"".join(map(bytes, rooms)))
        assert found[0] == found[1]


@pytest.mark.parametrize("kind", ["coded32", "coded16"])
def test_exponents_are_coded_as_here(aarch64, kind, monkeypatch):
    monkeypatch.setattr(coded, "FEW", 1)
    rng = np.random.default_rng(10)
    for _ in range(30):
        outputs, inputs = int(rng.integers(1, 83)), 8 * int(rng.integers(1, 20))
        weight = rng.standard_normal((outputs, inputs)).astype(np.float32)
        weight.reshape(-1)[:: 1 + inputs // 3] *= np.float32(2.0**40)     # exceptions
        weight = weight if rng.integers(2) else weight.T.copy().T
        form = coded.coded_form([weight], PackedForm.of("float32" if kind == "coded32" else "bfloat16"))
        assert form.exceptions
        found = []
        for one in (library.library(), aarch64):
            rooms = Rooms(*(np.zeros(size, np.uint8) for size in form.sizes(outputs, inputs)))
            with monkeypatch.context() as patch:
                patch.setattr(coded, "library", lambda one=one: one)
                coded.pack_coded(weight, form, rooms, 0, -(-outputs // 16))
            found.append(b"".join(map(bytes, rooms)))
        assert found[0] == found[1]


def test_log_sum_exp_is_that_of_numpy(aarch64):
    rng = np.random.default_rng(8)
    for _ in range(200):
        on_trial.check_log_sum_exp("aarch64", aarch64, rng)


def test_the_largest_of_a_row_are_those_that_are_found_here(aarch64):
    rng = np.random.default_rng(7)
    for _ in range(100):
        rows, columns = int(rng.integers(1, 5)), int(rng.integers(130, 3000))
        k = int(rng.integers(1, columns // 128 + 1))
        x = rng.integers(0, 50, (rows, columns)).astype(np.float32)
        found = []
        for one in (library.kernels(), aarch64):
            its = np.zeros((rows, k), np.int64)
            assert one.top(x.ctypes.data, rows, columns, k, its.ctypes.data) == 0
            found.append(its)
        np.testing.assert_array_equal(*found)


@pytest.mark.parametrize("kind", PACKED_FORMATS)
def test_trees_of_random_transformers_answer_as_in_numpy_and_as_each_text_alone(aarch64, kind, monkeypatch):
    for module in ("model", "packing"):
        monkeypatch.setattr(f"unspool.models.compiled.{module}.kernels", lambda: aarch64)
    rng = np.random.default_rng(9)
    for size in on_trial.HEAD_SIZES:
        on_trial.check_session("aarch64", kind, rng, size)


def test_the_program_is_one_for_that_processor(aarch64):
    head = aarch64.program.read_bytes()[:20]
    assert head[:5] == b"\x7fELF\x02"
    assert int.from_bytes(head[18:20], "little") == 183
    assert aarch64.ask(99) == -1
