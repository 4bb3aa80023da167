"""The model card: where the text came from, how the model was trained, what it measures, what it writes."""

import csv
from pathlib import Path

from training.arithmetic import HELD_OUT_SUMS
from training.data import ANSWER_WEIGHT, ARITHMETIC_SHARE, HOLD_OUT_EVERY
from training.model import ModelSize
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

TIER_TITLES = {
    "A": "Fairy tales, fables, children's stories",
    "S": "Very simple modern English (CC BY)",
    "B": "Longer children's novels",
    "E": "Modern encyclopedic English",
}

CARD = """\
# The bundled model

A small English language model, so that unspool decodes real text without any download. It has GPT-2's architecture
({layers} layers, {width} wide, {heads} heads, context {context}, {parameters:.2f} million parameters, embeddings tied,
float16) and a byte-level BPE tokenizer of {vocabulary} tokens; `<|endoftext|>` both starts and ends a text. It writes
old-fashioned children's stories and answers single-digit sums after an example. It knows nothing else and is no
assistant: it is here to watch decoding at work.

`transformers.GPT2LMHeadModel.from_pretrained` loads this folder, too. `sha256` holds the hashes of its main files,
`evaluation.json` the measurements below.

What greedy search, beam search and sampling do with it, over 200 held-out openings: [PHENOMENA.md](PHENOMENA.md).

## Measurements

All of the weights as shipped (rounded to float16), computed in float32, on every {hold_out}th story
({held_out_stories} stories, {held_out_bytes:,} bytes, {held_out_tokens:,} tokens), none of which was trained on. Each
story is predicted alone, in half-overlapping windows, every token once.

| | bits per byte |
| --- | --- |
| this model | {bits:.3f} |
| trigram of the same tokens, interpolated Kneser-Ney, trained on the same stories | {trigram:.3f} |
| `xz -9e` of the held-out stories alone | {xz:.3f} |

That is {nats:.3f} nats per token. The model and its tokenizer saw the training stories; xz saw nothing.

Sums of two single digits as in `5 + 8 => 13 \\n 7 + 2 => 9 \\n 1 + 0 =>` (with real newlines), share of right greedy
answers:

| examples before the question | 1 | 2 | 3 | 4 |
| --- | --- | --- | --- | --- |
| the {seen_sums} sums seen in training | {seen} |
| the {unseen_sums} held out: {held_out_sums} | {unseen} |

## Samples

{samples}

## Training

- {minutes:.0f} minutes on a processor, float32, plain PyTorch: {steps:,} steps, {tokens:.1f} million tokens
  ({speed:,.0f} per second), {batch} windows of {context} tokens per step. The loss curve is in `loss.png`.
- Muon (rate {matrix_rate}) for the matrices in the blocks, AdamW (rate {other_rate}) for the rest; by the clock,
  warmup for {warmup:.0%} of the time, then constant, then linear decay to zero over the last {decay:.0%};
  gradients clipped at 1; no dropout.
- The first {growth:.0%} of the time train {first_layers} layers only; the others then join as identities.
- The text is the tiers below, weighted {weights}; half of the visits leave a story's title out. A further
  {arithmetic:.1%} of the tokens are lists of one to twelve sums (now and then differences), whose answers weigh
  {answer_weight:.0f} times as much in the loss as other tokens.
- To train it anew or better: `training/README.md`.

## Limits

It loses the thread after a few sentences, invents names and facts, repeats itself under greedy search, and does
arithmetic on single digits only. Its books are mostly from before 1929: their views of peoples, women and the poor are
of their time and can show in what it writes, although paragraphs with slurs were removed. English only: other
languages are spelled in bytes.

## Sources and credits

The works of tiers A and B are in the public domain in the USA (published before 1929); nearly all are also where
copyright lasts for life and 70 years, exceptions and doubts are noted. The texts came from Project Gutenberg, Standard
Ebooks (CC0), the CLiC corpora of the University of Birmingham, FairytaleQA (Apache-2.0) and GITenberg, as listed. The
stories of tier S are by the authors and translators in `credits_cc_by.csv`, licensed CC BY (3.0 or 4.0,
https://creativecommons.org/licenses/by/4.0/), from African Storybook (www.africanstorybook.org) and Pratham Books
StoryWeaver (storyweaver.org.in), by way of the Global African Storybook Project; quotes, dashes, accents and layout
were unified, repeated paragraphs dropped. Thank you.

{works}
"""


def works_list(corpus: Path) -> str:
    """Return the works of every tier as Markdown lists, with what the manifest doubts about a work."""
    with (corpus / "manifest.csv").open(encoding="utf-8", newline="") as manifest:
        works = [work for work in csv.DictReader(manifest) if work["tier"] in TIERS]
    parts = []
    for tier in TIERS:
        lines = []
        for work in works:
            if work["tier"] == tier:
                details = ", ".join(filter(None, (work["author"], work["first_published"])))
                basis = work["licence_basis"]
                doubt = "" if basis.startswith("public domain") and "not fully verified" not in basis else f"; {basis}"
                lines.append(f"- {work['title']} ({details}; {work['source_repo']}{doubt})")
        parts.append(f"### Tier {tier}: {TIER_TITLES[tier]}\n\n" + "\n".join(lines))
    return "\n\n".join(parts)


def percentages(shares: dict[str, float]) -> str:
    """Return shares as cells of a table row."""
    return " | ".join(f"{share:.1%}" for share in shares.values())


def model_card(measured: dict, size: ModelSize, state: dict, corpus: Path) -> str:
    """Return the card of a trained and measured model."""
    text, arithmetic = measured["text"], measured["arithmetic"]
    quoted = (
        f"{name}:\n\n" + "\n".join(f"> {line}".rstrip() for line in sample.splitlines())
        for name, sample in measured["samples"].items()
    )
    return CARD.format(
        **vars(size),
        parameters=measured["parameters"] / 1e6,
        hold_out=HOLD_OUT_EVERY,
        held_out_stories=text["held_out_stories"],
        held_out_bytes=text["held_out_bytes"],
        held_out_tokens=text["held_out_tokens"],
        bits=text["bits_per_byte"],
        trigram=text["trigram_bits_per_byte"],
        xz=text["xz_bits_per_byte"],
        nats=text["nats_per_token"],
        seen_sums=100 - len(HELD_OUT_SUMS),
        unseen_sums=len(HELD_OUT_SUMS),
        held_out_sums=", ".join(f"{a} + {b}" for a, b in HELD_OUT_SUMS),
        seen=percentages(arithmetic["seen"]),
        unseen=percentages(arithmetic["held_out"]),
        samples="\n\n".join(quoted),
        minutes=state["seconds"] / 60,
        steps=state["step"],
        tokens=state["tokens"] / 1e6,
        speed=state["tokens"] / state["seconds"],
        batch=BATCH_WINDOWS,
        matrix_rate=MATRIX_RATE,
        other_rate=OTHER_RATE,
        warmup=WARMUP_SHARE,
        decay=DECAY_SHARE,
        growth=GROWTH_SHARE,
        first_layers=FIRST_LAYERS,
        weights=", ".join(f"{tier} {weight}" for tier, weight in TIER_WEIGHTS.items()),
        arithmetic=ARITHMETIC_SHARE,
        answer_weight=ANSWER_WEIGHT,
        works=works_list(corpus),
    )
