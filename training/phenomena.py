"""What decoding does with the finished model, over the openings of held-out stories: the tables of the model card.

    python -m training.phenomena CORPUS MODEL_FOLDER [--openings 200]

Writes `phenomena.json` and `PHENOMENA.md` into the model's folder. Texts are decoded by unspool itself.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

import unspool
from training.data import TITLE_LINE, read_corpus
from training.recipe import TIERS
from unspool.lab.metrics import distinct, diversity, loop_period, repetition

OPENING, NEW, TOGETHER = 32, 128, 50
DECODERS = {
    "greedy search": "greedy",
    "beam search, width 2": "beam(2)",
    "beam search, width 4": "beam(4)",
    "beam search, width 8": "beam(8)",
    "no repeated pairs, width 4": "no_repeat_ngram(2) | beam(4)",
    "sampling, temperature 0.3": "temperature(0.3) | sample(1)",
    "sampling, temperature 0.6": "temperature(0.6) | sample(1)",
    "sampling": "sample(1)",
    "sampling, temperature 1.3": "temperature(1.3) | sample(1)",
    "top-p 0.5": "top_p(0.5) | sample(1)",
    "top-p 0.8": "top_p(0.8) | sample(1)",
    "top-p 0.95": "top_p(0.95) | sample(1)",
}


def openings(corpus: Path, lm: unspool.LanguageModel, count: int) -> list[tuple[str, list[int]]]:
    """Openings of held-out stories as text, and the tokens that follow: first of every story, then of its later parts."""
    found: list[tuple[int, str, list[int]]] = []
    for story in read_corpus(corpus, TIERS).held_out:
        paragraphs = TITLE_LINE.sub("", story.text).split("\n\n")
        place = part = 0
        while place < len(paragraphs):
            tokens, start = [], place
            while place < len(paragraphs) and len(tokens) < OPENING + NEW:
                place += 1
                tokens = lm.tokenizer.encode("\n\n".join(paragraphs[start:place]))
            if len(tokens) >= OPENING + NEW:
                text = b"".join(lm.tokenizer.bytes_of(t) for t in tokens[:OPENING]).decode("utf-8", "ignore")
                found.append((part, text, tokens[OPENING : OPENING + NEW]))
            part += 1
    found.sort(key=lambda opening: opening[0])
    return [(text, tokens) for _, text, tokens in found[:count]]


def measure(texts: list[list[int]], logprobs: list[float]) -> dict[str, float]:
    """The numbers of one row."""
    return {
        "logprob_per_token": statistics.mean(logprobs),
        "loops": sum(loop_period(text) > 0 for text in texts) / len(texts),
        "rep_4": repetition(texts, 4),
        "diversity": diversity(texts),
        "distinct_2": distinct(texts, 2),
    }


def decode(lm: unspool.LanguageModel, prompts: list[str], decoder: str) -> dict[str, float]:
    """Decode all openings and measure the texts."""
    texts, logprobs = [], []
    for first in range(0, len(prompts), TOGETHER):
        for output in lm.generate(prompts[first : first + TOGETHER], decoder, max_new_tokens=NEW, end_tokens=(), seed=1):
            texts.append(output.tokens)
            logprobs.append(output.logprob / len(output.tokens))
    return measure(texts, logprobs)


def markdown(rows: dict[str, dict[str, float]], count: int) -> str:
    """The table."""
    lines = [
        "# What decoding does with this model",
        "",
        f"{count} openings of held-out stories, {OPENING} tokens each, continued by {NEW} tokens (no end token). Mean log-probability",
        "per token under the model, share of texts that end in a loop, repeated 4-grams, diversity (product of 1 - rep-n, n = 2 to 4)",
        "and distinct-2, pooled; definitions in `unspool.lab.metrics`.",
        "",
        "| | log p / token | loops | rep-4 | diversity | distinct-2 |",
        "|---|---|---|---|---|---|",
    ]
    for name, row in rows.items():
        shares = (f"{row[k]:.2f}" for k in ("rep_4", "diversity", "distinct_2"))
        cells = [f"{row['logprob_per_token']:.2f}", f"{row['loops']:.0%}", *shares]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--openings", type=int, default=200)
    options = parser.parse_args()
    lm = unspool.load(options.folder)
    begun = openings(options.corpus, lm, options.openings)
    prompts = [text for text, _ in begun]
    scores = [unspool.score.score_tokens(lm.model, [(lm.tokens_of(text), tokens)])[0] for text, tokens in begun]
    rows = {"the stories themselves": measure([tokens for _, tokens in begun], [float(s.mean()) for s in scores])}
    for name, decoder in DECODERS.items():
        began = time.monotonic()
        rows[name] = decode(lm, prompts, decoder)
        print(f"{name:30} {time.monotonic() - began:6.1f} s  {rows[name]}", flush=True)
    (options.folder / "phenomena.json").write_text(json.dumps({"openings": len(prompts), "rows": rows}, indent=1) + "\n")
    (options.folder / "PHENOMENA.md").write_text(markdown(rows, len(prompts)))


if __name__ == "__main__":
    main()
