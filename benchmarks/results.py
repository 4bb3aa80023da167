"""What the raw lines say: medians over rounds, and ratios of contestants that ran one after the other."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.contestants import FORMATS
from benchmarks.models import bytes_read
from benchmarks.noise import is_quiet
from benchmarks.workloads import COMPARED, Workload

OURS, REFERENCE = "unspool", "transformers"
Raw = dict[str, Any]


def is_ours(name: str) -> bool:
    return name.split()[0] == OURS


@dataclass(frozen=True)
class Rates:
    """Tokens per second of a contestant in a row: by round, and the rounds in which others let it alone."""

    by_round: dict[int, float]
    quiet: frozenset[int]

    @property
    def median(self) -> float:
        """Over quiet rounds; over all if none was."""
        return statistics.median(self.by_round[i] for i in self.quiet or self.by_round)


@dataclass(frozen=True)
class Duel:
    """The lines of one model in one format."""

    model: str
    format: str
    lines: tuple[Raw, ...]

    @property
    def names(self) -> list[str]:
        """Contestants that started, in the order of the lines."""
        failed = self.failures()
        return [name for name in dict.fromkeys(line["contestant"] for line in self.of("start")) if name not in failed]

    @property
    def peers(self) -> list[str]:
        return [name for name in self.names if not is_ours(name)]

    def of(self, kind: str) -> list[Raw]:
        return [line for line in self.lines if line["kind"] == kind]

    def failures(self) -> dict[str, str]:
        """Contestants that did not start, and why."""
        return {line["contestant"]: line["error"] for line in self.of("start") if "error" in line}

    def rates(self, row: str) -> dict[str, Rates]:
        """Of every contestant that ran a row in all its rounds."""
        found = {}
        for name in self.names:
            lines = [line for line in self.of("time") if line["row"] == row and line["contestant"] == name]
            if lines and all("seconds" in line for line in lines):
                by_round = {line["round"]: line["counted"] / line["seconds"] for line in lines}
                quiet = frozenset(line["round"] for line in lines if is_quiet(line["others"], line["seconds"]))
                found[name] = Rates(by_round, quiet)
        return found

    def said(self, row: str, name: str) -> str:
        """Why a contestant has no rate in a row."""
        lines = [line for line in self.of("time") if line["row"] == row and line["contestant"] == name]
        return next((line[key] for line in lines for key in ("absent", "error") if key in line), "")

    def versions(self) -> dict[str, str]:
        return {line["contestant"]: line["version"] for line in self.of("start") if "version" in line}

    def median_of_start(self, name: str, key: str) -> float:
        return statistics.median(float(line[key]) for line in self.of("start") if line["contestant"] == name)

    def bandwidth(self) -> float:
        """Bytes per second: the median of the readings between the rows; 0 without any."""
        return statistics.median([float(line["rate"]) for line in self.of("bandwidth")] or [0.0])

    def share(self, rate: float, row: Workload, folder: Path) -> float:
        """Of the bandwidth, what the reading of all weights at every forward needs; 0 where the forwards are not known."""
        if not self.bandwidth() or not row.forwards:
            return 0.0
        return row.forwards * bytes_read(folder, FORMATS[self.format]) / (row.counted / rate) / self.bandwidth()

    def alike(self) -> list[tuple[str, str, str, int, int, int]]:
        """(row, contestant, other, texts that are equal, texts, first position that differs or -1): greedy texts beside a reference's.

        The reference is transformers' where it ran, otherwise ours.
        """
        found = []
        for row in COMPARED:
            texts = {line["contestant"]: line["tokens"] for line in self.of("tokens") if line["row"] == row.name and "tokens" in line}
            reference = next((name for name in (REFERENCE, *texts) if name in texts), "")
            for name in texts:
                if name != reference:
                    firsts = [first_difference(a, b) for a, b in zip(texts[name], texts[reference], strict=True)]
                    unequal = [i for i in firsts if i >= 0]
                    found.append((row.name, name, reference, len(firsts) - len(unequal), len(firsts), min(unequal, default=-1)))
        return found


def first_difference(a: Sequence[int], b: Sequence[int]) -> int:
    """The first position at which two texts differ; -1 if they are equal."""
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), -1 if len(a) == len(b) else min(len(a), len(b)))


def ratio(ours: Rates, theirs: Rates) -> float:
    """The median of the rounds' ratios, of the rounds that both share and that were quiet for both; of all they share if none was."""
    shared = ours.by_round.keys() & theirs.by_round.keys()
    rounds = shared & ours.quiet & theirs.quiet or shared
    return statistics.median(ours.by_round[i] / theirs.by_round[i] for i in rounds)


def best_peer(rates: dict[str, Rates]) -> str:
    """Who is fastest of the others; empty if nobody else ran."""
    return max((name for name in rates if not is_ours(name)), key=lambda name: rates[name].median, default="")


def duels_of(lines: Iterable[Raw]) -> list[Duel]:
    """Raw lines by model and format, in their order."""
    parts: dict[tuple[str, str], list[Raw]] = {}
    for line in lines:
        parts.setdefault((line["model"], line["format"]), []).append(line)
    return [Duel(model, number, tuple(found)) for (model, number), found in parts.items()]
