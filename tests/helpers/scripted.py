"""Models that say what they are told to, over GPT-2's own tokens or those of stories260K."""

import gzip
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

import unspool as un
from unspool.models.tokenizer_folder import read_tokenizer
from unspool.models.toy import TableModel

DATA = Path(__file__).parents[1] / "data"


def write_gpt2(folder):
    """GPT-2's vocab.json and merges.txt."""
    for name in ("vocab.json", "merges.txt"):
        (folder / name).write_bytes(gzip.decompress((DATA / f"gpt2-{name}.gz").read_bytes()))
    return folder


@cache
def gpt2():
    """GPT-2's tokenizer."""
    with TemporaryDirectory() as folder:
        return read_tokenizer(write_gpt2(Path(folder)))


@cache
def stories():
    """A SentencePiece tokenizer: a space of its own where text begins."""
    return read_tokenizer(DATA / "stories260K")


def saying(tokenizer, script, vocabulary=None, **options):
    """A model that says a script, of text or of tokens, whatever the prompt of one token; its last token again and again."""
    tokens, size = tokenizer.encode(script) if isinstance(script, str) else list(script), vocabulary or tokenizer.size

    def probabilities(text):
        row = np.full(size, 1e-9)
        row[(tokens + [tokens[-1]] * 99)[max(len(text) - 1, 0)]] = 1.0
        return row

    return un.LanguageModel(TableModel(probabilities, size, **options), tokenizer)


def liking(tokenizer, weights, vocabulary=None, **options):
    """A model with the same likes after every text: token -> weight."""
    size = vocabulary or tokenizer.size
    row = np.full(size, 1e-9)
    row[list(weights)] = list(weights.values())
    return un.LanguageModel(TableModel(lambda text: row, size, **options), tokenizer)


def said(lm, decoder, prompt=None, n=12, **options):
    """The text and why it ended; the streamed pieces join to the same."""
    out = lm.generate([0] if prompt is None else prompt, decoder, max_new_tokens=n, **options)
    streamed = "".join(lm.stream([0] if prompt is None else prompt, decoder, max_new_tokens=n, **options).text())
    assert streamed == out.text
    return out.text, out.best.reason
