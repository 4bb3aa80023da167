"""The laws of strategies: what every search over the tree of tokens keeps, whatever it looks for."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from unspool.arrays import Array, block, host, like
from unspool.core.decoder import Decoder, as_decoder
from unspool.core.loop import decode
from unspool.core.model import Model
from unspool.core.processor import Processor, Rows
from unspool.core.strategy import Around, Asks, Choice, Strategy
from unspool.errors import DeadEnd, ParameterError
from unspool.language_model import LanguageModel
from unspool.record.step import LEVELS
from unspool.score import score_tokens
from unspool.strategies.beam import Beam
from unspool.strategies.exact import Exact
from unspool.strategies.greedy import Greedy
from unspool.strategies.sample import Sample
from unspool.strategies.speculative import Speculative
from unspool.testing.laws import Law
from unspool.testing.records import of_prompt, retold, same_record, same_texts
from unspool.testing.worlds import VOCABULARY, Definition, Ran, prompts_of, run_whole, search_of, table
from unspool.text import TokenIds, Tokenizer

LIMIT = 5
"""Tokens of a text."""
WAITING = 8
"""Rows that may lie about before a search looks for those that nobody needs."""


def check_strategy(
    strategy: Strategy | Decoder | str,
    tokenizer: Tokenizer | None = None,
    *,
    model: Model | None = None,
    seed: int = 0,
    tries: int = 3,
    tolerance: float = 1e-5,
) -> None:
    """Hold a strategy to its laws.

    A prompt's texts, scores and record are those of a run of its own; a stream is what is collected; the numbers of a hypothesis are
    found again from its text alone; a seed tells the texts and nothing else does; no row is held that none needs. They hold inside
    another strategy, and with others inside if it is an `Around`.

    strategy: a strategy, or a decoder of processors, a strategy and stops. tokenizer: for parts whose settings are text; one of numbers
    if not given. model: what it searches; if not given, tables of six tokens (or as many as the tokenizer has), another one every try.
    tolerance: how far two numbers for one thing may lie apart, absolute and relative. Raises LawBroken.
    """
    decoder, rng = as_decoder(strategy), np.random.default_rng(seed)
    size = model.vocabulary if model is not None else VOCABULARY if tokenizer is None else tokenizer.size
    words = TokenIds(size) if tokenizer is None else tokenizer
    for i in range(tries):
        world = table(seed + i, size) if model is None else model
        prompts = prompts_of(rng, size, world.end_tokens)
        trial = Trial(decoder.resolve(words), world, prompts, seed + i, words, tolerance)
        for law in (*STRATEGY_LAWS, *([] if i else LAWS_TRIED_ONCE)):
            law(trial)


@dataclass
class Trial:
    """A decoder on trial: over a model, with prompts and a seed."""

    decoder: Decoder
    model: Model
    prompts: Sequence[Sequence[int]]
    seed: int = 0
    tokenizer: Tokenizer = field(default_factory=lambda: TokenIds(VOCABULARY))
    tolerance: float = 1e-5
    where: str = ""
    """What it is tried in, before the names of laws."""

    @property
    def strategy(self) -> Strategy:
        """Its strategy, greedy if it has none."""
        found: Strategy = self.decoder.strategy or Greedy()
        return found

    def law(self, name: str, given: Any = None) -> Law:
        given = f"the prompts {[list(p) for p in self.prompts]} and seed {self.seed}" if given is None else given
        return Law(self.where + name, self.decoder, given)

    def run(self, prompts: Sequence[Sequence[int]], **options: Any) -> Ran:
        """A whole run; options: those of Search, and limit."""
        return run_whole(self.model, self.decoder, prompts, **{"limit": LIMIT, "seed": self.seed} | options)

    @cached_property
    def alone(self) -> list[Ran]:
        """Every prompt in a run of its own."""
        with self.law("it runs"):
            return [self.run([prompt], level="choices") for prompt in self.prompts]

    def around(self, strategy: Strategy, where: str) -> Trial:
        """The same with another strategy."""
        parts = (*self.decoder.processors, strategy, *self.decoder.stops)
        return replace(self, decoder=Decoder(parts).resolve(self.tokenizer), where=where)


# --- the laws -----------------------------------------------------------------------------------------------------------


def batch_is_alone(trial: Trial) -> None:
    """The texts of a prompt, their scores and their record are the same alone, in a batch, in another order, and beside its equal."""
    order = [*range(len(trial.prompts) - 1, -1, -1), 0]
    alone = trial.alone
    with trial.law("batch is alone") as law:
        together = trial.run([trial.prompts[i] for i in order], level="choices")
        for place, i in enumerate(order):
            law.given = f"the prompt {list(trial.prompts[i])} at place {place} of {len(order)}, seed {trial.seed}"
            same_texts(law, together.found[place], alone[i].found[0], trial.tolerance)
            same_record(law, of_prompt(together.steps, place), of_prompt(alone[i].steps, 0), trial.tolerance)
        law.expect(any(together.found) or together.dead, "no text", "a hypothesis of some prompt")


def no_text_depends_on_how_many_run_at_once(trial: Trial) -> None:
    """The texts of a prompt, their scores and their record are the same whether one prompt runs at a time, two or all."""
    prompts = [*trial.prompts, trial.prompts[0]]
    limits = [1 + i * 3 % 5 for i in range(len(prompts))]
    with trial.law("no text depends on how many run at once") as law:
        whole = trial.run(prompts, limits=limits, level="choices")
        for together in (1, 2):
            law.given = f"{together} at once of the prompts {[list(p) for p in prompts]} with limits {limits}, seed {trial.seed}"
            ran = trial.run(prompts, limits=limits, level="choices", together=together)
            for i in range(len(prompts)):
                same_texts(law, ran.found[i], whole.found[i], trial.tolerance)
                same_record(law, of_prompt(ran.steps, i), of_prompt(whole.steps, i), trial.tolerance)
            law.same(sorted(ran.dead), sorted(whole.dead), "prompts that came to nothing")


def limits_are_ones_own(trial: Trial) -> None:
    """Prompts of one call may have limits of their own; no text is longer."""
    limits = [1 + i * 3 % 5 for i in range(len(trial.prompts))]
    with trial.law("prompts have limits of their own", f"the limits {limits}") as law:
        together = trial.run(trial.prompts, limits=limits)
        for prompt, limit, found in zip(trial.prompts, limits, together.found, strict=True):
            law.given = f"the prompt {list(prompt)} with limit {limit} among the limits {limits}"
            same_texts(law, found, trial.run([prompt], limits=[limit]).found[0], trial.tolerance)
            law.expect(all(len(h.tokens) <= limit for h in found), f"texts of {[len(h.tokens) for h in found]} tokens", f"at most {limit}")


def steps_add_up(trial: Trial) -> None:
    """The numbers of a hypothesis are found again from its text alone: rescored, and processed one step at a time."""
    definition = Definition(trial.model, trial.decoder.processors)
    for prompt, ran in zip(trial.prompts, trial.alone, strict=True):
        for h in ran.found[0][:3]:
            with trial.law("steps add up", f"the text {h.tokens} after {list(prompt)}") as law:
                (again,) = score_tokens(trial.model, [(prompt, h.tokens)])
                law.close(h.logprobs, again, "log-probability", trial.tolerance)
                law.close([h.logprob], [again.sum()], "log-probability of the text", trial.tolerance)
                known = [done[t] for (_, done), t in zip(definition.along(prompt, h.tokens), h.tokens, strict=False)]
                if not definition.drew:
                    law.close(h.processed, known, "processed log-probability", trial.tolerance)


def the_record_tells_the_texts(trial: Trial) -> None:
    """The steps alone hold every hypothesis with its numbers and its end, and nodes are born in order."""
    for prompt, ran in zip(trial.prompts, trial.alone, strict=True):
        with trial.law("the record tells the texts", f"the prompt {list(prompt)}") as law:
            retold(law, ran.steps, ran.found[0], prompt=0)


def the_record_is_the_models(trial: Trial) -> None:
    """What the record says of places, the likeliest tokens, ranks and what was dropped, is what the model says there."""
    prompt, ran = trial.prompts[0], trial.alone[0]
    definition = Definition(trial.model, trial.decoder.processors)
    texts: dict[int, tuple[int, ...]] = {0: ()}
    with trial.law("the record's numbers are the model's", f"the prompt {list(prompt)}") as law:
        for step in ran.steps:
            before = [(texts[int(p)], int(t)) for p, t in zip(step.parents, step.tokens, strict=True)]
            texts |= {int(n): (*text, token) for n, (text, token) in zip(step.nodes, before, strict=True)}
            for i, (text, token) in enumerate(before[:4]):
                raw, _ = definition.after(prompt, text)
                law.close([step.logprob[i]], [raw[token]], f"for token {token} after {text} log-probability", trial.tolerance)
                if step.rank is not None:
                    near = int((raw > raw[token] + trial.tolerance).sum()), int((raw > raw[token] - trial.tolerance).sum()) - 1
                    law.expect(near[0] <= step.rank[i] <= near[1], f"for token {token} after {text} rank {step.rank[i]}", near[0])
            if step.considered is not None:
                some = step.considered
                for node, tokens, numbers in list(zip(some.nodes.tolist(), some.tokens, some.logprobs, strict=True))[:2]:
                    law.expect(node in texts, f"considered at node {node}", "a node that was born")
                    raw, _ = definition.after(prompt, texts[node])
                    what, best = f"of what was considered after {texts[node]} log-probability", -np.sort(-raw)[: len(numbers)]
                    law.close(numbers, raw[tokens], what, trial.tolerance)
                    law.close(numbers, best, f"of the likeliest tokens there, {what}", trial.tolerance)
            if step.dropped is not None:
                strangers = {int(n) for n in step.dropped["parents"]} - texts.keys()
                law.expect(not strangers, f"dropped after the nodes {strangers}", "nodes that were born")


def a_stream_is_what_is_collected(trial: Trial) -> None:
    """A stream gives the outputs that `generate` gives, its steps tell them, and its pieces of text join to the text."""
    lm = LanguageModel(trial.model, trial.tokenizer)
    options: Any = {"max_new_tokens": LIMIT, "seed": trial.seed}
    with trial.law("a stream is what is collected") as law:
        prompts = [list(p) for p in trial.prompts]
        live = lm.stream(prompts, trial.decoder, **options)
        steps = list(live)
        for i, (one, other) in enumerate(zip(live.outputs, lm.generate(prompts, trial.decoder, **options), strict=True)):
            law.same([s.text for s in one.sequences], [s.text for s in other.sequences], "streamed the texts")
            same_texts(law, one.trace.hypotheses[0], other.trace.hypotheses[0], trial.tolerance)
            retold(law, steps, one.trace.hypotheses[0], i)
            retold(law, other.trace.steps, other.trace.hypotheses[0])
    for prompt in prompts[:2]:
        with trial.law("pieces join to the text", f"the prompt {prompt}") as law:
            try:
                text = lm.generate(prompt, trial.decoder, end_tokens=(), **options).text
            except DeadEnd:
                continue
            law.same("".join(lm.stream(prompt, trial.decoder, end_tokens=(), **options).text()), text, "in pieces the text")


def a_seed_tells_the_texts(trial: Trial) -> None:
    """The same seed gives the same texts, every time, and no generator that others share is touched."""
    with trial.law("the same seed gives the same texts") as law:
        for alone, prompt in zip(trial.alone, trial.prompts, strict=True):
            same_texts(law, trial.run([prompt], level="choices").found[0], alone.found[0], trial.tolerance)
    own, shared = random.getstate(), np.random.get_state()
    random.seed(trial.seed + 1)
    np.random.seed(1 + trial.seed % 2**31)                               # as nobody else would
    try:
        with trial.law("no global generator is touched") as law:
            before = generators()
            trial.run(trial.prompts)
            law.expect(generators() == before, "a change of random, numpy.random or torch", "draws by frontier.uniform alone")
    finally:
        random.setstate(own)
        np.random.set_state(shared)


def generators() -> list[Any]:
    """The states of the generators that all of a process share."""
    _, keys, *rest = np.random.get_state(legacy=True)
    torch: Any = sys.modules.get("torch")
    return [random.getstate(), np.asarray(keys).tolist(), *rest, None if torch is None else torch.get_rng_state().tolist()]


def recording_changes_nothing(trial: Trial) -> None:
    """The texts and their numbers are the same at every level of recording."""
    expected = None
    for level in LEVELS:
        with trial.law("recording changes no text", f"the level {level!r}") as law:
            found = trial.run(trial.prompts[:2], level=level, choices=3).found
            expected = found if expected is None else expected
            for one, other in zip(found, expected, strict=True):
                same_texts(law, one, other, trial.tolerance)


def the_dead_go_alone(trial: Trial) -> None:
    """A prompt after which nothing may come takes no other along, whether it dies at once or later."""
    for after in (0, 1):
        victim = list(trial.prompts[1])
        dying = replace(trial, decoder=_Dying(tuple(victim), after) | trial.decoder)
        with trial.law("prompts die alone", f"the prompt {victim} that dies after {after} tokens beside {trial.prompts[0]}") as law:
            together = dying.run(trial.prompts)
            for i, prompt in enumerate(trial.prompts):
                same_texts(law, together.found[i], dying.run([prompt]).found[0], trial.tolerance)
                if i != 1:
                    same_texts(law, together.found[i], trial.run([prompt]).found[0], trial.tolerance)
            empty(law, together)


def rows_are_freed(trial: Trial) -> None:
    """At every step no more rows are held than the run's own, those it looked at, and a few; none at the end."""
    with trial.law("rows are freed") as law:
        search = search_of(trial.model, trial.decoder, trial.prompts, LIMIT, seed=trial.seed)
        for _ in decode(search, trial.strategy):
            nodes, runs = search.lane.nodes, search.runs.values()
            live = [row for run in runs for row in run.places]
            held = len(live) + sum(len(rows) for run in runs for _, rows in run.looked)
            law.same(search._rows, held, "rows that runs have, in number")
            law.expect(search._gone < max(WAITING, held / 4), f"{search._gone} rows given up", f"few beside {held} that are held")
            search.collect(at_once=True)
            looked = [int(r) for run in runs for lane, rows in run.looked if lane is search.lane for r in rows]
            needed = {int(n) for row in (*live, *looked) for n in nodes.path(row)}
            law.same(len(nodes.alive()), len(needed), "rows held, in number")
            for seat in (*search.lane.chain, *search.lane.ending):
                known = set() if seat.memory is None else set(seat.memory.values)
                law.expect(known | set(seat.entered) <= needed, f"{seat.part} with memories of {len(known)} rows", "of rows that live")
        empty(law, Ran(search.found, search.dead, [], search))


