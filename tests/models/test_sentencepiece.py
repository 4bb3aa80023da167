"""Folders with a file of SentencePiece's alone: the tokens and texts of its own library."""

import gzip
import json
import struct

import pytest

import unspool as un
from unspool.models.pieces import read_pieces
from unspool.models.sentencepiece_file import SentencePieceFile
from unspool.models.tokenizer_folder import read_tokenizer
from unspool.text import text_of

from .conftest import DATA

FOLDER = DATA / "sentencepiece"
GOLDEN = json.loads(gzip.decompress((FOLDER / "golden.json.gz").read_bytes()))
REFERENCE = f"sentencepiece {GOLDEN['sentencepiece']}"
KINDS = list(GOLDEN["cases"])


def content(kind):
    return gzip.decompress((FOLDER / f"{kind}.model.gz").read_bytes())


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture
def folder(kind, tmp_path):
    (tmp_path / ("spiece.model" if kind == "t5" else "tokenizer.model")).write_bytes(content(kind))
    return tmp_path


def test_tokens_and_texts_are_those_of_the_library(kind, folder, tally):
    ours = read_tokenizer(folder)
    assert isinstance(ours, SentencePieceFile)
    for text, ids, back in GOLDEN["cases"][kind]:
        assert ours.pieces.cut(ours.pieces.normal(text, True)) == ids, text
        mine = text_of(ours, ids)
        assert (mine.removeprefix(" ") if ours.prefixes_space else mine) == back.replace(" \u2047 ", "")   # its mark of the unknown
        tally("tokens and texts of files of SentencePiece's")


def test_a_text_that_goes_on_has_no_space_of_the_tokenizers(kind, folder):
    ours = read_tokenizer(folder)
    for text in ("ing", " the", "a  b", "12 ab", ""):
        written = text_of(ours, ours.encode(text))
        assert written == (text if not ours.pieces.tidies else text.replace("  ", " "))


def test_what_stands_beside_the_pieces(kind, folder):
    ours = read_tokenizer(folder)
    end = "</s>"
    assert {ours.name_of(t) for t in ours.specials} == {"<unk>", end, *(["<pad>"] if kind == "t5" else ["<s>"])}
    assert ours.begins == (() if kind == "t5" else (1,))
    assert ours.encode_prompt("ab")[: len(ours.begins)] == list(ours.begins)
    assert end in [ours.name_of(t) for t in ours.ids(f"a{end}b")]
    after = [ours.name_of(t) for t in ours.ids(f"a{end}a")]
    assert after[-1] == "a", "the space before a text stands at its beginning alone"
    plain = ours.hash
    said = {"added_tokens_decoder": {str(ours.size): {"content": "<|im_end|>", "special": True}, "9999": {"content": "tool x"}}}
    (folder / "tokenizer_config.json").write_text(json.dumps({**said, "eos_token": "<|im_end|>", "add_bos_token": False}))
    again = read_tokenizer(folder)
    assert (again.size, again.begins, again.hash == plain) == (ours.size + 2, (), False)
    ids = again.encode("a<|im_end|>tool x b")
    assert {ours.size, ours.size + 1} <= {*ids}
    assert text_of(again, ids) == "atool x b"
    assert (again.bytes_of(ours.size), again.bytes_of(again.size), again.name_of(again.size)) == (b"", b"", f"<{again.size}>")


def made(rows, merges):
    """A vocabulary of (piece, score, kind), with nothing put before a text."""
    data = b""
    for text, score, kind in rows:
        body = b"\x0a" + bytes([len(text)]) + text.encode() + b"\x15" + struct.pack("<f", score) + b"\x18" + bytes([kind])
        data += b"\x0a" + bytes([len(body)]) + body
    return data + b"\x12\x02\x18" + bytes([1 + merges]) + b"\x1a\x04\x18\x00\x20\x00"


BY_HAND = [
    ([("a", -9.0, 1), ("b", -9.0, 1), ("c", -9.0, 1), ("ab", -1.0, 5), ("abc", -2.0, 1)], True, "ababc", ["a", "b", "abc"]),
    ([("a", -9.0, 1), ("b", -9.0, 1), ("c", -9.0, 1), ("ab", -1.0, 5), ("abc", -2.0, 1)], False, "ababc", ["a", "b", "abc"]),
    ([("a", -9.0, 1), ("<x>", 0.0, 4), ("a<x>", -1.0, 1), ("aa", -2.0, 1)], True, "aaa<x>", ["aa", "a", "<x>"]),
    ([("a", 5.0, 1), ("ab", -20.0, 1)], False, "ab", ["ab"]),
    ([("<", -0.02, 1), ("x>", -0.02, 1), ("<x>", -7.0, 4)], False, "<x>", ["<x>"]),
    ([("<", 0.5, 1), ("x>", 0.5, 1), ("<x>", 5.0, 4)], False, "<x>", ["<", "x>"]),
    ([("a", -1.0, 1), ("b", -2.0, 1)], False, "azzb", ["a", "<unk>", "b"]),
]
"""What the library answers too: pieces not in use, symbols of one's own, and what is no piece."""


@pytest.mark.parametrize(("rows", "merges", "text", "expected"), BY_HAND)
def test_by_hand(rows, merges, text, expected):
    pieces = read_pieces(made([("<unk>", 0.0, 2), *rows], merges), "it")
    assert [pieces.names[t] for t in pieces.cut(text)] == expected


@pytest.mark.parametrize("size", [0, 1, 5, 100, 3000])
def test_a_file_that_is_cut_is_named(tmp_path, size):
    (tmp_path / "tokenizer.model").write_bytes(content("llama")[:size])
    with pytest.raises(un.ModelError, match=r"tokenizer") as caught:
        read_tokenizer(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["T5Tokenizer", "XLMRobertaTokenizer"])
def test_classes_that_move_ids_are_left_to_transformers(tmp_path, name, monkeypatch):
    """Which needs the library; the error says how to get it, and the other way."""
    pytest.importorskip("transformers")
    monkeypatch.setitem(__import__("sys").modules, "sentencepiece", None)
    file = "spiece.model" if name == "T5Tokenizer" else "sentencepiece.bpe.model"
    (tmp_path / file).write_bytes(content("t5"))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": name}))
    with pytest.raises(un.UnspoolError, match=r"pip install sentencepiece.*tokenizer\.json") as caught:
        read_tokenizer(tmp_path)
    assert name in str(caught.value)


def part(number, content):
    return bytes([number << 3 | 2, len(content)]) + content


def file_of(*pieces, trainer=b"\x18\x02"):
    """A file of pieces (name, kind) as bytes, cut by merges."""
    rows = (part(1, part(1, name.encode()) + bytes([3 << 3, kind])) for name, kind in pieces)
    return b"".join(rows) + part(2, trainer)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (file_of(("<unk>", 2), ("a", 1), ("", 4)), "a piece without a name"),
        (file_of(("<unk>", 2), ("a", 1), ("<0x41>", 6), trainer=b"\x18\x02\x98\x02\x01"), "has 1 of 256 bytes"),
    ],
)
def test_a_file_that_would_never_end_or_break_is_refused(data, words):
    with pytest.raises(un.ModelError, match=words):
        read_pieces(data, "tokenizer.model")
