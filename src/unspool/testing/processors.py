"""The laws of processors: pure functions of scores, whose memories follow the rows wherever they fork."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unspool.arrays import Array, Floats, Ints, copy, host, like
from unspool.core.decoder import Decoder
from unspool.core.lane import Lane
from unspool.core.loop import decode
from unspool.core.model import Model
from unspool.core.processor import Processor, Rows
from unspool.core.strategy import Asks, Choice, Look, Strategy
from unspool.errors import check
from unspool.strategies.beam import Beam
from unspool.strategies.sample import Sample
from unspool.testing.laws import Law
from unspool.testing.worlds import (
    VOCABULARY,
    Alive,
    Definition,
    growing,
    logprobs,
    ordinary,
    prompts_of,
    run_whole,
    search_of,
    table,
)
from unspool.text import Tokenizer

CDF_SLACK = 1e-5
"""How far from the edge of its slice of [0, 1) a draw may fall, by rounding."""
BEAMS = 3


def check_processor(
    processor: Processor,
    tokenizer: Tokenizer | None = None,
    *,
    vocabulary: int | None = None,
    backend: Callable[[Any], Array] = np.asarray,
    seed: int = 0,
    tries: int = 3,
) -> None:
    """Hold a processor to its laws.

    It is pure: it changes no argument, keeps nothing in itself, and answers for a row by that row alone, whatever stands beside it. It
    keeps shape and kind, gives no NaN, and makes nothing possible that was not. A memory follows its row. So under every strategy a
    distribution is the one that the definition gives, asked for one text and one step at a time.

    tokenizer: for one whose settings are text. vocabulary: how many tokens the scores are of: the tokenizer's, those of the companions,
    or 6. backend: what makes arrays of numpy's, as torch.from_numpy. Raises LawBroken.
    """
    check(getattr(processor, "role", None) == "processor", f"check_processor takes a processor; got {processor!r}")
    rng = np.random.default_rng(seed)
    sizes = [companion.vocabulary for companion in processor.companions()]
    size = vocabulary or (tokenizer.size if tokenizer is not None else max(sizes, default=VOCABULARY))
    part: Any = processor if tokenizer is None else processor.resolve(tokenizer)
    for i in range(tries):
        bench = ProcessorBench(part, rng, size, backend, seed + i)
        for law in PROCESSOR_LAWS:
            law(bench)


@dataclass
class ScoredRows:
    """R rows whose scores a processor is given."""

    rows: Rows
    scores: Array
    memory: list[Any] | None
    texts: list[tuple[list[int], list[int]]]
    """Of each row its prompt and its new tokens."""

    def __str__(self) -> str:
        return f"scores of the rows {[[*prompt, *new] for prompt, new in self.texts]}"

    def some(self, index: Sequence[int], padding: int = 0) -> ScoredRows:
        """Some of the rows, in this order, with no more padding than they need, or with this much more."""
        at, tokens = np.asarray(index), host(self.rows.tokens)
        lengths = self.rows.lengths[at]
        cut = tokens[at][:, tokens.shape[1] - int(lengths.max()) :]
        cut = np.concatenate([np.full((len(at), padding), -1), cut], 1)
        rows = self.rows
        part = Rows(like(cut, self.scores), lengths, rows.prompt_lengths[at], rows.end_tokens, lambda purpose: rows.uniforms(purpose)[at])
        part.companions = tuple(copy(logits[like(at, logits)]) for logits in self.rows.companions)
        part.layers = tuple(copy(logits[like(at, logits)]) for logits in self.rows.layers)
        memory = None if self.memory is None else [self.memory[i] for i in index]
        return ScoredRows(part, copy(self.scores[like(at, self.scores)]), memory, [self.texts[i] for i in index])


class ProcessorBench:
    """A processor on trial: scenes for it, and an exact model to run it over."""

    def __init__(self, part: Processor, rng: np.random.Generator, size: int, backend: Callable[[Any], Array], seed: int) -> None:
        self.part, self.rng, self.size, self.backend, self.seed = part, rng, size, backend, seed
        self.model = table(seed, size, backend=backend)
        self.end_tokens = tuple(self.model.end_tokens)
        self.prompts = prompts_of(rng, size, self.end_tokens)
        self.drew = False
        """Whether the processor asked for a draw so far: then its scores cannot be had again from a text alone."""

    def law(self, name: str, given: Any = "") -> Law:
        return Law(name, self.part, given)

    def random(self, *shape: int) -> Array:
        return self.backend(self.rng.normal(scale=2, size=shape).astype(np.float32))

    def scene(self) -> ScoredRows:
        """Five rows of several lengths: random scores; with some that cannot come; with ties; all equal; with one token left."""
        tokens, part = ordinary(self.size, self.end_tokens), self.part
        texts = [(prompt, self.rng.choice(tokens, n).tolist()) for prompt, n in zip([*self.prompts, self.prompts[0]], (3, 0, 1, 4, 2))]
        scores = host(self.random(5, self.size)).copy()
        scores[1, self.rng.random(self.size) < 0.4] = -np.inf
        scores[1, 0] = 0.3
        scores[2] = np.round(scores[2])
        scores[3] = 1.25
        scores[4, 1:] = -np.inf
        lengths = np.asarray([len(prompt) + len(new) for prompt, new in texts])
        padded = np.full((5, int(lengths.max())), -1, np.int64)
        for row, (prompt, new) in zip(padded, texts, strict=True):
            row[len(row) - len(prompt) - len(new) :] = [*prompt, *new]
        rows = Rows(self.backend(padded), lengths, np.asarray([len(p) for p, _ in texts]), self.end_tokens, self._uniforms)
        rows.companions = tuple(self.random(5, self.size) for _ in part.companions())
        rows.layers = tuple(self.random(5, self.size) for _ in part.reads_layers)
        memory = [self.remembered(*text) for text in texts] if part.stateful else None
        return ScoredRows(rows, self.backend(scores), memory, texts)

    def _uniforms(self, purpose: str) -> Floats:
        self.drew = True
        return np.linspace(0, 0.9, 5)

    def remembered(self, prompt: Sequence[int], new: Sequence[int]) -> Any:
        """The memory of a text, token by token; scores enter that are random, and the same for the same text."""
        memory = self.part.begin(np.asarray(prompt, np.int64))
        for n, token in enumerate(new):
            (memory,) = self.advanced([memory], [int(token)], len(prompt) + n)
        return memory

    def advanced(self, memories: Sequence[Any], tokens: Sequence[int], salt: int = 0) -> Sequence[Any]:
        """Memories after a token each."""
        noise = np.random.default_rng(self.seed + salt).normal(size=self.size).astype(np.float32)
        return self.part.advance(memories, tokens, [self.backend(noise.copy()) for _ in tokens] if self.part.reads_scores else [])

    def process(self, scene: ScoredRows) -> Array:
        return self.part.process(scene.rows, scene.scores, scene.memory)


# --- the laws of one call -----------------------------------------------------------------------------------------------


def arguments_stay(bench: ProcessorBench) -> None:
    """Scores, tokens and the logits of others are left as they are."""
    scene = bench.scene()
    with bench.law("arguments stay as they are", scene) as law:
        held = {name: getattr(scene.rows, name) for name in ("tokens", "lengths", "prompt_lengths")} | {"scores": scene.scores}
        held |= {f"companions[{i}]": logits for i, logits in enumerate(scene.rows.companions)}
        held |= {f"layers[{i}]": logits for i, logits in enumerate(scene.rows.layers)}
        before = {name: host(array).copy() for name, array in held.items()}
        bench.process(scene)
        for name, array in held.items():
            law.close(array, before[name], f"after the call, in its argument, {name}", 0.0)


def shape_and_kind_stay(bench: ProcessorBench) -> None:
    """New scores are of the shape, type and dtype of the old; what cannot come is -inf, and nothing is NaN or infinity."""
    scene = bench.scene()
    with bench.law("scores keep their shape and kind", scene) as law:
        after = bench.process(scene)
        law.same(type(after).__name__, type(scene.scores).__name__, "an array of type")
        law.same(tuple(after.shape), tuple(scene.scores.shape), "scores of shape")
        law.same(str(after.dtype), str(scene.scores.dtype), "scores of dtype")
        after, before = host(after), host(scene.scores)
    with bench.law("scores are numbers", scene) as law:
        law.expect(not np.isnan(after).any(), f"NaN in {after}", "numbers, or -inf for what cannot come")
        law.expect(not np.isposinf(after).any(), f"infinity in {after}", "numbers, or -inf for what cannot come")
    with bench.law("what cannot come stays impossible", scene) as law:
        revived = np.argwhere(np.isneginf(before) & ~np.isneginf(after))
        law.expect(not len(revived), f"a score above -inf at {revived[:1].tolist()}", "-inf")


def dead_rows_stay_dead(bench: ProcessorBench) -> None:
    """Where nothing may come, nothing may come afterwards: no error, and no number."""
    scene = bench.scene().some([1])
    scene.scores = bench.backend(np.full((1, bench.size), -np.inf, np.float32))
    with bench.law("a row of -inf stays so", scene) as law:
        after = host(bench.process(scene))
        law.expect(np.isneginf(after).all(), after[0], "-inf everywhere")


def few_are_enough(bench: ProcessorBench) -> None:
    """One that goes by scores makes of the tokens that can come, given alone, what it makes of them in whole rows."""
    if not bench.part.by_scores:
        return
    scene = bench.scene()
    can_come = np.sort(bench.rng.choice(bench.size, (bench.size + 1) // 2, replace=False))
    scores = np.full((5, bench.size), -np.inf, np.float32)
    scores[:, can_come] = host(scene.scores)[:, can_come]
    with bench.law("what can come is enough", f"{scene} of which the tokens {can_come.tolist()} can come") as law:
        scene.scores = bench.backend(scores)
        whole = host(copy(bench.process(scene)))
        scene.scores = bench.backend(np.concatenate([scores[:, can_come], np.full((5, 1), -np.inf, np.float32)], 1))
        few = host(bench.process(scene))
        law.same(few.shape, (5, len(can_come) + 1), "scores of shape")
        law.close(few[:, :-1], whole[:, can_come], "score")
        law.expect(np.isneginf(few[:, -1]).all(), few[:, -1], "-inf behind them")


def rows_are_independent(bench: ProcessorBench) -> None:
    """What becomes of a row depends on no other row, on no order, and on no padding."""
    scene = bench.scene()
    expected = host(copy(bench.process(scene.some(range(5)))))
    for name, index, padding in (
        *(("rows are independent of the batch", [i], 0) for i in range(5)),
        ("rows are independent of the batch", [4, 3, 2, 1, 0], 0),
        ("rows are independent of the batch", [2, 2, 0], 0),
        ("rows are independent of padding", list(range(5)), 3),
    ):
        with bench.law(name, f"the rows {index} with {padding} columns of padding more, of {scene}") as law:
            law.close(bench.process(scene.some(index, padding)), expected[index], "score")


def nothing_lives_in_self(bench: ProcessorBench) -> None:
    """The same question has the same answer, asked twice in a row and after others."""
    scene, other = bench.scene(), bench.scene()
    with bench.law("the same question has the same answer", scene) as law:
        first = host(copy(bench.process(scene)))
        law.close(bench.process(scene), first, "when asked again score", 0.0)
        bench.process(other)
        if bench.part.stateful:
            bench.remembered(*other.texts[3])
        law.close(bench.process(scene), first, "when asked after other rows score", 0.0)


def memories_are_values(bench: ProcessorBench) -> None:
    """A memory is not changed by what its row grows into: two branches from it are each as if the other were not."""
    if not bench.part.stateful:
        return
    scene = bench.scene()
    with bench.law("memories are values", scene) as law:
        memories = scene.memory or []
        before = host(copy(bench.process(scene)))
        tokens = bench.rng.choice(ordinary(bench.size, bench.end_tokens), (2, 5)).tolist()
        first = bench.advanced(memories, tokens[0])
        law.same(len(first), 5, "of `advance` for 5 rows values, in number,")
        scene.memory = list(first)
        along = host(copy(bench.process(scene)))
        second = bench.advanced(memories, tokens[1])
        bench.advanced(list(second), tokens[0], 1)
        law.close(bench.process(scene), along, "after another branch grew, on the first branch, score", 0.0)
        scene.memory = memories
        law.close(bench.process(scene), before, "after its children grew score", 0.0)
        scene.memory = [bench.advanced([memory], [token])[0] for memory, token in zip(memories, tokens[0], strict=True)]
        law.close(bench.process(scene), along, "with memories advanced one by one score")


# --- the laws of runs ---------------------------------------------------------------------------------------------------


def distributions_of(lane: Lane, rows: Ints) -> tuple[Floats, Floats]:
    """The model's and the processed log-probabilities (V,) at one row of a lane; draws are 0."""
    logits = lane.session.logits(rows)
    return logprobs(logits), logprobs(lane.process(lane.describe(rows, logits, lambda purpose: np.zeros(len(rows))), rows, logits))


