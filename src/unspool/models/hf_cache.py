"""Keys and values of transformers models, kept in batches that later steps take their past from.

A batch holds rows side by side, each token in one column. A row that grows takes as its past the columns of its nearest
ancestor in any batch, so rows that are forked, reordered or rewound within what is kept are not computed again. Where the same
rows grow in the same order, which is what most steps are, the batch itself grows and nothing is copied by us.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from unspool.arrays import Ints

Past: TypeAlias = "tuple[Batch, int, int] | None"
"""A batch, a place in it, and how many of that row's tokens."""

BATCHES = 8
"""The most batches that are kept; what only older ones hold is computed again."""


@dataclass(eq=False)
class Batch:
    """Rows of one forward; token d of row b lies in column first[b] + d."""

    cache: Any                                                           # a transformers DynamicCache
    first: list[int] = field(default_factory=list)

    @property
    def width(self) -> int:
        return int(self.cache.get_seq_length())


class Store:
    """Which batch holds the keys and values of which row."""

    def __init__(self) -> None:
        self.where: dict[int, tuple[Batch, int]] = {}
        self.batches: list[Batch] = []                                   # oldest first

    def past(self, path: Ints, most: int) -> Past:
        """The longest kept beginning of a path, of at most this many tokens."""
        for count in range(most, 0, -1):
            found = self.where.get(int(path[count - 1]))
            if found is not None:
                return *found, count
        return None

    def add(self, batch: Batch, paths: Sequence[Ints], pasts: Sequence[Past]) -> None:
        """A batch now holds these paths, which had these pasts."""
        self.batches = [b for b in self.batches if b is not batch] + [batch]
        for place, (path, past) in enumerate(zip(paths, pasts, strict=True)):
            noted = past[2] if past and past[0] is batch else 0
            self.where.update(dict.fromkeys(path[noted:].tolist(), (batch, place)))
        used = {id(b) for b, _ in self.where.values()} if len(self.batches) > 1 else {id(batch)}
        self.batches = [b for b in self.batches if id(b) in used][-BATCHES:]
        if len(used) > BATCHES:
            kept = {id(b) for b in self.batches}
            self.where = {row: entry for row, entry in self.where.items() if id(entry[0]) in kept}

    def keep(self, rows: Iterable[int]) -> None:
        self.where = {row: self.where[row] for row in rows if row in self.where}
        used = {id(b) for b, _ in self.where.values()}
        self.batches = [b for b in self.batches if id(b) in used]


def gather(pasts: Sequence[Past]) -> Batch:
    """A batch whose rows are these pasts, ending in the same column; a batch that is asked for whole is given back itself."""
    from transformers import DynamicCache

    counts = [past[2] if past else 0 for past in pasts]
    width = max(counts)
    batch = Batch(DynamicCache(), [width - count for count in counts])
    if not width:
        return batch
    ends = {batch.first[place] + count for batch, place, count in (p for p in pasts if p)}
    sources = {id(p[0]): p[0] for p in pasts if p}
    places = [p[1] if p else 0 for p in pasts]
    if len(sources) == 1 and len(ends) == 1:
        source, end = next(iter(sources.values())), ends.pop()
        if end == source.width and places == list(range(len(source.first))) and all(counts):
            return source
        for layer in source.cache.layers:
            _append(batch.cache, *(_select(tensor, places, end - width, end) for tensor in (layer.keys, layer.values)))
    else:
        for i in range(len(next(iter(sources.values())).cache.layers)):
            _append(batch.cache, *(_assemble(pasts, i, name, width) for name in ("keys", "values")))
    return batch


def _append(cache: Any, keys: Any, values: Any) -> None:
    """One more layer of a cache, which takes these as they are: its own way would copy them."""
    from transformers.cache_utils import DynamicLayer

    make: Any = DynamicLayer                                             # which has no types
    layer = make()
    layer.lazy_initialization(keys, values)
    layer.keys, layer.values = keys, values
    cache.layers.append(layer)


def _select(tensor: Any, places: list[int], first: int, end: int) -> Any:
    """The columns from first to end of some rows of a tensor (B, H, T, D)."""
    import torch

    return tensor[:, :, first:end].index_select(0, torch.tensor(places, device=tensor.device))


def _assemble(pasts: Sequence[Past], layer: int, name: str, width: int) -> Any:
    """The rows of several batches, or that end in different columns, side by side."""
    example = next(getattr(p[0].cache.layers[layer], name) for p in pasts if p)
    out = example.new_zeros((len(pasts), example.shape[1], width, example.shape[3]))
    for row, past in enumerate(pasts):
        if past:
            batch, place, count = past
            first = batch.first[place]
            out[row, :, width - count :] = getattr(batch.cache.layers[layer], name)[place, :, first : first + count]
    return out
