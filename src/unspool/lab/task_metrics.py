"""Metrics against what is right, or against what people wrote: exact match, pass@k, BLEU, chrF and MAUVE."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from unspool.arrays import Floats
from unspool.errors import MissingExtra
from unspool.lab.mauve import LEAST_TEXTS
from unspool.lab.text_metric import COLLECTION, PER_PROMPT, PER_TEXT, POOLED, Metric, Samples, ratio


def pass_at(k: int, texts: int, right: int) -> float:
    """pass@k of a prompt: the chance that one of k texts is right, 1 - C(texts - right, k) / C(texts, k).

    That is its unbiased estimate from at least k texts, of which some are right (Chen et al. 2021, arXiv 2107.03374); nan of fewer.
    """
    return 1 - math.comb(texts - right, k) / math.comb(texts, k) if texts >= k else math.nan


def _passed(k: int, samples: Samples) -> list[float]:
    right = [s.right for s in samples if s.right is not None]
    found = pass_at(k, len(right), sum(right))
    return [0.0, 0.0] if math.isnan(found) else [found, 1.0]


def _matched(samples: Samples) -> list[float]:
    right = [s.right for s in samples if s.right is not None]
    return [float(sum(right)), float(len(right))]


# --- sacrebleu --------------------------------------------------------------------------------------------------------


def sacrebleu_metric(name: str) -> Any:
    """sacrebleu's BLEU or chrF, with its defaults."""
    try:
        from sacrebleu.metrics.bleu import BLEU
        from sacrebleu.metrics.chrf import CHRF
    except ImportError:
        raise MissingExtra(f"{name} needs sacrebleu: pip install 'unspool[metrics]'") from None
    return BLEU() if name == "bleu" else CHRF()


def _statistics(name: str, samples: Samples) -> Sequence[float]:
    """What sacrebleu counts of texts with their answers, added up."""
    counting = sacrebleu_metric(name)
    found = [_counts(counting, s.answer, s.answers) for s in samples if s.answers]
    return np.sum(found, axis=0).tolist() if found else [0.0] * len(_counts(counting, "", ["a"]))


def _counts(counting: Any, text: str, answers: Sequence[str]) -> list[float]:
    (found,) = counting._extract_corpus_statistics([text], [[answer] for answer in answers])
    return list(map(float, found))


def _score(name: str, sums: Floats) -> Floats:
    counting = sacrebleu_metric(name)
    flat = sums.reshape(-1, sums.shape[-1])
    found = [counting._aggregate_and_compute([list(row)]).score if row.any() else math.nan for row in flat]
    return np.asarray(found, np.float64).reshape(sums.shape[:-1])


def _mauve_alone(samples: Samples) -> float:
    """Without the reference texts, which a comparison puts in its place."""
    return math.nan


ANSWERS = "against the answers of its prompt"


def task_metrics(n: int) -> list[Metric]:
    """These metrics, those with a number for this n."""
    passed: Callable[[Samples], list[float]] = partial(_passed, n)
    return [
        Metric(
            "exact_match",
            f"The share of texts that are right, {ANSWERS}: what the text answers equals one of them, both without the white space "
            "around them. What it answers is all of the text, or with --answer-pattern what that finds last.",
            "texts",
            PER_TEXT,
            "higher",
            "SQuAD's (Rajpurkar et al. 2016, arXiv 1606.05250) also leaves out case, punctuation and articles.",
            _matched,
            ratio,
            needs="answers",
        ),
        Metric(
            "pass_at_n",
            "pass@k: the chance that one of k texts of a prompt is right as exact_match has it, 1 - C(n - c, k) / C(n, k) of n texts of "
            "which c are right, which has no bias (Chen et al. 2021, arXiv 2107.03374). Prompts with fewer than k texts do not count.",
            "prompts",
            PER_PROMPT,
            "higher",
            "1 - (1 - c / n)^k is biased.",
            passed,
            ratio,
            needs="answers",
        ),
        Metric(
            "bleu",
            f"BLEU of all texts together {ANSWERS}, as sacrebleu has it by default: up to 4-grams, 13a, exponential smoothing (Papineni et "
            "al. 2002, doi 10.3115/1073083.1073135; Post 2018, arXiv 1804.08771).",
            "0 to 100",
            POOLED,
            "higher",
            parts=partial(_statistics, "bleu"),
            value=partial(_score, "bleu"),
            needs="answers",
            decimals=1,
        ),
        Metric(
            "chrf",
            f"chrF of all texts together {ANSWERS}, as sacrebleu has it by default: character n-grams up to 6, beta 2 (Popović 2015, doi "
            "10.18653/v1/W15-3049). Of several answers the nearest counts.",
            "0 to 100",
            POOLED,
            "higher",
            parts=partial(_statistics, "chrf"),
            value=partial(_score, "chrf"),
            needs="answers",
            decimals=1,
        ),
        Metric(
            "mauve",
            "How near the texts are to the reference texts as distributions: the area under the curve of divergences of the two, each a "
            "histogram over clusters of features (Pillutla et al. 2021, arXiv 2102.01454), by the package mauve-text with its defaults. "
            "The features are the model's own, or with a judge the judge's: the final hidden state at a text's last token, read without "
            f"its prompt. It needs {LEAST_TEXTS} prompts and as many reference texts: of fewer it is too high.",
            "0 to 1",
            COLLECTION,
            "higher",
            "The paper's features are those of GPT-2 large, of 5,000 texts; numbers of other features cannot be compared with it.",
            whole=_mauve_alone,
            needs="features",
            least=LEAST_TEXTS,
        ),
    ]
