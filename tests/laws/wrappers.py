"""Strategies around strategies as users write them; none is known to the text form."""

from dataclasses import dataclass

import numpy as np

import unspool as un


@dataclass(frozen=True)
class _Same(un.Around):
    """As the strategy inside."""

    name = "same"
    then: un.Strategy


@dataclass(frozen=True)
class _SameAlone(un.Around):
    """The same, a run for each row."""

    name, many = "same_alone", False
    then: un.Strategy


@dataclass(frozen=True)
class _Own(un.Around):
    """The same by a `run` and a `rank` of its own, a run for each row."""

    name, many = "own", False
    then: un.Strategy

    def run(self, frontier):
        yield from self.then.run(frontier)

    def rank(self, finished):
        return super().rank(finished)


@dataclass(frozen=True)
class _Plain(un.Strategy):
    """A strategy that knows nothing of wrappers, and calls the other's `run` and `rank`."""

    name = "plain"
    then: un.Strategy

    def run(self, frontier):
        yield from self.then.run(frontier)

    def rank(self, finished):
        return self.then.rank(finished)


@dataclass(frozen=True)
class _Handed(un.Around):
    """Hands every row to a run of the strategy inside, which ranks."""

    name = "handed"
    then: un.Strategy

    def run(self, frontier):
        yield un.Each(frontier, self.then)

    def rank(self, finished):
        return finished


@dataclass(frozen=True)
class _Branch(un.Around):
    """Each of the k likeliest tokens, then the strategy inside."""

    name = "branch"
    k: int
    then: un.Strategy

    def run(self, frontier):
        tokens = frontier.top(self.k)[1]
        frontier = yield un.Choice(tokens.ravel(), np.repeat(frontier.rows, tokens.shape[1]))
        yield from super().run(frontier)


@dataclass(frozen=True)
class _Fork(un.Around):
    """Every row n times."""

    name = "fork"
    n: int
    then: un.Strategy

    def run(self, frontier):
        yield from self.then.run(frontier.fork(self.n, "copy"))


@dataclass(frozen=True)
class _BestOf(_Fork):
    """The likeliest of n texts."""

    name = "best_of"

    def rank(self, finished):
        return sorted(finished, key=lambda h: (-h.logprob, h.tokens))[:1]


@dataclass(frozen=True)
class _Consensus(_Fork):
    """Of n texts that which shares most with the others: minimum Bayes risk."""

    name, many = "consensus", False

    def rank(self, finished):
        return sorted(finished, key=lambda h: (-sum(shared(h.tokens, other.tokens) for other in finished), h.tokens))[:1]


@dataclass(frozen=True)
class _TopAlone(un.Around):
    """The likeliest text of every row; it says nothing of how they come about."""

    name, many = "top_alone", False
    then: un.Strategy

    def rank(self, finished):
        return sorted(super().rank(finished), key=lambda h: (-h.logprob, h.tokens))[:1]


def shared(one, other):
    """The share of tokens that two texts have in common, place by place."""
    return sum(a == b for a, b in zip(one, other, strict=False)) / max(len(one), len(other))


NEUTRAL = {
    "same": _Same,
    "same alone": _SameAlone,
    "own": _Own,
    "plain": _Plain,
    "handed": _Handed,
    "same in alone in same": lambda s: _Same(_SameAlone(_Same(s))),
    "alone in own in alone": lambda s: _SameAlone(_Own(_SameAlone(s))),
    "same in handed": lambda s: _Handed(_Same(s)),
    "own in handed in plain": lambda s: _Plain(_Handed(_Own(s))),
    "handed in handed": lambda s: _Handed(_Handed(s)),
}
"""Wrappers that change nothing."""


def saved(trace, path):
    """The file of a trace, without the name of its decoder."""
    trace.recipe = trace.recipe | {"decoder": ""}
    trace.save(path / "trace.jsonl")
    return (path / "trace.jsonl").read_bytes()
