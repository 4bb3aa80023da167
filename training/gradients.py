"""Gradients of a batch by several workers, each on one core, that take small parts of the batch as they get free.

Where other programs use the cores too, this keeps every free core busy: no worker waits for another before the whole
batch is done, as the threads inside one matrix product would.
"""

import copy
from concurrent.futures import ThreadPoolExecutor
from queue import Empty, SimpleQueue

import torch
from torch import Tensor
from torch.nn import functional

from training.data import Batch
from training.model import LanguageModel

WINDOWS_PER_PART = 2


def summed_loss(model: LanguageModel, inputs: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """Return the weighted sum of the cross-entropy of the targets, in nats."""
    losses = functional.cross_entropy(model(inputs).flatten(0, 1), targets.flatten(), reduction="none")
    return losses.dot(weights.flatten())


class Workers:
    """Copies of a model that share its weights and have gradients of their own."""

    def __init__(self, model: LanguageModel, count: int) -> None:
        self.model = model
        self.copies = [copy.deepcopy(model) for _ in range(count)]
        for replica in self.copies:
            for own, shared in zip(replica.parameters(), model.parameters(), strict=True):
                own.data = shared.data
        self.pool = ThreadPoolExecutor(count, initializer=torch.set_num_threads, initargs=(1,))

    def backward(self, batch: Batch) -> float:
        """Set the model's gradients to those of the weighted mean loss of a batch, and return that loss."""
        scale = 1 / batch.weights.sum().item()
        parts: SimpleQueue[tuple[Tensor, ...]] = SimpleQueue()
        whole = (batch.inputs, batch.targets, batch.weights)
        for part in zip(*(tensor.split(WINDOWS_PER_PART) for tensor in whole), strict=True):
            parts.put(part)

        def work(replica: LanguageModel) -> float:
            replica.active_layers = self.model.active_layers
            total = 0.0
            while True:
                try:
                    part = parts.get_nowait()
                except Empty:
                    return total
                loss = summed_loss(replica, *part) * scale
                loss.backward()
                total += loss.item()

        total = sum(self.pool.map(work, self.copies))
        for parameter, *owned in zip(*(each.parameters() for each in (self.model, *self.copies)), strict=True):
            gradients = [own.grad for own in owned if own.grad is not None]
            parameter.grad = sum(gradients[1:], start=gradients[0]) if gradients else None
            for own in owned:
                own.grad = None
        return total
