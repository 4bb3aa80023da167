"""GPT-2's tokenizer, exact to the byte."""

import hashlib
import json
import shutil

import pytest

import unspool as un
from unspool.models.tokenizer_folder import read_tokenizer
from unspool.text import Detokenizer, text_of

HASHES = {
    "vocab.json": "196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783",
    "merges.txt": "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5",
}
MORE_TEXTS = [
    "안녕하세요? 옛날 옛적에 👑 왕이 살았다 — 끝.",
    "👩‍👩‍👧‍👦 🇰🇷 🏴󠁧󠁢󠁥󠁮󠁧󠁿 ✌🏽",
    "한글 자모 ㄱㄴㄷ, 漢字 かな, עברית, العربية, हिन्दी",
    "\x00\x07\x7f\u0085\u2028 控制",
    "\U0010fffd\U00020000",
]


def as_written(tokenizer, text):
    """The parts of a text that become certain token by token."""
    writer = Detokenizer(tokenizer)
    return [*(writer.add(t) for t in tokenizer.encode(text)), writer.finish()]


def test_files_are_gpt2s(gpt2_folder):
    assert {name: hashlib.sha256((gpt2_folder / name).read_bytes()).hexdigest() for name in HASHES} == HASHES


def test_every_case(gpt2_tokenizer, gpt2_cases):
    assert len(gpt2_cases) == 27
    for case in gpt2_cases:
        text, ids = case["text"], case["ids"]
        if text == "<|endoftext|>":                                        # made without special tokens, and it is one
            assert gpt2_tokenizer.encode(text) == [50256]
            continue
        assert gpt2_tokenizer.encode(text) == ids, text
        assert text_of(gpt2_tokenizer, ids) == text
        assert b"".join(map(gpt2_tokenizer.bytes_of, ids)) == text.encode()
        assert "".join(as_written(gpt2_tokenizer, text)) == text


@pytest.mark.parametrize("text", MORE_TEXTS)
def test_other_scripts(gpt2_tokenizer, text):
    ids = gpt2_tokenizer.encode(text)
    assert text_of(gpt2_tokenizer, ids) == text
    assert b"".join(map(gpt2_tokenizer.bytes_of, ids)) == text.encode()
    parts = as_written(gpt2_tokenizer, text)
    assert "".join(parts) == text
    assert not any("\ufffd" in part for part in parts)


def test_bytes_of_all_tokens(gpt2_tokenizer):
    """Every token but the end of text has bytes, every byte is a token, and no two tokens have the same bytes."""
    assert gpt2_tokenizer.size == 50257
    known = [gpt2_tokenizer.bytes_of(t) for t in range(50256)]
    assert all(known)
    assert len(set(known)) == 50256
    assert {bytes([b]) for b in range(256)} <= set(known)


def test_half_a_character_is_held_back(gpt2_tokenizer):
    """An emoji of several tokens appears with its last one; cut off, it becomes U+FFFD."""
    ids = gpt2_tokenizer.encode("🦀")
    writer = Detokenizer(gpt2_tokenizer)
    assert len(ids) > 1
    assert [writer.add(t) for t in ids] == [""] * (len(ids) - 1) + ["🦀"]
    assert text_of(gpt2_tokenizer, ids[:-1]) == "\ufffd"


def test_both_file_forms_agree(small_tokenizer, tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    small_tokenizer.save(str(tmp_path / "one" / "tokenizer.json"))
    small_tokenizer.save_model(str(tmp_path / "two"))
    one, two = read_tokenizer(tmp_path / "one"), read_tokenizer(tmp_path / "two")
    assert one.size + 1 == two.size                                        # GPT-2's class has an end of text, as in transformers
    for text in ("Once upon a time", "옛날 👑 crown", "  two  spaces\n"):
        assert one.encode(text) == two.encode(text)
        assert text_of(one, one.encode(text)) == text_of(two, two.encode(text)) == text


class TestBrokenFiles:
    def test_no_tokenizer(self, tmp_path):
        with pytest.raises(un.ModelError, match=r"has no tokenizer: neither tokenizer\.json nor vocab\.json with merges\.txt"):
            read_tokenizer(tmp_path)

    def test_merges_missing(self, gpt2_folder, tmp_path):
        shutil.copy(gpt2_folder / "vocab.json", tmp_path)
        with pytest.raises(un.ModelError, match=r"has no tokenizer: no tokenizer\.json, and vocab\.json without merges\.txt"):
            read_tokenizer(tmp_path)

    @pytest.mark.parametrize("content", ["", "{", "[]", '{"model": {"type": "None"}}', "\x00\x01"])
    def test_broken_tokenizer_json(self, tmp_path, content):
        (tmp_path / "tokenizer.json").write_text(content)
        with pytest.raises(un.ModelError, match=f"cannot read the tokenizer of .*{tmp_path.name}"):
            read_tokenizer(tmp_path)

    def test_merges_of_other_tokens(self, tmp_path):
        (tmp_path / "vocab.json").write_text(json.dumps({"a": 0, "b": 1}))
        (tmp_path / "merges.txt").write_text("#version: 0.2\nx y\n")
        with pytest.raises(un.ModelError, match="cannot read the tokenizer"):
            read_tokenizer(tmp_path)
