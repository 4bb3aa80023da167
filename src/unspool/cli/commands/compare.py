"""`unspool compare`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from unspool.cli import options
from unspool.cli.commands.common import FAILED, broken_off, check_unheeded, open_model, open_sink
from unspool.cli.commands.given import ANSWER_COLUMN, answers_of_files, read_prompts, read_reference, texts_of, usable
from unspool.cli.commands.many import RUN_BY
from unspool.errors import check, in_digits
from unspool.lab.defaults import DEFAULT, DEFAULT_SEEDS, PROMPTS_AT_ONCE, UNITS

if TYPE_CHECKING:
    from unspool.lab.comparison import Comparison
    from unspool.views.terminal import Paint

_DECODERS = ("greedy", "beam(4)", "sample(1)", "top_p(0.95) | sample(1)")
"""Compared if none is named."""
SIDE_BY_SIDE = 80
"""Columns for texts where there is no screen."""
_DECODER = options.repeated(
    "--decoder",
    "-d",
    hint="How to decode; give several, the others are compared with the first.",
    default="; ".join(_DECODERS),
    metavar="TEXT",
    shell_complete=options.decoder_names,
)
_SEEDS = options.option(
    "--seeds", hint="How many, or which, as 0,7,42 (7, for one alone).", default=True, value=str(DEFAULT_SEEDS), metavar="N | LIST"
)
_METRICS = options.option(
    "--metrics",
    hint="Names with commas between: perplexity, logprob, bits_per_byte, entropy, uid_variance, uid_local, rep_N, diversity, loops, "
    "self_bleu, self_bleu_N, distinct_N, ngram_entropy_N, zipf, length, ended; with --judge judge_perplexity, judge_bits_per_byte; with "
    "answers exact_match, pass_at_N, bleu, chrf; with --reference mauve; and those of --import.",
    default=",".join(DEFAULT),
    metavar="LIST",
)
UNIT = options.option("--unit", hint="What n-grams are made of.", default=True, value=UNITS[0], type=click.Choice(UNITS))
_REFERENCE = options.option(
    "--reference",
    hint="Human texts: one per line, or prompt, tab, text; or a file with a column text, and perhaps prompt.",
    metavar="FILE",
    type=options.FileRead(),
)
JUDGE = options.option(
    "--judge", hint="A second model, for judge_perplexity and judge_bits_per_byte.", metavar="MODEL", type=options.FileRead()
)
_SAVE = options.option(
    "--save",
    hint="Save every generation, as JSON lines; what is there is not made again.",
    metavar="FILE",
    type=options.FileWritten("jsonl"),
)
_PLOT = options.option(
    "--plot", hint="Draw one metric against another: an .svg, .png or .pdf.", metavar="FILE", type=options.FileWritten("svg", "png", "pdf")
)
_AXES = options.option("--axes", hint="Which two metrics.", default="diversity,perplexity", metavar="X,Y")
_LIST = options.flag("--list-metrics", hint="Say what each metric is, your own too, and end.")
_ANSWER_COLUMN = options.option("--answer-column", hint="What is right after a prompt.", default="answer, if there", metavar="NAME")
_ANSWER_PATTERN = options.option("--answer-pattern", hint="What finds the answer in a text, its last match.", metavar="REGEX")
_SHOW = options.option("--show", hint="Show texts of so many prompts side by side, the most different first.", metavar="N", type=int)
_HTML = options.option("--html", hint="Write a report with pictures and texts, one page.", metavar="FILE", type=options.FileWritten("html"))
_TOGETHER = options.option("--together", hint="How many prompts run at once.", default=True, value=PROMPTS_AT_ONCE, type=int)


@options.command(
    options.PROMPT,
    options.PROMPT_FILES,
    _DECODER,
    options.PARTS,
    _SEEDS,
    options.NEW_TOKENS,
    _METRICS,
    _LIST,
    *options.PROMPTS_BY,
    _ANSWER_COLUMN,
    _ANSWER_PATTERN,
    UNIT,
    _REFERENCE,
    JUDGE,
    _SAVE,
    _SHOW,
    _HTML,
    _PLOT,
    _AXES,
    _TOGETHER,
    *RUN_BY,
    *options.RESULT,
    *options.LOADED,
    options.CHAT,
)
@click.pass_context
def compare(
    ctx: click.Context,
    /,
    prompt: str | None,
    file: tuple[str, ...],
    decoder: tuple[str, ...],
    seeds: str,
    max_new_tokens: int | None,
    metrics: str | None,
    list_metrics: bool,
    prompt_column: str | None,
    file_form: str | None,
    answer_column: str | None,
    answer_pattern: str | None,
    unit: str,
    reference: str | None,
    judge: str | None,
    save: str | None,
    show: int | None,
    html: str | None,
    plot: str | None,
    axes: str | None,
    together: int,
    engine: str | None,
    workers: int | None,
    ray_address: str | None,
    **how: Any,
) -> int:
    """Compare decoders. What their texts are like over the same prompts and several seeds, how sure that is, and what it costs.

    The exit code is 2 if a prompt came to no text.
    """
    from unspool.cli.console import note
    from unspool.cli.long_bar import LongBar
    from unspool.core.decoder import parse
    from unspool.files import check_writable, write
    from unspool.lab.asked_compare import MetricsGiven, check_metrics
    from unspool.lab.compare import Comparing
    from unspool.language_model import DEFAULT_NEW_TOKENS
    from unspool.many.executors.opening import ModelOpening
    from unspool.many.reading import Columns
    from unspool.views.compare_plot import axes_of, check_path
    from unspool.views.compare_report import to_page
    from unspool.views.compare_words import failure_of

    sink = open_sink(how)
    if list_metrics:
        sink.write(listed(sink.width, sink.paint))
        sink.close()
        return 0
    given = read_prompts(prompt, file, Columns(prompt_column, answer=answer_column or ANSWER_COLUMN), file_form)
    prompts, answers = texts_of(given, "compare"), answers_of_files(given, file, answer_column)
    decoders = [parse(text) for text in decoder or _DECODERS]
    names = list(DEFAULT) if metrics is None else [name.strip() for name in metrics.split(",") if name.strip()]
    human = read_reference(reference)
    asked = check_metrics(names, MetricsGiven(judge is not None, answers is not None, len(prompts), len(human)))
    if not any(m.needs in ("judged", "features") for m in asked):
        check_unheeded(ctx, ("judge",), "no metric asks a second model, as judge_perplexity does")
    check(show is None or (show >= 1 and sink.form == "text"), f"--show is how many prompts the text form shows, at least 1; got {show}")
    check(show is None or len(decoders) > 1, "--show puts the texts of two decoders side by side; give several")
    check(axes is None or plot is not None or html is not None, "--axes says what --plot FILE or --html FILE draws; give both")
    across = read_axes(axes)
    if html:
        check_writable(html)
    if plot:
        check_writable(check_path(plot))
    if plot or axes:
        axes_of([m.name for m in asked], *across)
    bar = LongBar("compare", None, what="runs")
    lm = open_model(how)
    usable(lm, given, {"chat": how["chat"]})
    run = Comparing(
        lm,
        prompts,
        decoders,
        seeds=read_seeds(seeds),
        max_new_tokens=DEFAULT_NEW_TOKENS if max_new_tokens is None else max_new_tokens,
        metrics=asked,
        reference=human,
        judge=open_model(how | {"model": judge}) if judge else None,
        unit=unit,
        answers=answers,
        answer_pattern=answer_pattern,
        save=save,
        chat=how["chat"],
        together=together,
        engine=engine or "inline",
        workers=workers,
        address=ray_address,
        opening=ModelOpening(how["model"], how["backend"], how["device"], how["dtype"], parts=tuple(ctx.meta.get(options.PARTS_META, ()))),
        watch=lambda step: bar.step(len(step), 0),
    )
    bar.total, new, interrupted = run.total, 0, False
    with bar:
        try:
            for _ in run:
                bar.label = run.current
                bar.reached(run.done, made=run.made_new > new)
                new = run.made_new
        except KeyboardInterrupt:
            interrupted = True
    found = run.comparison
    if interrupted and not found.rows:
        return broken_off(sink, [html, plot], None, " before the first texts were whole")
    if not (interrupted and sink.path):
        sink.write(written(found, sink.form) if sink.form != "text" else found.to_text(sink.width, sink.paint))
        if show is not None:
            sink.write("\n" + found.side_by_side(show, sink.width or SIDE_BY_SIDE, sink.paint))
    failed = [row for row in found.rows if row.failed]
    for row in failed:
        note(failure_of(row, found))
    if interrupted:
        return broken_off(sink, [html, plot], save, "")
    sink.close()
    if html:
        write(html, to_page(found, *across))
    if plot:
        found.plot(Path(plot), *across)
    return FAILED if failed else 0


def listed(width: int, paint: Paint) -> str:
    """Every metric with its definition."""
    from unspool.lab.registry import listed_metrics
    from unspool.views.terminal import wrap

    lines = []
    for metric in listed_metrics():
        said = f"{metric.definition} Unit: {metric.unit}."
        lines += [paint(metric.name.replace("_n", "_N") if metric.name.endswith("_n") else metric.name, "chosen")]
        lines += ["  " + said[first:last] for first, last in wrap(said, (width or SIDE_BY_SIDE) - 2)]
    return "\n".join(lines) + "\n"


def written(found: Comparison, form: str) -> str:
    """A comparison in one of the file forms."""
    from unspool.views.compare_report import to_page
    from unspool.views.sheet import to_json

    if form == "json":
        return to_json(found.to_dict()) + "\n"
    if form == "jsonl":
        return found.to_jsonl()
    return to_page(found) if form == "html" else found.to_markdown() if form == "md" else found.to_csv()


def read_seeds(text: str) -> int | list[int]:
    """How many seeds, or a list of them, which has a comma."""
    parts = [part.strip() for part in text.split(",")]
    parts = parts[:-1] if len(parts) > 1 and not parts[-1] else parts
    check(
        all(in_digits(part.removeprefix("-")) is not None for part in parts),
        f"--seeds is how many, or whole numbers with commas between, as 0,7,42; got {text[:60]!r}",
    )
    return [int(part) for part in parts] if "," in text else int(text)


def read_axes(text: str | None) -> tuple[str | None, str | None]:
    """The metrics of a picture's axes."""
    if text is None:
        return None, None
    x, comma, y = (part.strip() for part in text.partition(","))
    check(bool(x and comma and y), f"--axes is two metrics with a comma between, as diversity,perplexity; got {text!r}")
    return x, y