def forked_is_recomputed(bench: ProcessorBench) -> None:
    """A tree grown in a mixed order, rows passed over, parts of it forgotten: every row's distribution is that of its definition."""
    definition = Definition(bench.model, [bench.part])
    with bench.law("forked is recomputed", bench.prompts) as law:
        lane = Lane(bench.model, [bench.part], end_tokens=bench.end_tokens)
        starts = lane.begin([np.asarray(p) for p in bench.prompts])
        alive: Alive = {int(row): (prompt, []) for row, prompt in zip(starts, bench.prompts, strict=True)}
        tokens = ordinary(bench.size, bench.end_tokens)
        for grown in growing(bench.rng, alive, lane.session.extend, lane.keep, tokens, 12, 10**6):
            row = int(bench.rng.choice(list(grown)))
            law.given = f"the text {grown[row][1]} after {grown[row][0]}, in a tree of {len(grown)} rows"
            found, expected = distributions_of(lane, np.asarray([row])), definition.after(*grown[row])
            law.close(found[1], expected[1], "processed log-probability")


class _Probe(Strategy):
    """Looks two tokens ahead along every row's best two, commits with or without what was seen, and compares."""

    def __init__(self, reuse: bool, law: Law, tolerance: float) -> None:
        self.reuse, self.law, self.tolerance, self.compared = reuse, law, tolerance, 0

    def run(self, frontier: Any) -> Asks:
        while len(frontier):
            values, best = frontier.top(2)
            at = np.repeat(np.arange(len(frontier)), best.shape[1])
            possible = (values > -np.inf).ravel()
            seen = yield Look(frontier.take(at), [[int(t), 0] for t in best.ravel()])
            first = seen.at(0)
            expected, ends = host(first.logprobs), np.flatnonzero(possible & (frontier.reasons(at, best.ravel()) == ""))
            take = ends[: len(frontier)]
            if not len(take):
                return
            frontier = yield Choice(best.ravel()[take], frontier.rows[at[take]], seen=first.take(take) if self.reuse else None)
            self.law.close(frontier.logprobs, expected[take], "committed log-probability", self.tolerance)
            self.compared += len(take)


