"""Measure an exported model: held-out bits per byte beside a trigram and xz, few-shot arithmetic, samples.

python -m training.evaluate CORPUS MODEL_FOLDER
"""

import argparse
import json
import lzma
import math
import random
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional
from transformers import GPT2LMHeadModel

from training.arithmetic import HELD_OUT_SUMS, SEEN_SUMS, SPACED_SEPARATOR, sum_item
from training.data import Story, read_corpus
from training.tokenizer import END_OF_TEXT
from training.trigram import TrigramModel

BATCH = 8
PROMPTS_PER_SUM = 4
MOST_EXAMPLES = 4
SAMPLE_PROMPT = "Once upon a time"
SAMPLE_TOKENS = 90


def scored_windows(tokens: list[int], end: int, context: int) -> list[tuple[list[int], list[int]]]:
    """Cut a story into half-overlapping windows: each token is a target once, with at least half a window before it
    (as far as the story reaches back); -100 marks what an earlier window has predicted."""
    stride = context // 2
    whole = [end, *tokens]
    windows = []
    predicted = 1
    start = 0
    while predicted < len(whole):
        stop = min(start + context + 1, len(whole))
        targets = [-100] * (predicted - start - 1) + whole[predicted:stop]
        windows.append((whole[start : stop - 1], targets))
        predicted = stop
        start += stride
    return windows


@torch.no_grad()
def model_bits(model: GPT2LMHeadModel, stories: list[list[int]], end: int) -> float:
    """Return the number of bits the model needs for stories, each predicted alone from the end-of-text token on."""
    windows = [window for story in stories for window in scored_windows(story, end, model.config.n_positions)]
    windows.sort(key=lambda window: len(window[0]))
    nats = 0.0
    for first in range(0, len(windows), BATCH):
        batch = windows[first : first + BATCH]
        length = max(len(inputs) for inputs, _ in batch)
        inputs = torch.tensor([inputs + [end] * (length - len(inputs)) for inputs, _ in batch])
        targets = torch.tensor([targets + [-100] * (length - len(targets)) for _, targets in batch])
        logits = model(inputs).logits
        nats += functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum").item()
    return nats / math.log(2)


def measure_text(model: GPT2LMHeadModel, tokenizer: Tokenizer, train: list[Story], held_out: list[Story]) -> dict:
    """Return bits per byte on all held-out stories for the model, the trigram and xz."""
    end = tokenizer.token_to_id(END_OF_TEXT)
    vocabulary = tokenizer.get_vocab_size()
    held_out_tokens = [encoding.ids for encoding in tokenizer.encode_batch([story.text for story in held_out])]
    train_tokens = [encoding.ids for encoding in tokenizer.encode_batch([story.text for story in train])]
    size = sum(len(story.text.encode()) for story in held_out)
    count = sum(map(len, held_out_tokens))
    bits = model_bits(model, held_out_tokens, end)
    compressed = lzma.compress("\n\n\n".join(story.text for story in held_out).encode(), preset=9 | lzma.PRESET_EXTREME)
    return {
        "held_out_stories": len(held_out),
        "held_out_bytes": size,
        "held_out_tokens": count,
        "nats_per_token": bits * math.log(2) / count,
        "bits_per_byte": bits / size,
        "trigram_bits_per_byte": TrigramModel(train_tokens, end, vocabulary).bits(held_out_tokens) / size,
        "xz_bits_per_byte": 8 * len(compressed) / size,
    }


def arithmetic_prompts(pair: tuple[int, int], examples: int, generator: random.Random) -> list[str]:
    """Return prompts that ask one sum after random examples of other sums, never the same two numbers swapped."""
    others = [other for other in SEEN_SUMS if set(other) != set(pair)]
    question = sum_item(pair).rpartition(" ")[0]
    return [
        SPACED_SEPARATOR.join([*(sum_item(other) for other in generator.sample(others, examples)), question])
        for _ in range(PROMPTS_PER_SUM)
    ]


def greedy_continuations(model: GPT2LMHeadModel, tokenizer: Tokenizer, prompts: list[str], length: int) -> list[str]:
    """Return the greedy continuation of every prompt; prompts of equal length run together."""
    encoded = [tokenizer.encode(prompt).ids for prompt in prompts]
    texts = [""] * len(prompts)
    for width in sorted({len(tokens) for tokens in encoded}):
        places = [place for place, tokens in enumerate(encoded) if len(tokens) == width]
        inputs = torch.tensor([encoded[place] for place in places])
        for place, tokens in zip(places, generate(model, inputs, length, num_beams=1), strict=True):
            texts[place] = tokenizer.decode(tokens[width:].tolist())
    return texts


def generate(model: GPT2LMHeadModel, inputs: Tensor, length: int, **choices: object) -> Tensor:
    """Continue token rows with transformers' own generation."""
    options = {"do_sample": False, "attention_mask": torch.ones_like(inputs)} | choices
    return model.generate(inputs, max_new_tokens=length, **options)


def measure_arithmetic(model: GPT2LMHeadModel, tokenizer: Tokenizer) -> dict:
    """Return the share of right greedy answers by number of examples, for seen and for held-out sums."""
    generator = random.Random(0)
    shares: dict = {}
    for name, pairs in (("seen", SEEN_SUMS), ("held_out", HELD_OUT_SUMS)):
        for examples in range(1, MOST_EXAMPLES + 1):
            asked = [(prompt, pair) for pair in pairs for prompt in arithmetic_prompts(pair, examples, generator)]
            answers = greedy_continuations(model, tokenizer, [prompt for prompt, _ in asked], 3)
            right = [answer.split()[:1] == [str(sum(pair))] for answer, (_, pair) in zip(answers, asked, strict=True)]
            shares.setdefault(name, {})[str(examples)] = sum(right) / len(right)
    return shares


def samples(model: GPT2LMHeadModel, tokenizer: Tokenizer) -> dict[str, str]:
    """Return continuations of one prompt under greedy search, beam search and sampling."""
    inputs = torch.tensor([tokenizer.encode(SAMPLE_PROMPT).ids])
    ways: dict[str, dict[str, object]] = {
        "greedy": {},
        "beam search, 5 beams, no repeated 3-gram": {"num_beams": 5, "no_repeat_ngram_size": 3},
        "sampling, temperature 0.8, top-p 0.95": {"do_sample": True, "temperature": 0.8, "top_p": 0.95, "top_k": 0},
        "sampling, temperature 1": {"do_sample": True, "top_k": 0},
    }
    texts = {}
    for name, choices in ways.items():
        torch.manual_seed(0)
        texts[name] = tokenizer.decode(generate(model, inputs, SAMPLE_TOKENS, **choices)[0].tolist())
    return texts


def evaluate(corpus: Path, folder: Path, tiers: str) -> dict:
    """Return everything measured about an exported model, computed in float32 from its float16 weights."""
    model = GPT2LMHeadModel.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    stories = read_corpus(corpus, tiers)
    return {
        "parameters": sum(value.numel() for value in model.parameters()),
        "text": measure_text(model, tokenizer, stories.train, stories.held_out),
        "arithmetic": measure_arithmetic(model, tokenizer),
        "samples": samples(model, tokenizer),
    }


def main() -> None:
    """Print the measurements as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("--tiers", default="ASBE", help="tiers of the corpus that the model was trained on")
    options = parser.parse_args()
    print(json.dumps(evaluate(options.corpus, options.model, options.tiers), indent=2))


if __name__ == "__main__":
    main()
