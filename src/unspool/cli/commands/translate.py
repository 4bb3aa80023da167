"""`unspool translate`."""

from __future__ import annotations

import shlex
from dataclasses import replace
from itertools import islice, pairwise
from typing import TYPE_CHECKING, Any

import click

from unspool.cli import options
from unspool.cli.commands.common import open_sink
from unspool.errors import check

if TYPE_CHECKING:
    from unspool.lab.engines.engine import Note
    from unspool.lab.translate import Translation

_SETTINGS = options.Argument("settings", "JSON, a .json file, a call in Python, or llama.cpp's flags.", nargs=-1, type=options.ReadName())
_FROM = options.option("there", "--from", hint="The engine whose settings these are.", metavar="ENGINE")
_TO = options.option("--to", hint="The engine to write settings for.", metavar="ENGINE")
_DECODER = options.option("--decoder", "-d", hint="A decoder to write as settings.", metavar="TEXT")
_MAX_NEW_TOKENS = options.option("--max-new-tokens", hint="Written too.", type=int)
_SEED = options.option("--seed", hint="Written too.", type=int)
_MODEL = options.option(
    "--model", "-m", hint="Whose tokens are meant; from transformers, whose settings.", metavar="MODEL", type=options.ReadName()
)


class _Settings(options.Command):
    """A command whose arguments may be llama.cpp's flags: what is no option of its own is left to be read as settings."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Its own options, then the settings in the order in which they stand."""
        llama = "llama.cpp" in [b for a, b in pairwise(args) if a == "--from"] or "--from=llama.cpp" in args
        return super().parse_args(ctx, self._sorted(ctx, args) if llama else args)

    def _sorted(self, ctx: click.Context, args: list[str]) -> list[str]:
        known = {name: p.is_flag for p in self.get_params(ctx) if isinstance(p, click.Option) for name in p.opts}
        own: list[str] = []
        flags: list[str] = []
        left = iter(args)
        for word in left:
            name, equals, _ = word.partition("=")
            words = _words(word)
            if name not in known or len(words) > 1:
                flags += words
                continue
            more = [word] if equals or known[name] else [word, *islice(left, 1)]
            theirs = name in ("--model", "-m") and more[-1].endswith(".gguf")
            (flags if theirs else own).extend(more)
        return [*own, "--", *flags]


def _words(text: str) -> list[str]:
    """The flags of one argument that holds several; another argument as it is."""
    try:
        found = shlex.split(text) if text.startswith("-") else [text]
    except ValueError:
        return [text]
    several = len(found) > 1 and ("=" not in found[0] or any(word.startswith("-") for word in found[1:]))
    return found if several else [text]


@options.command(
    _SETTINGS,
    _FROM,
    _TO,
    _DECODER,
    options.PARTS,
    _MAX_NEW_TOKENS,
    _SEED,
    _MODEL,
    options.form("Form of the result.", ["text", "json"]),
    *options.PLACE,
    kind=_Settings,
)
def translate(
    settings: tuple[str, ...],
    there: str | None,
    to: str | None,
    decoder: str | None,
    max_new_tokens: int | None,
    seed: int | None,
    model: str | None,
    **how: Any,
) -> int:
    """Translate the settings of other engines. Into a decoder, or a decoder into settings; alone, it lists the engines."""
    from unspool.cli.console import note
    from unspool.core.decoder import parse
    from unspool.lab.engines import ENGINES
    from unspool.lab.translate import to_engine
    from unspool.models.loading import find
    from unspool.models.tokenizer_folder import read_fitted
    from unspool.views.sheet import to_json
    from unspool.views.translation import draw_engines, draw_settings, remarks, said

    sink = open_sink(how)
    given = {name: value for name, value in (("max_new_tokens", max_new_tokens), ("seed", seed)) if value is not None}
    notes: list[Any] = []
    if there is None and to is None:
        check(not settings and decoder is None, "say from which engine (--from) or to which (--to)")
        known = {e.name: {"title": e.title, "source": e.source, "settings": sorted(e.names)} for e in ENGINES.values()}
        sink.write(to_json(known) + "\n" if sink.form == "json" else draw_engines(ENGINES.values(), sink.width, sink.paint))
        sink.close()
        return 0
    check((there is None) != (decoder is None), "give settings (--from) or a decoder (-d), one of them")
    check(there is not None or not settings, f"settings need --from; got {' '.join(settings)!r}")
    if there is not None:
        found = _read(there, settings, model)
        found = replace(found, options=found.options | given)
        wanted, given, notes = found.decoder, found.options, found.notes
    else:
        wanted = parse(decoder or "")
    if to is not None:
        words = None if model is None else read_fitted(find(model).folder)
        found = to_engine(to, wanted, tokenizer=words, **given)
        found = replace(found, notes=[*notes, *found.notes, *_limits(found)])
    if sink.form == "json":
        sink.write(to_json(found.to_dict()) + "\n")
    else:
        sink.write(draw_settings(found) if to is not None else f"{found.decoder}\n")
        for line in said(found) if to is not None else remarks(found):
            note(line)
    sink.close()
    return 0


def _limits(found: Translation) -> list[Note]:
    """The limit that an engine has where none was given."""
    from unspool.lab.translate import engine_named, from_engine

    if any(name.startswith("max_") for name in found.options):
        return []
    limits = {call.setting.name for call in engine_named(found.engine).calls if call.argument.startswith("max_")}
    return [note for note in from_engine(found.engine, found.settings).notes if note.setting in limits]


def _read(there: str, settings: tuple[str, ...], model: str | None) -> Translation:
    """The settings of a command line, or those of a model's own file, read as a decoder."""
    from unspool.lab.engines.forms import settings_of
    from unspool.lab.translate import engine_named, from_engine, from_model
    from unspool.models.loading import find
    from unspool.models.tokenizer_folder import read_fitted

    given: Any = list(settings) if len(settings) > 1 else settings[0] if settings else {}
    folder = None if model is None else find(model).folder
    if there == "transformers" and folder is not None:
        return from_model(folder, settings_of(engine_named(there), given)[0])
    return from_engine(there, given, tokenizer=None if folder is None else read_fitted(folder))


translate.ignore_unknown_options = True  # llama.cpp's flags are settings
