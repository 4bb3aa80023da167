"""The byte-level BPE tokenizer, GPT-2 style."""

import random
from collections.abc import Iterable

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from training.arithmetic import arithmetic_list

END_OF_TEXT = "<|endoftext|>"
ARITHMETIC_SAMPLE = 20_000


def train_tokenizer(texts: Iterable[str], vocabulary: int, seed: int) -> Tokenizer:
    """Learn the merges from the training stories and a sample of arithmetic lists."""
    generator = random.Random(seed)
    samples = [arithmetic_list(generator) for _ in range(ARITHMETIC_SAMPLE)]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([*texts, *samples], trainer)
    return tokenizer
