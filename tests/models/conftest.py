"""A small byte-level tokenizer, and GPT-2's own."""

import gzip
import json
from pathlib import Path

import pytest
from tokenizers import ByteLevelBPETokenizer

from unspool.models.tokenizer_folder import read_tokenizer

DATA = Path(__file__).parents[1] / "data"
TEXTS = ["Once upon a time there was a king who had three sons.", "옛날 옛적에 세 아들을 둔 왕이 살았다.", "A crown 👑, naïve café."] * 3


@pytest.fixture(scope="session")
def small_tokenizer():
    """320 tokens: bytes and some merges."""
    tokenizer = ByteLevelBPETokenizer()
    tokenizer.train_from_iterator(TEXTS, vocab_size=320, min_frequency=1, show_progress=False)
    return tokenizer


@pytest.fixture(scope="session")
def gpt2_folder(tmp_path_factory):
    """GPT-2's vocab.json and merges.txt."""
    folder = tmp_path_factory.mktemp("gpt2")
    for name in ("vocab.json", "merges.txt"):
        (folder / name).write_bytes(gzip.decompress((DATA / f"gpt2-{name}.gz").read_bytes()))
    return folder


@pytest.fixture(scope="session")
def gpt2_tokenizer(gpt2_folder):
    return read_tokenizer(gpt2_folder)


@pytest.fixture(scope="session")
def gpt2_cases():
    return json.loads((DATA / "gpt2-checks.json").read_text(encoding="utf-8"))["cases"]
