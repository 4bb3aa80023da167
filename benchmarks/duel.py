"""Contestants in turn: all are held open, and each row is run once on each, round after round, so that a drift hits all alike."""

from __future__ import annotations

import importlib.util
import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.bandwidth import Reader
from benchmarks.contestants import ENGINES
from benchmarks.models import PARTIAL
from benchmarks.noise import used_by
from benchmarks.workloads import COMPARED, FIRST, PEAK, Workload

ROOT = Path(__file__).parents[1]
LIMIT = 600
"""Seconds after which a contestant that has not answered is ended."""
Raw = dict[str, Any]
"""A line of the raw results."""


@dataclass(frozen=True)
class Contestant:
    """An engine with its settings, and what the tables call it."""

    engine: str
    format: str
    python: str
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return " ".join([self.engine, *(value for key, value in self.settings.items() if key == "backend" and value)])


@dataclass(frozen=True)
class Place:
    """Where and how contestants run: how many threads, pinned to cores or not; folders for converted models and for what they print."""

    cache: Path
    logs: Path
    threads: int
    pin: bool

    def environment(self) -> dict[str, str]:
        path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        found = os.environ | {"PYTHONPATH": path, "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1"}
        found.pop("PYTHONDONTWRITEBYTECODE", None)                       # as it is where packages are installed
        found |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(self.threads))
        return found | ({"OMP_PROC_BIND": "true", "OMP_PLACES": "cores"} if self.pin else {})


def missing(engine: str, python: str) -> str:
    """Why an engine cannot run with this interpreter; empty if it can."""
    entry = ENGINES[engine]
    if not shutil.which(python):
        return f"there is no {python}"
    wanted = [entry.package, *entry.needs]
    if python == sys.executable:
        lacks = [name for name in wanted if importlib.util.find_spec(name) is None]
    else:
        code = "import sys, importlib.util as u; print(*(n for n in sys.argv[1:] if u.find_spec(n) is None))"
        lacks = subprocess.run([python, "-c", code, *wanted], capture_output=True, text=True, check=True).stdout.split()
    return f"not installed: {', '.join(lacks)}" if lacks else ""


def converted(contestant: Contestant, model: str, folder: Path, place: Place) -> Path:
    """The folder of a model in an engine's own files, written if it is not there."""
    number = ENGINES[contestant.engine].formats[contestant.format]
    out = place.cache / "converted" / f"{model}-{contestant.engine}-{number}"
    if not out.is_dir():
        part = out.with_name(out.name + PARTIAL)
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        command = [contestant.python, "-m", f"benchmarks.contestants.{contestant.engine}", "convert", str(folder), number, str(part)]
        log = place.logs / f"convert-{out.name}.txt"
        with log.open("w") as said:
            done = subprocess.run(command, cwd=ROOT, env=place.environment(), stdout=said, stderr=said, check=False)
        if done.returncode:
            last = log.read_text().strip().splitlines()[-1:] or ["it said nothing"]
            raise RuntimeError(f"could not be converted: {last[0][:200]}")
        part.rename(out)
    return out


class Process:
    """A contestant's process."""

    def __init__(self, contestant: Contestant, model: str, folder: Path, place: Place) -> None:
        entry = ENGINES[contestant.engine]
        settings = {key: value for key, value in contestant.settings.items() if value}
        settings |= {"converted": str(converted(contestant, model, folder, place))} if entry.converts else {}
        settings |= {"pin": "yes"} if contestant.engine == "unspool" and place.pin and hasattr(os, "sched_setaffinity") else {}
        number = entry.formats[contestant.format]
        command = [contestant.python, "-m", f"benchmarks.contestants.{contestant.engine}", "serve", str(folder), number, str(place.threads)]
        command += [f"{key}={value}" for key, value in settings.items()]
        with (place.logs / f"{model}-{contestant.format}-{contestant.name}.txt").open("a") as said:
            self.started = time.perf_counter()
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=place.environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, text=True
            )
        self.ready = self.answer()

    def answer(self) -> Raw:
        """The next answer; one that does not come ends the process."""
        stream = self.process.stdout
        assert stream is not None
        line = stream.readline() if select.select([stream], [], [], LIMIT)[0] else ""
        if line:
            found: Raw = json.loads(line)
            return found
        self.process.kill()
        return {"error": f"the process ended or did not answer in {LIMIT} s"}

    def ask(self, do: str, row: Workload, round: int = 0) -> Raw:
        try:
            assert self.process.stdin is not None
            self.process.stdin.write(json.dumps({"do": do, "row": asdict(row), "round": round}) + "\n")
            self.process.stdin.flush()
        except (BrokenPipeError, ValueError):
            return {"error": "the process has ended"}
        return self.answer()

    def settle(self) -> None:
        """Wait until its threads sleep: some spin for a while after a call, and would disturb the next one's."""
        until, before = time.perf_counter() + 1, -1
        while time.perf_counter() < until and (now := used_by(self.process.pid)) != before:
            before = now
            time.sleep(0.03)

    def close(self) -> None:
        with suppress(BrokenPipeError):
            assert self.process.stdin is not None
            self.process.stdin.close()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


