"""unspool beside transformers on the same random GPT-2, call by call in turn.

    python -m benchmarks.compare [--size small|tiny] [--rounds 5] [--threads 2]

Prints, for each workload, the median of new tokens per second of both and the median of the ratios of neighbouring calls:
the machine's speed drifts, neighbouring calls drift together.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

SIZES = {
    "tiny": {"n_embd": 256, "n_layer": 7, "n_head": 4, "vocab_size": 4096, "n_positions": 512},
    "small": {"n_embd": 768, "n_layer": 12, "n_head": 12, "vocab_size": 50257, "n_positions": 1024},
}
NEW = 48
PROMPT = 32
WORKLOADS: dict[str, tuple[int, str, dict[str, object]]] = {
    "greedy, 1 prompt": (1, "greedy", {}),
    "greedy, 8 prompts": (8, "greedy", {}),
    "sample 8, top_k(50) | top_p(0.95)": (
        1,
        "top_k(50) | top_p(0.95) | sample(8)",
        {"do_sample": True, "top_k": 50, "top_p": 0.95, "num_return_sequences": 8},
    ),
    "beam 4": (1, "beam(4)", {"num_beams": 4}),
    "beam 16": (1, "beam(16)", {"num_beams": 16}),
    "beam 4, 8 prompts": (8, "beam(4)", {"num_beams": 4}),
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    options = parser.parse_args()
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(options.threads)
    print(f"random GPT-2 {options.size}, {options.threads} threads, prompts of {PROMPT} tokens, {NEW} new; tokens per second, median")
    print(f"{'':36} {'unspool':>8} {'transformers':>13} {'ratio':>6}")
    for workload, calls in contestants(options.size).items():
        rates = [[measure(call) for call in calls] for _ in range(options.rounds + 1)][1:]
        ours, theirs = zip(*rates, strict=True)
        ratio = statistics.median(a / b for a, b in rates)
        print(f"{workload:36} {statistics.median(ours):8.1f} {statistics.median(theirs):13.1f} {ratio:6.2f}", flush=True)


def measure(call: Callable[[], int]) -> float:
    """New tokens per second of one call."""
    began = time.perf_counter()
    tokens = call()
    return tokens / (time.perf_counter() - began)


def contestants(size: str) -> dict[str, tuple[Callable[[], int], Callable[[], int]]]:
    """For each workload one call of ours and one of theirs; both return how many tokens they made."""
    import numpy as np
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    import unspool.strategies  # noqa: F401
    from unspool.core.decoder import parse
    from unspool.core.loop import decode
    from unspool.core.search import Search
    from unspool.models.reading import read_transformer
    from unspool.models.weights import read_weights

    torch.manual_seed(0)
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    theirs = GPT2LMHeadModel(GPT2Config(**SIZES[size], bos_token_id=0, eos_token_id=0)).eval()
    with tempfile.TemporaryDirectory() as folder:
        theirs.save_pretrained(folder)
        ours = read_transformer("gpt2", theirs.config.to_dict(), {k: np.array(v) for k, v in read_weights(Path(folder)).items()})

    def pair(prompts: int, text: str, settings: dict[str, object]) -> tuple[Callable[[], int], Callable[[], int]]:
        tokens = np.random.default_rng(0).integers(1, SIZES[size]["vocab_size"], (prompts, PROMPT))
        decoder = parse(text)

        def run_ours() -> int:
            search = Search(ours, tokens.tolist(), decoder.processors, limits=[NEW] * prompts, end_tokens=())
            for _ in decode(search, decoder.strategy):
                pass
            return sum(len(h.tokens) for found in search.found for h in found)

        def run_theirs() -> int:
            fixed = {"max_new_tokens": NEW, "min_new_tokens": NEW, "pad_token_id": 0, "eos_token_id": None}
            with torch.inference_mode():
                out = theirs.generate(torch.as_tensor(tokens), **fixed, **settings)  # type: ignore[arg-type]
            return int(out.shape[0]) * NEW

        return run_ours, run_theirs

    return {name: pair(*workload) for name, workload in WORKLOADS.items()}


if __name__ == "__main__":
    main()
