"""Compare decoders: the same prompts, every decoder, several seeds; what comes out, how sure it is, and what it cost."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from unspool.arrays import Floats
from unspool.decoder import Decoder, as_decoder, parse
from unspool.errors import MissingExtra, ParameterError, PromptError, UnspoolError, check
from unspool.lab.bootstrap import Estimate, difference, estimate
from unspool.lab.generations import Batch, Generation, Store, key
from unspool.lab.metrics import words
from unspool.lab.registry import DEFAULT, Metric, Sample, find
from unspool.language_model import DEFAULT_NEW_TOKENS, DecoderLike, LanguageModel, Stream
from unspool.processors.measures import entropy
from unspool.score import score_tokens
from unspool.strategies import Greedy
from unspool.views import compare as view
from unspool.views.compare import PLAIN
from unspool.views.terminal import Paint

UNITS = ("words", "tokens")
TOGETHER = 16
"""Prompts that run together."""


@dataclass(frozen=True)
class Cost:
    """What all runs of one decoder cost."""

    forwards: int
    tokens: int
    other_forwards: int
    other_tokens: int
    seconds: float
    new_tokens: int
    """Of the texts that came out, end tokens too."""

    @property
    def tokens_per_new(self) -> float:
        """Tokens that went through the model for each new one; the prompt's count."""
        return self.tokens / self.new_tokens

    @property
    def new_per_second(self) -> float:
        """New tokens per second."""
        return self.new_tokens / self.seconds if self.seconds else math.nan


@dataclass(frozen=True)
class Row:
    """One decoder, or the reference texts."""

    name: str
    prompts: int
    texts: int
    seeds: tuple[int, ...]
    values: dict[str, Estimate]
    differences: dict[str, Estimate]
    """From the first decoder, over the prompts that both have; empty for the first itself."""
    cost: Cost | None
    """None for reference texts."""


@dataclass(frozen=True)
class Comparison:
    """A row for each decoder, the first of which the others are compared with; readable in many forms."""

    rows: list[Row]
    reference: Row | None
    metrics: list[Metric]
    generations: list[Generation]
    texts: list[dict[str, float | None]] = field(repr=False)
    """The metrics of each generation alone."""
    settings: dict[str, Any]
    """Model, limits, seeds, unit."""

    @property
    def all_rows(self) -> list[Row]:
        """The decoders' rows and the reference's."""
        return [*self.rows, *([self.reference] if self.reference else [])]

    def __getitem__(self, name: str) -> Row:
        """The row of a decoder."""
        for row in self.all_rows:
            if row.name == name:
                return row
        raise ParameterError(f"there is no row {name!r}; there are {', '.join(repr(row.name) for row in self.all_rows)}")

    def to_text(self, width: int = 0, paint: Paint = PLAIN) -> str:
        """Tables as a terminal shows them, split to fit a width (0: as wide as they are)."""
        return view.draw(self, width, paint)

    def __str__(self) -> str:
        return self.to_text()

    def to_markdown(self) -> str:
        """Tables in Markdown."""
        return view.to_markdown(self)

    def to_html(self) -> str:
        """Tables in HTML, as a notebook shows them; every text is escaped."""
        return view.to_html(self)

    _repr_html_ = to_html

    def to_csv(self) -> str:
        """A line for each decoder; of each metric the value, the ends of its interval and the difference."""
        return view.sheet(self).to_csv()

    def to_dict(self) -> dict[str, Any]:
        """Rows and settings as plain values; what is not known is None."""
        return view.to_dict(self)

    def to_jsonl(self) -> str:
        """Every generation on a line, as in the file of `save`."""
        return "".join(_line(g, t) + "\n" for g, t in zip(self.generations, self.texts, strict=True))

    def to_pandas(self) -> Any:
        """A pandas DataFrame: a line for each decoder, columns as in the CSV."""
        try:
            import pandas
        except ImportError:
            raise MissingExtra("to_pandas() needs pandas: pip install 'unspool[pandas]'") from None
        return pandas.DataFrame(view.records(self)).set_index("decoder")

    def plot(self, path: str | Path | None = None, x: str | None = None, y: str | None = None) -> Any:
        """A picture of one metric against another, with intervals, as a matplotlib Figure; saved to an .svg, .png or .pdf.

        x and y: metrics of the comparison; diversity and perplexity if they are there, otherwise its first two.
        """
        from unspool.views.compare_plot import plot

        return plot(self, path, x, y)


