"""Servers of OpenAI's completions as programs, and a client that notes when each piece of a stream came."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

START, ANSWER = 300.0, 900.0
"""Seconds that a server may take to start, and to send a piece."""
Command = Callable[[str, Path, int, int], list[str]]


def unspool(python: str, folder: Path, port: int, threads: int) -> list[str]:
    return [python, "-m", "unspool", "serve", "-m", str(folder), "--port", str(port), "--dtype", "float32"]


def transformers(python: str, folder: Path, port: int, threads: int) -> list[str]:
    run = f"import sys, torch; torch.set_num_threads({threads}); from transformers.cli.transformers import main; sys.exit(main())"
    options = ["--device", "cpu", "--dtype", "float32", "--port", str(port), "--log-level", "error"]
    return [python, "-c", run, "serve", str(folder), *options]


def transformers_batched(python: str, folder: Path, port: int, threads: int) -> list[str]:
    return [*transformers(python, folder, port, threads), "--continuous-batching"]


def llama_cpp(python: str, folder: Path, port: int, threads: int) -> list[str]:
    options = {"model": folder / "model.gguf", "port": port, "n_threads": threads, "n_ctx": 1024, "interrupt_requests": False}
    return [python, "-m", "llama_cpp.server", *(f"--{name}={value}" for name, value in options.items())]


SERVERS: dict[str, Command] = {
    "unspool": unspool,
    "transformers": transformers,
    "transformers, continuous batching": transformers_batched,
    "llama-cpp-python": llama_cpp,
}


@dataclass
class Answer:
    """A stream as it came."""

    first: float
    """Seconds to the first piece of text."""
    last: float
    tokens: int


class Failed(Exception):
    """A server that does not start, or does not answer."""


def free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])


@contextmanager
def running(name: str, python: str, folder: Path, threads: int, log: Path) -> Iterator[tuple[int, int]]:
    """A server at work; its port and its process."""
    port = free_port()
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1"}
    with log.open("w") as out:
        program = subprocess.Popen(
            SERVERS[name](python, folder, port, threads), stdout=out, stderr=out, env=environment, stdin=subprocess.DEVNULL
        )
        try:
            _wait(program, port, log)
            yield port, program.pid
        finally:
            program.terminate()
            try:
                program.wait(20)
            except subprocess.TimeoutExpired:
                program.kill()
                program.wait()


def _wait(program: subprocess.Popen[bytes], port: int, log: Path) -> None:
    end = time.monotonic() + START
    while time.monotonic() < end:
        if program.poll() is not None:
            lines = log.read_text().strip().splitlines()
            raise Failed(f"it ended with {program.returncode}: {lines[-1][:200] if lines else 'nothing said'}")
        try:
            connection = HTTPConnection("127.0.0.1", port, timeout=10)
            connection.request("GET", "/health")
            if connection.getresponse().status < 500:                    # llama-cpp-python's has no such page, and says so
                return
        except (OSError, HTTPException):
            pass
        time.sleep(0.2)
    raise Failed(f"it did not start in {START:.0f} seconds")


def streamed(port: int, body: Mapping[str, Any]) -> Answer:
    """Send a completion and read its stream; its tokens are those that were asked for, if it was not ended by its end token."""
    connection = HTTPConnection("127.0.0.1", port, timeout=ANSWER)
    began, first, reason = time.perf_counter(), 0.0, None
    pieces = 0
    try:
        connection.request("POST", "/v1/completions", json.dumps({**body, "stream": True}), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        if answer.status != 200:
            raise Failed(f"{answer.status}: {answer.read().decode(errors='replace')[:200]}")
        for line in answer:
            if not line.startswith(b"data: ") or line.strip() == b"data: [DONE]":
                continue
            found = json.loads(line[6:])
            if "error" in found:
                raise Failed(str(found["error"])[:200])
            for choice in found.get("choices", []):
                pieces += 1
                first = first or time.perf_counter() - began
                reason = choice.get("finish_reason") or reason
    finally:
        connection.close()
    texts = body.get("n", 1)
    return Answer(first, time.perf_counter() - began, body["max_tokens"] * texts if reason == "length" else min(pieces, body["max_tokens"]))


def memory_mib(process: int) -> float:
    """The memory that a process holds in RAM, where the system tells it."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return float("nan")
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS")), float("nan"))


def load() -> str:
    """What the machine does beside."""
    return "" if not hasattr(os, "getloadavg") else f"load {os.getloadavg()[0]:.1f}"


PYTHON = sys.executable
