"""Turn a run into the finished folder: export, check, measure, credits, loss curve and model card.

python -m training.publish CORPUS RUN_FOLDER MODEL_FOLDER
"""

import argparse
import json
import shutil
from pathlib import Path

import torch

from training.card import model_card
from training.evaluate import evaluate
from training.export import export
from training.model import ModelSize
from training.recipe import TIERS

CREDITS = "credits_cc_by.csv"


def publish(corpus: Path, run: Path, folder: Path) -> None:
    """Write everything that ships with the model."""
    export(run, folder)
    measured = evaluate(corpus, folder, TIERS)
    (folder / "evaluation.json").write_text(json.dumps(measured, indent=2) + "\n", encoding="utf-8")
    checkpoint = torch.load(run / "checkpoint.pt", weights_only=True)
    card = model_card(measured, ModelSize(**checkpoint["size"]), checkpoint["state"], corpus)
    (folder / "README.md").write_text(card, encoding="utf-8")
    shutil.copyfile(corpus / CREDITS, folder / CREDITS)
    shutil.copyfile(run / "loss.png", folder / "loss.png")
    print(json.dumps(measured["text"], indent=2), json.dumps(measured["arithmetic"], indent=2))


def main() -> None:
    """Publish from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    publish(options.corpus, options.run, options.out)


if __name__ == "__main__":
    main()
