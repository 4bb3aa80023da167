"""Opening a model: who waits is told how far it is, and what memory cannot hold is refused before any room is made."""

import numpy as np
import pytest
from helpers.program import tiny_folder

import unspool as un
from unspool.core import room
from unspool.kernels.library import available
from unspool.models.progress import watched


@pytest.fixture
def folder(tmp_path):
    return tiny_folder(tmp_path / "model")


@pytest.mark.skipif(not available(), reason="the kernels are not built")
def test_weights_beyond_memory_are_refused_before_there_is_room(folder, monkeypatch):
    monkeypatch.setattr(room, "memory", lambda: 10_000)
    with pytest.raises(un.ModelError, match=r"weights take \d+ kB of memory for dtype float32, and this machine has 10 kB: .*int4"):
        un.load(folder)


@pytest.mark.skipif(not available(), reason="the kernels are not built")
def test_who_watches_is_told_in_order(folder):
    told = []
    with watched(lambda done, total: told.append((done, total))):
        un.load(folder)
    assert len(told) > 3
    assert told == sorted(told)
    assert len({total for _, total in told}) == 1
    assert told[-1][0] <= told[-1][1]
    before = len(told)
    un.load(folder)
    assert len(told) == before                                           # nobody listens any longer


def test_gguf_files_too(tmp_path, monkeypatch):
    pytest.importorskip("gguf")
    from helpers.checkpoints import tiny_gpt2
    from helpers.gguf_files import write_model

    config, weights = tiny_gpt2(0, layers=1, width=8, vocabulary=300, positions=16)
    config |= {"layer_norm_epsilon": 1e-5, "eos_token_id": 0}
    write_model(tmp_path / "tiny.gguf", "gpt2", config, {f"transformer.{name}": np.asarray(w) for name, w in weights.items()})
    told = []
    with watched(lambda done, total: told.append((done, total))):
        un.load(tmp_path / "tiny.gguf", backend="numpy")
    assert [done for done, _ in told] == list(range(told[0][1]))
    monkeypatch.setattr(room, "memory", lambda: 1000)
    with pytest.raises(un.ModelError, match="this machine has 1 kB"):
        un.load(tmp_path / "tiny.gguf", backend="numpy")


@pytest.mark.parametrize(
    ("given", "example"),
    [
        ({"dtype": np.float16}, "dtype='float16'"),
        ({"dtype": 8}, "dtype='float16'"),
        ({"device": 1}, "device='cuda'"),
        ({"backend": ["numpy"]}, "backend='torch'"),
        ({"device": b"cpu", "backend": "llama.cpp"}, "device='cuda'"),
    ],
)
def test_backends_devices_and_dtypes_are_given_by_their_names(given, example):
    with pytest.raises(un.ParameterError, match=f"is given by its name, as {example}; got "):
        un.load(**given)


def test_the_dtype_of_torch_is_shown_by_its_name():
    torch = pytest.importorskip("torch")
    for given, example in (({"dtype": torch.bfloat16}, "dtype='bfloat16'"), ({"device": torch.device("cpu")}, "device='cpu'")):
        with pytest.raises(un.ParameterError, match=f"is given by its name, as {example}; got "):
            un.load(**given)


VARIABLES = [("UNSPOOL_THREADS", "abc"), ("UNSPOOL_CACHE_SIZE", "abc")]
VARIABLES += [("UNSPOOL_KERNELS", "abc")] if available() else []


@pytest.mark.parametrize(("name", "value"), VARIABLES)
@pytest.mark.parametrize("kernels", ["", "none"])
@pytest.mark.parametrize("backend", [None, "numpy"])
def test_a_variable_that_says_nothing_is_refused_whatever_the_model(name, value, kernels, backend, monkeypatch):
    """The bundled one asks for few of them."""
    monkeypatch.setenv("UNSPOOL_KERNELS", kernels)
    monkeypatch.setenv(name, value)
    with pytest.raises(un.ParameterError, match=f"{name}='{value}': "):
        un.load(backend=backend)