def most_rows_is_true(trial: Trial) -> None:
    """No more rows of a prompt grow together than `most_rows` says."""
    most = trial.strategy.most_rows()
    with trial.law("most_rows is true") as law:
        search = search_of(trial.model, trial.decoder, trial.prompts, LIMIT, seed=trial.seed)
        for _ in decode(search, trial.strategy):
            rows = [prompt for run in search.runs.values() for prompt in run.frontier["prompt"].tolist()]
            grow = max(map(rows.count, rows), default=0)
            law.expect(most is None or grow <= most, f"{grow} rows of a prompt together", f"at most {most}")


def most_texts_is_true(trial: Trial) -> None:
    """No more texts of a prompt are returned than `most_texts` says."""
    most = trial.strategy.most_texts()
    with trial.law("most_texts is true") as law:
        search = search_of(trial.model, trial.decoder, trial.prompts, LIMIT, seed=trial.seed)
        for _ in decode(search, trial.strategy):
            pass
        many = max(map(len, search.found), default=0)
        law.expect(most is None or many <= most, f"{many} texts of a prompt", f"at most {most}")


def empty(law: Law, ran: Ran) -> None:
    """Nothing is left of a run that is over."""
    law.same(len(ran.search.runs), 0, "runs at work at the end, in number")
    for lane in ran.search.lanes():
        law.same(len(lane.nodes), 0, "rows held at the end, in number")


