"""Backtracking: what must not be said is taken back to where it began."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any, TypeAlias

import numpy as np

from unspool.core.frontier import Frontier, Places
from unspool.core.strategy import Around, Asks, Choice, Each, Look, Strategy
from unspool.errors import ParameterError, PartError, as_pattern, check, whole
from unspool.record.step import Hypothesis
from unspool.text import TextReader

Pending: TypeAlias = "list[tuple[Frontier, Choice, Frontier]]"
"""Tokens that may still be taken back: the row before each, its choice, and the row after it."""
TAKEN_BACK = "taken back"
NO_WAY = "every way on comes to a phrase"
WAY_ON = "; ban less, or raise backtrack(tries=...)"


@dataclass(frozen=True)
class Backtrack(Around):
    """Take a banned phrase back to its first token, which cannot come there again, and let the text go on from there.

    then: the strategy inside. phrases: a text or several, banned wherever they stand in the new text and however they are cut into
    tokens; patterns: regular expressions, banned as soon as one matches. ignore_case: whether "The" bans "the". Where a text is drawn,
    what replaces the token is a new draw from the distribution without it. Texts that grow by themselves (greedy, sample) are held back
    while their end may be the beginning of a phrase, so that nothing that is shown or recorded is taken back, at the price of one
    forward for each token taken back. A strategy whose rows compete (beam, exact) begins again, with all tokens that were banned
    before, until none of its texts holds a phrase: that may take long. A text that has no other way to go on is taken back further, and
    dies where it began; so does one that is taken back more than `tries` times without coming further than it ever came. A strategy that
    says a phrase all the same, as follow may, is an error. What was said before this strategy began stays, and a phrase that is whole by
    then is none of its own. The record counts how often was taken back, in `work`.
    """

    many = False
    then: Any
    phrases: Any = ()
    patterns: Any = ()
    ignore_case: bool = False
    tries: int = 1000
    tokenizer = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("phrases", "patterns"):
            given = getattr(self, name)
            some = (given,) if isinstance(given, str) else tuple(given) if isinstance(given, Iterable) else (given,)
            check(all(isinstance(s, str) and s for s in some), f"backtrack({name}=...) takes texts that are not empty; got {given!r}")
            object.__setattr__(self, name, some)
        what = 'backtrack(then, phrases) needs a strategy and what must not be said, as backtrack(sample, " very")'
        check(isinstance(self.then, Strategy) and bool(self.phrases or self.patterns), f"{what}; got {self!r}")
        check(type(self.ignore_case) is bool, f"backtrack(ignore_case=...) is True or False; got {self.ignore_case!r}")
        whole("backtrack(tries=...)", self.tries, 1)
        for pattern in self.patterns:
            empty = as_pattern("backtrack(patterns=...)", pattern).search("")
            check(not empty, f"backtrack(patterns=...): {pattern!r} matches nothing at all, so no text could be said")

    def resolve(self, tokenizer: Any) -> Any:
        """With the strategy inside resolved, and able to read texts."""
        part = super().resolve(tokenizer)
        object.__setattr__(part, "tokenizer", tokenizer)
        return part

    def run(self, frontier: Frontier) -> Asks:
        """Row by row where rows do not compete; otherwise from the beginning until nothing is banned."""
        if self.tokenizer is None:
            raise ParameterError("backtrack: phrases need a tokenizer; decode with a LanguageModel")
        if type(self.then).run is not Strategy.run:
            yield from self._again(frontier)
            return
        begun = self.then.begin(frontier)
        if len(begun) > 1:
            yield Each(begun, _Text(self, self.then))
        else:
            yield from _Text(self, self.then).start(begun)

    def _again(self, frontier: Frontier) -> Asks:
        """Let the strategy run; where a phrase is complete, ban its first token there and let it run once more."""
        root, bans = int(frontier.rows[0]), dict[tuple[int, ...], set[int]]()
        start, begin, places, texts = frontier, frontier.tokens(0), frontier.places, frontier.found
        prompt = int(frontier.prompt_lengths[0])
        known: set[int] = set()                                          # rows of what was taken back
        tries = Tries(self.tries)
        while True:
            walk, found, choices = self.then.start(frontier), False, 0
            ask = next(walk, None)
            while ask is not None and not found:
                if isinstance(ask, Each):
                    ask = replace(ask, strategy=replaced(self, ask.strategy))
                elif isinstance(ask, Choice):
                    choices += 1
                    known_before = sum(map(len, bans.values()))
                    found = self._learn(places, ask, prompt, len(begin), bans)
                    if found and sum(map(len, bans.values())) == known_before:       # it would go the same way for ever
                        raise PartError(f"{self}: {self.then} keeps to tokens that hold a phrase, whatever is banned: let it say others")
                    if found:
                        break
                    ask.frees = [row for row in {*ask.frees, *known} if row != root]
                    ask.waits, known = [*(row for row in ask.waits if row != root), root], set()
                answer = yield ask
                for rows in (answer, *answer.looked_along):
                    rows.forbid([bans.get(tuple(rows.tokens(i).tolist()), ()) for i in range(len(rows))])
                try:
                    ask = walk.send(answer)
                except StopIteration:
                    ask = None
            if not found:
                if bans and not texts:
                    start.give_up(0, NO_WAY)
                return
            walk.close()
            texts.clear()
            known = set(places) - {root}
            frontier = places[root][0]                                   # of one row
            frontier.count(TAKEN_BACK)
            if tries.spent(choices):
                frontier.give_up(0, f"the search began again {self.tries} times without coming further{WAY_ON}")
                return
            frontier.forbid([bans.get(tuple(begin.tolist()), ())])

    def _learn(self, places: Places, choice: Choice, prompt: int, begin: int, bans: dict[tuple[int, ...], set[int]]) -> bool:
        """Ban the first token of every phrase that a choice completes, behind `begin` tokens; whether there was any."""
        found = False
        for token, parent in zip(np.asarray(choice.tokens).tolist(), np.asarray(choice.parents).tolist(), strict=True):
            source, i = places[parent]
            if not choice.forced and source.pick(np.asarray([i]), np.asarray([token]))[1][0] == -np.inf:
                continue                                                 # it dies where it is chosen
            tokens = [*source.tokens(i).tolist(), token]
            first = self.first_of(tokens[prompt:], begin - prompt)
            if first is not None:
                place = max(prompt + first, begin)                       # what is committed stays
                bans.setdefault(tuple(tokens[:place]), set()).add(tokens[place])
                found = True
        return found

    def rank(self, finished: list[Hypothesis]) -> list[Hypothesis]:
        """As the strategy inside."""
        ranked: list[Hypothesis] = self.then.rank(finished)
        return ranked

    def most_texts(self) -> int | None:
        return self.then.most_texts()  # type: ignore[no-any-return]

    def most_rows(self) -> int | None:
        return self.then.most_rows()  # type: ignore[no-any-return]

    # --- reading --------------------------------------------------------------------------------------------------------

    @property
    def _sought(self) -> list[re.Pattern[str]]:
        flags = re.IGNORECASE if self.ignore_case else 0
        return [re.compile(pattern, flags) for pattern in (*map(re.escape, self.phrases), *self.patterns)]

    def read(self, tokens: Iterable[int]) -> tuple[str, list[int], bool]:
        """The text of new tokens, of each the place of its first character, -1 for one without bytes, and whether a character is open."""
        assert self.tokenizer is not None
        tokens = list(tokens)
        pieces, reading = TextReader(self.tokenizer).pieces(tokens)
        starts = accumulate(map(len, pieces), initial=0)
        places = [start if self.tokenizer.bytes_of(token) else -1 for token, start in zip(tokens, starts, strict=False)]
        return "".join(pieces), places, bool(reading[0])

    def first_of(self, tokens: list[int], before: int = 0) -> int | None:
        """Where the first token of a phrase stands that was not there already after `before` tokens; None if there is no phrase."""
        text, places, _ = self.read(tokens)
        old = self.read(tokens[:before])[0] if before else None
        starts = [start for pattern in self._sought if (start := first_match(pattern, text, old)) is not None]
        if not starts:
            return None
        start = min(starts)
        within = [i for i, place in enumerate(places) if 0 <= place <= start]
        return next(i for i in within if places[i] == places[within[-1]])

    def may_go_on(self, tokens: list[int]) -> bool:
        """Whether the end of a text may be the beginning of a phrase; with patterns nobody can say, and it may."""
        text, _, is_open = self.read(tokens)
        if self.patterns or is_open:
            return True
        fold = str.lower if self.ignore_case else str
        text = fold(text)
        return any(text.endswith(fold(phrase)[:n]) for phrase in self.phrases for n in range(1, len(phrase)))


def first_match(pattern: re.Pattern[str], text: str, before: str | None) -> int | None:
    """Where the first match begins that the text's beginning, if one is given, did not have yet."""
    match = pattern.search(text)
    while match and before is not None and pattern.match(before, match.start()):
        match = pattern.search(text, match.start() + 1)
    return match.start() if match else None


