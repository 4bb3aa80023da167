"""Which executor runs units, by its name."""

from __future__ import annotations

from typing import Any

from unspool.errors import ModelError, check, option, whole
from unspool.kernels.cores import cores
from unspool.language_model import LanguageModel
from unspool.many.executors.inline import Inline
from unspool.many.executors.opening import ModelOpening
from unspool.many.executors.order import Executor

RUNNERS = ("inline", "processes", "ray")


def check_engine(engine: str, workers: int | None, address: str | None) -> None:
    """Refuse what is no engine, or what belongs to another."""
    check(engine in RUNNERS, f"{option('engine')} is one of {', '.join(RUNNERS)}; got {engine!r}")
    check(engine != "inline" or workers in (None, 1), "the engine inline has no workers; choose processes or ray with them")
    check(engine == "ray" or address is None, "the address is that of a Ray cluster; choose the engine ray with it")
    if workers is not None:
        whole(option("workers"), workers, 1)


def executor_of(
    lm: LanguageModel | ModelOpening, engine: str, workers: int | None, address: str | None = None, cpus: float = 1, gpus: float = 0
) -> Executor:
    """The executor of this name, with a model that is open, or how workers open it."""
    if engine == "inline":
        return Inline(lm if isinstance(lm, LanguageModel) else lm())
    opening = lm if isinstance(lm, ModelOpening) else ModelOpening.again(lm)
    if engine == "processes":
        from unspool.many.executors.processes import Processes

        return Processes(opening, workers or cores())
    from unspool.many.executors.on_ray import OnRay

    return OnRay(opening, workers or 1, address, cpus, gpus)


def check_model(executor: Executor, model: dict[str, Any]) -> None:
    """Refuse workers that opened another model than this."""
    if (theirs := executor.model()) != model:
        raise ModelError(f"the workers opened another model: {theirs} in place of {model}")
