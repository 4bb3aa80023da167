"""Following: go through given texts, whatever their probability; teacher forcing as a strategy."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from unspool.core.frontier import Frontier
from unspool.core.strategy import Around, Asks, Choice, Look, Strategy
from unspool.errors import ParameterError, check, plain
from unspool.processors.phrases import ids_in
from unspool.record.step import Hypothesis

LOOKED_AT_ONCE = 64
"""Tokens of a text that go through the model at once."""


@dataclass(frozen=True)
class Follow(Around):
    """Take the tokens of a given text, or of several as a tree, whatever their probability (teacher forcing).

    texts: a text, a tuple of token ids, or a tuple of several such. A token that the processors forbid is taken all the same; its
    processed log-probability is -inf. Nothing ends a text before its last token but a limit on length, within which its tokens
    count; the reason is then "followed", if it is not one of the usual ones. then: the strategy that goes on after one text.
    """

    many = False
    texts: Any
    then: Strategy | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        what = 'follow(texts) takes a text, a tuple of token ids, or a tuple of such, none empty, as in follow(" a king")'
        object.__setattr__(self, "texts", _frozen(self.texts))
        some = self._some
        check(len(some) > 0 and all(_is_text(text) for text in some), f"{what}; got {self.texts!r}")
        check(self.inner is None or len(some) == 1, f"follow(then=...) goes on after one text; got {len(some)} texts")

    @property
    def _some(self) -> tuple[Any, ...]:
        """All texts."""
        several = isinstance(self.texts, tuple) and any(isinstance(text, str | tuple) for text in self.texts)
        return self.texts if several else (self.texts,)

    def token_ids(self) -> Iterable[int]:
        """Those of its texts and of the strategy inside."""
        return [*ids_in(self._some), *super().token_ids()]

    def resolve(self, tokenizer: Any) -> Follow:
        """With tokens in place of texts."""
        some = tuple(tuple(tokenizer.encode(text)) if isinstance(text, str) else text for text in self._some)
        for given, tokens in zip(self._some, some, strict=True):
            check(len(tokens) > 0, f"follow: {given!r} has no tokens in this tokenizer")
        then: Any = self.then and self.then.resolve(tokenizer)
        return replace(self, texts=some, then=then)

    def run(self, frontier: Frontier) -> Asks:
        """Look along the texts up to where they fork or end, then commit what was seen."""
        if any(isinstance(text, str) for text in self._some):
            raise ParameterError("follow: texts need a tokenizer; decode with a LanguageModel, or give token ids")
        tree = _Tree(self._some)
        places = [0] * len(frontier)                                      # of each row, its node in the tree
        while len(frontier) and (tree.children[places[0]] or not self.then):
            most = min(LOOKED_AT_ONCE, int(frontier.left.min()))
            chains = [tree.straight(place, most) for place in places]
            ahead = min(map(len, chains))
            seen = (yield Look(frontier, [tree.token[chain[:ahead]] for chain in chains])) if ahead > 1 else None
            for depth in range(max(1, ahead)):
                choice, places = self._choose(frontier, tree, places)
                choice.seen = None if seen is None else seen.at(depth)
                frontier = yield choice
        if len(frontier) and self.then:
            yield from self.then.run(frontier)

    def _choose(self, frontier: Frontier, tree: _Tree, places: list[int]) -> tuple[Choice, list[int]]:
        """One token more of every text, and the places of the rows that go on."""
        full = frontier.left <= 1
        children: list[tuple[int, int, bool]] = []                        # (position, node, whether its text ends here)
        for row, place in enumerate(places):
            for node in tree.children[place].values():
                children += [(row, node, True)] * bool(node in tree.last or full[row])
                children += [(row, node, False)] * bool(tree.children[node] and not full[row])
        at, nodes, last = (np.asarray(column) for column in zip(*children, strict=True))
        tokens = tree.token[nodes]
        reasons = frontier.reasons(at, tokens)
        reasons = np.where(last, np.where((reasons == "") & (self.then is None), "followed", reasons), "")
        processed = frontier.pick(at, tokens)[1]
        scores = frontier["score"][at] + np.where(processed > -np.inf, processed, 0.0)
        columns = {} if self.then else {"followed": tree.text[nodes]}
        return Choice(tokens, frontier.rows[at], scores, reasons, columns, forced=True), nodes[reasons == ""].tolist()

    def rank(self, finished: list[Hypothesis]) -> list[Hypothesis]:
        """In the order of the texts, or as the strategy that went on ranks them."""
        if self.then:
            return super().rank(finished) if len(finished) > 1 else finished
        return sorted(finished, key=lambda h: int(h.columns.get("followed", -1)))

    def most_texts(self) -> int | None:
        return self.then.most_texts() if self.then else len(self._some)

    def most_rows(self) -> int | None:
        return self.then.most_rows() if self.then else len(self._some)


class _Tree:
    """The tree of several token sequences; node 0 is before the first token."""

    def __init__(self, texts: Sequence[Sequence[int]]) -> None:
        self.children: list[dict[int, int]] = [{}]
        self.last: set[int] = set()
        tokens, through, ended = [-1], [0], dict[int, int]()
        for i, text in enumerate(texts):
            node = 0
            for token in text:
                if token not in self.children[node]:
                    self.children[node][token] = len(self.children)
                    self.children.append({})
                    tokens.append(token)
                    through.append(i)
                node = self.children[node][token]
            self.last.add(node)
            ended.setdefault(node, i)
        self.token = np.asarray(tokens, np.int64)
        self.text = np.asarray([ended.get(node, i) for node, i in enumerate(through)])
        """Of each node the first text that ends there, or else the first that passes."""

    def straight(self, node: int, most: int) -> list[int]:
        """The nodes that follow one before the texts fork or one of them ends."""
        chain: list[int] = []
        while len(chain) < most and len(self.children[node]) == 1:
            (node,) = self.children[node].values()
            if node in self.last:
                break
            chain.append(node)
        return chain


def _frozen(given: Any) -> Any:
    return tuple(map(_frozen, given)) if isinstance(given, Sequence) and not isinstance(given, str) else plain(given)


def _is_text(text: Any) -> bool:
    """Whether it is a text or token ids, not empty."""
    return bool(text) and (isinstance(text, str) or (isinstance(text, tuple) and all(type(t) is int and t >= 0 for t in text)))
