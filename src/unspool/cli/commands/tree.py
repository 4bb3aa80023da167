"""`unspool tree`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unspool.cli import options
from unspool.cli.commands.common import open_sink, record_of
from unspool.errors import check

if TYPE_CHECKING:
    from unspool.cli.console import Sink
    from unspool.record.trace import Trace

_FORMS = ["text", "svg", "png", "html", "json", "dot", "mermaid"]
_OF_PARTICLES = ["text", "svg", "png", "html", "json"]
_DRAWN_OF_PARTICLES = "temperature(0.5) | sequential_monte_carlo(12, power=2, truncated=True)"
_FORM = options.form("Form of the tree.", _FORMS)
_PRUNED = options.option("--pruned/--no-pruned", hint="Candidates that were not taken too.", default="pruned", value=True)
_PARTICLES = options.flag("--particles", "Of sequential_monte_carlo: its particles, step by step, as wide as their weights.")
_LINES = options.option("--lines", hint="The most lines on the screen; 0: all.", default=True, value=400, type=int)


@options.command(
    options.PROMPT,
    options.FROM,
    options.ONE_DECODER,
    options.PARTS,
    options.NEW_TOKENS,
    options.SEED,
    _PRUNED,
    _PARTICLES,
    _LINES,
    _FORM,
    *options.PLACE,
    options.TRACE,
    *options.LOADED,
    options.CHAT,
)
def tree(
    prompt: str | None,
    saved: str | None,
    decoder: tuple[str, ...],
    max_new_tokens: int | None,
    seed: int,
    pruned: bool,
    particles: bool,
    lines: int,
    **how: Any,
) -> int:
    """Show the tree of a search. What was kept, finished and pruned, with scores; of samples, where they agree."""
    from unspool.views.particles import Particles
    from unspool.views.particles_text import draw_particles
    from unspool.views.tree import Tree
    from unspool.views.tree_text import draw_growing_tree

    check(lines >= 0, f"--lines must be at least 0; got {lines}")
    sink = open_sink(how)
    check(sink.form in _FORMS, f"a tree has no form {sink.form}; it has {', '.join(_FORMS)}")
    settings = {"max_new_tokens": 8 if max_new_tokens is None else max_new_tokens, "seed": seed}

    if particles:
        check(sink.form in _OF_PARTICLES, f"particles have no form {sink.form}; they have {', '.join(_OF_PARTICLES)}")

    def draw(record: Trace, height: int) -> str:
        if particles:
            return "\n".join(draw_particles(Particles.from_trace(record), sink.width, sink.paint).splitlines()[-height:]) + "\n"
        return draw_growing_tree(Tree.from_trace(record, pruned=pruned), sink.width, sink.paint, height)

    default = _DRAWN_OF_PARTICLES if particles else "beam(3)"
    record, end = record_of(sink, prompt, saved, decoder, "choices", settings, how, draw, default=default, dead=True)
    if record is not None:
        write = _write_particles if particles else _write_tree
        write(sink, record, pruned, lines)
    return end()


def _write_tree(sink: Sink, record: Trace, pruned: bool, lines: int) -> None:
    from unspool.views.tree import Tree
    from unspool.views.tree_text import draw_tree

    shown = Tree.from_trace(record, pruned=pruned)
    if sink.form == "png":
        sink.write_picture(shown.to_png())
    else:
        sink.write(draw_tree(shown, sink.width, sink.paint, lines) if sink.form == "text" else shown.to_form(sink.form))


def _write_particles(sink: Sink, record: Trace, pruned: bool, lines: int) -> None:
    from unspool.views.particles import Particles
    from unspool.views.particles_picture import particles_form, particles_png
    from unspool.views.particles_text import draw_particles

    shown = Particles.from_trace(record)
    if sink.form == "png":
        sink.write_picture(particles_png(shown))
    else:
        sink.write(draw_particles(shown, sink.width, sink.paint, lines) if sink.form == "text" else particles_form(shown, sink.form))
