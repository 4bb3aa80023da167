"""From generated texts to what metrics read: tokens that are text, entropies, and what a second model makes of them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from unspool.arrays import Floats
from unspool.errors import PromptError, check, option
from unspool.lab.defaults import UNITS
from unspool.lab.generations import Generation
from unspool.lab.mauve import features_of, mauve
from unspool.lab.metrics import words
from unspool.lab.text_metric import Metric, TextSample
from unspool.language_model import LanguageModel
from unspool.processors.measures import entropy
from unspool.score import Score, score_tokens


class Measuring:
    """Reads texts for some metrics: under a model, and a second one if a metric asks for it."""

    def __init__(
        self,
        lm: LanguageModel,
        judge: LanguageModel | None,
        metrics: Sequence[Metric],
        unit: str,
        chat: bool,
        answers: Mapping[str, tuple[str, ...]],
        pattern: re.Pattern[str] | None,
    ) -> None:
        check(unit in UNITS, f"{option('unit')} is one of {', '.join(UNITS)}; got {unit!r}")
        self.lm, self.judge, self.metrics, self.unit, self.chat = lm, judge, metrics, unit, chat
        self.answers, self.pattern = answers, pattern
        self.needs = {metric.needs for metric in metrics}

    def alone(self, sample: TextSample) -> dict[str, float | None]:
        """The metrics of one text; None for what it has none of."""
        values = {metric.name: metric.of([sample]) for metric in self.metrics}
        return {name: value if math.isfinite(value) else None for name, value in values.items()}

    def generated(self, texts: Sequence[Generation]) -> list[TextSample]:
        entropies = self._entropies([(self.start(g.prompt), g.tokens) for g in texts])
        judged = self._judged([(g.prompt, g.text) for g in texts])
        read = zip(texts, entropies, judged, self._features([g.text for g in texts]), strict=True)
        return [self._sample(g, g.reason == "end", *found) for g, *found in read]

    def human(self, texts: Sequence[str] | Sequence[tuple[str, str]], most: int) -> list[TextSample]:
        """Human texts, or pairs of prompt and text, cut to so many tokens."""
        cut = []
        for prompt, text in [("", t) if isinstance(t, str) else (t[0], t[1]) for t in texts]:
            tokens = self.lm.tokenizer.encode(text)[:most]
            kept = b"".join(map(self.lm.tokenizer.bytes_of, tokens)).decode("utf-8", "ignore")
            if not kept.strip():
                raise PromptError("a reference text is empty; leave it out")
            cut.append((prompt, kept))
        scores = self.lm.score([p for p, _ in cut], [t for _, t in cut])
        entropies = self._entropies([(self.lm.tokens_of(s.prompt), s.tokens) for s in scores])
        read = zip(scores, entropies, self._judged(cut), self._features([t for _, t in cut]), strict=True)
        samples = [self._sample(s, None, *found) for s, *found in read]
        self.metrics = [self._against(metric, samples) for metric in self.metrics]
        return samples

    def _against(self, metric: Metric, reference: Sequence[TextSample]) -> Metric:
        """A metric that compares features, with those of the reference texts in its place."""
        there = [s.features for s in reference if s.features is not None]
        return metric if metric.name != "mauve" or not there else replace(metric, whole=partial(_mauve, np.asarray(there)))

    def start(self, prompt: str) -> list[int]:
        """The tokens that a text goes on from."""
        if not self.chat:
            return self.lm.tokens_of(prompt)
        return self.lm.tokens_of(self.lm.rendered(self.lm.render([{"role": "user", "content": prompt}])))

    def _sample(self, text: Generation | Score, ended: bool | None, entropies: Any, judged: Any, features: Any) -> TextSample:
        tokenizer = self.lm.tokenizer
        kept = [i for i, t in enumerate(text.tokens) if t not in tokenizer.specials]
        own = [text.tokens[i] for i in kept]
        return TextSample(
            words(text.text) if self.unit == "words" else own,
            own,
            [text.logprobs[i] for i in kept],
            sum(len(tokenizer.bytes_of(t)) for t in own),
            ended,
            None if entropies is None else [float(entropies[i]) for i in kept],
            judged,
            text.prompt,
            text.text,
            self.answers.get(text.prompt, ()),
            self._answer(text.text),
            features,
        )

    def _answer(self, text: str) -> str:
        """What a text answers: what the pattern finds last, its first group if it has one."""
        if self.pattern is None:
            return text.strip()
        found = list(self.pattern.finditer(text))
        return (found[-1][1 if self.pattern.groups else 0] or "").strip() if found else ""

    def _features(self, texts: Sequence[str]) -> Sequence[Floats | None]:
        """The features of texts, if they are asked for."""
        return features_of(self.judge or self.lm, texts) if "features" in self.needs else [None] * len(texts)

    def _entropies(self, texts: Sequence[tuple[Sequence[int], Sequence[int]]]) -> Sequence[Any]:
        """The entropy before each token after a prompt, if it is asked for."""
        if "entropies" not in self.needs:
            return [None] * len(texts)
        return score_tokens(self.lm.model, texts, measure=lambda logits, tokens: entropy(logits)[:, 0])

    def _judged(self, pairs: Sequence[tuple[str, str]]) -> Sequence[tuple[float, int, int] | None]:
        """Each text under the second model, if it is asked for; None for an empty one."""
        if "judged" not in self.needs or self.judge is None:
            return [None] * len(pairs)
        full = [(p, t) for p, t in pairs if t]
        scores = iter(self.judge.score([p for p, _ in full], [t for _, t in full]))
        found = [next(scores) if t else None for _, t in pairs]
        return [None if s is None else (s.logprob, len(s.tokens), len(s.text.encode())) for s in found]


def _mauve(reference: Floats, samples: Sequence[TextSample]) -> float:
    return mauve(np.asarray([s.features for s in samples]), reference)
