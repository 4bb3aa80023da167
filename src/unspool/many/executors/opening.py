"""How a worker opens its model: as the caller's was opened, or by a function."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from unspool.core.decoder import import_parts
from unspool.errors import Unsupported
from unspool.language_model import LanguageModel
from unspool.many.executors.order import Task
from unspool.many.unit import model_of
from unspool.models.details import file_of, folder_of


@dataclass(frozen=True)
class ModelOpening:
    """How to open a model elsewhere. function: what makes it, in place of a name; parts: files and modules that are imported first."""

    name: str | None = None
    backend: str | None = None
    device: str | None = None
    dtype: str | None = None
    function: Callable[[], LanguageModel] | None = None
    parts: Sequence[str] = ()

    def __call__(self) -> LanguageModel:
        from unspool.loader import open_quietly

        for part in self.parts:
            import_parts(part)
        if self.function is not None:
            return self.function()
        return open_quietly(self.name, backend=self.backend, device=self.device, dtype=self.dtype)

    @classmethod
    def again(cls, lm: LanguageModel) -> ModelOpening:
        """As a model was opened; refused for one that was made of an object."""
        if folder_of(lm) is None and file_of(lm) is None:
            raise Unsupported(
                f"the model {lm.name!r} was not opened by a name, so no worker can open it; in its place give "
                "un.ModelOpening(function=...), with a function of a module that makes it"
            )
        device = lm.info.get("device")
        elsewhere = device if device not in (None, "cpu") else None
        return cls(lm.name, lm.info.get("backend"), elsewhere, lm.info.get("dtype"))


class Worker:
    """A model and the units that it is given."""

    def __init__(self, opening: ModelOpening) -> None:
        self.opening = opening

    @cached_property
    def lm(self) -> LanguageModel:
        """The model, opened when it is first needed, so that what goes wrong then is told to who asked."""
        return self.opening()

    def model(self) -> dict[str, Any]:
        """What saved lines say of the model."""
        return model_of(self.lm)

    def make(self, unit: Task) -> Any:
        """Run a unit."""
        return unit.make(self.lm)
