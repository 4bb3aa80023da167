"""Numbers of every format that is read become the same numbers in float32."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from unspool.models.weights import read_weights


@pytest.mark.parametrize("private", [False, True])
def test_every_16_bit_number_is_widened_exactly(tmp_path, private):
    patterns = torch.from_numpy(np.arange(1 << 16, dtype=np.uint16).view(np.int16)).reshape(256, 256)
    stored = {"half": patterns.view(torch.float16), "brain": patterns.clone().view(torch.bfloat16)}
    stored |= {"odd": torch.ones(3, dtype=torch.float16)}
    stored |= {"single": torch.linspace(-1, 1, 7), "double": torch.tensor([0.1, -1e-40], dtype=torch.float64), "none": torch.zeros(0, 2)}
    save_file(stored, tmp_path / "model.safetensors")
    found = read_weights(tmp_path, private)
    assert found.keys() == stored.keys()
    for name, tensor in stored.items():
        assert found[name].dtype == np.float32
        np.testing.assert_array_equal(found[name], tensor.to(torch.float32).numpy(), err_msg=name)


def test_float32_is_not_copied(tmp_path):
    save_file({"w": torch.zeros(4, 4)}, tmp_path / "model.safetensors")
    weights = read_weights(tmp_path)["w"]
    assert not weights.flags.writeable
    assert not weights.flags.owndata
