"""How many threads compute: the cores that there are, what a container is given, and what is asked for."""

import math

import pytest

from unspool.kernels import cores, library
from unspool.loader import open_quietly

V1, V2 = "4:memory:/a\n3:cpuacct,cpu:{}\n", "0::{}\n"
QUOTA = {"cpu.cfs_quota_us": "150000\n", "cpu.cfs_period_us": "100000\n"}
CASES = {
    "version 2": (V2.format("/a/b"), {"a/b/cpu.max": "150000 100000\n"}, 1.5),
    "a group around": (V2.format("/a/b"), {"a/b/cpu.max": "max 100000\n", "a/cpu.max": "50000 100000\n"}, 0.5),
    "the root of a container": (V2.format("/"), {"cpu.max": "300000 100000\n"}, 3),
    "a path of the world outside": (V2.format("/docker/1"), {"cpu.max": "200000 100000\n"}, 2),
    "above the root": (V2.format("/../b"), {"cpu.max": "200000 100000\n"}, 2),
    "no limit": (V2.format("/"), {"cpu.max": "max 100000\n"}, math.inf),
    "nothing": (V2.format("/"), {}, math.inf),
    "version 1": (V1.format("/a"), {f"cpuacct,cpu/a/{name}": text for name, text in QUOTA.items()}, 1.5),
    "version 1 by another name": (V1.format("/a"), {f"cpu/{name}": text for name, text in QUOTA.items()}, 1.5),
    "version 1 without a limit": (V1.format("/"), {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, math.inf),
    "both": (V2.format("/") + V1.format("/"), {f"cpu/{name}": text for name, text in QUOTA.items()}, 1.5),
    "a broken file": (V2.format("/"), {"cpu.max": "much\n"}, math.inf),
    "a broken list": ("many groups\n", {}, math.inf),
    "no list": (None, {"cpu.max": "100000 100000\n"}, math.inf),
}


@pytest.mark.parametrize("case", CASES)
def test_a_control_group_says_how_many_cores_it_is_given(case, tmp_path):
    groups, files, expected = CASES[case]
    if groups is not None:
        (tmp_path / "proc" / "self").mkdir(parents=True)
        (tmp_path / "proc" / "self" / "cgroup").write_text(groups)
    for name, text in files.items():
        place = tmp_path / "sys" / "fs" / "cgroup" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    assert cores.given_time(tmp_path) == expected


@pytest.mark.parametrize(("given", "count"), [(0.2, 1), (1.0, 1), (1.5, 2), (math.inf, 3), (100.0, 3)])
def test_a_part_of_a_core_is_one(given, count, monkeypatch):
    monkeypatch.setattr(cores.os, "sched_getaffinity", lambda process: {0, 5, 7}, raising=False)
    monkeypatch.setattr(cores, "given_time", lambda: given)
    assert cores.cores() == count


@pytest.mark.parametrize(("asked", "count"), [("8", 8), ("9", 8), ("100", 8), ("1000000", 8)])
@pytest.mark.parametrize("name", ["UNSPOOL_THREADS", "OMP_NUM_THREADS"])
def test_many_more_threads_than_cores_are_fewer_and_that_is_said(asked, count, name, monkeypatch):
    for other in ("UNSPOOL_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setattr(library, "cores", lambda: 2)
    assert (library.thread_count(), library.thread_note()) == (2, "")
    monkeypatch.setenv(name, asked)
    assert library.thread_count() == count
    assert (library.thread_note() == "") == (asked == "8")
    if library.variants():
        notes, others = (open_quietly(None, backend=backend, device=None, dtype=None).notes for backend in (None, "numpy"))
        said = f"{name} asks for {asked} threads; 8 compute, as more would wait for each other on the cores of this process: 2"
        assert (said in notes) == (asked != "8")
        assert said not in others
