"""Translations between engines, and what engines call things, as a terminal and Markdown show them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from unspool.views.explain import WIDEST, WIDTH
from unspool.views.sheet import to_json
from unspool.views.terminal import Paint, wrap

if TYPE_CHECKING:
    from unspool.lab.engines.engine import Engine, Place
    from unspool.lab.methods import Method
    from unspool.lab.translate import Translation


def draw_settings(translation: Translation) -> str:
    """The settings of an engine, as JSON."""
    return to_json(translation.settings) + "\n"


def remarks(translation: Translation) -> list[str]:
    """What stands beside a decoder that was read: how to call generate, and what differs."""
    options = ", ".join(f"{name}={value!r}" for name, value in translation.options.items())
    return ([f"generate with {options}"] if options else []) + said(translation)


def said(translation: Translation) -> list[str]:
    """The notes, what is lost first."""
    order = ("lost", "different", "remark")
    return [str(note) for note in sorted(translation.notes, key=lambda note: order.index(note.severity))]


def draw_engines(engines: Iterable[Engine], width: int, paint: Paint) -> str:
    """Every engine and the order in which it applies things."""
    width, lines = min(width or WIDTH, WIDEST), []
    for engine in engines:
        title = "" if engine.title == engine.name else f"{engine.title}, "
        lines.append(paint(engine.name, "chosen") + paint(f"  {title}{engine.source}", "dim"))
        chain = " → ".join(order_of(engine))
        lines += ["  " + chain[a:b] for a, b in wrap(chain, width - 2)]
        lines += [paint("  " + engine.note[a:b], "dim") for a, b in wrap(engine.note, width - 2)] if engine.note else []
        lines.append("")
    return "\n".join(lines)


def order_of(engine: Engine) -> list[str]:
    """The methods of an engine in its default order."""
    return list(dict.fromkeys(p.method for p in engine.places))


def settings_to_markdown(engines: Sequence[Engine], methods: Sequence[Method]) -> str:
    """The table of what engines call things, their defaults, order and differences."""
    known = [m for m in methods if any(p.method == m.name for e in engines for p in e.everything)]
    lines = ["# Settings of other engines", ""]
    lines += [*INTRODUCTION, "", "```console", *CONSOLE_LINES, "```", "", *IN_PYTHON, "", "## Names and defaults", ""]
    lines += ["A default in bold does something where nothing is set.", ""]
    lines += ["| | " + " | ".join(e.title for e in engines) + " |", "| --- |" + " --- |" * len(engines)]
    for m in known:
        cells = [_cell([p for p in e.everything if p.method == m.name]) for e in engines]
        lines.append(f"| [{m.name}](methods/{m.name}.md) | " + " | ".join(cells) + " |")
    for argument in ("max_new_tokens", "max_length", "seed", "end_tokens"):
        cells = ["<br>".join(f"`{c.setting}`" for c in e.calls if c.argument == argument) for e in engines]
        lines.append(f"| {argument} | " + " | ".join(cells) + " |")
    lines += ["", "## Order", "", "From first to last, on the scores of a step. What is italic is applied only where tokens are drawn.", ""]
    for e in engines:
        chain = " → ".join(f"*{p.method}*" if p.sampling else p.method for p in _once(e.places))
        lines += [f"- **{e.title}**: {chain}. {e.note}".rstrip()]
    lines += ["", "## Differences", ""]
    for e in engines:
        lines += [f"### {e.title}", "", *(f"- {p.method}: {p.remark}" for p in e.everything if p.remark)]
        lines += [*(f"- `{name}`: {_EFFECT[u.severity]}; {u.why}." for name, u in e.unsaid.items()), ""]
    return "\n".join(lines).rstrip() + "\n"


INTRODUCTION = (
    "What the same thing is called elsewhere, with each engine's default, and the order in which each applies it. The same names and",
    "values give different text in engines that have another order, other defaults or another meaning: `unspool translate` reads the",
    "settings of each as a decoder that does the same, and writes a decoder as settings.",
)
CONSOLE_LINES = (
    """$ unspool translate --from transformers '{"do_sample": true, "top_p": 0.9}'""",
    """$ unspool translate --from llama.cpp --temp 0.7 --top-k 20""",
    """$ unspool translate --from llama.cpp "-m model.gguf --temp 0.7 --repeat-penalty 1.1\"""",
    """$ unspool translate --from transformers -m bundled""",
    """$ unspool translate --to vllm -d "temperature(0.8) | top_p(0.95) | sample(2)\"""",
    """$ unspool translate --to transformers -m bundled -d 'bias({" king": 2.0}) | greedy'""",
)

IN_PYTHON = (
    "## In Python",
    "",
    "```python",
    "import unspool as un",
    "",
    "lm = un.load()",
    "",
    'found = un.from_engine("vllm", {"temperature": 0.7, "min_p": 0.1, "max_tokens": 40, "echo": True})',
    'lm.generate("Once upon a time", found.decoder, **found.options)',
    'print(un.to_engine("llama.cpp", found.decoder, **found.options).settings)',
    "```",
    "",
    "Settings are a mapping, an object with `to_dict` as a GenerationConfig, or text: JSON, a file of it, a call such as",
    "`SamplingParams(top_p=0.9)`, llama.cpp's flags. A setting is read, or refused by its name, or spoken of in `found.notes`; null is",
    "what it is to the engine: its default, or no limit. A note has a `setting`, `what` is to be known of it, and a `severity`:",
    "",
    "- `lost`: it changes the text, and could not be said; `found.lost` holds these alone.",
    "- `different`: it means something else there, in the cases that the note names.",
    "- `remark`: nothing is lost, as with a default that does something, or a setting without effect there.",
    "",
    "What cannot be said as settings is an error of `to_engine`. Where an engine takes a text apart itself, as llama.cpp does in",
    "`logit_bias`, or where a decoder names tokens by texts and the engine takes ids alone, give `tokenizer=lm.tokenizer`; on the command",
    "line that is `-m MODEL`.",
    "",
    "## Command lines of llama.cpp",
    "",
    "`unspool translate --from llama.cpp` takes what stands behind `llama-cli` or `llama-server`, in one argument or as it is. Flags that",
    "are not about decoding, as `-m model.gguf`, `-ngl` or `-c`, are passed over, and it is said which; those that change the text and",
    "have no equal, as `--grammar-file`, are `lost`.",
    "",
    "## A model's own settings",
    "",
    "`unspool translate --from transformers -m MODEL` shows what the generation_config.json of a model asks for, with settings that are",
    "given in place of its own. Nothing of it but the end tokens is applied when a model is loaded: a decoder says what is done. If the",
    "file asks for more, loading says so, in the `notes` of the model.",
)


_EFFECT = {"lost": "no equal", "different": "no equal in some values", "remark": "no equal, and none needed"}


def _once(places: Iterable[Place]) -> list[Place]:
    return list({p.method: p for p in places}.values())


def _cell(places: list[Place]) -> str:
    names: dict[str, str] = {}
    for place in places:
        for i, s in enumerate(place.settings):
            names[str(s)] = f"**`{s}`**" if place.neutral and i == 0 else f"`{s}`"
    return "<br>".join(names.values()).replace("|", "\\|").replace("\n", "⏎")
