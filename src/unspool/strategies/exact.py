"""Exact search: the best texts, with proof; within a budget the best found, and how far from the best they are at most."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, cast

from unspool.core.frontier import Frontier
from unspool.core.strategy import Asks, Strategy
from unspool.errors import DeadEnd, ParameterError, check, is_whole, number, plain, whole
from unspool.processors.phrases import ids_in, several
from unspool.record.step import Hypothesis
from unspool.strategies.branch_and_bound import Hunt
from unspool.strategies.lengths import LENGTHS, Bounds


@dataclass(frozen=True)
class Exact(Strategy):
    """The n best finished texts, best first, by best-first branch and bound, with a certificate that they are.

    A text is ranked by log p(text) / length ** length_penalty, as by `beam`; here length_penalty is 0 if it is not given. No text
    that goes on from a prefix scores more than its bound; the prefix of the largest bound grows next, and the search is over once no
    bound exceeds the n-th best score found. With length_penalty=0 the bound is the prefix's own log-probability, and this is
    uniform-cost search (cf. Stahlberg and Byrne 2019, arXiv 1908.10090) (cf. Meister, Vieira and Cotterell 2020, arXiv 2007.03909);
    otherwise it is the largest of (log p(prefix) + k * gain) / weight(length + k) for all k that the limit of new tokens leaves. The
    search may grow very many prefixes. The record's `certificates` say what is proved: the scores found, and a bound on all others.

    Within a budget, `nodes` or `seconds`, it answers with the best found. Half of the prefixes then grow greedily from the best open
    one, so that there is something to answer with: first of all the greedy text, whatever that takes.

    n: how many texts.
    expand: how many of a row's best tokens count; 0: all. The certificate's bound covers the others, too.
    length_penalty: 0 ranks by log-probability; above 0 longer texts gain, below 0 shorter ones.
    length: what counts, as of `beam`: "generated", "without_end", "with_prompt" or "gnmt".
    renormalise: whether the processors' scores are made log-probabilities again before they are summed; as of `beam`.
    gain: with renormalise=False, the most that a token may add to a score; more is an error. The certificate holds if none adds more.
    nodes: how many prefixes grow at most; 0: as many as it takes.
    seconds: how long it searches at most, from where its prompt began; 0: as long as it takes.
    containing: only texts that contain one of these phrases: a text, wherever its tokens are cut, or token ids. Nothing is masked.
    among: only these texts, or tuples of token ids, token for token, each whole where it ends (the reason is "followed", if it is
    not one of the usual ones). Nothing is masked, so their scores are those of the model; `choice` is the processor that masks.
    """

    many = False
    streams = False
    n: int = 1
    expand: int = 0
    length_penalty: float = 0.0
    length: str = "generated"
    renormalise: bool = True
    gain: float = 0.0
    nodes: int = 0
    seconds: float = 0.0
    containing: str | tuple[int, ...] | tuple[str | tuple[int, ...], ...] = ()
    among: tuple[str | tuple[int, ...], ...] = ()
    _bytes_of: Callable[[int], bytes] | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        whole("exact(n)", self.n, 1)
        whole("exact(expand=...)", self.expand, 0)
        whole("exact(nodes=...)", self.nodes, 0)
        number("exact(seconds=...)", self.seconds, least=0)
        number("exact(length_penalty=...)", self.length_penalty)
        number("exact(gain=...)", self.gain, least=0)
        check(self.length in LENGTHS, f"exact(length=...) is one of {', '.join(LENGTHS)}; got {self.length!r}")
        check(isinstance(self.renormalise, bool), f"exact(renormalise=...) is True or False; got {self.renormalise!r}")
        check(not self.gain or not self.renormalise, "exact(gain=...) is for renormalise=False: log-probabilities add nothing above 0")
        check(not (self.expand and self.among), "exact takes expand or among, not both: among says which tokens may come")
        for name in ("containing", "among"):
            object.__setattr__(self, name, _texts_of(name, getattr(self, name)))

    def token_ids(self) -> Iterable[int]:
        """Those of its phrases and texts."""
        return ids_in((*several(self.containing), *self.among))

    def resolve(self, tokenizer: Any) -> Exact:
        """With tokens in place of the texts of `among`, and what it takes to find phrases in a text."""
        given = {f: getattr(self, f) for f in self.__dataclass_fields__ if not f.startswith("_")}
        given["among"] = tuple(tuple(tokenizer.encode(text)) if isinstance(text, str) else text for text in self.among)
        for text, tokens in zip(self.among, given["among"], strict=True):
            check(len(tokens) > 0, f"exact(among=...): {text!r} has no tokens in this tokenizer")
        part = type(self)(**given)
        object.__setattr__(part, "_bytes_of", tokenizer.bytes_of)
        return part

    def run(self, frontier: Frontier) -> Asks:
        """Grow the prefix of the largest bound until none exceeds the n-th best score, or the budget is spent."""
        if any(isinstance(text, str) for text in self.among) or (self._texts and self._bytes_of is None):
            raise ParameterError("exact: texts need a tokenizer; decode with a LanguageModel, or give token ids")
        most, prompt = int((frontier.generated + frontier.left)[0]), int(frontier.prompt_lengths[0])
        hunt = Hunt(
            frontier,
            Bounds(self.length, self.length_penalty, most, prompt, self.gain),
            n=self.n,
            expand=self.expand,
            renormalise=self.renormalise,
            nodes=self.nodes,
            seconds=self.seconds,
            among=cast("tuple[tuple[int, ...], ...]", self.among),
            contains=self.contains,
        )
        while (choice := hunt.choose(frontier)) is not None:
            frontier = yield choice

    def contains(self, tokens: list[int]) -> bool:
        """Whether new tokens contain one of the phrases, if there are any."""
        phrases: Any = self.containing
        if not phrases:
            return True
        for phrase in phrases:
            size = len(phrase)
            if not isinstance(phrase, str) and any(tuple(tokens[i : i + size]) == phrase for i in range(len(tokens) - size + 1)):
                return True
        text = b"".join(map(self._bytes_of, tokens)) if self._bytes_of and self._texts else b""
        return any(phrase.encode() in text for phrase in self._texts)

    @property
    def _texts(self) -> list[str]:
        """The phrases that are texts."""
        return [phrase for phrase in several(self.containing) if isinstance(phrase, str)]

    def rank(self, finished: list[Hypothesis]) -> list[Hypothesis]:
        """The n best by score; what was broken off only where nothing had finished."""
        whole_texts = [h for h in finished if h.reason != "interrupted"]
        if not finished and (self.containing or self.among):
            raise DeadEnd(f"{self} found no text: none fits, or it takes more nodes, seconds or new tokens; the certificate says which")
        return sorted(whole_texts or finished, key=lambda h: -h.score)[: self.n]

    def most_texts(self) -> int:
        return min(self.n, len(self.among) or self.n)


def _texts_of(name: str, given: Any) -> tuple[Any, ...]:
    """Texts, or tuples of token ids, of one or several of them; refused where they can be none."""
    given = plain(given)
    alone = isinstance(given, str) or (isinstance(given, tuple | list) and len(given) > 0 and all(is_whole(t, 0) for t in given))
    some = (given,) if alone else tuple(given) if isinstance(given, tuple | list) else None
    found = () if some is None else tuple(tuple(one) if isinstance(one, list) else one for one in some)
    ok = all(bool(t) and (isinstance(t, str) or (isinstance(t, tuple) and all(is_whole(i, 0) for i in t))) for t in found)
    what = "texts or tuples of token ids, none empty"
    check(some is not None and ok, f'exact({name}=...) takes {what}, as (" yes", (13, 4)); got {given!r}')
    return found