def compare(
    lm: LanguageModel, prompts: str | Sequence[str], decoders: Sequence[DecoderLike] | Mapping[str, DecoderLike], **options: Any
) -> Comparison:
    """Run every decoder on every prompt with every seed, and measure the texts. Options are those of `Comparing`.

    >>> import unspool as un
    >>> table = un.compare(un.load(), ["Once upon a time", "The king"], ["greedy", "top_p(0.9) | sample(3)"], max_new_tokens=20)
    >>> table["greedy"].texts
    2
    """
    run = Comparing(lm, prompts, decoders, **options)
    for _ in run:
        pass
    return run.comparison


class Comparing:
    """A comparison in progress: iterate over its steps; `comparison` holds what is finished so far.

    prompts: texts, each once. decoders: texts or Decoders, or a mapping that names them; the others are compared with the
    first. seeds: how many (0, 1, ...), or which; a decoder that draws nothing runs with the first alone. max_new_tokens: the
    most of a text. metrics: names, see `unspool.lab.registry`. reference: human texts, or pairs of prompt and text, cut to
    max_new_tokens tokens and measured alike. judge: a second model, for judge_perplexity and judge_bits_per_byte. unit: what
    n-grams are made of, words or tokens. save: a file of generations that grows as they are made; what it holds already is
    not made again. chat: every prompt is what a user says. together: how many prompts run at once.
    """

    def __init__(
        self,
        lm: LanguageModel,
        prompts: str | Sequence[str],
        decoders: Sequence[DecoderLike] | Mapping[str, DecoderLike],
        *,
        seeds: int | Sequence[int] = 3,
        max_new_tokens: int = DEFAULT_NEW_TOKENS,
        metrics: Sequence[str] = DEFAULT,
        reference: Sequence[str] | Sequence[tuple[str, str]] = (),
        judge: LanguageModel | None = None,
        unit: str = "words",
        save: str | Path | None = None,
        chat: bool = False,
        together: int = TOGETHER,
    ) -> None:
        self.lm, self.judge, self.chat, self.max_new_tokens = lm, judge, chat, max_new_tokens
        self.prompts = check_prompts(prompts)
        self.decoders = check_decoders(decoders)
        self.seeds = check_seeds(seeds)
        check(unit in UNITS, f"unit is one of {', '.join(UNITS)}; got {unit!r}")
        check(isinstance(together, int) and together >= 1, f"together must be a whole number >= 1; got {together!r}")
        self.unit, self.together = unit, together
        self.metrics = check_metrics(metrics, judged=judge is not None)
        self.needs = {metric.needs for metric in self.metrics}
        self.model = {"name": lm.name, "fingerprint": lm.info.get("fingerprint"), "tokenizer": lm.tokenizer.hash}
        self.made: dict[str, list[tuple[Generation, Sample]]] = {name: [] for name in self.decoders}
        self.reference = self._read_reference(reference)
        for prompt in self.prompts:
            self.lm.tokens_of(self._chat(prompt) if chat else prompt)
        self.current = ""
        """The decoder that is running."""
        self.store = Store(save) if save is not None else None
        self.kept: dict[tuple[str, ...], list[Generation]] = {}
        for g in self.store.kept if self.store else ():
            self.kept.setdefault(g.key, []).append(g)

    def __iter__(self) -> Iterator[int]:
        """Run what is to be run; a number of tokens after each step, up to `total`."""
        for seed in self.seeds:
            for first in range(0, len(self.prompts), self.together):
                prompts = self.prompts[first : first + self.together]
                for name, decoder in self.decoders.items():
                    self.current, spent = name, 0
                    if seed == self.seeds[0] or any(g.batch.drew for g, _ in self.made[name]):
                        for _ in self._run(name, decoder, seed, prompts):
                            spent += 1
                            yield 1
                    yield max(0, self.max_new_tokens - spent)

    @property
    def total(self) -> int:
        """The sum of what iteration gives, if no search takes more steps than a text has tokens."""
        return len(self.seeds) * len(self.decoders) * math.ceil(len(self.prompts) / self.together) * self.max_new_tokens

    def _run(self, name: str, decoder: Decoder, seed: int, prompts: list[str]) -> Iterator[None]:
        """One batch: what the file holds is taken from there."""
        recipe = {"decoder": str(decoder), "seed": seed, "max_new_tokens": self.max_new_tokens} | ({"chat": True} if self.chat else {})
        found = {p: self.kept.get(key(p, recipe, self.model), []) if _written_out(decoder) else [] for p in prompts}
        old = [replace(g, decoder=name) for p in prompts for g in found[p]]
        self.made[name] += zip(old, self._samples(old), strict=True)
        missing = [p for p in prompts if not found[p]]
        if not missing:
            return
        began = time.perf_counter()
        run = self.lm.stream(missing, decoder, max_new_tokens=self.max_new_tokens, seed=seed, level="off", chat=self.chat)
        for _ in run:
            yield
        outputs = run.outputs
        batch = _cost(run, self.lm, sum(len(o.sequences) for o in outputs), time.perf_counter() - began)
        new = [
            Generation(name, p, seed, number, s.text, s.tokens, s.logprobs, s.reason, recipe | {"model": self.lm.name}, self.model, batch)
            for p, output in zip(missing, outputs, strict=True)
            for number, s in enumerate(output.sequences, 1)
        ]
        samples = self._samples(new)
        if self.store:
            self.store.append([_line(g, self._alone(s)) for g, s in zip(new, samples, strict=True)])
        self.made[name] += zip(new, samples, strict=True)

    # --- measuring ------------------------------------------------------------------------------------------------

    def _samples(self, generations: Sequence[Generation]) -> list[Sample]:
        """The texts as metrics read them."""
        tokenizer, model = self.lm.tokenizer, self.lm.model
        marks = [[t not in tokenizer.specials for t in g.tokens] for g in generations]
        entropies: list[Any] = [None] * len(marks)
        if "entropies" in self.needs and generations:
            starts = [self.lm.tokens_of(g.prompt if not self.chat else self._chat(g.prompt)) for g in generations]
            entropies = score_tokens(model, [(s, g.tokens) for s, g in zip(starts, generations, strict=True)], measure=_entropies)
        judged: list[Any] = [None] * len(marks)
        if "judged" in self.needs:
            judged = self._judge([(g.prompt, g.text) for g in generations])
        return [
            self._sample(g.text, g.tokens, g.logprobs, mark, g.reason == "end", h, j)
            for g, mark, h, j in zip(generations, marks, entropies, judged, strict=True)
        ]

    def _sample(self, text: str, tokens: Any, logprobs: Any, mark: list[bool], ended: bool | None, entropies: Any, judged: Any) -> Sample:
        def some(values: Any) -> list[Any]:
            return [value for value, wanted in zip(values, mark, strict=True) if wanted]

        kept = some(tokens)
        size = sum(len(self.lm.tokenizer.bytes_of(t)) for t in kept)
        units = words(text) if self.unit == "words" else kept
        return Sample(units, kept, some(logprobs), size, ended, None if entropies is None else some(entropies), judged)

    def _chat(self, prompt: str) -> str:
        return self.lm.render([{"role": "user", "content": prompt}])

    def _judge(self, pairs: list[tuple[str, str]]) -> list[tuple[float, int, int] | None]:
        """Each text under the second model; None for an empty one."""
        assert self.judge is not None, "check_metrics asks for it"
        full = [(p, t) for p, t in pairs if t]
        scores = iter(self.judge.score([p for p, _ in full], [t for _, t in full]) if full else [])
        found = [next(scores) if t else None for _, t in pairs]
        return [None if s is None else (s.logprob, len(s.tokens), len(s.text.encode())) for s in found]

    def _alone(self, sample: Sample) -> dict[str, float | None]:
        """The metrics of one text."""
        values = {metric.name: metric.of([sample]) for metric in self.metrics}
        return {name: value if math.isfinite(value) else None for name, value in values.items()}

    def _read_reference(self, texts: Sequence[str] | Sequence[tuple[str, str]]) -> list[Sample]:
        """Human texts, cut to the most new tokens."""
        pairs = [("", t) if isinstance(t, str) else (t[0], t[1]) for t in texts]
        cut = []
        for prompt, text in pairs:
            tokens = self.lm.tokenizer.encode(text)[: self.max_new_tokens]
            kept = b"".join(map(self.lm.tokenizer.bytes_of, tokens)).decode("utf-8", "ignore")
            if not kept.strip():
                raise PromptError("a reference text is empty; leave it out")
            cut.append((prompt, kept))
        if not cut:
            return []
        scores = self.lm.score([p for p, _ in cut], [t for _, t in cut])
        judged = self._judge(cut) if "judged" in self.needs else [None] * len(cut)
        entropies: list[Any] = [None] * len(cut)
        if "entropies" in self.needs:
            pairs_of_tokens = [(self.lm.tokens_of(s.prompt), s.tokens) for s in scores]
            entropies = score_tokens(self.lm.model, pairs_of_tokens, measure=_entropies)
        return [
            self._sample(s.text, s.tokens, s.logprobs, [True] * len(s.tokens), None, h, j)
            for s, h, j in zip(scores, entropies, judged, strict=True)
        ]

    # --- the result -----------------------------------------------------------------------------------------------

    @property
    def comparison(self) -> Comparison:
        """What is finished so far."""
        groups = {name: self._by_prompt(name) for name, made in self.made.items() if made}
        base = next(iter(groups), None)
        rows = [self._row(name, groups[name], groups[base] if base not in (None, name) else None) for name in groups]
        made = [pair for name in groups for pair in self.made[name]]
        reference = None
        if self.reference:
            alone = [[s] for s in self.reference]
            reference = Row("reference", len(alone), len(alone), (), {m.name: _estimate(m, alone) for m in self.metrics}, {}, None)
        settings = {
            "model": self.model,
            "prompts": len(self.prompts),
            "seeds": list(self.seeds),
            "max_new_tokens": self.max_new_tokens,
            "unit": self.unit,
            "judge": self.judge.name if self.judge else None,
        }
        return Comparison(rows, reference, self.metrics, [g for g, _ in made], [self._alone(s) for _, s in made], settings)

    def _by_prompt(self, name: str) -> dict[str, list[Sample]]:
        groups: dict[str, list[Sample]] = {}
        for g, sample in self.made[name]:
            groups.setdefault(g.prompt, []).append(sample)
        return groups

    def _row(self, name: str, groups: dict[str, list[Sample]], base: dict[str, list[Sample]] | None) -> Row:
        made = [g for g, _ in self.made[name]]
        values = {m.name: _estimate(m, list(groups.values())) for m in self.metrics}
        differences = {}
        if base is not None:
            both = [p for p in groups if p in base]
            differences = {m.name: _difference(m, [groups[p] for p in both], [base[p] for p in both]) for m in self.metrics}
        seeds = tuple(dict.fromkeys(g.seed for g in made))
        return Row(name, len(groups), len(made), seeds, values, differences, _sum_of_costs(made))


