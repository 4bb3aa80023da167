"""The metrics by name: the package's, the user's, and those of installed packages."""

from __future__ import annotations

import re
from dataclasses import replace

from unspool.core.decoder import announced_parts
from unspool.errors import ParameterError, UnknownName, unknown
from unspool.lab.defaults import DEFAULT as DEFAULT
from unspool.lab.known_metrics import METRICS as METRICS, metric_family
from unspool.lab.own_metrics import own_metrics
from unspool.lab.text_metric import Metric as Metric, TextSample as TextSample, ratio as ratio


def listed_metrics() -> list[Metric]:
    """The package's own metrics, those that the user defined or imported, and those of installed packages."""
    announced_parts()
    return [*METRICS.values(), *own_metrics().values()]


def metric_named(name: str) -> Metric:
    """A metric by its name, as rep_4; self_bleu is self_bleu_4, pass@5 is pass_at_5."""
    name = name.replace("@", "_at_")
    if name in METRICS and not name.endswith("_n"):
        return METRICS[name]
    stem, number = re.fullmatch(r"(.*?)(?:_([1-9]\d{0,2}))?", name).groups()  # type: ignore[union-attr]
    if f"{stem}_n" in METRICS and (number is not None or stem == "self_bleu"):
        return replace(next(m for m in metric_family(int(number or 4)) if m.name == f"{stem}_n"), name=name)
    if f"{stem.removesuffix('_n')}_n" in METRICS:
        raise ParameterError(f"the metric {name} needs a number: {stem.removesuffix('_n')}_2, {stem.removesuffix('_n')}_3, ...")
    broken = [] if name in own_metrics() else announced_parts()
    if name in own_metrics():
        return own_metrics()[name]
    known = [m.replace("_n", "_2") if m.endswith("_n") else m for m in (*METRICS, *own_metrics())]
    error = unknown("metric", name, known, "unspool compare --list-metrics lists them")
    raise UnknownName("; ".join([str(error), *broken]))
