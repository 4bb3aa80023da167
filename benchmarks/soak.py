"""Sends `unspool serve` many small requests of mixed kinds and prints the memory that it holds: python -m benchmarks.soak

Of the first half nothing is concluded: caches of a set size fill, and the allocator comes to its room. After it the memory has to stay.
"""

from __future__ import annotations

import argparse
import json
import threading
import time
from collections import Counter
from collections.abc import Sequence
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import unspool.models
from benchmarks.servers import PYTHON, Failed, load, memory_mib, running

GROWTH = 0.03
"""How much a server may add in the second half."""
KINDS: list[dict[str, Any]] = [
    {"temperature": 0},
    {"n": 3},
    {"decoder": "beam(3)"},
    {"use_beam_search": True, "n": 2, "logprobs": 1},
    {"echo": True, "logprobs": 2, "max_tokens": 0},
    {"structured_outputs": {"regex": "[a-z ]+"}},
    {"response_format": {"type": "json_object"}},
    {"typical_p": 0.8, "dry_multiplier": 1.0},
    {"decoder": "contrastive_search(3)"},
    {"decoder": "prompt_lookup(4)"},
    {"stream": True},
    {"stream": True, "n": 2, "logprobs": 1},
    {"best_of": 3},
    {"trace": True},
    {"stop": ["the"], "logit_bias": {"13": -5}},
    {"top_p": 2},
    {"prompt": 3},
    {"away": True},
]
"""What requests ask for; the last three are refused twice, and leave before they are answered."""


def ask(connection: HTTPConnection, i: int) -> str:
    """Send the i-th request; what came of it."""
    body = {"prompt": f"Once upon a time {i}", "max_tokens": 4, "seed": i, **KINDS[i % len(KINDS)]}
    away = body.pop("away", False)
    data = json.dumps(body | {"max_tokens": 200} if away else body)
    connection.request("POST", "/v1/completions", data, {"Content-Type": "application/json"})
    if away:
        time.sleep(0.01)
        connection.close()
        return "left"
    answer = connection.getresponse()
    answer.read()
    return str(answer.status)


def main(arguments: Sequence[str] | None = None) -> None:
    shown = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("python -m benchmarks.soak", description=__doc__, formatter_class=shown)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--raw", type=Path, default=Path("benchmark-results"))
    options = parser.parse_args(arguments)
    options.raw.mkdir(parents=True, exist_ok=True)
    folder = Path(unspool.models.__path__[0]) / "bundled"
    numbers, came, lock = iter(range(options.requests)), Counter[str](), threading.Lock()

    def client(port: int) -> None:
        connection = HTTPConnection("127.0.0.1", port, timeout=120)
        while True:
            with lock:
                i = next(numbers, None)
            if i is None:
                return
            came[ask(connection, i)] += 1

    with running("unspool", PYTHON, folder, 1, options.raw / "soak.log") as (port, process):
        began, seen = time.monotonic(), list[float]()
        threads = [threading.Thread(target=client, args=(port,)) for _ in range(options.clients)]
        for thread in threads:
            thread.start()
        print("| requests | seconds | memory (MiB) |\n| --: | --: | --: |")
        for part in range(11):
            while (done := sum(came.values())) < part * options.requests // 10 and any(t.is_alive() for t in threads):
                time.sleep(0.05)
            seen.append(memory_mib(process))
            print(f"| {done:,} | {time.monotonic() - began:.0f} | {seen[-1]:.1f} |", flush=True)
        for thread in threads:
            thread.join()
    print(f"{dict(sorted(came.items()))}, {load()}")
    growth = max(seen[5:]) / seen[5] - 1
    print(f"in the second half the memory grew by {growth:.1%}")
    if sum(came.values()) < options.requests or any(status.startswith("5") for status in came) or growth > GROWTH:
        raise Failed("requests are missing, or failed, or the memory grew")


if __name__ == "__main__":
    main()
