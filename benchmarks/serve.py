"""Measures `unspool serve` beside other servers of the same model, in float32: python -m benchmarks.serve

32 requests of mixed lengths, greedy and sampled, each streamed: all at once, and one after another. Servers that are installed
elsewhere are named with their interpreter, and those that are nowhere are left out:

    python -m benchmarks.serve --python llama-cpp-python=/envs/llama/bin/python

llama-cpp-python reads a GGUF file of the same numbers, which its environment writes (with the package gguf).
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.models import MODELS, cache_folder, made
from benchmarks.servers import PYTHON, SERVERS, Answer, Failed, load, running, streamed

Body = dict[str, Any]
WORDS = "the king and his daughter went to a house in the deep wood where an old woman spun gold out of straw all night"
OWN: list[Body] = [
    {"decoder": "beam(4)"},
    {"n": 4, "temperature": 0.9},
    {"structured_outputs": {"regex": "[a-z ]+"}},
    {"typical_p": 0.9, "repeat_penalty": 1.1},
    {"decoder": "no_repeat_ngram(3) | greedy"},
    {"frequency_penalty": 0.5, "min_p": 0.05},
    {"use_beam_search": True, "n": 2},
    {"logprobs": 3},
]
"""Kinds of requests that unspool alone has, all in one batch."""


def plain(count: int, seed: int = 0) -> list[Body]:
    """Requests that every server takes: prompts of 4 to 60 words, 16 to 64 new tokens, half of them greedy."""
    rng = random.Random(seed)
    found = []
    for i in range(count):
        how = {"temperature": 0} if i % 2 else {"temperature": 0.8, "top_p": 0.95, "seed": i}
        prompt = " ".join(rng.choices(WORDS.split(), k=rng.randrange(4, 60)))
        found.append({"prompt": prompt, "max_tokens": rng.randrange(16, 65), **how})
    return found


def mixed(count: int) -> list[Body]:
    """The same prompts, of every kind that unspool has: beams, samples, grammars, penalties."""
    prompts = [{name: body[name] for name in ("prompt", "max_tokens")} for body in plain(count)]
    return [body | {"seed": i} | OWN[i % len(OWN)] for i, body in enumerate(prompts)]


def at_once(port: int, bodies: Sequence[Body]) -> tuple[float, list[Answer]]:
    """The seconds of all requests together, and their answers."""
    found: dict[int, Answer] = {}
    wrong: list[str] = []

    def ask(i: int) -> None:
        try:
            found[i] = streamed(port, bodies[i])
        except (Failed, OSError) as error:
            wrong.append(str(error))

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(len(bodies))]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if wrong:
        raise Failed(f"{len(wrong)} of {len(bodies)} requests failed: {wrong[0]}")
    return time.perf_counter() - began, [found[i] for i in range(len(bodies))]


def in_turn(port: int, bodies: Sequence[Body]) -> tuple[float, list[Answer]]:
    """The same, one after another."""
    began = time.perf_counter()
    found = [streamed(port, body) for body in bodies]
    return time.perf_counter() - began, found


def row(name: str, what: str, seconds: float, answers: Sequence[Answer]) -> str:
    """A line of the table."""
    firsts = [answer.first for answer in answers]
    rate = sum(answer.tokens for answer in answers) / seconds
    p50, p95 = np.percentile(firsts, [50, 95])
    return f"| {name} | {what} | {rate:.0f} | {seconds:.1f} | {p50:.2f} | {p95:.2f} |"


def measured(name: str, python: str, folder: Path, options: argparse.Namespace) -> list[str]:
    """The lines of a server."""
    log = options.raw / f"{name.replace(', ', '-').replace(' ', '-')}.log"
    if name == "llama-cpp-python" and not (folder / "model.gguf").is_file():
        write = f"from pathlib import Path; from benchmarks.contestants.gguf_file import write; write(Path({str(folder)!r}), 'f32', "
        subprocess.run([python, "-c", write + f"Path({str(folder / 'model.gguf')!r}))"], check=True)
    sets = [("plain", plain(options.requests))] + [("mixed", mixed(options.requests))] * (name == "unspool")
    lines = []
    with running(name, python, folder, options.threads, log) as (port, _):
        at_once(port, plain(4, seed=1))                                  # what is made at the first request is made
        ways = [("all at once", at_once), ("one after another", in_turn)][: 1 + (name in options.in_turn.split(";"))]
        for kind, bodies in sets:
            for what, run in ways:
                best = min((run(port, bodies) for _ in range(options.rounds)), key=lambda found: found[0])
                lines.append(row(name, f"{kind}, {what}", *best))
                print(f"{lines[-1]} {load()}", flush=True)
    return lines


def main(arguments: Sequence[str] | None = None) -> None:
    shown = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("python -m benchmarks.serve", description=__doc__, formatter_class=shown)
    add = parser.add_argument
    add("--model", choices=MODELS, default="gpt2")
    add("--servers", default=";".join(SERVERS), help="names, with ; between (%(default)s)")
    add("--python", action="append", default=[], metavar="SERVER=PATH", help="the interpreter of a server's environment; may be repeated")
    add("--requests", type=int, default=32)
    add("--in-turn", default="unspool", help="servers that are also asked one after another (%(default)s)")
    add("--rounds", type=int, default=2, help="the fastest of so many counts")
    add("--threads", type=int, default=os.cpu_count() or 1)
    add("--cache", type=Path, default=cache_folder())
    add("--raw", type=Path, default=Path("benchmark-results"))
    options = parser.parse_args(arguments)
    options.raw.mkdir(parents=True, exist_ok=True)
    pythons = dict(pair.split("=", 1) for pair in options.python)
    folder, lines = made(options.model, options.cache.resolve()), list[str]()
    for name in options.servers.split(";"):
        try:
            lines += measured(name, pythons.get(name.partition(",")[0], PYTHON), folder, options)
        except Failed as error:
            print(f"left out: {name}: {error}", flush=True)
    print("\n| server | requests | tokens/s | seconds | first piece, p50 (s) | p95 (s) |\n| --- | --- | --: | --: | --: | --: |")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
