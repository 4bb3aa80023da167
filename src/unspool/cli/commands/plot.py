"""`unspool plot`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from unspool.cli import options
from unspool.cli.commands.common import open_model, open_sink
from unspool.errors import ParameterError, check, unknown

if TYPE_CHECKING:
    from unspool.language_model import LanguageModel
    from unspool.record.trace import Trace
    from unspool.views.plot import Picture

_FORMS = ["svg", "png"]
_UNASKED = {
    "probability": ("greedy", "beam(4)", "sample"),
    "entropy": ("greedy",),
    "kept": ("top_k(50) | sample", "top_p(0.9) | sample", "min_p(0.1) | sample"),
    "sweep": ("temperature({}) | sample(8)",),
}
"""What is drawn where no decoder is named."""
_KIND = options.Argument("kind", "probability, entropy, kept, temperature or sweep.")
_DECODERS = options.repeated(
    "--decoder",
    "-d",
    hint='How to decode; several for probability and kept; for sweep with {} for the setting, as "top_p({}) | sample(8)".',
    metavar="TEXT",
    default="; ".join(f"{kind}: {', '.join(decoders)}" for kind, decoders in _UNASKED.items()),
    shell_complete=options.decoder_names,
)
_TEXT = options.option("--text", hint="A text by a person that goes on from the prompt, to be drawn too or instead.")
_VALUES = options.option("--values", hint="Of the setting, or temperatures, with commas between.", metavar="LIST")


@options.command(
    _KIND,
    options.PROMPT,
    _DECODERS,
    options.PARTS,
    _TEXT,
    _VALUES,
    options.NEW_TOKENS,
    options.SEED,
    options.form("Form of the picture.", _FORMS, default="svg"),
    *options.PLACE,
    *options.LOADED,
)
def plot(
    kind: str | None,
    prompt: str | None,
    decoder: tuple[str, ...],
    text: str | None,
    values: str | None,
    max_new_tokens: int | None,
    seed: int,
    **how: Any,
) -> int:
    """Draw a picture. Probability or entropy along a text, tokens kept by processors, a temperature's effect, a sweep of a setting."""
    from unspool.cli.console import read_prompt, read_text

    check(kind is not None, f"say what to plot, {', '.join(_DRAWN)}, and a prompt; as in: unspool plot entropy 'Once upon a time'")
    if kind not in _DRAWN:
        raise unknown("plot", str(kind), list(_DRAWN))
    sink = open_sink(how)
    form = "svg" if sink.form == "text" and sink.path is None else sink.form
    check(form in _FORMS, f"a plot is drawn as {' or '.join(_FORMS)}; got {how['output_file'] or form}")
    start = read_prompt(prompt)
    settings = {"max_new_tokens": max_new_tokens, "seed": seed}
    given = None if text is None else read_text(text, "text")
    asked = Asked(open_model(how), start, decoder, given, values.split(",") if values else [], settings)
    picture = _DRAWN[str(kind)](asked)
    sink.write_picture(picture.to_svg().encode() if form == "svg" else picture.to_png())
    sink.close()
    return 0


@dataclass
class Asked:
    """What a plot is drawn of."""

    lm: LanguageModel
    prompt: str
    decoders: tuple[str, ...]
    text: str | None
    values: list[str]
    settings: dict[str, Any]

    def trace(self, decoder: str) -> Trace:
        """A record with all stages of a run, or of the person's text under the decoder's processors."""
        from unspool.core.decoder import Decoder, parse
        from unspool.strategies.follow import Follow

        chosen = parse(decoder)
        if self.text:
            chosen = Decoder((*chosen.processors, Follow(self.text)))
        return self.lm.generate(self.prompt, chosen, level="stages", **self.settings).trace


def _probability(asked: Asked) -> Picture:
    from unspool.views import plot as view

    texts = {"human text": asked.lm.score(asked.prompt, asked.text).logprobs} if asked.text else {}
    for decoder in asked.decoders or _UNASKED["probability"]:
        texts[decoder] = asked.lm.generate(asked.prompt, decoder, **asked.settings).best.logprobs
    return view.probability(texts)


def _entropy(asked: Asked) -> Picture:
    from unspool.views import plot as view

    check(len(asked.decoders) <= 1, f"this draws one decoder; got {len(asked.decoders)}")
    return view.entropy(asked.trace((asked.decoders or _UNASKED["entropy"])[0]))


def _kept(asked: Asked) -> Picture:
    from unspool.views import plot as view

    return view.kept({d: asked.trace(d) for d in asked.decoders or _UNASKED["kept"]})


def _temperature(asked: Asked) -> Picture:
    from unspool.views import plot as view

    check(not asked.decoders, "this draws the model's own distribution at several temperatures (--values); leave out -d")
    row = asked.lm.steps(asked.prompt, n=1, choices=asked.lm.model.vocabulary)[0]
    return view.temperature(row, [_number(v) for v in asked.values] or (0.5, 1.0, 2.0))


def _sweep(asked: Asked) -> Picture:
    import numpy as np

    from unspool.lab.metrics import repetition
    from unspool.views import plot as view

    recipe = (asked.decoders or _UNASKED["sweep"])[0]
    check(len(asked.decoders) <= 1 and "{}" in recipe, 'a sweep needs one decoder with {} for the setting, as -d "top_p({}) | sample(8)"')
    steps = asked.values or ([] if asked.decoders else ["0.25", "0.5", "0.75", "1", "1.25"])
    check(bool(steps), "a sweep needs the values of the setting, as --values 0.5,0.8,1")
    logprob, repeated = "log-probability per token (nats)", "repeated 4-grams (share)"
    measures: dict[str, list[list[float]]] = {logprob: [], repeated: []}
    for value in steps:
        texts = asked.lm.generate(asked.prompt, recipe.replace("{}", value.strip()), **asked.settings).sequences
        measures[logprob].append([float(np.mean(t.logprobs)) for t in texts])
        measures[repeated].append([repetition([t.tokens], 4) for t in texts])
    reference = {}
    if asked.text:
        score = asked.lm.score(asked.prompt, asked.text)
        reference = {logprob: score.per_token, repeated: repetition([score.tokens], 4)}
    return view.sweep(recipe.replace("{}", "…"), [_number(v) for v in steps], measures, reference)


_DRAWN: dict[str, Callable[[Asked], Picture]] = {
    "probability": _probability,
    "entropy": _entropy,
    "kept": _kept,
    "temperature": _temperature,
    "sweep": _sweep,
}


def _number(value: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise ParameterError(f"--values takes numbers with commas between; got {value!r}") from None