def _estimate(metric: Metric, groups: list[list[Sample]]) -> Estimate:
    return estimate(metric, _parts(metric, groups)) if metric.parts else Estimate(_of_collection(metric, groups))


def _difference(metric: Metric, groups: list[list[Sample]], base: list[list[Sample]]) -> Estimate:
    if metric.parts:
        return difference(metric, _parts(metric, groups), _parts(metric, base))
    return Estimate(_of_collection(metric, groups) - _of_collection(metric, base))


def _parts(metric: Metric, groups: list[list[Sample]]) -> Floats:
    assert metric.parts is not None
    return np.asarray([metric.parts(samples) for samples in groups], np.float64)


def _of_collection(metric: Metric, groups: list[list[Sample]]) -> float:
    """The mean over collections of one text for each prompt: the first texts, the second ones, and so on."""
    assert metric.whole is not None
    collections = list(zip(*groups))                                     # as many as every prompt has texts
    return float(np.mean([metric.whole(texts) for texts in collections])) if collections else math.nan


def _written_out(decoder: Decoder) -> bool:
    """Whether a decoder's text form says all of it; not where a part holds a live object, as a draft model."""
    try:
        return parse(str(decoder)) == decoder
    except UnspoolError:
        return False


def _entropies(logits: Any, tokens: Any) -> Any:
    return entropy(logits)[:, 0]


