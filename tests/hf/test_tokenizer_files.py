"""Folders with every subset of a tokenizer's files: read as transformers reads them, or refused in one line that names what is missing."""

import gzip
import json
from itertools import combinations
from pathlib import Path

import pytest

pytest.importorskip("transformers")
import transformers
from hf.kinds import byte_level

import unspool as un
from unspool.models.tokenizer_folder import read_tokenizer

DATA = Path(__file__).parents[1] / "data"
FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt")
TEXTS = ["Once<|endoftext|> upon<|im_start|>a time <|im_end|>\n", "<pad><image>the cat's<tool>", "안녕 👑"]
STRIPPING = {"__type": "AddedToken", "content": "<|im_end|>", "lstrip": True}
SETTINGS = [
    {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|im_end|>", "pad_token": "<pad>"},
    {"eos_token": STRIPPING, "image_token": "<image>", "additional_special_tokens": ["<tool>"]},
    {"bos_token": "<|endoftext|>", "add_bos_token": True, "extra_special_tokens": {"image_token": "<image>"}},
    {"added_tokens_decoder": {"401": {"content": "<tool>", "special": False}, "400": {"content": "<|im_end|>", "special": True}}},
    {"added_tokens_decoder": {"0": {"content": "<|endoftext|>", "special": False}}, "pad_token": "<pad>", "unk_token": None},
    {"added_tokens_decoder": {"401": {"content": "<|im_end|>", "special": True}}, "eos_token": STRIPPING},
    {"add_prefix_space": True, "split_special_tokens": True, "add_eos_token": True, "eos_token": "<|endoftext|>"},
]


def write(folder, names, settings):
    inner = byte_level()
    inner.add_tokens(["<tool>"])
    contents = {
        "tokenizer_config.json": settings,
        "special_tokens_map.json": {"bos_token": "<|im_start|>", "pad_token": {"content": "<pad>", "normalized": False, "rstrip": True}},
        "added_tokens.json": {"<|im_end|>": 402, "<|im_start|>": 401},
    }
    for name in names:
        if name == "tokenizer.json":
            inner.save(str(folder / name))
        elif name in contents:
            (folder / name).write_text(json.dumps(contents[name]))
    inner.model.save(str(folder))
    for name in {"vocab.json", "merges.txt"} - {*names}:
        (folder / name).unlink()


def check(ours, theirs, cut=0):
    assert ours.size == max(theirs.get_vocab().values()) + 1
    assert {t: ours.name_of(t) for t in theirs.get_vocab().values()} == {i: t for t, i in theirs.get_vocab().items()}
    assert set(theirs.all_special_ids) <= ours.specials
    assert all(t in ours.specials for t, token in theirs.added_tokens_decoder.items() if token.special)
    assert len(ours.specials) == len({*theirs.all_special_ids, *(t for t, token in theirs.added_tokens_decoder.items() if token.special)})
    for text in TEXTS:
        ids = theirs.encode(text, add_special_tokens=False)
        whole = theirs.encode(text)
        assert ours.encode_prompt(text) == whole[: len(whole) - cut]
        assert ours.ids(text) == ids
        kept = [t for t in ids if t not in ours.specials]
        assert b"".join(map(ours.bytes_of, ids)).decode() == theirs.decode(kept, clean_up_tokenization_spaces=False)


@pytest.mark.parametrize("which", range(len(SETTINGS)))
def test_every_subset_of_the_files(tmp_path, which):
    settings = SETTINGS[which]
    for number in range(64):
        names = [name for i, name in enumerate(FILES) if number >> i & 1]
        folder = tmp_path / str(number)
        folder.mkdir()
        write(folder, names, settings)
        own = settings if "tokenizer_config.json" in names else {}
        if "tokenizer.json" in names:
            check(read_tokenizer(folder), transformers.PreTrainedTokenizerFast.from_pretrained(folder))
        elif {"vocab.json", "merges.txt"} <= {*names} and own.get("tokenizer_class") is None:
            check(read_tokenizer(folder), transformers.GPT2Tokenizer.from_pretrained(folder), cut=bool(own.get("add_eos_token")))
        elif own.get("tokenizer_class") is None:
            with pytest.raises(un.ModelError, match="has no tokenizer: n") as caught:
                read_tokenizer(folder)
            said = str(caught.value)
            assert "\n" not in said
            assert all(name in said for name in ("tokenizer.json", "vocab.json", "merges.txt"))


@pytest.mark.field("F17", "F19")
def test_special_tokens_beside_the_vocabulary(tmp_path):
    """Of vocab.json and merges.txt alone, and with added_tokens.json."""
    for name in ("vocab.json", "merges.txt"):
        (tmp_path / name).write_bytes(gzip.decompress((DATA / f"gpt2-{name}.gz").read_bytes()))
    alone = read_tokenizer(tmp_path)
    assert alone.encode("a<|endoftext|>b") == [64, 50256, 65]
    assert alone.specials == {50256}
    assert alone.bytes_of(50256) == b""
    (tmp_path / "added_tokens.json").write_text(json.dumps({"<|im_end|>": 50258, "<|im_start|>": 50257}))
    assert read_tokenizer(tmp_path).encode("<|im_start|>user\nHi<|im_end|>") == [50257, 7220, 198, 17250, 50258]


@pytest.mark.field("F20")
def test_an_added_token_that_only_the_settings_name(tmp_path):
    """One token, and the id that transformers gives it."""
    (tmp_path / "tokenizer.json").write_bytes((DATA / "stories260K" / "tokenizer.json").read_bytes())
    said = {"content": "<|im_end|>", "special": True, "lstrip": False, "rstrip": False, "normalized": False, "single_word": False}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"added_tokens_decoder": {"511": said}}))
    ours, theirs = read_tokenizer(tmp_path), transformers.PreTrainedTokenizerFast.from_pretrained(tmp_path)
    assert ours.ids("<|im_end|>") == theirs.encode("<|im_end|>", add_special_tokens=False) == [512]
    assert ours.size == 513


def test_other_kinds_of_vocabulary_are_left_to_transformers(tmp_path):
    """vocab.json and merges.txt of words that end in </w>, of byte-level words cut otherwise, and a class without its files."""
    vocabulary = {t: i for i, t in enumerate(["<unk>", "t", "h", "e", "e</w>", "th", "the</w>", "\n</w>"])}
    (tmp_path / "vocab.json").write_text(json.dumps(vocabulary))
    (tmp_path / "merges.txt").write_text("#version: 0.2\nt h\nth e</w>\n")
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "OpenAIGPTTokenizer"}))
    ours, theirs = read_tokenizer(tmp_path), transformers.OpenAIGPTTokenizer.from_pretrained(tmp_path)
    assert ours.ids("the the") == theirs.encode("the the") == [6, 6]
    assert b"".join(map(ours.bytes_of, [6, 6])) == b"the the "
    (tmp_path / "vocab.json").unlink()
    with pytest.raises(un.ModelError, match=r"vocab\.json") as caught:
        read_tokenizer(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("names", [names for n in (1, 2) for names in combinations(FILES[1:4], n)])
def test_broken_files_beside_the_vocabulary_are_named(tmp_path, names):
    write(tmp_path, ["tokenizer.json"], {})
    for name in names:
        (tmp_path / name).write_text("{")
    with pytest.raises(un.ModelError, match=f"cannot read .*{names[0]}"):
        read_tokenizer(tmp_path)
