"""Particles in a terminal: a line for each step, in which every particle is as wide as its share of the weight."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import cast

from unspool.views.characters import safe
from unspool.views.particles import Particle, Particles, Round
from unspool.views.terminal import LANES, Paint, display_width, fit_left, fit_right, pad, wrap

WORDS = "width: share of all weight; ESS: effective sample size of those that go on; ×: so many particles with one text; ■: ended"
LEAST_ROOM = 12
"""Columns for the particles; on a screen that leaves less the effective sample size is left out."""


def draw_particles(particles: Particles, width: int, paint: Paint, most: int = 400) -> str:
    """The particles, step by step; `most` is how many lines there are at most (0: all)."""
    width = width or 100
    lines = [paint(fit_left(safe(particles.prompt).replace("\n", "⏎").replace("\t", "⇥"), width), "prompt")]
    digits, drawn, before = len(str(len(particles.rounds))), list[str](), cast("Round | None", None)
    for number, now in enumerate(particles.rounds, 1):
        drawn += _round(number, now, before, digits, width, paint)
        before = now
    if most and len(drawn) > most:
        rest = f"... and {len(drawn) - most} more lines: --lines 0 has them all"
        drawn = [*drawn[:most], *(paint(text, "dim") for text in _wrapped(rest, width))]
    cut = any(p.cut for now in particles.rounds for p in now.particles)
    counted = " of those that were not cut" if cut else ""
    notes = [f"log of the mean weight{counted} {particles.estimate:.2f}: what the texts above estimate log p(valid) to be"]
    notes += [WORDS + ("; □: cut before it was whole, which counts for nothing" if cut else "")]
    return "\n".join([*lines, *drawn, "", *(paint(text, "dim") for note in notes for text in _wrapped(note, width))]) + "\n"


def _round(number: int, now: Round, before: Round | None, digits: int, width: int, paint: Paint) -> Iterator[str]:
    if now.drawn_anew and before is not None:
        parents = {id(p.parent) for p in now.particles if not p.carried}
        note = f"drawn anew: {len(parents)} of {len(before.going)} go on"
        yield from (paint(" " * (digits + 1) + text, "new") for text in _wrapped(note, width - digits - 1))
    effective = f"  {now.size}".ljust(11) if width - digits - 1 - 11 >= LEAST_ROOM else ""
    room = width - digits - 1 - len(effective)
    cells, end = "", 0
    for some in _same_texts(now.particles):
        first, last = round(some[0].top * room), round((some[-1].top + some[-1].share) * room)
        cells += _cell(some, last - first, paint)
        end += last - first
    yield paint(str(number).rjust(digits), "dim") + " " + cells + " " * (room - end) + paint(effective.rstrip(), "dim")
    if now.died:
        note = f"{now.died} died: weight 0"
        yield from (paint(" " * (digits + 1) + text, "bad") for text in _wrapped(note, width - digits - 1))


def _same_texts(particles: Sequence[Particle]) -> Iterator[list[Particle]]:
    """Neighbours that have the same text so far."""
    return (list(some) for _, some in groupby(particles, key=lambda p: p.path))


def _cell(some: Sequence[Particle], size: int, paint: Paint) -> str:
    if size <= 0:
        return ""
    p = some[0]
    times = f"×{len(some)}" if len(some) > 1 else ""
    name = ("□" if p.cut else "■" if p.reason else "") + ("" if p.carried else safe(p.label))
    room = size - 1 - len(times)
    text = fit_right(name, room) + times if room >= 2 else fit_right(name, size - 1) if size > 2 else ""
    return paint("│" + pad(text if display_width(text) < size else "", size - 1), "dim" if p.reason else f"lane{p.founder % LANES}")


def _wrapped(text: str, width: int) -> Iterator[str]:
    return (text[a:b] for a, b in wrap(text, max(8, width)))
