"""Train the small model on a folder of texts for some minutes and write the finished model folder: the one command.

    python -m training.train CORPUS --minutes 100 --run RUN_FOLDER --out MODEL_FOLDER

Running it again with the same run folder resumes the run.
"""

import argparse
import csv
import time
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor

from training.data import TrainingStream, read_corpus
from training.gradients import Workers, summed_loss
from training.model import LanguageModel, ModelSize
from training.optimizer import make_optimizers, set_rate_factor
from training.plot import plot_losses
from training.publish import publish
from training.recipe import (
    BATCH_WINDOWS,
    DECAY_SHARE,
    FIRST_LAYERS,
    GROWTH_SHARE,
    MATRIX_RATE,
    OTHER_RATE,
    TIER_WEIGHTS,
    TIERS,
    WARMUP_SHARE,
)
from training.tokenizer import END_OF_TEXT, train_tokenizer

LOG_EVERY = 10
SAVE_SECONDS = 120
VALIDATION_SECONDS = 300
VALIDATION_WINDOWS = 32


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path, help="folder with manifest.csv and texts")
    parser.add_argument("--minutes", type=float, default=100, help="length of the whole run by the clock")
    parser.add_argument("--run", type=Path, required=True, help="folder for the checkpoint, the log and the loss curve")
    parser.add_argument("--out", type=Path, required=True, help="folder for the finished model")
    parser.add_argument("--workers", type=int, default=2, help="cores to use")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def rate_factor(progress: float) -> float:
    """Return the learning rate's factor at a share of the run: warmup, stable, then linear decay to zero."""
    return max(0.0, min(1.0, (progress + 0.001) / WARMUP_SHARE, (1 - progress) / DECAY_SHARE))


def validation_windows(texts: list[str], tokenizer: Tokenizer, end: int, context: int) -> Tensor:
    """Return windows spread over the held-out stories, a quick sample to watch during training."""
    tokens = [token for encoding in tokenizer.encode_batch(texts) for token in (end, *encoding.ids)]
    windows = torch.tensor(tokens[: len(tokens) // (context + 1) * (context + 1)]).view(-1, context + 1)
    return windows[:: max(1, len(windows) // VALIDATION_WINDOWS)][:VALIDATION_WINDOWS]


@torch.no_grad()
def validation_loss(model: LanguageModel, windows: Tensor) -> float:
    """Return the loss on the held-out sample."""
    inputs, targets = windows[:, :-1], windows[:, 1:]
    losses = [
        summed_loss(model, *part, torch.ones(part[0].shape)).item()
        for part in zip(inputs.split(4), targets.split(4), strict=True)
    ]
    return sum(losses) / targets.numel()


def trim_log(file: Path, step: int) -> None:
    """Drop the rows of steps after the checkpoint that a run resumes from."""
    if file.exists():
        rows = file.read_text().splitlines(keepends=True)
        file.write_text("".join(row for row in rows if int(row.split(",")[0]) <= step))


def main() -> None:
    """Train, with checkpoints and a log, then export."""
    options = arguments()
    torch.set_num_threads(1)
    torch.manual_seed(options.seed)
    options.run.mkdir(parents=True, exist_ok=True)

    corpus = read_corpus(options.corpus, TIERS)
    tokenizer_file = options.run / "tokenizer.json"
    size = ModelSize()
    if not tokenizer_file.exists():
        train_tokenizer((story.text for story in corpus.train), size.vocabulary, options.seed).save(str(tokenizer_file))
    tokenizer = Tokenizer.from_file(str(tokenizer_file))
    end = tokenizer.token_to_id(END_OF_TEXT)
    stream = TrainingStream(corpus.train, TIER_WEIGHTS, tokenizer, end, size.context, options.seed)
    held_out = validation_windows([story.text for story in corpus.held_out], tokenizer, end, size.context)

    model = LanguageModel(size)
    optimizers = make_optimizers(model, size.width, MATRIX_RATE, OTHER_RATE)
    state = {"step": 0, "tokens": 0, "seconds": 0.0, "epoch": 0, "position": 0, "layers": FIRST_LAYERS}
    checkpoint_file = options.run / "checkpoint.pt"
    if checkpoint_file.exists():
        checkpoint = torch.load(checkpoint_file, weights_only=True)
        model.load_state_dict(checkpoint["model"])
        for optimizer, saved in zip(optimizers, checkpoint["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        state = checkpoint["state"]
        trim_log(options.run / "log.csv", state["step"])

    def save() -> None:
        partial = checkpoint_file.with_suffix(".partial")
        torch.save(
            {
                "model": model.state_dict(),
                "size": vars(size),
                "optimizers": [optimizer.state_dict() for optimizer in optimizers],
                "state": state,
            },
            partial,
        )
        partial.replace(checkpoint_file)
        plot_losses(options.run / "log.csv", options.run / "loss.png")

    def log(training: float, validation: float | None) -> None:
        row = (state["step"], state["tokens"], round(state["seconds"], 1), round(training, 4), validation or "")
        with (options.run / "log.csv").open("a", newline="") as file:
            csv.writer(file).writerow(row)
        print(
            f"step {row[0]}  tokens {row[1]:,}  minutes {state['seconds'] / 60:.1f}  "
            f"tokens/s {state['tokens'] / state['seconds']:.0f}  loss {training:.4f}"
            + (f"  held-out sample {validation:.4f}" if validation else ""),
            flush=True,
        )

    workers = Workers(model, options.workers)
    started = time.monotonic() - state["seconds"]
    last_save = last_validation = state["seconds"]
    recent: list[float] = []
    for batch in stream.batches(BATCH_WINDOWS, state["epoch"], state["position"]):
        progress = state["seconds"] / (60 * options.minutes)
        if progress >= 1:
            break
        if progress >= GROWTH_SHARE:
            state["layers"] = size.layers
        model.active_layers = state["layers"]
        set_rate_factor(optimizers, rate_factor(progress))
        recent.append(workers.backward(batch))
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        state["step"] += 1
        state["tokens"] += batch.inputs.numel()
        state["epoch"], state["position"] = batch.epoch, batch.position
        state["seconds"] = time.monotonic() - started
        if state["step"] % LOG_EVERY == 0:
            validation = None
            if state["seconds"] - last_validation > VALIDATION_SECONDS:
                last_validation = state["seconds"]
                validation = validation_loss(model, held_out)
            log(sum(recent) / len(recent), validation)
            recent.clear()
        if state["seconds"] - last_save > SAVE_SECONDS:
            last_save = state["seconds"]
            save()
    log(sum(recent) / max(1, len(recent)), validation_loss(model, held_out))
    save()
    torch.set_num_threads(options.workers)
    publish(options.corpus, options.run, options.out)


if __name__ == "__main__":
    main()
