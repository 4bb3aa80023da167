"""Every law of models is seen to fail, on sessions that are each broken in one way."""

import numpy as np
import pytest

import unspool as un
from unspool.core.tree import TokenForest
from unspool.models.toy import TableModel, TableSession
from unspool.testing import LawBroken, check_model


class SharesBuffers(TableSession):
    """Its logits lie in one array for as many rows, written anew by every call."""

    def logits(self, rows, layer=None):
        buffers = self.__dict__.setdefault("buffers", {})
        found = super().logits(rows, layer)
        buffer = buffers.setdefault(found.shape, np.empty_like(found))
        buffer[...] = found
        return buffer


class HandsOutItsStore(TableSession):
    """Its logits are remembered, and the memory itself is handed out."""

    def logits(self, rows, layer=None):
        key = tuple(map(int, rows)), layer
        store = self.__dict__.setdefault("store", {})
        return store.setdefault(key, super().logits(rows, layer))


class WrapsNegativeTokens(TableSession):
    def extend(self, parents, chains, every=False):
        return super().extend(parents, [[t if t >= self.model.vocabulary else t % self.model.vocabulary for t in c] for c in chains], every)


class ClipsTokens(TableSession):
    def extend(self, parents, chains, every=False):
        return super().extend(parents, [np.minimum(np.asarray(c, np.int64), self.model.vocabulary - 1) for c in chains], every)


class GrowsWhatItCanBeforeItRefuses(TableSession):
    def extend(self, parents, chains, every=False):
        return np.concatenate([super(GrowsWhatItCanBeforeItRefuses, self).extend([p], [c], every) for p, c in zip(parents, chains)])


class StrangersAreRoots(TableSession):
    def extend(self, parents, chains, every=False):
        return super().extend([p if p in self.nodes.alive() else un.ROOT for p in map(int, parents)], chains, every)


class NeverForgets(TableSession):
    def keep(self, rows):
        pass


class ForgetsAllButTheLast(TableSession):
    def keep(self, rows):
        self.nodes.keep(list(rows)[-1:])


class KeepsOneTooMany(TableSession):
    """What `keep` of nothing would free, it holds."""

    def keep(self, rows):
        rows = list(rows)
        self.nodes.keep(rows or list(self.nodes.alive())[:1])


class KnowsNoContext(TableSession):
    def __init__(self, model, plan):
        super().__init__(model, plan)
        self.nodes = TokenForest(model.vocabulary)


class StopsShortOfItsContext(TableSession):
    def __init__(self, model, plan):
        super().__init__(model, plan)
        self.nodes = TokenForest(model.vocabulary, model.context - 1)


class EmptyChainsGiveTheRoot(TableSession):
    def extend(self, parents, chains, every=False):
        return np.where([len(c) > 0 for c in chains], super().extend(parents, chains, every), un.ROOT)


class SeesItsNeighbours(TableSession):
    """The padding of longer neighbours leaks into a row."""

    def logits(self, rows, layer=None):
        lengths = np.asarray([self.nodes.length(int(row)) for row in rows])
        found = super().logits(rows, layer)
        found[:, 0] += (lengths.max() - lengths) * np.float32(0.1)
        return found


class SortsRows(TableSession):
    def logits(self, rows, layer=None):
        return super().logits(np.sort(rows), layer)


class RunsChainsBackwards(TableSession):
    def extend(self, parents, chains, every=False):
        return super().extend(parents, [list(c)[::-1] for c in chains], every)


class ForgetsTheMiddleOfChains(TableSession):
    """Rows inside a chain answer as its end does."""

    def extend(self, parents, chains, every=False):
        rows = super().extend(parents, chains, every)
        inside = self.__dict__.setdefault("inside", {})
        for row, chain in zip(rows, chains):
            inside.update({int(n): int(row) for n in self.nodes.path(int(row))[-len(chain) : -1]})
        return rows

    def logits(self, rows, layer=None):
        inside = self.__dict__.get("inside", {})
        return super().logits([inside.get(int(row), int(row)) for row in rows], layer)