def _cost(run: Stream, lm: LanguageModel, texts: int, seconds: float) -> Batch:
    counts = {"forwards": 0, "tokens": 0, "other_forwards": 0, "other_tokens": 0}
    for lane in run.search.lanes():
        other = "" if lane.model is lm.model else "other_"
        counts[other + "forwards"] += lane.forwards
        counts[other + "tokens"] += lane.tokens
    return Batch(texts, **counts, seconds=seconds, drew=run.search.drew)


def _sum_of_costs(made: Sequence[Generation]) -> Cost:
    """Of the texts that are compared: where a batch has others too, its share by texts."""
    batches: dict[int, tuple[Batch, int]] = {}
    for g in made:
        batch, count = batches.get(id(g.batch), (g.batch, 0))
        batches[id(g.batch)] = batch, count + 1
    share = [(batch, count / batch.texts) for batch, count in batches.values()]

    def total(name: str) -> float:
        return math.fsum(getattr(batch, name) * part for batch, part in share)

    counts = {name: round(total(name)) for name in ("forwards", "tokens", "other_forwards", "other_tokens")}
    return Cost(**counts, seconds=total("seconds"), new_tokens=sum(len(g.tokens) for g in made))


def _line(g: Generation, metrics: dict[str, float | None]) -> str:
    return json.dumps(g.to_dict(metrics), ensure_ascii=False)


