"""Units run by this process."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from unspool.language_model import LanguageModel
from unspool.many.executors.order import SeesStep, W
from unspool.many.unit import model_of


class Inline:
    """Runs units one after the other with a model that is open."""

    def __init__(self, lm: LanguageModel) -> None:
        self.lm = lm

    def model(self) -> dict[str, Any]:
        return model_of(self.lm)

    def run(self, units: Iterator[W], told: SeesStep) -> Iterator[tuple[W, Any]]:
        for unit in units:
            yield unit, unit.make(self.lm, told)

    def close(self) -> None:
        pass
