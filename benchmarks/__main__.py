"""Measures unspool and every other engine that is installed, and writes a page and pictures: python -m benchmarks

Engines run with this Python; those that are installed elsewhere are named with their interpreter, and those that are nowhere are left out:

    python -m benchmarks --python ctranslate2=/envs/ct2/bin/python --python openvino=/envs/ov/bin/python

`--quick` takes some three minutes and writes its page into the folder of raw results; without it, a run takes hours.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.bandwidth import MEGABYTES, Reader
from benchmarks.contestants import ENGINES, FORMATS, Entry
from benchmarks.duel import Contestant, Place, Raw, collect, duel, missing
from benchmarks.models import MODELS, cache_folder, made
from benchmarks.page import Setting, written
from benchmarks.pictures import draw
from benchmarks.results import OURS, duels_of
from benchmarks.workloads import ROWS

DOCS = Path(__file__).parents[1] / "docs"
NAMES = [row.name for row in ROWS]


def options_of(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    shown = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__, formatter_class=shown)
    add = parser.add_argument
    add("--models", type=listed(MODELS), default=["gpt2", "llama", "bundled"], help=f"of {', '.join(MODELS)}")
    add("--formats", type=listed(FORMATS), default=list(FORMATS), help=f"of {', '.join(FORMATS)}")
    add("--rows", type=listed(NAMES, ";"), default=list(NAMES), help="names of rows, with ; between")
    add("--engines", type=listed(ENGINES), default=list(ENGINES), help=f"of {', '.join(ENGINES)}")
    add("--python", action="append", default=[], metavar="ENGINE=PATH", help="the interpreter of an engine's environment; may be repeated")
    add("--backends", default="", help="what unspool.load gets as backend; several, with commas, are as many contestants")
    add("--rounds", type=int, default=7)
    add("--threads", type=int, default=os.cpu_count() or 1)
    add("--no-pin", action="store_true", help="leave it to the system on which cores threads run")
    add("--quick", action="store_true", help="one model in float32, two rounds, short texts")
    add("--cache", type=Path, default=cache_folder(), help="folder of models and what engines convert them to (%(default)s)")
    add("--raw", type=Path, default=Path("benchmark-results"), help="folder of raw results and of what engines print (%(default)s)")
    add("--page", type=Path, default=None, help="the page to write (docs/speed.md; with --quick speed.md beside the raw results)")
    found = parser.parse_args(arguments)
    if wrong := [pair for pair in found.python if pair.partition("=")[0] not in ENGINES or "=" not in pair]:
        parser.error(f"--python takes ENGINE=PATH with an engine of {', '.join(ENGINES)}; got {wrong[0]!r}")
    if found.quick:
        found.models, found.formats, found.rounds = found.models[:1], found.formats[:1], min(found.rounds, 2)
    found.page = found.page or (found.raw / "speed.md" if found.quick else DOCS / "speed.md")
    found.chosen = [row.smaller() if found.quick else row for row in ROWS if row.name in found.rows]
    return found


class listed:
    """The type of an option that takes names of a list."""

    def __init__(self, known: Iterable[str], between: str = ",") -> None:
        self.known, self.between = list(known), between

    def __call__(self, text: str) -> list[str]:
        names = [name.strip() for name in text.split(self.between)]
        if wrong := [name for name in names if name not in self.known]:
            raise argparse.ArgumentTypeError(f"there is no {wrong[0]!r}; there are {', '.join(self.known)}")
        return names


def contestants_of(options: argparse.Namespace) -> tuple[list[Contestant], list[str]]:
    """Who runs, in float32 (other formats change the field), and what is said of who does not."""
    pythons = dict(pair.split("=", 1) for pair in options.python)
    found, out = [], []
    for engine in options.engines:
        python = pythons.get(engine, sys.executable)
        if said := missing(engine, python):
            out.append(f"{engine}, {said}")
            continue
        settings = [{"backend": name} for name in options.backends.split(",")] if engine == OURS else [{}]
        found += [Contestant(engine, "float32", python, each) for each in settings]
    return found, out


def fitting(contestants: Sequence[Contestant], family: str, number: str) -> list[Contestant]:
    """Those that have a format and can open a model of this model_type."""

    def can(entry: Entry) -> bool:
        return number in entry.formats and (not entry.families or family in entry.families)

    return [replace(c, format=number) for c in contestants if can(ENGINES[c.engine])]


def machine() -> str:
    """The processor, and how many cores this process may use."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{[*names, platform.processor() or 'an unknown processor'][0]}, {os.cpu_count()} cores"


def main(arguments: Sequence[str] | None = None) -> None:
    options = options_of(arguments)
    logs = options.raw / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    place = Place(options.cache.resolve(), logs.resolve(), options.threads, not options.no_pin)
    contestants, out = contestants_of(options)
    for said in out:
        print(f"left out: {said}", flush=True)
    raw = options.raw / f"{time.strftime('%Y%m%d-%H%M%S')}.jsonl"
    reader, lines = Reader(options.threads, MEGABYTES // 4 if options.quick else MEGABYTES), list[Raw]()
    folders = {model: made(model, place.cache) for model in options.models}
    for model, folder in folders.items():
        config = json.loads((folder / "config.json").read_text())
        rows = [row for row in options.chosen if row.room <= config.get("n_positions", config.get("max_position_embeddings"))]
        for number in options.formats:
            if field := fitting(contestants, config["model_type"], number):
                lines += collect(duel(field, rows, model, folder, place, options.rounds, reader), raw, lambda said: print(said, flush=True))
    pages(options, lines, folders, out)
    print(f"{options.page}, raw results in {raw}", flush=True)


def pages(options: argparse.Namespace, lines: Sequence[Raw], folders: dict[str, Path], out: Sequence[str]) -> None:
    """Write the page and its pictures."""
    duels, pictures = duels_of(lines), dict[str, str]()
    for model in folders:
        path = options.page.parent / "pictures" / f"speed-{model}.svg"
        if draw([found for found in duels if found.model == model and found.names], options.chosen, path):
            pictures[model] = path.relative_to(options.page.parent).as_posix()
    setting = Setting(
        date=time.strftime("%Y-%m-%d"),
        machine=machine(),
        system=f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        threads=options.threads,
        pinned=not options.no_pin,
        rounds=options.rounds,
        command=command(options),
        left_out=tuple(out),
        rows=tuple(options.chosen),
    )
    options.page.write_text(written(setting, duels, folders, pictures), encoding="utf-8")


def command(options: argparse.Namespace) -> str:
    """What would run it again, without the folders of this machine."""
    parts = ["python -m benchmarks", "--models", ",".join(options.models), "--formats", ",".join(options.formats)]
    parts += ["--engines", ",".join(options.engines), "--rounds", str(options.rounds), "--threads", str(options.threads)]
    parts += ["--backends", options.backends] if options.backends else []
    parts += ["--rows", shlex.quote(";".join(row.name for row in options.chosen))] if len(options.chosen) < len(ROWS) else []
    return " ".join([*parts, *["--no-pin"] * options.no_pin, *["--quick"] * options.quick])


if __name__ == "__main__":
    main()