class ParentsBecomeTheirChildren(TableSession):
    """A cache that is overwritten: a row that has grown answers as its last child."""

    def logits(self, rows, layer=None):
        alive = self.nodes.alive()
        grown = {self.nodes.parent(row): row for row in sorted(alive) if self.nodes.parent(row) != un.ROOT}
        return super().logits([grown.get(row, row) if len(rows) == 3 else row for row in map(int, rows)], layer)


class AnswersWithNan(TableSession):
    def logits(self, rows, layer=None):
        return np.full_like(super().logits(rows, layer), np.nan)


class AnswersForOneTokenMore(TableSession):
    def logits(self, rows, layer=None):
        return np.pad(super().logits(rows, layer), ((0, 0), (0, 1)))


class CountsItsCalls(TableSession):
    """The third answer and all later ones are a little different."""

    def logits(self, rows, layer=None):
        self.calls = getattr(self, "calls", 0) + 1
        found = super().logits(rows, layer)
        found[:, 0] += np.float32(0.5) * (self.calls > 2)
        return found


class HidesThatItHasHidden(TableSession):
    can = frozenset({"layers"})


class HidesThatItHasLayers(TableSession):
    can = frozenset({"hidden"})


class LayersAreTheLast(TableSession):
    """What it says after a layer depends on the batch."""

    def logits(self, rows, layer=None):
        return super().logits(rows, layer) + (0 if layer is None else np.float32(len(self.nodes)))


class TakesNoPlan(TableModel):
    def session(self):
        return TableSession(self, un.NO_PLAN)


class EndsOutsideItsVocabulary(TableModel):
    def __init__(self, *given, **options):
        super().__init__(*given, **options)
        self.end_tokens = (self.vocabulary,)


def model_of(cls, seed=3):
    """A table model whose sessions are broken, or that is so itself."""
    if issubclass(cls, TableModel):
        return cls.random(6, seed, context=40)
    model = TableModel.random(6, seed, context=40)
    model.session = lambda plan=un.NO_PLAN: cls(model, plan)
    return model


BROKEN = {
    TakesNoPlan: "a session takes a plan",
    EndsOutsideItsVocabulary: "a model has a vocabulary",
    SharesBuffers: "logits are not shared",
    HandsOutItsStore: "logits are not shared",
    WrapsNegativeTokens: "bad tokens are refused",
    ClipsTokens: "bad tokens are refused",
    GrowsWhatItCanBeforeItRefuses: "bad tokens are refused",
    StrangersAreRoots: "unknown rows are refused",
    NeverForgets: "forgotten rows are refused",
    ForgetsAllButTheLast: "forked is recomputed",
    KeepsOneTooMany: "keep frees",
    KnowsNoContext: "texts beyond the context are refused",
    StopsShortOfItsContext: "a context can be filled",
    EmptyChainsGiveTheRoot: "an empty chain gives its parent",
    SeesItsNeighbours: "batch is alone",
    SortsRows: "logits are (R, V)",
    RunsChainsBackwards: "a session takes a plan|batch is alone",
    ForgetsTheMiddleOfChains: "a chain is its tokens one by one",
    ParentsBecomeTheirChildren: "rows that wait answer|forked is recomputed",
    AnswersWithNan: "a session takes a plan|numbers",
    AnswersForOneTokenMore: "logits are (R, V)",
    CountsItsCalls: "logits are (R, V)|forked is recomputed",
    HidesThatItHasHidden: "hidden states are given or refused",
    HidesThatItHasLayers: "layers are given or refused",
    LayersAreTheLast: "layers are given or refused",
}


@pytest.mark.parametrize("cls", BROKEN, ids=lambda cls: cls.__name__)
def test_a_broken_model_is_caught_by_name(cls):
    with pytest.raises(LawBroken) as error:
        check_model(model_of(cls))
    assert any(law in error.value.law for law in BROKEN[cls].split("|")), error.value
    assert f"breaks the law {error.value.law!r}" in str(error.value)
    assert "\n" not in str(error.value)
    assert " came where " in str(error.value)


def test_a_whole_model_is_not():
    check_model(model_of(TableSession))
