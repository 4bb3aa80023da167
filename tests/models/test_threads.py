"""How many threads numpy's products use, and what is said of the BLAS: told by a library that is not real."""

import os
from types import SimpleNamespace

import numpy as np
import pytest

from unspool.models import blas, threads
from unspool.models.threads import SMALL, most_threads


@pytest.fixture
def library(monkeypatch):
    held = [4]
    found = SimpleNamespace(architecture="Haswell", internal_api="openblas", version="0", get_num_threads=lambda: held[0])
    found.set_num_threads = lambda n: held.__setitem__(0, n)
    for module in (blas, threads):
        monkeypatch.setattr(module, "libraries", lambda: [found])
    return found


def test_a_large_model_takes_what_is_asked_for_and_a_small_one_takes_one_thread(monkeypatch):
    large = [np.broadcast_to(np.float32(0), (SMALL,))]
    monkeypatch.setenv("UNSPOOL_THREADS", "3")
    assert (most_threads(large), most_threads([np.zeros(3)]), most_threads([object()])) == (3, 1, None)


@pytest.mark.parametrize(("most", "used"), [(1, 1), (3, 3), (9, 4), (None, 4)])
def test_the_threads_are_given_back(library, most, used):
    def fail():
        with threads.threads(most):
            assert library.get_num_threads() == used
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert library.get_num_threads() == 4


def test_kernels_that_the_environment_names_are_spoken_of(library, monkeypatch):
    monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)
    assert blas.blas() == "openblas 0, Haswell"
    monkeypatch.setitem(os.environ, "OPENBLAS_CORETYPE", "Haswell")
    monkeypatch.setattr(blas, "_chosen", lambda: "Haswell")
    assert blas.blas() == "openblas 0, Haswell"
    monkeypatch.setattr(blas, "_chosen", lambda: "SkylakeX")
    assert blas.blas().endswith("OPENBLAS_CORETYPE=Haswell in the environment; without it the kernels would be those of SkylakeX")


def test_what_cannot_be_asked_is_not_said(monkeypatch):
    monkeypatch.setattr("sys.executable", os.devnull)
    assert blas._chosen() == ""
