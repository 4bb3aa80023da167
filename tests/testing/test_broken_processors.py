"""Every law of processors and of stops is seen to fail, on parts that are each broken in one way; their names begin with _, so that no
text form knows them."""

from dataclasses import dataclass

import numpy as np
import pytest

import unspool as un
from unspool.testing import LawBroken, check_processor, check_stop
from unspool.testing.processors import ProcessorBench, beams_are_defined
from unspool.testing.stops import StopBench, forked_is_recomputed, texts_end_where_it_says
from unspool.text import TokenIds


class _Named:
    def __str__(self):
        return type(self).__name__


@dataclass(frozen=True)
class _Mutates(_Named, un.Processor):
    def process(self, rows, scores, memory=None):
        scores *= 2
        return scores


@dataclass(frozen=True)
class _MutatesTokens(_Named, un.Processor):
    def process(self, rows, scores, memory=None):
        rows.tokens[:, -1] = 0
        return scores + 0


@dataclass(frozen=True)
class _DependsOnTheBatch(_Named, un.Processor):
    """Divides by the largest score of all rows."""

    def process(self, rows, scores, memory=None):
        return scores / np.maximum(np.abs(scores[scores > -np.inf]).max(initial=0), np.float32(1e-3))


@dataclass(frozen=True)
class _LooksAtPadding(_Named, un.Processor):
    """Takes the first column for the first token."""

    def process(self, rows, scores, memory=None):
        return scores + np.where(np.arange(scores.shape[1]) == rows.tokens[:, :1], np.float32(1), np.float32(0))


@dataclass(frozen=True)
class _ReturnsNan(_Named, un.Processor):
    """0 * -inf."""

    def process(self, rows, scores, memory=None):
        with np.errstate(invalid="ignore"):
            return scores * np.float32(0)


@dataclass(frozen=True)
class _ReturnsInfinity(_Named, un.Processor):
    def process(self, rows, scores, memory=None):
        return np.where(scores == scores.max(-1, keepdims=True), np.float32(np.inf), scores)


@dataclass(frozen=True)
class _WakesTheDead(_Named, un.Processor):
    """-inf becomes a number, if a small one."""

    def process(self, rows, scores, memory=None):
        return np.maximum(scores, np.float32(-1e4))


@dataclass(frozen=True)
class _FailsOnDeadRows(_Named, un.Processor):
    """Always leaves the first token."""

    def process(self, rows, scores, memory=None):
        new, dead = scores.copy(), (scores == -np.inf).all(-1)
        new[dead, 0] = 0
        return new


@dataclass(frozen=True)
class _ReturnsOtherNumbers(_Named, un.Processor):
    def process(self, rows, scores, memory=None):
        return scores.astype(np.float64)


@dataclass(frozen=True)
class _ReturnsLess(_Named, un.Processor):
    def process(self, rows, scores, memory=None):
        return scores[:, :-1]


@dataclass(frozen=True)
class _KeepsStateInSelf(_Named, un.Processor):
    """Hotter with every call."""

    def process(self, rows, scores, memory=None):
        object.__setattr__(self, "calls", getattr(self, "calls", 0) + 1)
        return scores / np.float32(1 + 0.01 * self.calls)


@dataclass(frozen=True)
class _DrawsFromAGlobalGenerator(_Named, un.Processor):
    def process(self, rows, scores, memory=None):
        return scores + np.float32(np.random.normal())


@dataclass(frozen=True)
class _Remembers(_Named, un.Processor):
    """A whole one: what came before is less likely. Its memory is the tokens."""

    stateful = True

    def begin(self, prompt):
        return tuple(prompt.tolist())

    def advance(self, memories, tokens, scores):
        return [(*memory, token) for memory, token in zip(memories, tokens)]

    def process(self, rows, scores, memory=None):
        held = np.asarray([[list(m).count(t) for t in range(scores.shape[1])] for m in memory])
        return scores - held.astype(np.float32)


@dataclass(frozen=True)
class _MutatesMemories(_Remembers):
    def begin(self, prompt):
        return prompt.tolist()

    def advance(self, memories, tokens, scores):
        for memory, token in zip(memories, tokens):
            memory.append(token)
        return memories


@dataclass(frozen=True)
class _MixesMemories(_Remembers):
    """What one row remembers, all do."""

    def advance(self, memories, tokens, scores):
        return [(*memory, tokens[0]) for memory in memories]


@dataclass(frozen=True)
class _RemembersInSelf(_Remembers):
    """A memory says how often its prompt was begun."""

    def begin(self, prompt):
        begun = self.__dict__.setdefault("begun", {})
        key = tuple(prompt.tolist())
        begun[key] = begun.get(key, 0) + 1
        return (0,) * begun[key]


@dataclass(frozen=True)
class _AdvancesTooFew(_Remembers):
    def advance(self, memories, tokens, scores):
        return [(*memory, token) for memory, token in zip(memories, tokens)][:1]


@dataclass(frozen=True)
class _MindsACrowd(_Named, un.Processor):
    """Whole until rows are so many."""

    rows: int
    others: bool = False

    def process(self, rows, scores, memory=None):
        there = len(scores) > self.rows if self.others else len(scores) == self.rows
        return scores * np.float32(2 if there else 1)


@dataclass(frozen=True)
class _FavoursAToken(_Named, un.Processor):
    """Says that it goes by scores, and looks at a token's id."""

    by_scores = True

    def process(self, rows, scores, memory=None):
        return scores + (np.arange(scores.shape[1]) == 3).astype(np.float32)


