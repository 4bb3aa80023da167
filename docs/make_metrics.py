"""Writes the definitions of docs/metrics.md from the registry: python docs/make_metrics.py"""

import re
from pathlib import Path

from unspool.lab.registry import METRICS, Metric

PAGE = Path(__file__).parent / "metrics.md"
BEGIN, END = "<!-- begin: written by make_metrics.py -->\n", "<!-- end -->"


def described(metric: Metric) -> str:
    """A metric as a section."""
    lines = [
        f"- counted in: {metric.unit}",
        f"- texts are put together: {metric.pooling}",
        f"- interval: {'by bootstrap over prompts' if metric.parts else 'none'}",
        f"- better: {metric.aim}",
    ]
    lines += [f"- elsewhere: {metric.elsewhere}"] if metric.elsewhere else []
    return f"### `{metric.name}`\n\n{metric.definition}\n\n" + "\n".join(lines) + "\n"


def written(page: str) -> str:
    """The page with the definitions of today."""
    block = "\n" + "\n".join(map(described, METRICS.values())) + "\n"
    return re.sub(f"({re.escape(BEGIN)}).*({re.escape(END)})", lambda found: found[1] + block + found[2], page, flags=re.S)


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
