"""Tokens of GGUF files are llama.cpp's (recorded by make_golden.py), for hard texts and every name of a way to cut them."""

import gzip
import json

import pytest

gguf = pytest.importorskip("gguf")

from helpers.gguf_files import DATA, write_words  # noqa: E402
from helpers.hard_texts import HARD_TEXTS, SPECIAL_TEXTS  # noqa: E402

import unspool as un  # noqa: E402
from unspool.models.gguf.container import read_container  # noqa: E402
from unspool.models.gguf.splits import SPLITS  # noqa: E402
from unspool.models.gguf.tokens import chat_of, notes_of, tokenizer_of  # noqa: E402
from unspool.models.gguf.vocabulary import vocabulary_of  # noqa: E402
from unspool.text import text_of  # noqa: E402

GOLDEN = json.loads(gzip.decompress((DATA / "gguf-tokens.json.gz").read_bytes()))
REFERENCE = f"llama-cpp-python {GOLDEN['llama-cpp-python']}"


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    path = tmp_path_factory.mktemp("words") / "words.gguf"
    write_words(path, "smollm")
    return read_container(path).keys


def tokenizer(keys, **changes):
    return tokenizer_of(vocabulary_of(keys | {f"tokenizer.ggml.{name}": value for name, value in changes.items()}))


def test_every_name_was_recorded():
    assert {*SPLITS} == {*GOLDEN["splits"]}


@pytest.mark.parametrize("split", SPLITS)
def test_tokens_are_those_of_llama_cpp(split, keys, tally):
    ours = tokenizer(keys, pre=split)
    for text, expected in zip(HARD_TEXTS, GOLDEN["splits"][split], strict=True):
        assert ours.ids(text) == expected, text
        assert text_of(ours, expected) == text
    assert bool(ours.begins) == (split in GOLDEN["starts"])
    tally("tokens of hard texts, by the name of the cut")


def test_special_tokens_are_found_where_they_are_spelled_out(keys):
    ours = tokenizer(keys)
    assert [ours.ids(text) for text in SPECIAL_TEXTS] == GOLDEN["special"]
    start, end, tool = 50257, 50258, 50259
    assert ours.specials == {50256, start, end}
    assert ours.bytes_of(tool) == b"<tool>"
    assert ours.bytes_of(start) == b""
    assert vocabulary_of(keys).ends == [end, 50256]


def test_an_unknown_cut_is_refused_and_a_missing_one_is_said(keys):
    with pytest.raises(un.ModelError, match=r"tokenizer.ggml.pre is 'new-cut', a way to cut texts that is not known"):
        tokenizer(keys, pre="new-cut")
    without = {name: value for name, value in keys.items() if name != "tokenizer.ggml.pre"}
    assert "does not say how its tokenizer cuts texts" in notes_of(vocabulary_of(without))[0]
    ours = tokenizer_of(vocabulary_of(without))
    assert [ours.ids(text) for text in HARD_TEXTS] == GOLDEN["splits"]["default"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": "rwkv"}, "'rwkv'; supported are gpt2, llama, t5"),
        ({"model": None}, "lacks the key tokenizer.ggml.model"),
        ({"tokens": None}, "lacks the key tokenizer.ggml.tokens"),
        ({"tokens": ["a", "b", "a"], "token_type": None}, "names 'a' twice"),
        ({"token_type": "x"}, "one number for each"),
        ({"merges": None}, "lacks the key tokenizer.ggml.merges"),
        ({"add_bos_token": 1}, "it is true or false"),
        ({"bos_token_id": "x"}, "it is a whole number"),
        ({"model": "llama"}, "lacks the key tokenizer.ggml.scores"),
    ],
)
def test_broken_keys_are_refused_by_name(changes, words, keys):
    with pytest.raises(un.ModelError, match=words):
        tokenizer(keys, **changes)


def test_the_start_token(keys):
    assert tokenizer(keys, add_bos_token=True).encode_prompt("a") == [50257, 64]
    assert tokenizer(keys, pre="llama-bpe", add_bos_token=False).begins == ()


def test_chat_templates(keys):
    chat = chat_of(keys | {"tokenizer.chat_template": "{{ bos_token }}{{ messages[0]['content'] }}{{ eos_token }}"})
    assert chat([{"role": "user", "content": "Hi"}]) == "<|im_start|>Hi<|im_end|>"
    with pytest.raises(un.Unsupported):
        chat_of(keys)([{"role": "user", "content": "Hi"}])
