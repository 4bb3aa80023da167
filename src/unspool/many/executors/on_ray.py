"""Units run on a Ray cluster, by actors that each hold a model."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any

from unspool.errors import MissingExtra, UnspoolError, whole
from unspool.kernels.cores import cores
from unspool.many.executors.opening import ModelOpening, Worker
from unspool.many.executors.order import LOSSES, Lost, SeesStep, Task, W, in_order


class OnRay:
    """Some actors of Ray, each of which opens the model on its node. One that is lost with its process or node is replaced.

    address: of a cluster, "auto" for the one this machine is part of; without it Ray is started on this machine alone. cpus, gpus: what
    each actor takes of its node.
    """

    def __init__(self, opening: ModelOpening, size: int, address: str | None = None, cpus: float = 1, gpus: float = 0) -> None:
        whole("workers", size, 1)
        self.opening, self.size = opening, size
        self.ray = _ray()
        self._own = not self.ray.is_initialized()
        if self._own:
            try:
                room = {} if address else {"num_cpus": max(cores(), math.ceil(size * cpus)), "include_dashboard": False}
                self.ray.init(address=address, log_to_driver=False, logging_level="ERROR", **room)
            except (ConnectionError, ValueError, RuntimeError) as error:
                said = str(error).strip().splitlines()
                raise UnspoolError(f"Ray cannot be reached at {address or 'this machine'}: {said[0] if said else 'no answer'}") from None
        self._kind = self.ray.remote(num_cpus=cpus, num_gpus=gpus, max_restarts=0)(Worker)
        self._actors = [self._kind.remote(opening) for _ in range(size)]
        self._work: dict[Any, tuple[Any, Task]] = {}
        """By what is promised, the actor and its unit."""

    def model(self) -> dict[str, Any]:
        for _ in range(LOSSES):
            try:
                found: dict[str, Any] = self.ray.get(self._actors[0].model.remote())
                return found
            except self.ray.exceptions.RayTaskError as error:
                raise _meant(error) from None
            except self.ray.exceptions.RayActorError:
                self._replace(self._actors[0])
        raise UnspoolError("the workers end before they have opened the model; see the logs of Ray")

    def run(self, units: Iterator[W], told: SeesStep) -> Iterator[tuple[W, Any]]:
        return in_order(units, self)

    def give(self, unit: Task) -> None:
        busy = [id(actor) for actor, _ in self._work.values()]
        actor = next(actor for actor in self._actors if id(actor) not in busy)
        self._work[actor.make.remote(unit)] = actor, unit

    def wait(self) -> list[tuple[Any, Any]]:
        ready, _ = self.ray.wait(list(self._work), num_returns=1)
        found: list[tuple[Any, Any]] = []
        for promise in ready:
            actor, unit = self._work.pop(promise)
            try:
                found.append((unit, self.ray.get(promise)))
            except self.ray.exceptions.RayTaskError as error:
                found.append((unit, _meant(error)))
            except (self.ray.exceptions.RayActorError, self.ray.exceptions.ObjectLostError):
                self._replace(actor)
                found.append((unit, Lost()))
        return found

    def close(self) -> None:
        for actor in self._actors:
            with contextlib.suppress(Exception):
                self.ray.kill(actor)
        if self._own:
            self.ray.shutdown()

    def _replace(self, actor: Any) -> None:
        with contextlib.suppress(Exception):
            self.ray.kill(actor)
        self._actors = [self._kind.remote(self.opening) if one is actor else one for one in self._actors]


def _meant(error: Any) -> Exception:
    """What a worker raised, as it would have been raised here."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, UnspoolError):
        return type(cause)(str(cause))
    return UnspoolError(f"a worker failed: {type(cause or error).__name__}: {str(cause or error).strip().splitlines()[-1]}")


def _ray() -> Any:
    """The Ray library."""
    try:
        import ray
        import ray.exceptions
    except ImportError:
        raise MissingExtra("the engine ray needs Ray: pip install 'unspool[ray]'") from None
    return ray