# --- what is asked for --------------------------------------------------------------------------------------------------


def check_prompts(prompts: str | Sequence[str]) -> list[str]:
    """Texts, each once: equal prompts have equal draws, and would count twice."""
    found = [prompts] if isinstance(prompts, str) else list(prompts)
    check(len(found) > 0, "compare needs at least one prompt")
    for i, prompt in enumerate(found):
        if not isinstance(prompt, str):
            raise PromptError(f"compare takes prompts as texts; got {prompt!r}")
        first = found.index(prompt)
        if first < i:
            raise PromptError(f"prompt {i + 1} is prompt {first + 1} again, and would count twice; give it once: {prompt[:60]!r}")
    return found


def check_decoders(decoders: Sequence[DecoderLike] | Mapping[str, DecoderLike]) -> dict[str, Decoder]:
    """Decoders by name, all different; without a strategy they are greedy."""
    check(not isinstance(decoders, str | Decoder), f"compare takes a list of decoders; got {decoders!r}")
    check(len(decoders) > 0, "compare needs at least one decoder")
    pairs = list(decoders.items()) if isinstance(decoders, Mapping) else [(None, d) for d in decoders]
    found: dict[str, Decoder] = {}
    for i, (name, value) in enumerate(pairs, 1):
        decoder = as_decoder(Decoder() if value is None else value)
        decoder = decoder if decoder.strategy else decoder | Greedy()
        text = str(decoder) if name is None else str(name)
        for other, known in found.items():
            same = other == text or (str(known) == str(decoder) and known == decoder)
            check(not same, f"decoder {i}, {text}, is {other} again; give each once")
        found[text] = decoder
    return found


def check_seeds(seeds: int | Sequence[int]) -> list[int]:
    """Seeds, all different, from a list or a number of them."""
    if isinstance(seeds, int) and not isinstance(seeds, bool):
        check(seeds >= 1, f"seeds is how many (at least 1), or a list of them; got {seeds}")
        return list(range(seeds))
    check(isinstance(seeds, Sequence) and not isinstance(seeds, str), f"seeds is how many, or a list of whole numbers; got {seeds!r}")
    found = list(seeds)  # type: ignore[arg-type]
    check(len(found) > 0, "seeds is empty; give at least one")
    check(all(isinstance(s, int) and not isinstance(s, bool) for s in found), f"seeds are whole numbers; got {found}")
    check(len(set(found)) == len(found), f"a seed is there twice: {found}")
    return found


def check_metrics(names: Sequence[str], judged: bool) -> list[Metric]:
    """Metrics by name; those that need a second model are refused where there is none."""
    check(not isinstance(names, str), f"metrics is a list of names; got {names!r}")
    found = [find(name) for name in dict.fromkeys(names)]
    check(len(found) > 0, "metrics is empty; give at least one")
    for metric in found:
        check(metric.needs != "judged" or judged, f"{metric.name} needs a second model: judge=..., or --judge")
    return found
