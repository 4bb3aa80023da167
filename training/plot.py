"""The loss curve as a picture."""

import csv
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot


def plot_losses(log_file: Path, picture: Path) -> None:
    """Draw the training loss, in which answers of sums weigh more, and that on the held-out sample."""
    if not log_file.exists():
        return
    with log_file.open(newline="") as file:
        rows = list(csv.reader(file))
    millions = [int(row[1]) / 1e6 for row in rows]
    checked = [(millions[index], float(row[4])) for index, row in enumerate(rows) if row[4]]
    figure, axes = pyplot.subplots(figsize=(8, 4.5))
    axes.plot(millions, [float(row[3]) for row in rows], linewidth=0.8, label="training (weighted)")
    if checked:
        axes.plot(*zip(*checked, strict=True), marker="o", label="held-out sample")
    axes.set(xlabel="million tokens seen", ylabel="loss (nats per token)", ylim=(2.5, 6.5))
    axes.grid(alpha=0.3)
    axes.legend()
    figure.tight_layout()
    figure.savefig(picture, dpi=100)
    pyplot.close(figure)
