"""The laws of models and their sessions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from unspool.arrays import Array, Ints, copy, host
from unspool.core.lane import open_session
from unspool.core.model import NO_PLAN, ROOT, Model, Plan, Session, as_model
from unspool.errors import ModelError, UnspoolError, Unsupported
from unspool.testing.laws import Law
from unspool.testing.worlds import Alive, growing

FILLED = 512
"""The longest context that is filled to its last token."""
LONGEST = 24
"""Tokens of a row of a tree that is grown."""
STRANGER = 1 << 50
"""A row that no session has made."""


def check_model(model: Model, *, seed: int = 0, tries: int = 5, tolerance: float = 2e-4) -> None:
    """Hold a model and its sessions to the laws of `unspool.core.model`.

    A session answers for a row as for its tokens alone, wherever the row forked, waited, or saw others forgotten; it refuses what cannot
    be and is then as it was; it frees what `keep` does not name. model: a Model or a LanguageModel; its texts here have at most 24
    tokens, and one the whole context if that is short. tolerance: how far two answers for one text may lie apart, absolute and relative.
    Raises LawBroken.
    """
    model, rng = as_model(model, "check_model"), np.random.default_rng(seed)
    takes_a_plan(ModelBench(model, rng, tolerance))
    for _ in range(tries):
        for law in MODEL_LAWS:
            law(ModelBench(model, rng, tolerance))


class ModelBench:
    """A model on trial: random texts for it, and what it says of a text that no session has seen."""

    def __init__(self, model: Model, rng: np.random.Generator, tolerance: float) -> None:
        self.model, self.rng, self.tolerance = model, rng, tolerance
        self.longest = min(model.context, LONGEST)

    def law(self, name: str, given: Any = "") -> Law:
        return Law(name, self.model, given)

    def text(self, most: int = 6, least: int = 1) -> list[int]:
        """A random text."""
        most = min(most, self.longest)
        found: list[int] = self.rng.integers(0, self.model.vocabulary, self.rng.integers(min(least, most), most + 1)).tolist()
        return found

    def texts(self, count: int) -> list[list[int]]:
        return [self.text() for _ in range(count)]

    def alone(self, ask: Callable[[Session, Ints], Array], text: Sequence[int], plan: Plan = NO_PLAN) -> Any:
        """What a new session answers for one text."""
        session = self.model.session(plan)
        return host(ask(session, session.extend([ROOT], [text])))[0]

    def as_alone(self, law: Law, session: Session, rows: Iterable[int], texts: Sequence[Sequence[int]], plan: Plan = NO_PLAN) -> None:
        """Rows hold these texts and answer for them as new sessions do, for all that can be asked."""
        rows = [int(row) for row in rows]
        law.expect(len(rows) == len(texts), f"{len(rows)} rows", f"one for each of {len(texts)} chains")
        for row, text in zip(rows, texts, strict=True):
            law.same(session.nodes.tokens(row).tolist(), list(map(int, text)), f"in session.nodes, for row {row}, the tokens")
        for what, ask in asks(session, plan):
            together = host(ask(session, np.asarray(rows)))
            law.expect(len(together) == len(rows), f"{what} of shape {together.shape}", f"one for each of {len(rows)} rows")
            for i, text in enumerate(texts):
                law.close(together[i], self.alone(ask, text, plan), f"for the text {list(text)} {what}", self.tolerance)


Question = Callable[[Session, Ints], Array]


def asks(session: Session, plan: Plan = NO_PLAN) -> Iterator[tuple[str, Question]]:
    """What may be asked of rows: logits, and what else the session can."""
    yield "logits", lambda s, rows: s.logits(rows)
    if "hidden" in session.can:
        yield "hidden states", lambda s, rows: s.hidden(rows)
    for layer in plan.layers:
        yield f"logits after layer {layer}", at_layer("logits", layer)
        if "hidden" in session.can:
            yield f"hidden states after layer {layer}", at_layer("hidden", layer)


def at_layer(verb: str, layer: int) -> Question:
    """Logits or hidden states as if the model ended after a layer."""
    return lambda session, rows: getattr(session, verb)(rows, layer)


# --- the laws -----------------------------------------------------------------------------------------------------------


def takes_a_plan(bench: ModelBench) -> None:
    """A model says what it is, and opens sessions with a plan and without."""
    model = bench.model
    with bench.law("a model has a vocabulary, a context, end tokens and a start") as law:
        law.expect(model.vocabulary > 0 and model.context > 0, (model.vocabulary, model.context), "a vocabulary and a context above 0")
        known = [*model.end_tokens, *([] if model.start is None else [model.start])]
        law.expect(all(0 <= t < model.vocabulary for t in known), known, f"end tokens and a start below {model.vocabulary}")
    for plan in (NO_PLAN, Plan(3, bench.longest), Plan(rows=None, length=1), None):
        with bench.law("a session takes a plan", plan) as law:
            session = model.session() if plan is None else open_session(model, plan)
            law.expect(set(session.can) <= {"hidden", "layers"}, session.can, 'some of "hidden" and "layers"')
            law.same((session.nodes.vocabulary, len(session.nodes)), (model.vocabulary, 0), "session.nodes of (vocabulary, rows)")
            text = bench.text(1)
            bench.as_alone(law, session, session.extend([ROOT], [text]), [text])


def has_shapes(bench: ModelBench) -> None:
    """Logits are (R, V) in the order asked, numbers of which some may be -inf."""
    texts = bench.texts(3)
    with bench.law("logits are (R, V) and numbers", texts) as law:
        session = bench.model.session()
        rows = session.extend([ROOT] * 3, texts)
        logits = host(session.logits(rows))
        law.same(tuple(logits.shape), (3, bench.model.vocabulary), "logits of shape")
        law.expect(np.issubdtype(logits.dtype, np.floating), f"logits of {logits.dtype}", "floating point numbers")
        law.expect(not np.isnan(logits).any() and not np.isposinf(logits).any(), "NaN or infinity", "numbers, or -inf for what cannot come")
        law.expect((logits > -np.inf).any(-1).all(), "a row of -inf alone", "a token that can come")
        order = [2, 0, 2, 1]
        law.close(session.logits(np.asarray(rows)[order]), logits[order], "of rows in another order logits", bench.tolerance)
        if "hidden" in session.can:
            hidden = session.hidden(rows)
            law.expect(hidden.ndim == 2 and len(hidden) == 3, f"hidden states of shape {tuple(hidden.shape)}", "(R, E)")


def batch_is_alone(bench: ModelBench) -> None:
    """Texts of several lengths that grow together answer as if alone, equal ones among them."""
    texts = bench.texts(4)
    texts.append(texts[0])
    with bench.law("batch is alone", texts) as law:
        session = bench.model.session()
        bench.as_alone(law, session, session.extend([ROOT] * 5, texts), texts)


def chain_is_its_tokens(bench: ModelBench) -> None:
    """A chain in one `extend` is its tokens one by one; with every=True it answers after each of them."""
    text = bench.text(8, 2)
    with bench.law("a chain is its tokens one by one", text) as law:
        session, row = bench.model.session(), ROOT
        (whole,) = session.extend([ROOT], [text], every=True)
        path, prefixes = session.nodes.path(int(whole)), [text[: i + 1] for i in range(len(text))]
        law.same(len(path), len(text), "a path of rows of length")
        bench.as_alone(law, session, path, prefixes)
        single = []
        for token in text:
            (row,) = session.extend([row], [[token]])
            single.append(int(row))
        bench.as_alone(law, session, single, prefixes)


def forked_is_recomputed(bench: ModelBench) -> None:
    """Rows that fork, wait and see others forgotten answer as if alone, and no more is held than they need."""
    texts = bench.texts(3)
    with bench.law("forked is recomputed", texts) as law:
        session = bench.model.session()
        alive: Alive = {int(row): (text, []) for row, text in zip(session.extend([ROOT] * 3, texts), texts, strict=True)}
        tokens, longest = np.arange(bench.model.vocabulary), bench.longest
        for grown in growing(bench.rng, alive, session.extend, session.keep, tokens, 8, longest):
            some = bench.rng.choice(list(grown), min(2, len(grown)), replace=False).tolist()
            law.given = f"a tree grown from {texts} with rows of {len(grown)} texts alive"
            bench.as_alone(law, session, some, [[*grown[row][0], *grown[row][1]] for row in some])
            alive = grown
        bench.as_alone(law, session, alive, [[*prompt, *new] for prompt, new in alive.values()])


def waiting_rows_answer(bench: ModelBench) -> None:
    """Also where not every token was asked for, the last row of a chain answers, later too, when it has children."""
    text, chains = bench.text(4), [[int(t)] for t in bench.rng.integers(0, bench.model.vocabulary, 2)]
    if len(text) + 1 > bench.model.context:
        return
    with bench.law("rows that wait answer", f"{text}, then {chains}, with every=False") as law:
        session = bench.model.session()
        (row,) = session.extend([ROOT], [text])
        children = session.extend([row, row], chains)
        bench.as_alone(law, session, [row, *children], [text, *([*text, *chain] for chain in chains)])
        session.keep([int(row), int(children[1])])
        bench.as_alone(law, session, [row, children[1]], [text, [*text, *chains[1]]])


def an_empty_chain_is_nothing(bench: ModelBench) -> None:
    """A chain without tokens gives its parent."""
    text = bench.text()
    with bench.law("an empty chain gives its parent", text) as law:
        session = bench.model.session()
        (row,) = session.extend([ROOT], [text])
        found = session.extend([row, ROOT], [[], text])
        law.same(int(found[0]), int(row), "row")
        law.same(len(session.nodes), 2 * len(text), "in session.nodes a number of rows of")
        bench.as_alone(law, session, found, [text, text])


def what_cannot_be_is_refused(bench: ModelBench) -> None:
    """Tokens, rows and texts that cannot be are refused, and leave the session as it was."""
    model, text = bench.model, bench.text(4)
    session = model.session()
    row, gone = map(int, session.extend([ROOT, ROOT], [text, bench.text(4)]))
    session.keep([row])
    beyond = np.zeros(model.context - len(text) + 1, np.int64)
    cases: list[tuple[str, int, Any]] = [
        ("bad tokens are refused", ROOT, [0, -1]),
        ("bad tokens are refused", row, [model.vocabulary]),
        ("unknown rows are refused", STRANGER, [0]),
        ("forgotten rows are refused", gone, [0]),
        ("texts beyond the context are refused", row, beyond),
    ]
    before, alive = host(copy(session.logits([row]))), session.nodes.alive()
    for name, parent, chain in cases:
        tokens = f"{len(chain)} tokens" if len(chain) > 2 else f"the tokens {chain}"
        with bench.law(name, f"{tokens} after {'the root' if parent == ROOT else f'row {parent}'}") as law:
            for parents, chains in (([parent], [chain]), ([ROOT, parent], [[0], chain])):
                try:
                    session.extend(parents, chains)
                except ModelError:
                    pass
                else:
                    raise law.broken("a row", "a ModelError")
                law.same(session.nodes.alive(), alive, "a session with the rows")
                law.close(session.logits([row]), before, "of a row that was there before logits", bench.tolerance)
    if model.context <= FILLED:
        with bench.law("a context can be filled", f"{model.context} tokens") as law:
            session = model.session()
            full = session.extend([ROOT], [np.zeros(model.context, np.int64)])
            law.expect(np.isfinite(host(session.logits(full))).any(), "no number", "logits")


def keep_frees(bench: ModelBench) -> None:
    """`keep` frees every row that lies on no path to those it names."""
    texts = bench.texts(3)
    with bench.law("keep frees", texts) as law:
        session = bench.model.session()
        rows = session.extend([ROOT] * 3, texts)
        for kept in (rows[1:], rows[2:], rows[:0]):
            needed = {int(n) for row in kept for n in session.nodes.path(int(row))}
            session.keep(list(map(int, kept)))
            law.same(session.nodes.alive(), needed, "a session with the rows")
        bench.as_alone(law, session, session.extend([ROOT], texts[:1]), texts[:1])


def logits_are_ones_own(bench: ModelBench) -> None:
    """An array of logits is nobody else's: later calls leave it, and writing to it changes no answer."""
    texts = bench.texts(3)
    with bench.law("logits are not shared", texts) as law:
        session = bench.model.session()
        rows = session.extend([ROOT] * 2, texts[:2])
        held = session.logits(rows)
        before = host(copy(held))
        others = session.extend([ROOT], texts[2:])
        session.logits(others)
        session.logits(rows[::-1])
        session.keep([*map(int, rows), *map(int, others)])
        law.close(held, before, "after later calls, in the array given before, logits", 0.0)
        if isinstance(held, np.ndarray) and held.flags.writeable:
            held[...] = 7.0
            law.close(session.logits(rows), before, "after the array given before was written to, logits", bench.tolerance)


