"""Numbers of every format that is read become the same numbers in float32."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import unspool as un
from unspool.models.engine import read_torch
from unspool.models.stored import in_memory, read_matrices
from unspool.models.weights import read_weights


@pytest.mark.parametrize("private", [False, True])
def test_every_16_bit_number_is_widened_exactly(tmp_path, private):
    patterns = torch.from_numpy(np.arange(1 << 16, dtype=np.uint16).view(np.int16)).reshape(256, 256)
    stored = {"half": patterns.view(torch.float16), "brain": patterns.clone().view(torch.bfloat16)}
    stored |= {"odd": torch.ones(3, dtype=torch.float16)}
    stored |= {"single": torch.linspace(-1, 1, 7), "double": torch.tensor([0.1, -1e-40], dtype=torch.float64), "none": torch.zeros(0, 2)}
    save_file(stored, tmp_path / "model.safetensors")
    found, later = read_weights(tmp_path, private), read_matrices(tmp_path)
    assert found.keys() == later.keys() == stored.keys()
    for name, tensor in stored.items():
        assert found[name].dtype == later[name].dtype == np.float32
        np.testing.assert_array_equal(in_memory(later[name]), found[name])
        np.testing.assert_array_equal(found[name], tensor.to(torch.float32).numpy(), err_msg=name)


def test_float32_is_not_copied(tmp_path):
    save_file({"w": torch.zeros(4, 4)}, tmp_path / "model.safetensors")
    weights = read_weights(tmp_path)["w"]
    assert not weights.flags.writeable
    assert not weights.flags.owndata


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_torch_reads_every_format_as_torch_does(tmp_path, dtype):
    stored = {kind: torch.linspace(-3, 3, 5000).to(getattr(torch, kind)) for kind in ("float64", "float32", "float16", "bfloat16")}
    save_file(stored, tmp_path / "model.safetensors")
    before = (tmp_path / "model.safetensors").read_bytes()
    found = read_torch(tmp_path, "cpu", dtype)
    for name, tensor in stored.items():
        assert torch.equal(found[name], tensor.to(getattr(torch, dtype))), name
        found[name].zero_()
    assert (tmp_path / "model.safetensors").read_bytes() == before
    assert all((tensor == 0).all() for tensor in found.values())


def test_numbers_that_a_dtype_cannot_hold_are_refused_by_name(tmp_path):
    save_file({"w": torch.tensor([1.0, 1e6]), "v": torch.tensor([float("inf")])}, tmp_path / "model.safetensors")
    with pytest.raises(un.ModelError, match=r"model\.safetensors: w holds numbers beyond float16"):
        read_torch(tmp_path, "cpu", "float16")
    assert read_torch(tmp_path, "cpu", "bfloat16")["w"][1] > 9e5
    save_file({"w": torch.tensor([1.0, 1e300], dtype=torch.float64)}, tmp_path / "model.safetensors")
    for read in (read_weights, read_matrices):
        with pytest.raises(un.ModelError, match=r"model\.safetensors: w holds numbers beyond float32"):
            read(tmp_path)
    with pytest.raises(un.ModelError, match=r"model\.safetensors: w holds numbers beyond float32"):
        read_torch(tmp_path, "cpu", "float32")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_rows_of_a_stored_matrix_are_those_of_the_array(tmp_path, dtype):
    whole = torch.linspace(-3, 3, 35).reshape(7, 5).to(getattr(torch, dtype))
    save_file({"w": whole}, tmp_path / "model.safetensors")
    stored, array, some = read_matrices(tmp_path)["w"], whole.float().numpy(), np.asarray([4, 0, 4])
    for found, expected in (
        (stored, array),
        (stored[2:5], array[2:5]),
        (stored[some], array[some]),
        (stored[some][1:], array[some][1:]),
        (stored.T[1:3], array.T[1:3]),
        (stored.T[some], array.T[some]),
        (stored[some].T, array[some].T),
        (stored[np.asarray(3)], array[3]),
    ):
        assert found.shape == expected.shape
        np.testing.assert_array_equal(np.asarray(found, np.float32), expected)


PEAK = """
import sys, unspool
from pathlib import Path
from unspool.models.engine import read_torch, import_torch
import_torch().zeros(1).to(import_torch().bfloat16)
peak = lambda: [int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")][0]
before = peak()
held = read_torch(Path(sys.argv[1]), "cpu", sys.argv[2])
print((peak() - before) * 1024)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is read from /proc")
@pytest.mark.parametrize("stored", ["float32", "bfloat16"])
def test_loading_holds_the_model_and_little_more(tmp_path, stored):
    """In bfloat16 less than in float32, whatever the file has."""
    size = 24 * 1000 * 1000
    save_file({f"w{i}": torch.zeros(1000, 1000, dtype=getattr(torch, stored)) for i in range(24)}, tmp_path / "model.safetensors")
    for dtype, width in (("bfloat16", 2), ("float32", 4)):
        said = subprocess.run([sys.executable, "-c", PEAK, str(tmp_path), dtype], capture_output=True, text=True, check=True).stdout
        assert int(said) < width * size + 24e6
