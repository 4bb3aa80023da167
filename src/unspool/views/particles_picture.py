"""The picture of particles: a column for each step, in which every particle is as high as its share of the weight."""

from __future__ import annotations

import html
from collections.abc import Iterator

from unspool.errors import MissingExtra, check
from unspool.views.characters import shown
from unspool.views.page import LIGHT, literal, page, themed
from unspool.views.particles import Particle, Particles
from unspool.views.terminal import fit_left, fit_right

BOX, GAP, TOP, LEFT = 62, 40, 26, 14
LEAST_LABEL = 11
"""Units of height from which on a particle is labelled with its token."""
FOUNDERS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Colours of Okabe and Ito, one for each first token."""


LONGEST_PNG = 200
"""Steps of a picture that is made of pixels."""


def particles_form(particles: Particles, form: str) -> str:
    """The particles as svg, html or json."""
    if form == "html":
        return page(f"The particles of {particles.decoder}", f'<div class="wide">{particles_svg(particles)}</div>')
    return particles_svg(particles) if form == "svg" else particles.to_json()


def particles_svg(particles: Particles) -> str:
    """A picture: time from left to right, every particle as high as its share of the weight; light or dark as the screen is."""
    return _svg(particles, themed("svg.unspool-particles") + PARTICLES_STYLE)


def particles_png(particles: Particles, scale: float = 2.0) -> bytes:
    """The picture in light colours; needs the extra "png"."""
    try:
        from resvg_py import svg_to_bytes
    except ImportError:
        raise MissingExtra("PNG needs resvg-py: pip install 'unspool[png]'; SVG needs nothing") from None
    steps = len(particles.rounds)
    check(steps <= LONGEST_PNG, f"a picture of {steps} steps is too wide for PNG, which is drawn up to {LONGEST_PNG}: use svg")
    return bytes(svg_to_bytes(svg_string=_svg(particles, literal(PARTICLES_STYLE, LIGHT)), zoom=scale, font_family="DejaVu Sans Mono"))


def _svg(particles: Particles, style: str) -> str:
    most = max((len(now.particles) for now in particles.rounds), default=1)
    height = max(180, min(640, 26 * most))
    prompt = fit_left(shown(particles.prompt), 60)
    width = max(LEFT * 2 + len(particles.rounds) * (BOX + GAP), 480)
    title = html.escape(f"{particles.decoder} after {particles.prompt!r}")
    size = f'viewBox="0 0 {width} {height + 92}" width="{width}" height="{height + 92}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" class="unspool-particles" {size} role="img">'
    cut = " · □: cut before it was whole" if any(p.cut for now in particles.rounds for p in now.particles) else ""
    words = "height: share of all weight · colour: the first token · a ribbon that ends: not drawn again, or weight 0 · framed: ended"
    parts = [head, f"<title>{title}</title>", f"<style>\n{style}</style>"]
    parts.append(f'<text class="prompt" x="{LEFT}" y="16">{html.escape(prompt)}</text>')
    flows, boxes, notes = list[str](), list[str](), list[str]()
    for number, now in enumerate(particles.rounds):
        x = LEFT + number * (BOX + GAP)
        for p in now.particles:
            boxes += _box(p, x, height)
            flows += _flows(p, x + BOX, height) if number + 1 < len(particles.rounds) else []
        middle, foot = x + BOX / 2, TOP + height
        notes.append(f'<text class="small" x="{middle:g}" y="{foot + 15}">{now.size}</text>')
        if now.drawn_anew:
            at = x - GAP / 2
            notes.append(f'<path class="anew" d="M{at:g} {TOP}V{foot + 20}"/>')
            notes.append(f'<text class="small anew" x="{at:g}" y="{foot + 32}">drawn anew</text>')
        if now.died:
            notes.append(f'<text class="small" x="{middle:g}" y="{foot + 45}">{now.died} died</text>')
    legend = f'<text class="legend" x="{LEFT}" y="{height + TOP + 60}">{html.escape(words + cut)}</text>'
    parts += [*flows, *boxes, *notes, legend, "</svg>"]
    return "\n".join(parts) + "\n"


def _box(p: Particle, x: float, height: float) -> Iterator[str]:
    y, size = TOP + p.top * height, p.share * height
    kind = f"f{p.founder % len(FOUNDERS)}" + (" ended" if p.reason else "")
    about = " · ".join(filter(None, [p.label, f"{p.share:.1%} of the weight", p.reason, "cut before it was whole" if p.cut else ""]))
    name = "" if size < LEAST_LABEL or p.carried else fit_right(("□ " if p.cut else "■ " if p.reason else "") + p.label, 8)
    label = f'<text x="{x + 5:g}" y="{y + size / 2 + 4:.2f}">{html.escape(name)}</text>' if name else ""
    box = f'<rect class="{kind}" x="{x:g}" y="{y:.2f}" width="{BOX}" height="{size:.2f}"/>'
    yield f"<g><title>{html.escape(about)}</title>{box}{label}</g>"


def _flows(p: Particle, x: float, height: float) -> Iterator[str]:
    """The ribbons from a particle to its children, which part its width evenly; one without any runs out."""
    y, size, kind = TOP + p.top * height, p.share * height, f"f{p.founder % len(FOUNDERS)}"
    if not p.children:
        tip = x + GAP * 0.6
        yield f'<path class="flow {kind}" d="M{x:g} {y:.2f}L{tip:g} {y + size / 2:.2f}L{x:g} {y + size:.2f}Z"/>'
    ordered = sorted(p.children, key=lambda child: child.top)
    part, right, bend = size / max(1, len(ordered)), x + GAP, x + GAP / 2
    for i, child in enumerate(ordered):
        a, b = y + i * part, y + (i + 1) * part
        c, d = TOP + child.top * height, TOP + (child.top + child.share) * height
        over = f"M{x:g} {a:.2f}C{bend:g} {a:.2f} {bend:g} {c:.2f} {right:g} {c:.2f}"
        yield f'<path class="flow {kind}" d="{over}V{d:.2f}C{bend:g} {d:.2f} {bend:g} {b:.2f} {x:g} {b:.2f}Z"/>'


PARTICLES_STYLE = """
svg.unspool-particles { background: var(--paper); color: var(--ink); }
.unspool-particles { font: 12px ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; }
.unspool-particles text { fill: var(--ink); white-space: pre; } .unspool-particles .prompt { font-weight: bold; font-size: 13px; }
.unspool-particles .small { font-size: 10px; text-anchor: middle; fill: var(--faint); }
.unspool-particles .legend { font: 11px system-ui, "DejaVu Sans", sans-serif; fill: var(--faint); }
.unspool-particles rect { fill-opacity: .42; stroke: var(--paper); stroke-width: 1; }
.unspool-particles .flow { fill-opacity: .22; stroke: var(--paper); stroke-width: .5; }
.unspool-particles rect.ended { fill-opacity: .16; stroke: var(--edge); }
.unspool-particles text.anew { fill: var(--best); } .unspool-particles path.anew { fill: none; stroke: var(--best); stroke-dasharray: 2 3; }
""" + "".join(f".unspool-particles .f{i} {{ fill: {colour}; }}\n" for i, colour in enumerate(FOUNDERS))
