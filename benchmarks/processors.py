"""What processors cost: python benchmarks/processors.py [rows]

A row has 50,257 scores, as a model that is neither sure nor lost gives them (the likeliest token about 0.2), and "flat" ones, of a
model that knows little. Times are processor time in milliseconds a row, the median of runs that take turns: scoring alone is logits to
processed scores and their sum, drawing is what a step of sample adds to that.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

import unspool as un
from unspool.core.decoder import as_decoder
from unspool.core.distributions import Distributions
from unspool.core.frontier import Frontier
from unspool.core.lane import Lane
from unspool.core.tree import TokenForest

VOCABULARY, RUNS, STEPS = 50_257, 15, 5
CHAINS = (
    *("", "temperature(0.8)", "log_softmax()", "dynamic_temperature()", "smoothing(0.3)", "skew(0.5)"),
    *("top_k(50)", "top_p(0.9)", "min_p(0.05)", "typical(0.9)", "epsilon(0.001)", "eta(0.001)", "top_n_sigma(1.0)", "top_a(0.2)"),
    *("p_less()", "top_h(0.4)", "tail_free(0.95)", "xtc(0.1, 0.5)", "mirostat(5.0)", "adaptive_p(0.5)", "repetition_penalty(1.2)"),
    *("temperature(0.8) | top_k(50) | top_p(0.95)", "temperature(0.8) | top_p(0.9) | min_p(0.05)"),
    *("top_k(50) | typical(0.9) | temperature(0.8)", "min_p(0.05) | temperature(1.5)"),
)


class Table:
    """A model whose logits are rows of an array, by the last token."""

    context, end_tokens, start, vocabulary = 1 << 20, (), None, VOCABULARY

    def __init__(self, logits: Any) -> None:
        self.logits = logits

    def session(self, plan: un.Plan = un.NO_PLAN) -> Any:
        nodes = TokenForest(VOCABULARY)

        def extend(parents: Any, chains: Any, every: bool = False) -> Any:
            return np.asarray([rows[-1] for rows in nodes.grow(parents, chains)], np.int64)

        def logits(rows: Any, layer: Any = None) -> Any:
            return self.logits[[nodes.token(int(row)) for row in rows]]

        return SimpleNamespace(nodes=nodes, can=frozenset(), extend=extend, keep=nodes.keep, logits=logits)


def table(rows: int, flat: bool) -> Any:
    """Logits that fall with the logarithm of the rank, and some noise."""
    rng = np.random.default_rng(0)
    ranks = np.log(np.arange(1, VOCABULARY + 1))
    found = np.stack([rng.permutation(-(0.8 if flat else 1.6) * ranks + rng.normal(size=VOCABULARY) * 0.5) for _ in range(rows)])
    return np.asarray(found + 10, np.float32)


def step(chain: str, logits: Any) -> Callable[[], tuple[float, float]]:
    """Steps of the chain over fresh distributions: the time of one to score and to draw, for all rows."""
    processors = as_decoder(" | ".join(filter(None, (chain, "greedy()")))).processors
    lane = Lane(Table(logits), processors)
    rows = lane.begin([np.asarray([i]) for i in range(len(logits))])
    u = np.random.default_rng(1).random(len(rows))

    def run() -> tuple[float, float]:
        fresh = [Distributions(lane, rows) for _ in range(STEPS)]
        for source in fresh:
            source.draw = lambda purpose: u
            _ = source.logits
        began = time.process_time()
        for source in fresh:
            _ = source.processed_total
        scored = time.process_time()
        for source in fresh:
            Frontier(None, source, None, rows, rows, {}).draw(u)  # type: ignore[arg-type]
        return (scored - began) / STEPS, (time.process_time() - scored) / STEPS

    return run


def main() -> None:
    """Print the table."""
    counts = [int(a) for a in sys.argv[1:]] or [1, 8]
    kinds = [(rows, flat) for flat in (False, True) for rows in counts]
    tables = {kind: table(*kind) for kind in kinds}
    heads = (f"{rows} row" + "s" * (rows > 1) + ", flat" * flat for rows, flat in kinds)
    print(f"{'milliseconds a row: score + draw':46}" + "".join(f"{head:>18}" for head in heads))
    steps = {(chain, kind): step(chain, tables[kind]) for chain in CHAINS for kind in kinds}
    times: dict[Any, list[tuple[float, float]]] = {key: [] for key in steps}
    for _ in range(RUNS):
        for key, run in steps.items():
            times[key].append(run())
    for chain in CHAINS:
        cells = []
        for kind in kinds:
            score, draw = (statistics.median(part) * 1e3 / kind[0] for part in zip(*times[chain, kind], strict=True))
            cells.append(f"{score:9.3f} + {draw:.3f}")
        print(f"{chain or 'no processor':46}" + "".join(f"{cell:>18}" for cell in cells))


if __name__ == "__main__":
    main()
