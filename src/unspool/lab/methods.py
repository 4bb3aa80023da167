"""Every processor, strategy and stop explained: its docstring is the definition, data/methods.ini says what that does not."""

from __future__ import annotations

import re
from configparser import ConfigParser
from dataclasses import MISSING, Field, asdict, dataclass, fields
from functools import cache
from inspect import getdoc
from typing import Any

from unspool.core.decoder import Part, listed_parts, part_named, written
from unspool.lab.engines import ENGINES
from unspool.lab.engines.engine import Engine, Place
from unspool.packaged import packaged

GROUPS = {
    "shape": "Shape of the distribution",
    "truncation": "Truncation",
    "feedback": "Feedback from what was chosen",
    "repetition": "Repetition",
    "constraint": "Constraints",
    "length": "Length",
    "contrast": "Contrast",
    "watermark": "Watermark",
    "part": "Rules for a part of the text",
    "plumbing": "Adapters",
    "search": "Search",
    "sampling": "Sampling",
    "choice": "Over whole texts",
    "speed": "Speed",
    "stop": "Stops",
}
"""In the order in which methods are listed."""
RANGE = re.compile(r'([\[(][^\])]*[\])]|[<>]=? ?\S+|any\b|("\w[\w .-]*"|True|False|\d)((, | or )("\w[\w .-]*"|True|False|\d))+)\s*')
CITATION = re.compile(r"(?:[\w'’.-]+(?:,| and| et al\.)? ){1,6}(?:19|20)\d\d[.,;:]")
IN_BRACKETS = re.compile(r" \((?:cf\. )?[^():]*arXiv \d{4}\.\d{5}\)")
SENTENCE = re.compile(r"(?<=[.!?])(?<!al\.)(?<!cf\.)\s+(?=\D)")


@dataclass(frozen=True)
class Parameter:
    """What one field of a method means."""

    name: str
    default: str
    """As it is written, "" if it must be given."""
    range: str
    meaning: str


@dataclass(frozen=True)
class Elsewhere:
    """What a method is called in another engine."""

    engine: str
    settings: str
    """Names and defaults."""
    order: str = ""
    note: str = ""


@dataclass(frozen=True)
class Example:
    """The run that shows a method."""

    decoder: str
    prompt: str
    step: int = 1
    """Whose distribution is shown."""
    tokens: int = 24
    """How many new ones."""
    whole: bool = False
    """Whether texts show more than the distribution of one step."""


@dataclass(frozen=True)
class Method:
    """All that is said of a processor, strategy or stop."""

    name: str
    aliases: tuple[str, ...]
    role: str
    family: str
    definition: tuple[str, ...]
    """Paragraphs; the first sentence of the first says what it does."""
    formula: tuple[str, ...]
    parameters: tuple[Parameter, ...]
    when: str
    references: tuple[str, ...]
    elsewhere: tuple[Elsewhere, ...]
    example: Example
    see: tuple[str, ...]

    @property
    def meaning(self) -> str:
        """What it does, in one sentence."""
        return SENTENCE.split(self.definition[0])[0]

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "meaning": self.meaning}


EXAMPLE_PROMPT = "Once upon a time, there was a"


def known_parts() -> dict[str, type[Part]]:
    """Every part by its canonical name: the package's, those that the user imported, and those of installed packages."""
    return {cls.name: cls for cls in listed_parts()}


def method(name: str) -> Method:
    """A method by its name or an alias."""
    cls = part_named(name, "method")
    written(cls)
    return of(cls)


def methods() -> list[Method]:
    """All methods, by family, in the order of the data file; those it does not know last."""
    order = {name: i for i, name in enumerate(_texts())}
    families = list(GROUPS)
    found = [of(cls) for cls in known_parts().values()]
    return sorted(found, key=lambda m: (families.index(m.family), order.get(m.name, len(order)), m.name))


