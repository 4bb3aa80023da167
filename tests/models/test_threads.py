"""The number of threads follows what they take: told by a clock and a library that are not real."""

import os

import numpy as np
import pytest

from unspool.models import threads
from unspool.models.threads import SMALL, TRIAL, ThreadChoice


class Machine:
    """A BLAS library and a clock: a piece of work takes `alone` seconds with one thread and `all` with more."""

    architecture, internal_api, version, num_threads = "Haswell", "openblas", "0", 4

    def __init__(self, alone, all_):
        self.alone, self.all, self.threads, self.now, self.used = alone, all_, 4, 0.0, []

    def get_num_threads(self):
        return self.threads

    def set_num_threads(self, n):
        self.threads = n

    def run(self, choice, pieces, rows=1):
        """The seconds that pieces of work take."""
        begun = self.now
        for _ in range(pieces):
            with choice.work("layer", rows):
                self.used.append(self.threads)
                self.now += self.alone if self.threads == 1 else self.all
            assert self.threads == 4
        return self.now - begun


def large():
    return [np.broadcast_to(np.float32(0), (SMALL,))]


def machine(monkeypatch, alone, all_, weights=None):
    found = Machine(alone, all_)
    monkeypatch.setattr(threads, "libraries", lambda: [found])
    return found, ThreadChoice(large() if weights is None else weights, lambda: found.now)


@pytest.mark.parametrize(("alone", "all_"), [(1, 0.5), (1, 40), (1, 1), (1, 1.2)])
def test_the_faster_number_is_kept(monkeypatch, alone, all_):
    found, choice = machine(monkeypatch, alone, all_)
    assert found.run(choice, 5000) <= 5000 * min(alone, all_) * 1.03 + TRIAL * max(alone, all_)


def test_a_busy_core_is_noticed_at_once_and_its_end_in_time(monkeypatch):
    found, choice = machine(monkeypatch, 1, 0.5)
    found.run(choice, 100)
    found.all = 20
    assert found.run(choice, 1000) < 1000 * 1.03 + 3 * 20
    found.all = 0.5
    found.run(choice, 1100)
    assert set(found.used[-20:]) == {4}


def test_one_bad_piece_does_not_stay_a_verdict(monkeypatch):
    found, choice = machine(monkeypatch, 1, 0.5)
    found.run(choice, 100)
    found.all = 20
    found.run(choice, 1)
    found.all = 0.5
    assert found.run(choice, 1000) < 1000 * 0.5 * 1.3


def test_rows_of_another_number_are_another_kind(monkeypatch):
    found, choice = machine(monkeypatch, 1, 2)
    found.run(choice, 20)
    found.all = 0.5
    found.used.clear()
    found.run(choice, 20, rows=64)
    assert found.used[:TRIAL] == [1] * TRIAL
    assert set(found.used[TRIAL:]) == {4}


def test_a_small_model_computes_alone_and_tensors_are_left_to_their_library(monkeypatch):
    found, choice = machine(monkeypatch, 1, 0.1, [np.zeros(3)])
    found.run(choice, 50)
    assert set(found.used) == {1}
    found, choice = machine(monkeypatch, 1, 10, [object()])
    found.run(choice, 50)
    assert set(found.used) == {4}


def test_work_that_fails_gives_the_threads_back_and_counts_for_nothing(monkeypatch):
    found, choice = machine(monkeypatch, 1, 2)

    def fail():
        with choice.work("layer", 1):
            found.used.append(found.threads)
            raise KeyError

    for _ in range(3 * TRIAL):
        with pytest.raises(KeyError):
            fail()
        assert found.threads == 4
    assert set(found.used) == {1}


def test_a_library_with_one_thread_is_not_touched(monkeypatch):
    found, choice = machine(monkeypatch, 1, 2)
    found.threads, found.set_num_threads = 1, None
    with choice.work("layer", 1):
        pass


def test_kernels_that_the_environment_names_are_spoken_of(monkeypatch):
    machine(monkeypatch, 1, 2)
    monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)
    assert threads.blas() == "openblas 0, Haswell, 4 threads"
    monkeypatch.setitem(os.environ, "OPENBLAS_CORETYPE", "Haswell")
    monkeypatch.setattr(threads, "_chosen", lambda: "Haswell")
    assert threads.blas() == "openblas 0, Haswell, 4 threads"
    monkeypatch.setattr(threads, "_chosen", lambda: "SkylakeX")
    assert threads.blas().endswith("OPENBLAS_CORETYPE=Haswell in the environment; without it the kernels would be those of SkylakeX")


def test_what_cannot_be_asked_is_not_said(monkeypatch):
    monkeypatch.setattr("sys.executable", os.devnull)
    assert threads._chosen() == ""