BROKEN = {
    _FavoursAToken(): "what can come is enough",
    _Mutates(): "arguments stay as they are",
    _MutatesTokens(): "arguments stay as they are",
    _DependsOnTheBatch(): "rows are independent of the batch",
    _LooksAtPadding(): "rows are independent of",
    _ReturnsNan(): "scores are numbers",
    _ReturnsInfinity(): "scores are numbers",
    _WakesTheDead(): "what cannot come stays impossible",
    _FailsOnDeadRows(): "a row of -inf stays so",
    _ReturnsOtherNumbers(): "scores keep their shape and kind",
    _ReturnsLess(): "scores keep their shape and kind",
    _KeepsStateInSelf(): "rows are independent of the batch|the same question has the same answer",
    _DrawsFromAGlobalGenerator(): "rows are independent of the batch|the same question has the same answer",
    _MutatesMemories(): "memories are values",
    _MixesMemories(): "memories are values",
    _AdvancesTooFew(): "memories are values",
    _RemembersInSelf(): "forked is recomputed",
    _MindsACrowd(8, others=True): "looked at is committed",
    _MindsACrowd(6): "drawn is defined|looked at is committed",
}


def caught(check, laws):
    with pytest.raises(LawBroken) as error:
        check()
    assert any(law in error.value.law for law in laws.split("|")), error.value
    assert f"breaks the law {error.value.law!r}" in str(error.value)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("part", BROKEN, ids=str)
def test_a_broken_processor_is_caught_by_name(part):
    assert str(part) in caught(lambda: check_processor(part), BROKEN[part])


def test_beams_that_are_not_those_of_the_definition_are_caught():
    bench = ProcessorBench(_MindsACrowd(3), np.random.default_rng(0), 6, np.asarray, 0)
    caught(lambda: beams_are_defined(bench), "beams are defined")


@pytest.mark.parametrize("part", [_Remembers(), _MindsACrowd(10**6)], ids=str)
def test_a_whole_processor_is_not(part):
    check_processor(part)


@dataclass(frozen=True)
class _Sevens(_Named, un.Stop):
    """A whole one: the sum of the new tokens is above 7."""

    stateful = True

    def begin(self, prompt):
        return (0,)

    def advance(self, memories, tokens, logits):
        return [(memory[0] + int(token),) for memory, token in zip(memories, tokens)]

    def ends(self, rows, tokens, memory):
        return np.asarray([m[0] > 7 for m in memory], bool)


@dataclass(frozen=True)
class _OneFlagForAll(_Sevens):
    def ends(self, rows, tokens, memory):
        return True


@dataclass(frozen=True)
class _TokensForFlags(_Sevens):
    def ends(self, rows, tokens, memory):
        return tokens


@dataclass(frozen=True)
class _EndsAllTogether(_Sevens):
    def ends(self, rows, tokens, memory):
        return np.full(len(tokens), any(m[0] > 7 for m in memory))


@dataclass(frozen=True)
class _TiresOfQuestions(_Sevens):
    """It says yes and no in turn."""

    def ends(self, rows, tokens, memory):
        self.__dict__["asked"] = not self.__dict__.get("asked", False)
        return np.full(len(tokens), self.asked)


@dataclass(frozen=True)
class _MutatesSums(_Sevens):
    def begin(self, prompt):
        return [0]

    def advance(self, memories, tokens, logits):
        for memory, token in zip(memories, tokens):
            memory[0] += int(token)
        return memories


@dataclass(frozen=True)
class _SumsOfAll(_Sevens):
    def advance(self, memories, tokens, logits):
        return [(memory[0] + sum(map(int, tokens)),) for memory in memories]


@dataclass(frozen=True)
class _BeginsElsewhere(_Sevens):
    """A memory says how often one was begun."""

    def begin(self, prompt):
        self.__dict__["begun"] = self.__dict__.get("begun", 0) + 1
        return (self.begun % 6,)


@dataclass(frozen=True)
class _MindsTheCrowd(_Sevens):
    """Whole until rows are fewer than five, and more than one."""

    def ends(self, rows, tokens, memory):
        return super().ends(rows, tokens, memory) & ~(1 < len(tokens) < 5)


BROKEN_STOPS = {
    _OneFlagForAll(): "one flag for each candidate",
    _TokensForFlags(): "one flag for each candidate",
    _EndsAllTogether(): "batch is alone",
    _TiresOfQuestions(): "the same question has the same answer",
    _MutatesSums(): "memories are values",
    _SumsOfAll(): "memories are values",
    _BeginsElsewhere(): "batch is alone|forked is recomputed",
}


@pytest.mark.parametrize("part", BROKEN_STOPS, ids=str)
def test_a_broken_stop_is_caught_by_name(part):
    caught(lambda: check_stop(part), BROKEN_STOPS[part])


def test_a_text_that_goes_on_although_the_stop_says_so_is_caught():
    bench = StopBench(_MindsTheCrowd(), TokenIds(6), np.random.default_rng(0), 6, np.asarray, 0)
    caught(lambda: texts_end_where_it_says(bench), "a text ends where the stop says|batch is alone")


def test_a_memory_that_is_not_its_texts_is_caught():
    """One that begins with what is in self is caught where it is compared with what it would be alone."""
    bench = StopBench(_BeginsElsewhere(), TokenIds(6), np.random.default_rng(0), 6, np.asarray, 0)
    caught(lambda: forked_is_recomputed(bench), "forked is recomputed")


def test_a_whole_stop_is_not():
    check_stop(_Sevens())
