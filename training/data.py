"""The corpus as stories and as an endless stream of training tokens."""

import csv
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy
import torch
from tokenizers import Tokenizer
from torch import Tensor

from training.arithmetic import ARROW, arithmetic_list

HOLD_OUT_EVERY = 50
ARITHMETIC_SHARE = 0.025
ANSWER_WEIGHT = 20.0
STORY_START = re.compile(r"^(?=# )", re.MULTILINE)
TITLE_LINE = re.compile(r"\A# .*\n+")


@dataclass
class Story:
    """One story or chapter and the tier of the work it belongs to."""

    text: str
    tier: str


@dataclass
class Corpus:
    """The stories to train on and the stories held out."""

    train: list[Story]
    held_out: list[Story]


def read_corpus(folder: Path, tiers: str) -> Corpus:
    """Read the works of the given tiers in the manifest's order and hold out every 50th story."""
    stories: list[Story] = []
    with (folder / "manifest.csv").open(encoding="utf-8", newline="") as manifest:
        for work in csv.DictReader(manifest):
            if work["tier"] in tiers:
                text = (folder / work["file"]).read_text(encoding="utf-8")
                parts = (part.strip() for part in STORY_START.split(text))
                stories += [Story(part, work["tier"]) for part in parts if part]
    held_out = stories[HOLD_OUT_EVERY - 1 :: HOLD_OUT_EVERY]
    train = [story for number, story in enumerate(stories, start=1) if number % HOLD_OUT_EVERY]
    return Corpus(train, held_out)


@dataclass
class Batch:
    """Windows of tokens, what follows each token and how much that counts, and the place after the batch."""

    inputs: Tensor
    targets: Tensor
    weights: Tensor
    epoch: int
    position: int


class TrainingStream:
    """Epochs of shuffled documents cut into windows; where each epoch stands depends on the seed and its number only.

    A document is a story (its title left out half of the time, so that a story may also begin with its first
    sentence) or an arithmetic list, and starts and ends with the end-of-text token. Every target has a weight in the
    loss. It is one but in arithmetic: the first token of a list counts nothing, so that the model begins arithmetic
    only when asked, not in every other unprompted text; answers, which are few, count more.
    """

    def __init__(
        self, stories: list[Story], visits: dict[str, int], tokenizer: Tokenizer, end: int, window: int, seed: int
    ) -> None:
        self.tokenizer = tokenizer
        self.end = end
        self.arrow = tokenizer.encode(f" {ARROW}").ids[-1]
        self.window = window
        self.seed = seed
        self.visits = [visits[story.tier] for story in stories]
        self.stories = self.encode([story.text for story in stories])
        self.bodies = [
            self.without_title(story.text, tokens) for story, tokens in zip(stories, self.stories, strict=True)
        ]

    def encode(self, texts: list[str]) -> list[numpy.ndarray]:
        """Encode texts and put the end-of-text token before each."""
        return [
            numpy.array([self.end, *encoding.ids], dtype=numpy.int64) for encoding in self.tokenizer.encode_batch(texts)
        ]

    def without_title(self, text: str, tokens: numpy.ndarray) -> numpy.ndarray:
        """Return a story's tokens without those of its title line; a blank line always ends a token."""
        title = TITLE_LINE.match(text)
        title_tokens = len(self.tokenizer.encode(title.group() + "x").ids) - 1 if title else 0
        return numpy.concatenate([tokens[:1], tokens[1 + title_tokens :]])

    def list_weights(self, tokens: numpy.ndarray) -> numpy.ndarray:
        """Return the weights of an arithmetic list's tokens as targets."""
        weights = numpy.ones(len(tokens), dtype=numpy.float32)
        weights[1] = 0
        weights[1:][tokens[:-1] == self.arrow] = ANSWER_WEIGHT
        return weights

    def epoch(self, number: int) -> tuple[numpy.ndarray, numpy.ndarray, numpy.ndarray]:
        """Return the inputs, the targets and the targets' weights of one epoch, each of shape (windows, window)."""
        generator = random.Random(f"{self.seed} {number}")
        stories = [
            self.stories[index] if generator.random() < 0.5 else self.bodies[index]
            for index, visits in enumerate(self.visits)
            for _ in range(visits)
        ]
        wanted = ARITHMETIC_SHARE * sum(map(len, stories))
        lists: list[numpy.ndarray] = []
        while wanted > 0:
            lists += self.encode([arithmetic_list(generator) for _ in range(1000)])
            wanted -= sum(map(len, lists[-1000:]))
        documents = [(story, numpy.ones(len(story), dtype=numpy.float32)) for story in stories]
        documents += [(items, self.list_weights(items)) for items in lists]
        generator.shuffle(documents)
        tokens = numpy.concatenate([tokens for tokens, _ in documents])
        weights = numpy.concatenate([weights for _, weights in documents])
        count = (len(tokens) - 1) // self.window
        kept = count * self.window
        windows = (tokens[:kept], tokens[1 : kept + 1], weights[1 : kept + 1])
        inputs, targets, target_weights = (part.reshape(count, self.window) for part in windows)
        return inputs, targets, target_weights

    def batches(self, size: int, epoch: int, position: int) -> Iterator[Batch]:
        """Yield batches for ever from a place on."""
        while True:
            inputs, targets, weights = self.epoch(epoch)
            order = numpy.random.default_rng([self.seed, epoch]).permutation(len(inputs))
            while position + size <= len(inputs):
                rows = order[position : position + size]
                position += size
                yield Batch(*(torch.from_numpy(part[rows]) for part in (inputs, targets, weights)), epoch, position)
            epoch, position = epoch + 1, 0
