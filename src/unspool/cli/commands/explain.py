"""`unspool explain`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unspool.cli import options
from unspool.cli.commands.common import open_model, open_sink
from unspool.errors import MissingExtra, check

if TYPE_CHECKING:
    from unspool.lab.examples import MethodRun
    from unspool.lab.methods import Method


_NAME = options.Argument("name", "A processor, strategy or stop; without it all are listed.", shell_complete=options.decoder_names)
_PROMPT = options.Argument("prompt", "What the run follows, in place of the example's.")
_STEP = options.option("-n", hint="Which step to show, from 1.", default="the example's", type=int)
_DECODER = options.option("--decoder", "-d", hint="A decoder with this method in it.", default="the example's", metavar="TEXT")
_BARE = options.flag("--no-run", "Leave the run out; no model is loaded.")


@options.command(
    _NAME,
    _PROMPT,
    _DECODER,
    options.PARTS,
    _STEP,
    _BARE,
    options.SEED,
    options.form("Form of the result.", ["text", "md", "json", "html"]),
    *options.PLACE,
    *options.LOADED,
)
def explain(name: str | None, prompt: str | None, decoder: str | None, n: int | None, no_run: bool, seed: int, **how: Any) -> int:
    """Explain a method. What it does, when to use it, what others call it, and a run that shows it; alone, it lists all."""
    from unspool.cli.console import note
    from unspool.core.decoder import announced_parts
    from unspool.lab.methods import GROUPS, method, methods
    from unspool.views.explain import draw_methods, index_to_markdown, sheet_of_methods
    from unspool.views.page import page
    from unspool.views.sheet import to_json

    check(n is None or n >= 1, f"explain needs -n of at least 1; got {n}")
    sink = open_sink(how)
    if name is None:
        for broken in announced_parts():
            note(broken)
        found = methods()
        if sink.form == "text":
            sink.write(draw_methods(found, GROUPS, sink.width, sink.paint))
        elif sink.form == "md":
            sink.write(index_to_markdown(found, GROUPS, paths=False))
        elif sink.form == "html":
            sink.write(page("Methods of unspool", sheet_of_methods(found).to_html()))
        else:
            sink.write(to_json([m.to_dict() for m in found]) + "\n")
    else:
        one = method(name)
        try:
            run = None if no_run else _run(one, decoder, prompt, n, seed, how)
        except MissingExtra as error:                                     # what it does can be read without it
            if decoder is not None:
                raise
            run = None
            note(f"without a run: {error}")
        sink.write(_written(one, run, sink))
    sink.close()
    return 0


def _run(method: Method, decoder: str | None, prompt: str | None, step: int | None, seed: int, how: dict[str, Any]) -> MethodRun:
    check(step is None or method.role == "processor", f"-n chooses the step of a processor; {method.name} is a {method.role}")
    from unspool.cli.console import read_text
    from unspool.lab.examples import run_method

    return run_method(method, open_model(how), decoder, None if prompt is None else read_text(prompt), step, seed)


def _written(method: Method, run: MethodRun | None, sink: Any) -> str:
    from unspool.lab.methods import GROUPS
    from unspool.views.explain import draw_method, method_to_html, method_to_markdown
    from unspool.views.page import page
    from unspool.views.sheet import to_json

    title = GROUPS[method.family]
    if sink.form == "json":
        return to_json(method.to_dict() | {"run": run.to_dict() if run else None}) + "\n"
    if sink.form == "md":
        return method_to_markdown(method, run, title, paths=False)
    if sink.form == "html":
        return page(method.name, method_to_html(method, run, title))
    return draw_method(method, run, sink.width, sink.paint)
