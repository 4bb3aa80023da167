"""What a comparison is asked for, checked before anything is run: prompts with their answers, decoders, seeds, metrics."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from unspool.core.decoder import Decoder, as_decoder
from unspool.errors import PromptError, as_pattern, check, is_whole, option, plain
from unspool.lab.mauve import mauve_library
from unspool.lab.registry import metric_named
from unspool.lab.task_metrics import sacrebleu_metric
from unspool.lab.text_metric import Metric
from unspool.language_model import DecoderLike
from unspool.strategies.greedy import Greedy

MOST_SEEDS = 10_000
"""More seeds than that are a slip: one seed where how many was asked for."""
METRIC_LIBRARIES: dict[str, Callable[[], Any]] = {
    "bleu": partial(sacrebleu_metric, "bleu"),
    "chrf": partial(sacrebleu_metric, "chrf"),
    "mauve": mauve_library,
}
"""By metric, what opens its library, so that one that is not there is said before anything is run."""


@dataclass(frozen=True)
class MetricsGiven:
    """What there is for metrics to read."""

    judged: bool = False
    answered: bool = False
    prompts: int = 0
    references: int = 0


def check_prompts(prompts: str | Sequence[str]) -> list[str]:
    """Texts, each once: equal prompts have equal draws, and would count twice."""
    found = [prompts] if isinstance(prompts, str) else list(prompts)
    check(len(found) > 0, f"give at least one prompt, by {option('prompts')}")
    places: dict[str, int] = {}
    for i, prompt in enumerate(found, 1):
        if not isinstance(prompt, str):
            raise PromptError(f"prompts are texts; got {prompt!r:.60}")
        first = places.setdefault(prompt, i)
        if first < i:
            raise PromptError(f"prompt {i} is prompt {first} again, and would count twice; give it once: {prompt[:60]!r}")
    return found


def check_decoders(decoders: Sequence[DecoderLike] | Mapping[str, DecoderLike]) -> dict[str, Decoder]:
    """Decoders by name, all different; without a strategy they are greedy."""
    check(not isinstance(decoders, str | Decoder), f"give a list of decoders, or a mapping that names them; got {decoders!r}")
    check(len(decoders) > 0, "give at least one decoder")
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
    given: Any = plain(seeds)
    if is_whole(given):
        check(given >= 1, f"seeds is how many (at least 1), or a list of them; got {seeds}")
        one = f"the seed {given} alone is a list, [{given}], or --seeds {given},"
        check(given <= MOST_SEEDS, f"seeds is how many, and {given} are more than {MOST_SEEDS}; {one}")
        return list(range(given))
    check(isinstance(seeds, Sequence) and not isinstance(seeds, str), f"seeds is how many, or a list of whole numbers; got {seeds!r}")
    found = list(map(plain, given))
    check(len(found) > 0, "seeds is empty; give at least one")
    check(all(map(is_whole, found)), f"seeds are whole numbers; got {found}")
    check(len(found) <= MOST_SEEDS, f"there are {len(found)} seeds; give at most {MOST_SEEDS}")
    check(len(set(found)) == len(found), f"a seed is there twice: {found}")
    return found


def check_metrics(names: Sequence[str | Metric], given: MetricsGiven) -> list[Metric]:
    """Metrics by name, or one's own; those that need what is not given are refused, and those whose library is not there."""
    check(not isinstance(names, str), f"{option('metrics')} is a list of names; got {names!r}")
    found = [name if isinstance(name, Metric) else metric_named(name) for name in dict.fromkeys(names)]
    check(len(found) > 0, f"{option('metrics')} is empty; give at least one")
    twice = next((m.name for i, m in enumerate(found) if m.name in {n.name for n in found[:i]}), None)
    check(twice is None, f"two metrics are called {twice!r}; their values could not be told apart")
    for m in found:
        check(m.needs != "judged" or given.judged, f"{m.name} needs a second model; give it by {option('judge')}")
        check(m.needs != "answers" or given.answered, f"{m.name} needs answers; give them by {option('answers')}")
        enough = min(given.prompts, given.references) >= m.least
        there = f"there are {given.prompts} prompts and {given.references} reference texts"
        check(m.least == 1 or enough, f"{m.name} needs {m.least} prompts and as many reference texts ({option('reference')}); {there}")
        if m.name in METRIC_LIBRARIES:
            METRIC_LIBRARIES[m.name]()
    return found


def check_answers(answers: Sequence[str | Sequence[str] | None] | None, prompts: list[str]) -> dict[str, tuple[str, ...]]:
    """The right answers by prompt; all prompts have some, or none has."""
    if answers is None:
        return {}
    check(not isinstance(answers, str), f"answers is a list, one or several for each prompt; got {answers!r:.60}")
    check(len(answers) == len(prompts), f"give an answer for each prompt; got {len(answers)} for {len(prompts)} prompts")
    found: dict[str, tuple[str, ...]] = {}
    for i, (prompt, given) in enumerate(zip(prompts, answers, strict=True), 1):
        several = (given,) if isinstance(given, str) else tuple(given or ())
        check(all(isinstance(one, str) for one in several), f"an answer is a text, or a list of texts; prompt {i} has {given!r:.60}")
        check(len(several) > 0, f"prompt {i} has no answer: {prompt[:60]!r}; give every prompt one, or leave it out")
        found[prompt] = several
    return found


def check_pattern(pattern: str | None, answers: Any) -> re.Pattern[str] | None:
    """What finds the answer in a text."""
    if pattern is None:
        return None
    check(bool(answers), f"{option('answer_pattern')} is for prompts with answers; give them by {option('answers')}")
    return as_pattern(option("answer_pattern"), pattern)