def looked_at_is_committed(bench: ProcessorBench) -> None:
    """What a look shows is what is there once the same tokens are committed; a row that draws may draw anew where nothing is kept."""
    for reuse in (True,) if bench.drew else (True, False):
        with bench.law("looked at is committed", bench.prompts) as law:
            probed(law, bench.model, Decoder((bench.part,)), bench.prompts, reuse)


def probed(
    law: Law, model: Model, decoder: Decoder, prompts: Sequence[Sequence[int]], reuse: bool, tolerance: float = 1e-5
) -> int:
    """Look ahead, commit with or without what was seen, and compare: how many rows were compared."""
    probe = _Probe(reuse, law, tolerance)
    list(decode(search_of(model, decoder, prompts), probe))
    return probe.compared


def drawn_is_defined(bench: ProcessorBench) -> None:
    """Under sampling every token is the one whose slice of the distribution, by definition, holds the draw."""
    if bench.drew:
        return
    definition, prompts = Definition(bench.model, [bench.part]), bench.prompts[:2]
    with bench.law("drawn is defined", f"the prompts {prompts} and seed {bench.seed} under sample(3)") as law:
        ran = run_whole(bench.model, bench.part | Sample(3), prompts, 5, seed=bench.seed)
        draws: dict[tuple[int, int], float] = {}
        for step in ran.steps:
            numbers = np.zeros(len(step)) if step.uniform is None else step.uniform
            draws |= {(int(p), int(n)): float(u) for p, n, u in zip(step.prompt, step.nodes, numbers, strict=True)}
        for prompt, found in zip(prompts, ran.found, strict=True):
            for h in found:
                for (_, defined), token, number, node in zip(definition.along(prompt, h.tokens), h.tokens, h.processed, h.nodes[1:]):
                    law.given = f"the text {h.tokens} after {prompt} under sample(3)"
                    law.close([number], [defined[token]], f"for token {token} processed log-probability")
                    share = np.exp(defined)
                    edge, u = float(share[:token].sum()), draws[h.prompt, node]
                    inside = edge - CDF_SLACK <= u <= edge + share[token] + CDF_SLACK
                    law.expect(inside, f"token {token} of slice [{edge:.4f}, {edge + share[token]:.4f})", f"that of the draw {u:.4f}")


