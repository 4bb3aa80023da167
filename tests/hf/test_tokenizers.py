"""Tokenizers of transformers: the bytes of every token, what is put before a text, and nothing that the caller set."""

import gzip
import json
from pathlib import Path

import pytest

from unspool.models.hf_tokenizer import TransformersTokenizer, as_tokenizer
from unspool.models.tokenizer_file import TokenizerFile
from unspool.models.tokenizer_folder import read_tokenizer
from unspool.text import text_of

transformers = pytest.importorskip("transformers")

DATA = Path(__file__).parents[1] / "data"
TEXTS = ["Once upon a time", " naïve café\n\n", "옛날 👑 옛적에", "\x00\x7f\t x", "don't  stop", ""]


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gpt2")
    for name in ("vocab.json", "merges.txt"):
        (folder / name).write_bytes(gzip.decompress((DATA / f"gpt2-{name}.gz").read_bytes()))
    return folder


class Pieces(transformers.PreTrainedTokenizer):
    """A tokenizer in Python alone: pieces by number, cut by a library of the `tokenizers` kind that the test gives."""

    def __init__(self, inner, **options):
        self.cut = inner
        super().__init__(**options)

    @property
    def vocab_size(self):
        return self.cut.get_vocab_size()

    def get_vocab(self):
        return {**self.cut.get_vocab(), **self.added_tokens_encoder}

    def _tokenize(self, text, **options):
        return self.cut.encode(text, add_special_tokens=False).tokens

    def _convert_token_to_id(self, token):
        return self.cut.token_to_id(token)

    def _convert_id_to_token(self, index):
        return self.cut.id_to_token(index)

    def convert_tokens_to_string(self, tokens):
        return self.cut.decoder.decode(tokens)


def test_byte_level_in_python_equals_the_file(gpt2):
    """GPT-2's vocabulary through Python: the same tokens, names and bytes as of the file, for all 50257."""
    file = read_tokenizer(gpt2)
    slow = as_tokenizer(Pieces(file.inner, unk_token="<|endoftext|>"))
    assert isinstance(slow, TransformersTokenizer)
    assert slow.size == file.size == 50257
    for token in range(50256):
        assert slow.bytes_of(token) == file.bytes_of(token)
        assert slow.name_of(token) == file.name_of(token)
    assert slow.bytes_of(50256) == b""
    for text in TEXTS:
        assert slow.encode(text) == file.encode(text)
        assert text_of(slow, slow.encode(text)) == text
    assert not slow.prefixes_space
    assert slow.hash != file.hash


def test_sentencepiece_in_python_equals_the_file():
    file = read_tokenizer(DATA / "stories260K")
    slow = as_tokenizer(Pieces(file.inner, unk_token="<unk>", bos_token="<s>", eos_token="</s>"))
    assert isinstance(slow, TransformersTokenizer)
    assert slow.prefixes_space
    for token in range(3, file.size):
        assert slow.bytes_of(token) == file.bytes_of(token)
    for text in TEXTS[:2]:
        assert slow.encode(text) == file.encode(text)


def test_bytes_as_characters():
    tokenizer = as_tokenizer(transformers.ByT5Tokenizer())
    assert isinstance(tokenizer, TransformersTokenizer)
    for text in TEXTS:
        assert b"".join(map(tokenizer.bytes_of, tokenizer.encode(text))) == text.encode()
    assert tokenizer.bytes_of(tokenizer.encode("é")[0]) == b"\xc3"
    assert tokenizer.encode_prompt("ab") == tokenizer.encode("ab")


def test_fast_ones_are_read_as_files(gpt2):
    file = read_tokenizer(gpt2)
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=file.inner, eos_token="<|endoftext|>")
    given = as_tokenizer(fast)
    assert isinstance(given, TokenizerFile)
    assert isinstance(as_tokenizer(file.inner), TokenizerFile)
    assert as_tokenizer(file) is file
    for text in TEXTS:
        assert given.encode(text) == file.encode(text)
    assert [given.bytes_of(t) for t in range(1000)] == [file.bytes_of(t) for t in range(1000)]


def test_what_the_caller_set_stays_and_does_not_matter(gpt2):
    file = read_tokenizer(gpt2)
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=file.inner, eos_token="<|endoftext|>", pad_token="<|endoftext|>")
    fast("a text that is long", truncation=True, max_length=2, padding="max_length")
    before = fast.backend_tokenizer.to_str()
    assert as_tokenizer(fast).encode("a text that is long") == file.encode("a text that is long")
    assert fast.backend_tokenizer.to_str() == before


def test_a_start_token_is_put_before_prompts_alone(tmp_path):
    """What a post-processor adds, and what a class in Python adds."""

    class Starting(Pieces):
        def build_inputs_with_special_tokens(self, one, other=None):
            return [1, *one, 2]

    file = read_tokenizer(DATA / "stories260K")
    slow = as_tokenizer(Starting(file.inner, unk_token="<unk>", bos_token="<s>", eos_token="</s>"))
    assert slow.begins == (1,)
    assert slow.encode_prompt("a time") == [1, *slow.ids("a time")]


def test_a_folder_that_only_transformers_reads(tmp_path):
    transformers.ByT5Tokenizer().save_pretrained(tmp_path)
    assert not (tmp_path / "tokenizer.json").exists()
    tokenizer = read_tokenizer(tmp_path)
    assert b"".join(map(tokenizer.bytes_of, tokenizer.encode("king"))) == b"king"
    settings = json.loads((tmp_path / "tokenizer_config.json").read_text())
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({**settings, "tokenizer_class": "Strange"}))
    with pytest.raises(ValueError, match="tokenizer"):
        read_tokenizer(tmp_path)
