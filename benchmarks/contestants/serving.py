"""What every contestant's process does: open a model, and answer what the duel asks, a line of JSON for a line of JSON.

    python -m benchmarks.contestants.NAME convert FOLDER FORMAT OUT
    python -m benchmarks.contestants.NAME serve FOLDER FORMAT THREADS [SETTING=VALUE ...]

A question is {"do": "time" | "once" | "tokens", "row": the fields of a Workload, "round": a whole number from 0}. "time" has the row run
once before, untimed. Every round has prompts of its own: some engines keep what they computed of a prompt that they have seen.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from benchmarks.noise import busy, own, peak_mib
from benchmarks.workloads import Workload

Texts = list[list[int]]
Run = Callable[[Texts], "Texts | int"]
"""Runs a workload after prompts: the new tokens of every text, or how many were scored or visited."""


class Absent(Exception):
    """What an engine has not got; its message says it."""


class Engine(Protocol):
    """A model in an engine, on the CPU."""

    version: str

    def prepare(self, row: Workload) -> Run:
        """What runs a workload; Absent if the engine has nothing of the kind. End tokens do not end a text."""
        ...


def main(opens: Callable[..., Engine], convert: Callable[[Path, str, Path], None] | None = None) -> None:
    """Do what the command line says."""
    task, folder, number, rest, *settings = sys.argv[1:]
    if task == "convert":
        assert convert is not None
        convert(Path(folder), number, Path(rest))
        return
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)                                                        # what engines print is no answer
    try:
        began = time.perf_counter()
        engine = opens(Path(folder), number, int(rest), **dict(setting.split("=", 1) for setting in settings))
        answers.write(json.dumps({"version": engine.version, "load": time.perf_counter() - began}) + "\n")
    except Exception as error:
        answers.write(json.dumps({"error": said(error)}) + "\n")
        return
    config = json.loads((Path(folder) / "config.json").read_text())
    serve(engine, config["vocab_size"], answers)


def serve(engine: Engine, vocabulary: int, answers: Any) -> None:
    """Answer until the questions end."""
    asked: Any = None
    run: Run | None = None
    for line in sys.stdin:
        question = json.loads(line)
        row = Workload(**question["row"])
        try:
            if run is None or asked != (question["do"], row):
                run, asked = None, (question["do"], row)                 # the last one's memory is free before the next takes its own
                run = engine.prepare(row)
                if question["do"] == "time":
                    run(row.tokens(vocabulary))
            answer = timed(run, row, row.tokens(vocabulary, 1 + question["round"]))
            found = answer.pop("found")
            answer |= {"tokens": found} if question["do"] == "tokens" else {}
        except Absent as error:
            answer = {"absent": str(error)}
        except Exception as error:
            answer = {"error": said(error)}
        answers.write(json.dumps(answer) + "\n")


def timed(run: Run, row: Workload, prompts: Texts) -> dict[str, Any]:
    """Seconds of a run, the cores that others used meanwhile, and the memory; one that made too few tokens is an error."""
    before, ours, began = busy(), own(), time.perf_counter()
    found = run(prompts)
    seconds = time.perf_counter() - began
    others = (busy() - before - (own() - ours)) / seconds
    count = found if isinstance(found, int) else sum(map(len, found))
    if count != row.counted:
        raise ValueError(f"{row.name} is {row.counted} tokens; {count} were made")
    return {"seconds": seconds, "others": max(others, 0.0), "peak": peak_mib(), "found": found}


def said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0][:300]
