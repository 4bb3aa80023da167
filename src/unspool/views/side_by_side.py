"""Texts of two decoders after the same prompts, side by side, the most different first."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING

import numpy as np

from unspool.views.characters import safe, shown
from unspool.views.terminal import PLAIN, Paint, display_width, fit_right, pad, wrap

if TYPE_CHECKING:
    from unspool.lab.generations import Generation
    from unspool.lab.rows import Compared

NARROWEST = 8
"""Columns of a text at the least."""
HOW = "the most different prompts first: by the distance of their metrics, each in units of its own spread over prompts"


@dataclass(frozen=True)
class Pair:
    """A prompt with the first text of two decoders."""

    prompt: str
    first: Generation
    second: Generation
    distance: float
    """The mean over metrics of how far the prompt's texts are apart, by the root mean square of that over prompts."""
    values: dict[str, tuple[float, float]]
    """Each metric of the prompt's texts of both, the mean over them."""


def pairs(c: Compared, other: str) -> list[Pair]:
    """The prompts of the first decoder and another, the most different first; those alike stay in their order."""
    mine, theirs = _by_prompt(c, c.rows[0].name), _by_prompt(c, other)
    both = [prompt for prompt in mine if prompt in theirs]
    names = [metric.name for metric in c.metrics]
    values = {p: {n: (_mean(mine[p][1], n), _mean(theirs[p][1], n)) for n in names} for p in both}
    apart = np.asarray([[values[p][n][1] - values[p][n][0] for n in names] for p in both], np.float64).reshape(len(both), len(names))
    known = np.isfinite(apart)
    size = np.abs(np.where(known, apart, 0))
    spread = np.sqrt((size**2).sum(0) / np.maximum(1, known.sum(0)))
    distances = (size / np.where(spread > 0, spread, 1)).sum(1) / np.maximum(1, known.sum(1))
    found = [Pair(p, mine[p][0], theirs[p][0], float(d), values[p]) for p, d in zip(both, distances, strict=True)]
    return sorted(found, key=lambda pair: -pair.distance)


def _by_prompt(c: Compared, name: str) -> dict[str, tuple[Generation, list[dict[str, float | None]]]]:
    """By prompt the first text of a decoder, and the metrics of all its texts."""
    found: dict[str, tuple[Generation, list[dict[str, float | None]]]] = {}
    for g, alone in zip(c.generations, c.texts, strict=True):
        if g.decoder == name and not g.failure:
            found.setdefault(g.prompt, (g, []))[1].append(alone)
    return found


def _mean(some: list[dict[str, float | None]], name: str) -> float:
    known = [value for one in some if (value := one[name]) is not None]
    return math.fsum(known) / len(known) if known else math.nan


def draw_pairs(c: Compared, prompts: int, width: int = 80, paint: Paint = PLAIN) -> str:
    """So many prompts for each decoder beside the first, as columns of a screen of this width."""
    size = max(NARROWEST, (width - 3) // 2)
    blocks = []
    for row in c.rows[1:]:
        head = _line(shown(c.rows[0].name), shown(row.name), size, paint, "head")
        lines = [head, _rule(size), *_wrapped(HOW, width, paint, "dim")]
        for number, pair in enumerate(pairs(c, row.name)[:prompts], 1):
            lines += ["", *_wrapped(f"{number}. {safe(pair.prompt)}", width, paint, "prompt")]
            lines += [_line(*one, size, paint, "dim") for one in _figures(c, pair)]
            lines += _columns(_text(pair.first), _text(pair.second), size)
        blocks.append("\n".join(line.rstrip() for line in lines) + "\n")
    return "\n".join(blocks)


def _text(g: Generation) -> str:
    return safe(g.text).strip("\n").replace("\t", " ")


def _figures(c: Compared, pair: Pair) -> Iterator[tuple[str, str]]:
    """The metrics of both, where at least one has them."""
    for metric in c.metrics:
        both = pair.values[metric.name]
        if any(map(math.isfinite, both)):
            first, second = (f"{x:.{metric.decimals}f}" if math.isfinite(x) else "–" for x in both)
            yield f"{metric.name} {first}", f"{metric.name} {second}"


def _line(left: str, right: str, size: int, paint: Paint, style: str) -> str:
    left, right = fit_right(left, size), fit_right(right, size)
    return paint(left, style) + " " * (size - display_width(left)) + " │ " + paint(right, style)


def _rule(size: int) -> str:
    return "─" * size + "─┼─" + "─" * size


def _wrapped(text: str, width: int, paint: Paint, style: str) -> list[str]:
    return [paint(text[first:last], style) for first, last in wrap(text, width)]


def _columns(left: str, right: str, size: int) -> Iterator[str]:
    """Two texts, each broken to fit its column."""
    for one, other in zip_longest(*([text[a:b] for a, b in wrap(text, size)] for text in (left, right)), fillvalue=""):
        yield pad(one, size) + " │ " + other
