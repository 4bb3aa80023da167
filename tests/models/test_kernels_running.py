"""The kernels' threads beside what else a program does: forks, Python threads, interruptions, many sessions."""

import os
import sys
import threading

import numpy as np
import pytest
from helpers.checkpoints import tiny_gpt2
from helpers.kernels import random_transformer, run_in_process, threads

import unspool as un
from unspool.kernels import library
from unspool.models.compiled.model import CompiledTransformer
from unspool.models.details import details
from unspool.models.reading import read_transformer

pytestmark = pytest.mark.skipif(not library.variants(), reason="the kernels are not built")
forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")

ANSWER = """
import unspool as un
lm = un.load(backend="compiled")
def answer(prompt="Once upon a time", count=12):
    return lm.generate(prompt, un.Beam(4), max_new_tokens=count).tokens
first = answer()
"""


@forks
@pytest.mark.parametrize("count", [1, 2, 7])
def test_a_forked_process_computes_as_its_parent(count):
    """The parent's threads are not in the child, which starts its own; both go on."""
    found = run_in_process(
        ANSWER
        + """
import os, warnings
warnings.simplefilter("ignore")                       # that a process with threads forks is the point
for _ in range(5):
    child = os.fork()
    if child == 0:
        os._exit(0 if answer() == first and answer() == first else 3)
    assert answer() == first
    assert os.waitpid(child, 0)[1] == 0
    assert answer() == first
print("equal")
""",
        UNSPOOL_THREADS=str(count),
    )
    assert (found.stdout, found.returncode) == ("equal\n", 0), found.stderr


@forks
def test_processes_of_a_pool_compute_as_their_parent():
    found = run_in_process(
        ANSWER
        + """
import multiprocessing, warnings
warnings.simplefilter("ignore")
with multiprocessing.get_context("fork").Pool(2) as pool:
    print(all(tokens == first for tokens in pool.map(answer, ["Once upon a time"] * 6)))
""",
        UNSPOOL_THREADS="3",
    )
    assert (found.stdout, found.returncode) == ("True\n", 0), found.stderr


@forks
def test_a_fork_while_another_thread_computes_is_no_trap():
    found = run_in_process(
        ANSWER
        + """
import os, threading, warnings
warnings.simplefilter("ignore")
stop = threading.Event()
def busy():
    while not stop.is_set():
        answer()
thread = threading.Thread(target=busy)
thread.start()
import ctypes as c
import numpy as np
from helpers.kernels import packed, product
from unspool.kernels.library import kernels
rng = np.random.default_rng(0)
layer, x = packed(rng.standard_normal((600, 500)).astype(np.float32), None, "float32"), rng.standard_normal((4, 500)).astype(np.float32)
y = product(kernels(), layer, x)
for _ in range(20):
    child = os.fork()
    if child == 0:
        os._exit(0 if (product(kernels(), layer, x) == y).all() else 3)
    assert os.waitpid(child, 0)[1] == 0
stop.set()
thread.join()
print("equal")
""",
        UNSPOOL_THREADS="3",
    )
    assert (found.stdout, found.returncode) == ("equal\n", 0), found.stderr


def test_a_text_is_the_same_whatever_the_number_of_threads():
    said = set()
    for count in ("1", "2", "7"):
        code = ANSWER + "print(first, answer('A king', 30), lm.generate('A', max_new_tokens=9).logprob)"
        found = run_in_process(code, UNSPOOL_THREADS=count)
        assert found.returncode == 0, found.stderr
        said.add(found.stdout)
    assert len(said) == 1


