"""Who does the work of lm_eval's requests: this process, several, or a cluster."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from typing import Any

from unspool.core.decoder import Decoder
from unspool.language_model import LanguageModel
from unspool.many.executors.choose import check_engine, check_model, executor_of
from unspool.many.executors.opening import ModelOpening
from unspool.many.executors.order import Executor, W
from unspool.many.unit import model_of, sendable


class HarnessWorkers:
    """Runs units. Workers begin when there is something to do, and end with this object."""

    def __init__(self, lm: LanguageModel, engine: str = "inline", workers: int | None = None, address: str | None = None) -> None:
        check_engine(engine, workers, address)
        self.engine, self.model = engine, model_of(lm)
        self._how = (lm if engine == "inline" else ModelOpening.again(lm), engine, workers, address)
        self._executor: Executor | None = None

    def run(self, units: Iterator[W]) -> Iterator[tuple[W, Any]]:
        """What came of each unit, in their order."""
        if self._executor is None:
            self._executor = executor_of(*self._how)
            self._end = weakref.finalize(self, self._executor.close)
        try:
            check_model(self._executor, self.model)
            yield from self._executor.run(units, lambda step: None)
        except BaseException:                                             # what other units come to is not to be taken for later ones'
            self._end()
            self._executor = None
            raise

    def sent(self, decoder: Decoder) -> Decoder | str:
        """A decoder as units hold it."""
        return decoder if self.engine == "inline" else sendable(decoder, f"the engine {self.engine}")
