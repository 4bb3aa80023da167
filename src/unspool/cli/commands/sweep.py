"""`unspool sweep`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from unspool.cli import options
from unspool.cli.commands.common import FAILED, broken_off, check_unheeded, open_model, open_sink
from unspool.cli.commands.compare import JUDGE, UNIT, read_seeds
from unspool.cli.commands.given import read_prompts, read_reference, texts_of, usable
from unspool.cli.commands.many import RUN_BY
from unspool.errors import check
from unspool.lab.defaults import KEEP, SEARCHES, SWEPT_FOR

if TYPE_CHECKING:
    from unspool.sweeps.result import Sweep

_UNASKED = "temperature({0.7, 0.85, 1, 1.2}) | top_p({0.8, 0.9, 0.95, 1}) | sample"
"""Swept if no decoder is named."""
_TEXT = options.Argument("text", "The decoder, in place of -d.", shell_complete=options.decoder_names)
_DECODER = options.option(
    "--decoder",
    "-d",
    hint="A decoder with sets {0.8, 0.9} and ranges {0.3..1.5 by 0.2} or {0.3..1.5 in 7} in place of values.",
    default=_UNASKED,
    metavar="TEXT",
    shell_complete=options.decoder_names,
)
_METRICS = options.option(
    "--metrics",
    hint="One, or two with a comma between for a trade-off; each perhaps with :min, :max, :near=NUMBER or :human. Read off given texts: "
    "coverage, kept, mass, cross_entropy, epsilon_perplexity, js, sparsemax_score, spread. Of drawn texts: those of compare.",
    default=SWEPT_FOR,
    metavar="LIST",
)
_REFERENCE = options.option(
    "--reference",
    hint="Human texts, one per line, or prompt, tab, text, or in columns prompt and text: to be read, or for drawn texts to be like.",
    default="to read: passages that come with unspool",
    metavar="FILE",
    type=options.FileRead(),
)
_SEARCH = options.option(
    "--search", hint="How settings are chosen.", default=True, value=SEARCHES[0], type=click.Choice(SEARCHES)
)
_SETTINGS = options.option("--settings", hint="How many settings random or halving draws.", type=int)
_BUDGET = options.option("--budget", hint="How often a prompt may be run, over all settings, in place of that.", type=int)
_KEEP = options.option("--keep", hint="In halving, of how many settings one goes on.", default=str(KEEP), type=int)
_SEED = options.option("--seed", hint="Of what random or halving draws.", default=True, value=0, type=options.Seed())
_SEEDS = options.option("--seeds", hint="Of the texts: how many, or which, as 0,7,42.", default=True, value="1", metavar="N | LIST")
_SAVE = options.option(
    "--save",
    hint="Save the numbers of each unit of work; what is there is not made again.",
    metavar="FILE",
    type=options.FileWritten("jsonl"),
)
_PLOT = options.option("--plot", hint="Draw it: an .svg, .png or .pdf.", metavar="FILE", type=options.FileWritten("svg", "png", "pdf"))


@options.command(
    _TEXT,
    options.PROMPT_FILES,
    *options.PROMPTS_BY,
    _DECODER,
    options.PARTS,
    _METRICS,
    _REFERENCE,
    _SEARCH,
    _SETTINGS,
    _BUDGET,
    _KEEP,
    _SEED,
    _SEEDS,
    options.NEW_TOKENS,
    UNIT,
    JUDGE,
    _SAVE,
    _PLOT,
    *RUN_BY,
    *options.RESULT,
    *options.LOADED,
    options.CHAT,
)
@click.pass_context
def sweep(
    ctx: click.Context,
    /,
    text: str | None,
    file: tuple[str, ...],
    prompt_column: str | None,
    file_form: str | None,
    decoder: str | None,
    metrics: str | None,
    reference: str | None,
    judge: str | None,
    seeds: str,
    max_new_tokens: int | None,
    plot: str | None,
    engine: str | None,
    workers: int | None,
    ray_address: str | None,
    **how: Any,
) -> int:
    """Try a decoder at many settings. Which is best by a metric, or by a trade-off of two, which to take, and how sure that is.

    The exit code is 2 if the recommended setting came to no text after a prompt, or if none could be recommended.
    """
    from unspool.cli.long_bar import LongBar
    from unspool.files import check_writable
    from unspool.language_model import DEFAULT_NEW_TOKENS
    from unspool.many.executors.opening import ModelOpening
    from unspool.many.reading import Columns
    from unspool.sweeps.axes import read_template
    from unspool.sweeps.goals import read_goals
    from unspool.sweeps.settings import check_search
    from unspool.sweeps.sweeping import Sweeping
    from unspool.views.compare_plot import check_path

    sink = open_sink(how)
    check(text is None or decoder is None, "the decoder is given twice: behind -d and without it")
    here = "a decoder with values in braces stands here, as \"top_p({0.8, 0.9})\"; prompts are those of a file, -f FILE"
    check(text is None or "{" in text, f"{here}; got {text!r:.60}")
    asked = text or decoder or _UNASKED
    wanted = SWEPT_FOR if metrics is None else metrics
    check_search(read_template(asked), how["search"], how["settings"], how["budget"])  # before the model is opened
    several = read_seeds(seeds)
    goals = read_goals(wanted, human=reference is not None, judged=judge is not None)
    if goals[0].read:
        check_unheeded(ctx, ("seeds", "unit", "judge"), f"{goals[0].name} is read off given texts, and none is drawn")
    if not any(goal.metric.needs in ("judged", "features") for goal in goals):
        check_unheeded(ctx, ("judge",), "no metric asks a second model")
    if how["search"] == "grid":
        check_unheeded(ctx, ("seed",), "a grid has every setting and draws none")
    given = read_prompts(None, file, Columns(prompt_column), file_form) if file else []
    prompts, human = texts_of(given, "sweep"), read_reference(reference)
    if plot:
        check_writable(check_path(plot))
    lm = open_model(how)
    if given:
        usable(lm, given, {"chat": how["chat"]})
    work = Sweeping(
        lm,
        asked,
        wanted,
        prompts=prompts,
        reference=human,
        judge=open_model(how | {"model": judge}) if judge else None,
        seeds=several,
        max_new_tokens=DEFAULT_NEW_TOKENS if max_new_tokens is None else max_new_tokens,
        **{name: how[name] for name in ("search", "settings", "budget", "keep", "seed", "unit", "chat", "save")},
        engine=engine or "inline",
        workers=workers,
        address=ray_address,
        opening=ModelOpening(how["model"], how["backend"], how["device"], how["dtype"], parts=tuple(ctx.meta.get(options.PARTS_META, ()))),
    )
    bar, kept, interrupted = LongBar("sweep", work.plan.total, what="readings" if work.plan.read else "runs"), 0, False
    with bar:
        try:
            for _ in work:
                bar.reached(work.done, made=work.kept == kept)
                kept = work.kept
        except KeyboardInterrupt:
            interrupted = True
    if interrupted and not work.done:
        return broken_off(sink, [plot], None, " before the first numbers were there")
    found = work.result
    if not (interrupted and sink.path):
        sink.write(written(found, sink.form) if sink.form != "text" else found.to_text(sink.width, sink.paint))
    if interrupted:
        return broken_off(sink, [plot], how["save"], "")
    sink.close()
    if plot:
        found.plot(Path(plot))
    return 0 if found.recommended is not None and not found.recommended.failed else FAILED


def written(found: Sweep, form: str) -> str:
    """A sweep in one of the file forms."""
    from unspool.views.sheet import to_json, to_jsonl
    from unspool.views.sweep_files import records, to_page

    if form == "json":
        return to_json(found.to_dict()) + "\n"
    if form == "jsonl":
        return to_jsonl(records(found))
    return to_page(found) if form == "html" else found.to_markdown() if form == "md" else found.to_csv()