@pytest.mark.parametrize(
    ("settings", "count"),
    [
        ({"UNSPOOL_THREADS": "3", "OMP_NUM_THREADS": "5"}, 3),
        ({"OMP_NUM_THREADS": "5,2"}, 5),
        ({"OMP_NUM_THREADS": "many"}, None),
        ({"OMP_NUM_THREADS": "9" * 5000}, None),
    ],
)
def test_the_number_of_threads_is_what_is_asked_for(settings, count, monkeypatch):
    for name in ("UNSPOOL_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(library, "cores", lambda: 2)
    cores = library.thread_count()
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    assert library.thread_count() == (count or cores)


@pytest.mark.parametrize("text", ["0", "many", "-1", "²", "9" * 5000])
def test_a_number_of_threads_that_is_none_is_refused(text, monkeypatch):
    monkeypatch.setenv("UNSPOOL_THREADS", text)
    with pytest.raises(un.ParameterError, match="UNSPOOL_THREADS"):
        library.thread_count()


def test_a_model_keeps_the_kernels_that_it_was_loaded_with(monkeypatch):
    names = list(library.variants())
    models = {}
    for name in names:
        monkeypatch.setenv("UNSPOOL_KERNELS", name)
        models[name] = un.load(backend="compiled")
    expected = {name: lm.generate("Once", max_new_tokens=4).logprob for name, lm in models.items()}
    for later in (*names, "none"):
        monkeypatch.setenv("UNSPOOL_KERNELS", later)
        for name, lm in models.items():
            assert details(lm)["kernels"].startswith(name)
            assert lm.generate("Once", max_new_tokens=4).tokens
            if later != "none":                                           # sums over a row are numpy's then
                np.testing.assert_allclose(lm.generate("Once", max_new_tokens=4).logprob, expected[name], rtol=1e-6)
    with pytest.raises(un.ParameterError, match="UNSPOOL_KERNELS=none turns the kernels off"):
        un.load(backend="compiled")


def test_python_threads_that_compute_at_once_get_what_they_get_alone():
    model = CompiledTransformer(random_transformer(np.random.default_rng(3)))

    def answer(seed):
        texts = np.random.default_rng(seed).integers(0, model.vocabulary, (3, 9))
        session = model.session()
        rows = session.extend([-1] * 3, texts)
        for _ in range(20):
            rows = session.extend(rows, session.logits(rows).argmax(-1)[:, None])
        return session.logits(rows)

    alone = [answer(seed) for seed in range(4)]
    together = [None] * 4

    def put(seed):
        for _ in range(5):
            together[seed] = answer(seed)

    with threads(4):
        workers = [threading.Thread(target=put, args=(seed,)) for seed in range(4)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent in another way there")
def test_an_interruption_ends_a_long_run_and_the_model_goes_on():
    found = run_in_process(
        ANSWER
        + """
import os, signal, threading, time
for delay in (0.05, 0.1, 0.2, 0.35):
    threading.Timer(delay, os.kill, (os.getpid(), signal.SIGINT)).start()
    began = time.monotonic()
    try:
        while True:
            lm.generate("Once upon a time", max_new_tokens=200)
    except KeyboardInterrupt:
        print(time.monotonic() - began < delay + 2)
    assert answer() == first
""",
        UNSPOOL_THREADS="2",
    )
    assert (found.stdout, found.returncode) == ("True\n" * 4, 0), found.stderr


def test_many_short_sessions_hold_no_memory():
    found = run_in_process(
        ANSWER
        + """
import resource
def session(length=64):
    one = lm.model.session()
    return one.logits(one.extend([-1] * 2, [[5] * length] * 2))
def many():
    for _ in range(60):
        session()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
many()
before = many()
print(max(many() for _ in range(3)) - before < 4096)  # KiB on Linux; a session holds 2 * 64 * 2 * 6 * 256 floats, 1.5 MiB
""",
        UNSPOOL_THREADS="2",
    )
    assert (found.stdout, found.returncode) == ("True\n", 0), found.stderr


def test_a_model_outlives_what_it_was_made_of():
    """The structures point to arrays that the model itself holds."""
    import gc

    model = CompiledTransformer(read_transformer("gpt2", *tiny_gpt2(3)))
    session = model.session()
    before = session.logits(session.extend([-1], [[1, 2, 3]]))
    gc.collect()
    filler = [np.full(n, np.nan, np.float32) for n in range(8, 4000, 8)]
    session = model.session()
    np.testing.assert_array_equal(session.logits(session.extend([-1], [[1, 2, 3]])), before)
    assert len(filler)


def test_a_model_of_kernels_is_not_copied_by_its_addresses():
    """A pickle would hold addresses of another process."""
    import pickle

    with pytest.raises(ValueError, match="pointers"):
        pickle.dumps(un.load(backend="compiled").model)