def duel(
    contestants: Sequence[Contestant], rows: Sequence[Workload], model: str, folder: Path, place: Place, rounds: int, reader: Reader
) -> Iterator[Raw]:
    """All rows on all contestants, which have one format; a line of raw results for every call, and for what could not be."""
    number = contestants[0].format
    about = {"model": model, "format": number}
    able = []
    for contestant in contestants:
        line = about | {"kind": "start", "contestant": contestant.name}
        for i in range(2 + rounds // 3):                                 # the first is untimed: files come into memory, caches are written
            found = start(contestant, model, folder, place)
            if i or "error" in found:
                yield line | {"round": i} | found
            if "error" in found:
                break
        else:
            able.append(contestant)
    open_: dict[str, Process] = {}
    try:
        for contestant in able:
            open_[contestant.name] = Process(contestant, model, folder, place)
        for row in COMPARED:
            for name, process in open_.items():
                yield about | {"kind": "tokens", "contestant": name, "row": row.name} | process.ask("tokens", row)
        for row in rows:
            yield about | {"kind": "bandwidth", "rate": reader.rate()}
            yield from (about | line for line in rounds_of(row, open_, rounds))
    finally:
        for process in open_.values():
            process.close()


def start(contestant: Contestant, model: str, folder: Path, place: Place) -> Raw:
    """Seconds from a process's start to its first token, and to the opened model; the most memory it held in a longer text."""
    try:
        process = Process(contestant, model, folder, place)
    except RuntimeError as error:
        return {"error": str(error)}
    try:
        if "error" in process.ready:
            return process.ready
        first = process.ask("once", FIRST)
        seconds = time.perf_counter() - process.started
        peak = process.ask("once", PEAK)
        bad = next((found for found in (first, peak) if "seconds" not in found), None)
        return bad or {"version": process.ready["version"], "load": process.ready["load"], "first": seconds, "peak": peak["peak"]}
    finally:
        process.close()


def rounds_of(row: Workload, processes: Mapping[str, Process], rounds: int) -> Iterator[Raw]:
    """A row's rounds; every other one goes backwards. Who has not got the row, or fails, is asked no more."""
    out: set[str] = set()
    for i in range(rounds):
        order = list(processes)[:: -1 if i % 2 else 1]
        for name in order:
            if name in out:
                continue
            found = processes[name].ask("time", row, i)
            out |= {name} if "seconds" not in found else set()
            found.pop("found", None)
            yield {"kind": "time", "contestant": name, "row": row.name, "round": i, "counted": row.counted} | found
            processes[name].settle()


def collect(lines: Iterator[Raw], path: Path, tell: Callable[[str], None]) -> list[Raw]:
    """Keep every line in a file as it comes, and say what happens."""
    found = []
    with path.open("a", encoding="utf-8") as file:
        for line in lines:
            found.append(line)
            file.write(json.dumps(line) + "\n")
            file.flush()
            if line["kind"] == "time":
                said = line.get("error") or line.get("absent") or f"{line['counted'] / line['seconds']:.1f} a second"
                tell(f"{line['model']} {line['format']:9} {line['row']:20} {line['contestant']:20} {said}")
            elif line["kind"] == "start":
                said = line.get("error") or f"first token after {line['first']:.2f} s"
                tell(f"{line['model']} {line['format']:9} {'start':20} {line['contestant']:20} {said}")
    return found