def of(cls: type[Part]) -> Method:
    """The explanation of a class."""
    said = _texts().get(cls.name, {})
    known = [f for f in fields(cls) if f.init and not f.name.startswith("_")]  # type: ignore[arg-type]
    names = [f.name for f in known]
    paragraphs, told = read_docstring(getdoc(cls) or "", names)
    parents = [c for c in cls.__mro__[1:] if issubclass(c, Part) and c.name in _texts()]     # methods that it has settings from
    for parent in parents:
        told = read_docstring(getdoc(parent) or "", names)[1] | told
        said = {name: text for name, text in _texts()[parent.name].items() if name in names} | said
    example = Example(
        said.get("Example", cls.name),
        said.get("Prompt", EXAMPLE_PROMPT),
        int(said.get("Step", Example.step)),
        int(said.get("Tokens", Example.tokens)),
        "Tokens" in said,
    )
    return Method(
        cls.name,
        cls.aliases,
        cls.role,
        said.get("Family", {"processor": "plumbing", "strategy": "search", "stop": "stop"}[cls.role]),
        tuple(paragraphs),
        _lines(said.get("Formula", "")),
        tuple(_parameter(f, cls.variadic and f is known[0], said.get(f.name, ""), told.get(f.name, "")) for f in known),
        " ".join(said.get("When", "").split()),
        _lines(said.get("Reference", "")),
        (*_in_engines(cls.name), *(_other(line) for line in _lines(said.get("Elsewhere", "")))),
        example,
        tuple(name.strip() for name in said.get("See", "").split(",") if name.strip()),
    )


def read_docstring(text: str, names: list[str]) -> tuple[list[str], dict[str, str]]:
    """A docstring's paragraphs, without citations, and what it says of parameters after "name: "."""
    marker = re.compile(rf"(?:^|(?<=[.;]) )({'|'.join(map(re.escape, names))}): ") if names else re.compile(r"(?!)")
    paragraphs: list[str] = []
    told: dict[str, str] = {}
    for block in re.split(r"\n\s*\n", text.strip()):
        sentences = SENTENCE.split(IN_BRACKETS.sub("", " ".join(block.split())))
        pieces = marker.split(" ".join(s for s in sentences if not CITATION.match(s)))
        paragraphs += [pieces[0].strip()] if pieces[0].strip() else []
        told |= {name: _clause(meaning) for name, meaning in zip(pieces[1::2], pieces[2::2], strict=True)}
    return paragraphs or ["Nothing is said of it."], told


def _clause(text: str) -> str:
    """What stands after "name: ", without the full stop of a single sentence."""
    text = text.strip(" ;")
    return text if ". " in text else text.rstrip(".")


@cache
def _texts() -> dict[str, dict[str, str]]:
    parser = ConfigParser(interpolation=None, delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(packaged("methods.ini"))
    return {name: dict(parser[name]) for name in parser.sections()}


def _lines(text: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in text.splitlines() if line.strip())


def _parameter(field: Field[Any], variadic: bool, said: str, told: str) -> Parameter:
    text = " ".join(said.split())
    found = RANGE.match(text)
    bounds = found.group(1) if found else ""
    meaning = "; ".join(piece for piece in (text[found.end() :] if found else text, told) if piece)
    default = "" if field.default is MISSING or variadic else str(field.default) if isinstance(field.default, Part) else repr(field.default)
    return Parameter(("*" if variadic else "") + field.name, default, bounds, meaning)


def _in_engines(name: str) -> list[Elsewhere]:
    """What the engines that can be translated call it, and what stands beside it in their order."""
    return [_there(engine, place) for engine in ENGINES.values() for place in engine.everything if place.method == name]


def _there(engine: Engine, place: Place) -> Elsewhere:
    order = ""
    if place in engine.places:
        row = list(dict.fromkeys(p.method for p in engine.places))
        at = row.index(place.method)
        before, after = row[at - 1] if at else "", row[at + 1] if at + 1 < len(row) else ""
        order = f"{f'after {before}' if before else 'first'}, {f'before {after}' if after else 'last'}"
    return Elsewhere(engine.title, ", ".join(map(str, place.settings)), order, place.remark)


def _other(line: str) -> Elsewhere:
    engine, _, rest = line.partition(": ")
    settings, _, note = rest.partition("; ")
    return Elsewhere(engine, settings, "", note)