def it_works_inside_another(trial: Trial) -> None:
    """Another strategy may hand its rows over, in the middle of a text and several of a prompt."""
    outer = trial.around(_Fork(trial.strategy), "inside another strategy, ")
    for law in (batch_is_alone, steps_add_up, the_record_tells_the_texts, rows_are_freed):
        law(outer)


def others_work_inside_it(trial: Trial) -> None:
    """Every strategy works inside one that contains one: where rows compete, wait, look ahead or have runs of their own."""
    outer = trial.strategy
    if not isinstance(outer, Around):
        return
    draft = table(trial.seed + 77, trial.model.vocabulary, end_tokens=trial.model.end_tokens)
    for inner in (Greedy(), Sample(2), Beam(2, n=2), Exact(2, expand=3), Speculative(draft, 2)):
        try:
            whole: Any = replace(outer, **{outer.inside: inner})  # type: ignore[type-var]
        except ParameterError:                                           # it refuses this one, by its settings
            continue
        filled = trial.around(whole, f"with {type(inner).__name__} inside, ")
        for law in (batch_is_alone, steps_add_up, the_record_tells_the_texts, rows_are_freed):
            law(filled)


STRATEGY_LAWS: tuple[Callable[[Trial], None], ...] = (
    batch_is_alone,
    limits_are_ones_own,
    steps_add_up,
    the_record_tells_the_texts,
    the_record_is_the_models,
    a_stream_is_what_is_collected,
    a_seed_tells_the_texts,
    no_text_depends_on_how_many_run_at_once,
)
LAWS_TRIED_ONCE: tuple[Callable[[Trial], None], ...] = (
    recording_changes_nothing,
    the_dead_go_alone,
    rows_are_freed,
    most_rows_is_true,
    most_texts_is_true,
    it_works_inside_another,
    others_work_inside_it,
)
"""Laws that one try is enough for."""


# --- parts that laws are tried with -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Dying(Processor):
    """After one prompt, and so many new tokens, nothing may come."""

    name = "dying"
    prompt: tuple[int, ...]
    after: int = 0

    def process(self, rows: Rows, scores: Array, memory: Any = None) -> Array:
        texts = [text[text >= 0].tolist() for text in host(rows.tokens)]
        same = [tuple(text[:n]) == self.prompt for text, n in zip(texts, rows.prompt_lengths.tolist(), strict=True)]
        dead = np.asarray(same) & (rows.generated >= self.after)
        return block(scores, like(~dead[:, None], scores))


@dataclass(frozen=True)
class _Fork(Around):
    """Every row goes on by its two likeliest tokens, and then by the strategy inside."""

    name = "fork"
    then: Strategy

    def run(self, frontier: Any) -> Asks:
        values, tokens = frontier.top(2)
        at = np.repeat(np.arange(len(frontier)), tokens.shape[1])[values.ravel() > -np.inf]
        frontier = yield Choice(tokens.ravel()[values.ravel() > -np.inf], frontier.rows[at])
        if len(frontier):
            yield from self.then.run(frontier)