def abilities_are_said(bench: ModelBench) -> None:
    """Hidden states and layers are given if the session says that it can, and refused by name if not."""
    text, plan = bench.text(), Plan(layers=(1,))
    with bench.law("hidden states are given or refused", text) as law:
        session = bench.model.session()
        rows = session.extend([ROOT], [text])
        if "hidden" not in session.can and hasattr(session, "hidden"):
            try:
                found = session.hidden(rows)
            except Unsupported:
                pass
            else:
                raise law.broken(found, "Unsupported, for session.can lacks 'hidden'")
    texts = bench.texts(3)
    with bench.law("layers are given or refused", f"{texts} and {plan}") as law:
        try:
            session = bench.model.session(plan)
            rows = session.extend([ROOT] * 3, texts)
            found = session.logits(rows, 1)
        except UnspoolError:                                             # also where it has no layer before its last
            return
        law.expect("layers" in session.can, "an answer for layer 1", "a refusal, for session.can lacks 'layers'")
        law.same(tuple(found.shape), (3, bench.model.vocabulary), "logits of shape")
        bench.as_alone(law, session, rows, texts, plan)


MODEL_LAWS = (
    has_shapes,
    batch_is_alone,
    chain_is_its_tokens,
    forked_is_recomputed,
    waiting_rows_answer,
    an_empty_chain_is_nothing,
    what_cannot_be_is_refused,
    keep_frees,
    logits_are_ones_own,
    abilities_are_said,
)