@dataclass
class Tries:
    """How often something was begun anew without coming further than it ever came."""

    most: int
    far: int = 0
    count: int = 0

    def spent(self, far: int) -> bool:
        """Whether that was once too often, now that it has come so far."""
        self.far, self.count = max(self.far, far), 1 if far > self.far else self.count + 1
        return self.count > self.most


def replaced(around: Backtrack, inner: Strategy) -> Backtrack:
    """The same around another strategy."""
    part = replace(around, then=inner)
    object.__setattr__(part, "tokenizer", around.tokenizer)
    return part


@dataclass(frozen=True)
class _Text(Strategy):
    """One text: what may be taken back is only looked at, and chosen when it may not."""

    name, many = "backtrack", False
    around: Backtrack
    then: Strategy

    def run(self, frontier: Frontier) -> Asks:
        """Look ahead token by token; commit once nothing of it can be the beginning of a phrase."""
        said = frontier.tokens(0)[int(frontier.prompt_lengths[0]) :].tolist()
        there = len(said)                                                # when it begins
        pending: Pending = []
        tries = Tries(self.around.tries)
        banned: dict[int, set[int]] = {}                                 # by place in the text
        while len(frontier):
            here = pending[-1][2] if pending else frontier
            choice = self.then.choose(here)
            (token,) = np.asarray(choice.tokens).tolist()
            first = self.around.first_of([*said, token], there)
            dead = here.pick(np.asarray([0]), np.asarray([token]))[1][0] == -np.inf
            if dead and pending:
                first = len(said) - 1                                    # nothing is left here: the token before must be another
            if first is not None and (not dead or pending):
                back = max(0, first - (len(said) - len(pending)))        # what is committed stays
                at = pending[back][0] if back < len(pending) else here
                place = len(said) - len(pending) + back
                wrong = said[place] if place < len(said) else token
                banned = {k: v for k, v in banned.items() if k < place} | {place: banned.get(place, set()) | {wrong}}
                at.forbid([banned[place]])
                here.count(TAKEN_BACK)
                if tries.spent(len(said)):
                    frontier.give_up(0, f"the text was taken back {tries.most} times without coming further{WAY_ON}")
                    return
                del said[place:], pending[back:]
                continue
            (reason,) = here.reasons(np.asarray([0]), np.asarray([token])) if choice.reasons is None else choice.reasons
            if dead and banned:
                frontier.give_up(0, NO_WAY)
            if reason or dead:
                for before in pending:
                    frontier = yield from _commit(frontier, before)
                choice.parents, choice.reasons = frontier.rows, [reason]
                frontier = yield choice
                return
            seen = yield Look(here, [[token]])
            seen.columns = seen.columns | {k: np.asarray(v) for k, v in choice.columns.items()}
            pending.append((here, choice, seen))
            said.append(token)
            if not self.around.may_go_on(said):
                for before in pending:
                    frontier = yield from _commit(frontier, before)
                pending, banned = [], {}


def _commit(frontier: Frontier, pending: tuple[Frontier, Choice, Frontier]) -> Any:
    """Choose what was looked at, and go on with the draws of the row that was looked at."""
    _, choice, seen = pending
    choice.parents, choice.seen, choice.reasons = frontier.rows, seen, [""]              # as it was when it was looked at
    frontier = yield choice
    frontier.columns = frontier.columns | {"lineage": seen.columns["lineage"]}
    return frontier
