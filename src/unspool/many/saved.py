"""The file that texts come to: units in their order, each whole; what it holds already is compared with what is asked for."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unspool.errors import ModelError, UnspoolError
from unspool.lab.generations import Generation, GroupedFile
from unspool.many.unit import GivenPrompt, Unit, UnitTexts, UnusablePrompt

READ_OF_A_LINE: dict[str, type] = {"unit": dict, "recipe": dict, "model": dict, "versions": dict, "index": int, "number": int}
READ_OF_A_LINE |= {"decoder": str, "prompt": str}
"""What is compared when a run goes on."""
PROMPT_SHOWN = 40
"""Characters of a prompt in an error."""


@dataclass(frozen=True)
class Kept:
    """What every line of a file says alike: the model, the versions, and how many prompts a unit has."""

    model: dict[str, Any]
    versions: dict[str, str]
    size: int


def lines_of(unit: Unit, made: UnitTexts, kept: Kept) -> list[str]:
    """The lines of a unit: each text with all that made it."""
    place = {"number": unit.number, "prompts": kept.size, "lines": len(made.generations)}
    pairs = zip(unit.asked, made.texts, strict=True)
    return [_line(one, g, place, kept) for one, texts in pairs if not isinstance(texts, UnusablePrompt) for g in texts]


def _line(one: GivenPrompt, g: Generation, place: dict[str, int], kept: Kept) -> str:
    if g.model != kept.model:
        raise ModelError(f"two workers opened different models: {json.dumps(kept.model)} and {json.dumps(g.model)}")
    return g.to_line(**one.values(), versions=kept.versions, unit=place)


class SavedTexts(GroupedFile):
    """A file of units, one JSON line for each text."""

    def groups_of_units(self) -> Iterator[list[dict[str, Any]]]:
        """The units that it holds whole, one at a time."""
        return self.groups(_place)


def _place(line: dict[str, Any]) -> tuple[Any, int]:
    """The unit of a line and how many lines that has; what else is read of the line has to be there."""
    for name, kind in READ_OF_A_LINE.items():
        if not isinstance(line[name], kind):
            raise ValueError(f"its {name} is {line[name]!r:.40}")
    return line["unit"]["number"], line["unit"]["lines"]


def rest_of(
    units: Iterator[Unit], held: Iterable[list[dict[str, Any]]], path: Path, kept: Kept
) -> Iterator[tuple[Unit, list[dict[str, Any]]] | Unit]:
    """Each unit that is held, with its lines, and then those that are to be made."""
    for lines in held:
        number = lines[0]["unit"]["number"]
        unit = next((unit for unit in units if unit.number >= number), None)   # past those without lines, whose prompts cannot be used
        if unit is None or unit.number != number:
            there = _said(lines[0]["prompt"])
            raise UnspoolError(f"{path} holds texts of more prompts than there are now, as {there}; give another file")
        asked = {one.index: one for one in unit.asked}
        for line in lines:
            _compare(line, unit, asked.get(line["index"]), path, kept)
        yield unit, lines
    yield from units


def _compare(line: dict[str, Any], unit: Unit, one: GivenPrompt | None, path: Path, kept: Kept) -> None:
    """Refuse a line that another run has written, and say in what it is another."""
    recipe = {name: value for name, value in line["recipe"].items() if name != "model"}
    versions = sorted({*line["versions"], *kept.versions})
    told = [
        ("the size of a unit (--unit)", line["unit"]["prompts"], kept.size),
        *((f"the model's {name}", line["model"].get(name), kept.model.get(name)) for name in sorted({*line["model"], *kept.model})),
        *((f"the recipe's {name}", recipe.get(name), unit.recipe.get(name)) for name in sorted({*recipe, *unit.recipe})),
        ("the decoder's name", line["decoder"], unit.name),
        *((f"the version of {name}", line["versions"].get(name), kept.versions.get(name)) for name in versions),
    ]
    if line["model"].get("fingerprint"):                                  # the same weights may lie elsewhere, under another name
        told = [one for one in told if one[0] != "the model's name"]
    for what, there, here in told:
        if there != here:
            raise UnspoolError(f"{path} was begun with another setting: {what} is {there!r} there and {here!r} now; give another file")
    same = one is not None and all(line.get(name) == value for name, value in one.values().items())
    same = same and (one is None or not isinstance(one.prompt, str) or one.messages is not None or one.prompt == line["prompt"])
    if not same:
        now = "no prompt" if one is None else "other messages" if one.messages is not None else _said(one.prompt)
        there = f"number {line['index'] + 1} is {_said(line['prompt'])} there"
        raise UnspoolError(f"{path} was begun with other prompts: {there} and {now} now; give another file")


def _said(prompt: Any) -> str:
    text = repr(prompt)
    return text if len(text) <= PROMPT_SHOWN else text[:PROMPT_SHOWN] + "..."