def beams_are_defined(bench: ProcessorBench) -> None:
    """Under beams the best texts have the scores of a beam search on lists, whose every distribution is that of the definition."""
    if bench.drew:
        return
    prompt, limit = bench.prompts[1], 4
    with bench.law("beams are defined", f"the prompt {prompt} under beam({BEAMS}) with a limit of {limit}") as law:
        decoder = bench.part | Beam(BEAMS, 0.0, "never", n=BEAMS)
        (found,) = run_whole(bench.model, decoder, [prompt], limit, seed=bench.seed).found
        expected = plain_beam(Definition(bench.model, [bench.part]), prompt, limit)
        law.same(len(found), len(expected), "texts, in number,")
        law.close([h.score for h in found], expected, "score", 1e-4)
        for h in found:
            law.close([sum(h.processed)], [h.score], f"for the text {h.tokens} the sum of processed log-probabilities", 1e-4)


def plain_beam(definition: Definition, prompt: Sequence[int], limit: int) -> list[float]:
    """The scores of the best texts by beam search as told, on lists; it stops when no unfinished text can enter the finished ones."""
    beams: list[tuple[float, list[int]]] = [(0.0, [])]
    finished: list[float] = []
    for length in range(1, limit + 1):
        candidates = []
        for score, new in beams:
            _, defined = definition.after(prompt, new)
            candidates += [(score + float(x), [*new, token]) for token, x in enumerate(defined) if x > -np.inf]
        candidates.sort(key=lambda c: -c[0])
        over = [length == limit or new[-1] in definition.end_tokens for _, new in candidates]
        finished += [score for (score, _), done in list(zip(candidates, over, strict=True))[:BEAMS] if done]
        beams = [c for c, done in zip(candidates, over, strict=True) if not done][:BEAMS]
        finished = sorted(finished, reverse=True)[:BEAMS]
        if not beams or (len(finished) == BEAMS and beams[0][0] <= finished[-1]):
            break
    return finished


PROCESSOR_LAWS: tuple[Callable[[ProcessorBench], None], ...] = (
    arguments_stay,
    shape_and_kind_stay,
    dead_rows_stay_dead,
    rows_are_independent,
    nothing_lives_in_self,
    memories_are_values,
    forked_is_recomputed,
    looked_at_is_committed,
    drawn_is_defined,
    beams_are_defined,
    few_are_enough,
)
