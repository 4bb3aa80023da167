"""The package's metrics: one definition each, and how it is put together over prompts."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from unspool.arrays import Floats
from unspool.lab import metrics
from unspool.lab.self_bleu import self_bleu
from unspool.lab.task_metrics import task_metrics
from unspool.lab.text_metric import COLLECTION, PER_TEXT, POOLED, Metric, Samples, TextSample, ratio

# --- parts and values -------------------------------------------------------------------------------------------------


def _sum_and_count(read: Callable[[TextSample], Sequence[float]]) -> Callable[[Samples], list[float]]:
    """Parts for a mean over all numbers of all texts."""
    return lambda samples: [math.fsum(x for s in samples for x in read(s)), sum(len(read(s)) for s in samples)]


def _repeated(n: int, samples: Samples) -> list[float]:
    grams = [list(metrics.ngrams(s.units, n)) for s in samples]
    return [sum(len(g) - len(set(g)) for g in grams), sum(map(len, grams))]


def _repeated_234(samples: Samples) -> list[float]:
    return [x for n in (2, 3, 4) for x in _repeated(n, samples)]


def _diversity(sums: Floats) -> Floats:
    kept = [1 - np.nan_to_num(ratio(sums[..., i : i + 2])) for i in (0, 2, 4)]
    return np.asarray(kept[0] * kept[1] * kept[2])


def _self_bleu(n: int, samples: Samples) -> list[float]:
    found = [x for x in self_bleu([s.units for s in samples], n) if not math.isnan(x)]
    return [math.fsum(found), len(found)]


def _whole(function: Callable[..., float], *settings: Any) -> Callable[[Samples], float]:
    return lambda samples: function([s.units for s in samples], *settings)


def _variances(sample: TextSample) -> list[float]:
    return [float(np.var(sample.logprobs))] if len(sample.logprobs) else []


def _jumps(sample: TextSample) -> list[float]:
    return [float(np.mean(np.diff(sample.logprobs) ** 2))] if len(sample.logprobs) > 1 else []


def _judged(samples: Samples, under: int) -> list[float]:
    seen = [s.judged for s in samples if s.judged is not None]
    return [math.fsum(s[0] for s in seen), sum(s[under] for s in seen)]


def _perplexity(sums: Floats) -> Floats:
    return np.asarray(np.exp(-ratio(sums)))


def _bits(sums: Floats) -> Floats:
    return -ratio(sums) / math.log(2)


_LOGPROBS = _sum_and_count(lambda s: s.logprobs)

# --- the metrics ------------------------------------------------------------------------------------------------------

LIKELY = "near human text; lower is likelier, and the likeliest texts are dull"


def metric_family(n: int) -> list[Metric]:
    """Every metric, those with a number for this n."""
    return [
        Metric(
            "perplexity",
            "exp of minus the mean log-probability of a token under the model itself, before processors; end tokens do not count.",
            "per token of the model",
            POOLED,
            LIKELY,
            "Holtzman et al. 2020 pool tokens too; the library evaluate takes the mean over texts of each text's perplexity "
            "(variants.perplexity_per_text).",
            _LOGPROBS,
            _perplexity,
            log=True,
        ),
        Metric(
            "logprob",
            "The mean log-probability of a token under the model itself, before processors; end tokens do not count.",
            "nats per token of the model",
            POOLED,
            "near human text",
            parts=_LOGPROBS,
            value=ratio,
        ),
        Metric(
            "bits_per_byte",
            "-log2 p(text) / bytes under the model itself, before processors. It can be compared between tokenizers.",
            "bits per byte of UTF-8",
            POOLED,
            "near human text",
            parts=lambda samples: [_LOGPROBS(samples)[0], sum(s.size for s in samples)],
            value=_bits,
        ),
        Metric(
            "judge_perplexity",
            "Perplexity of the same text under a second model, cut into that model's tokens.",
            "per token of the second model",
            POOLED,
            LIKELY,
            "Papers take a larger model than the one that wrote the text, often GPT-2 large.",
            lambda samples: _judged(samples, 1),
            _perplexity,
            needs="judged",
            log=True,
        ),
        Metric(
            "judge_bits_per_byte",
            "Bits per byte of the same text under a second model, whose tokenizer may be another.",
            "bits per byte of UTF-8",
            POOLED,
            "near human text",
            parts=lambda samples: _judged(samples, 2),
            value=_bits,
            needs="judged",
        ),
        Metric(
            "entropy",
            "The mean entropy of the model's distribution before each token, -sum p log p, before processors: how open the text left "
            "what comes next.",
            "nats per token of the model",
            POOLED,
            "near human text",
            parts=_sum_and_count(lambda s: s.entropies or ()),
            value=ratio,
            needs="entropies",
        ),
        Metric(
            "uid_variance",
            "Unevenness of information: the variance of the surprisals -log p of a text's tokens around their mean.",
            "square nats",
            PER_TEXT,
            "near human text; 0 is perfectly even",
            "Meister et al. 2021 (arXiv 2109.11635) also measure it around the mean of the language instead of the text's.",
            _sum_and_count(_variances),
            ratio,
        ),
        Metric(
            "uid_local",
            "Local unevenness: the mean squared difference of the surprisals of neighbouring tokens (Meister et al. 2021, arXiv "
            "2109.11635).",
            "square nats",
            PER_TEXT,
            "near human text; 0 is perfectly even",
            parts=_sum_and_count(_jumps),
            value=ratio,
        ),
        Metric(
            "rep_n",
            "1 - distinct n-grams / n-grams, each text for itself (Su et al. 2022, arXiv 2202.06417); 0 without n-grams.",
            "n-grams of words",
            POOLED,
            "near human text; lower repeats less",
            "SimCTG's code loses the last n-gram of every text and rounds (variants.repetition_simctg). seq-rep-n (Welleck et al. 2019, "
            "arXiv 1908.04319) is of one text and of tokens, then a mean over texts.",
            partial(_repeated, n),
            lambda sums: np.nan_to_num(ratio(sums)),
        ),
        Metric(
            "diversity",
            "The product of 1 - rep_n for n = 2, 3, 4 (Su et al. 2022, arXiv 2202.06417): 1 if no text repeats a pair of words.",
            "n-grams of words",
            POOLED,
            "near human text; higher repeats less",
            "SimCTG's code multiplies its rounded values (variants.diversity_simctg).",
            _repeated_234,
            _diversity,
        ),
        Metric(
            "loops",
            "The share of texts that end in circles: their last max(3 p, 12) tokens repeat with a period p of at most 90, or at least "
            "half of the 4-grams that end in their second half, at most their last 50 tokens, came before (seq-rep-4 of Welleck et al. "
            "2019, arXiv 1908.04319, of the end), so that a circle in which some words change is seen, too. Texts below 12 tokens do not.",
            "tokens of the model",
            PER_TEXT,
            "lower",
            "Holtzman et al. 2020 (arXiv 1904.09751) ask for a phrase of at least 3 tokens said twice, or a shorter one said more than 50 "
            "times (variants.loops_holtzman).",
            lambda samples: [sum(metrics.ends_in_circles(s.tokens) for s in samples), len(samples)],
            ratio,
        ),
        Metric(
            "self_bleu_n",
            "BLEU of a text with the other texts of its prompt as references, n-grams up to n (4 if not said) of equal weight, smoothing 1 "
            "of Chen and Cherry 2014 with 0.1 (Zhu et al. 2018, arXiv 1802.01886): 1 if a prompt's texts are copies. It needs several "
            "texts of a prompt.",
            "n-grams of words",
            PER_TEXT,
            "lower differs more",
            "Texygen takes all texts of a model as one collection, at most 500 of them, and n = 3 (self_bleu does it with any list); with "
            "the text itself among the references, as in its get_bleu, every text has 1.",
            partial(_self_bleu, n),
            ratio,
        ),
        Metric(
            "distinct_n",
            "Distinct n-grams / n-grams of all texts together (Li et al. 2016, arXiv 1510.03055). It falls with the amount of text.",
            "n-grams of words",
            COLLECTION,
            "near human text; higher has more different n-grams",
            "Some take the mean over texts (variants.distinct_per_text); the code of Holtzman et al. 2020 counts n-grams that occur "
            "exactly once (variants.distinct_once).",
            whole=_whole(metrics.distinct, n),
        ),
        Metric(
            "ngram_entropy_n",
            "-sum f log f over the frequencies f of the n-grams of all texts together (Ent-n; Zhang et al. 2018, arXiv 1809.05972). It "
            "grows with the amount of text.",
            "nats, n-grams of words",
            COLLECTION,
            "near human text; higher is more varied",
            whole=_whole(metrics.ngram_entropy, n),
        ),
        Metric(
            "zipf",
            "Minus the slope of log frequency on log rank of the words of all texts together, by least squares; near 1 in much natural "
            "text.",
            "words",
            COLLECTION,
            "near human text",
            "The code of Holtzman et al. 2020 takes the 5000 most frequent (variants.zipf_of_frequent).",
            whole=_whole(metrics.zipf),
        ),
        Metric(
            "length",
            "Tokens of a text; end tokens do not count.",
            "tokens of the model",
            PER_TEXT,
            "as the task asks",
            parts=_sum_and_count(lambda s: [len(s.tokens)]),
            value=ratio,
            decimals=1,
        ),
        Metric(
            "ended",
            "The share of texts that the model ended itself, by an end token.",
            "texts",
            PER_TEXT,
            "as the task asks",
            parts=_sum_and_count(lambda s: [] if s.ended is None else [float(s.ended)]),
            value=ratio,
        ),
        *task_metrics(n),
    ]


METRICS = {metric.name: metric for metric in metric_family(4)}
"""Every metric by the name of its family: rep_n stands for rep_2, rep_3 and so on."""

def is_built_in(name: str) -> bool:
    """Whether a metric of the package has this name."""
    stem = re.sub(r"_[1-9]\d{0,2}$", "", name)
    return name in METRICS or f"{stem}_n" in METRICS
